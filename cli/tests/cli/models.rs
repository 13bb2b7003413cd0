//! Saved models: what the file holds, that `eval` finds again what `train` found, that `predict` reads every kind of
//! PNG.

use crate::common::*;
use png::{BitDepth, ColorType};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A model of real digits, with what `train` said about it; trained once for all tests of this file.
fn trained() -> &'static (TempDir, String, Value) {
    static TRAINED: OnceLock<(TempDir, String, Value)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let dir = scratch();
        let model = at(&dir, "model.safetensors");
        let report = words(&format!("train --save {model} --json")).json();
        (dir, model, report)
    })
}

#[test]
fn eval_finds_what_train_found() {
    let (_, model, trained) = trained();
    for options in ["", "--threads 3"] {
        let found = words(&format!("eval --model {model} {options} --json")).json();
        for key in ["test_rows", "test_correct", "test_accuracy", "test_log_loss", "level"] {
            assert_eq!(found[key], trained[key], "{key} {options}");
        }
    }
}

#[test]
fn eval_shows_what_is_taken_for_what() {
    let (_, model, trained) = trained();
    let run = words(&format!("eval --model {model}"));
    let lines: Vec<&str> = run.plain().lines().collect();
    assert!(lines[0].contains(&format!("accuracy {:.4}", trained["test_accuracy"].as_f64().unwrap())), "{lines:?}");
    let table: Vec<Vec<u64>> = lines
        .iter()
        .filter(|line| line.starts_with("a "))
        .map(|line| line.split_whitespace().skip(2).map(|cell| cell.parse().unwrap_or(0)).collect())
        .collect();
    assert_eq!(table.len(), 10);
    assert_eq!(table.iter().flatten().sum::<u64>(), 10_000);
    assert_eq!((0..10).map(|class| table[class][class]).sum::<u64>(), trained["test_correct"].as_u64().unwrap());
    // MNIST's test set has 980 zeros and 1135 ones.
    assert_eq!(table[..2].iter().map(|row| row.iter().sum()).collect::<Vec<u64>>(), [980, 1135]);
}

#[test]
fn file_is_what_pytorch_expects() {
    let (_, model, _) = trained();
    let bytes = std::fs::read(model).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    assert_eq!(names, ["bias", "weight"]);
    let (weight, bias) = (tensors.tensor("weight").unwrap(), tensors.tensor("bias").unwrap());
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, [10, 784].as_slice()));
    assert_eq!((bias.dtype(), bias.shape()), (Dtype::F32, [10].as_slice()));

    let (length, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(length % 8, 0, "the tensors are aligned");
    let metadata = header.metadata().as_ref().unwrap();
    let expected = [
        ("format", "pt"),
        ("preprocessing", "u8 pixels / 255"),
        ("image", "28x28"),
        ("features", "784"),
        ("classes", "10"),
        ("steps", "1000"),
        ("batch", "100"),
        ("learning_rate", "0.01"),
        ("loss", "sum"),
        ("order", "shuffled"),
        ("seed", "0"),
        ("validation_rows", "5000"),
        ("class_names", r#"["0","1","2","3","4","5","6","7","8","9"]"#),
        ("class_weight", "none"),
        ("label_smoothing", "0.0"),
        ("softreg", env!("CARGO_PKG_VERSION")),
    ];
    for (key, value) in expected {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(metadata.contains_key("level"));
    assert_eq!(metadata.len(), expected.len() + 1);
}

/// The layout is `nn.Linear`'s: logits computed from the file's tensors, by the textbook, have the probabilities that
/// the program prints.
#[test]
fn predict_agrees_with_the_tensors() {
    let (_, model, _) = trained();
    let bytes = std::fs::read(model).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f64> {
        let (values, _) = tensors.tensor(name).unwrap().data().as_chunks();
        values.iter().map(|&value| f64::from(f32::from_le_bytes(value))).collect()
    };
    let (weight, bias) = (floats("weight"), floats("bias"));

    let dir = scratch();
    let images = mnist_test_images(40);
    let files: Vec<String> = (0..images.len()).map(|i| at(&dir, &format!("{i}.png"))).collect();
    for ((pixels, _), file) in images.iter().zip(&files) {
        png(file.as_ref(), ColorType::Grayscale, BitDepth::Eight, None, pixels);
    }
    let run = softreg(["predict", "--json", "--model", model].into_iter().chain(files.iter().map(String::as_str)));
    let answers: Vec<Value> = run.plain().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), images.len());

    let mut right = 0;
    for (((pixels, label), file), answer) in images.iter().zip(&files).zip(&answers) {
        let scores: Vec<f64> = (0..10)
            .map(|class| {
                let row = &weight[class * PIXELS..][..PIXELS];
                let sum: f64 = row.iter().zip(pixels).map(|(w, &pixel)| w * f64::from(pixel) / 255.0).sum();
                (sum + bias[class]).exp()
            })
            .collect();
        let total: f64 = scores.iter().sum();
        assert_eq!(answer["file"], file.as_str());
        let found: Vec<f64> = answer["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).collect();
        assert_eq!(found.len(), 10);
        for class in 0..10 {
            assert!((found[class] - scores[class] / total).abs() < 1e-5, "{file}: {found:?}");
        }
        let class = answer["class"].as_u64().unwrap() as usize;
        assert!(found.iter().all(|&p| p <= found[class]));
        assert_eq!(answer["probability"].as_f64().unwrap(), found[class]);
        right += usize::from(class == usize::from(*label));
    }
    assert!(right >= 34, "{right} of {}", images.len());
}

#[test]
fn predict_says_the_digit_and_the_best_three() {
    let (_, model, _) = trained();
    let dir = scratch();
    let (pixels, label) = mnist_test_images(1).swap_remove(0);
    let file = at(&dir, "digit.png");
    png(file.as_ref(), ColorType::Grayscale, BitDepth::Eight, None, &pixels);
    let run = softreg(["predict", "--model", model, &file]);
    let found: Vec<&str> = run.plain().split_whitespace().collect();
    let label = label.to_string();
    assert_eq!(&found[..3], [file.as_str(), &label, &label], "the file, the digit, then the most probable first");
    let shares: Vec<f64> = found[3..].chunks(3).map(|chunk| chunk[0].parse().unwrap()).collect();
    assert_eq!(shares.len(), 3, "{found:?}");
    assert!(shares.is_sorted_by(|a, b| a >= b) && shares[0] > 50.0 && shares.iter().sum::<f64>() <= 100.2);
}

/// One digit in every way that PNG can hold it: the answer is the same to the last bit.
#[test]
fn predict_reads_every_kind_of_png() {
    let (_, model, _) = trained();
    let dir = scratch();
    let (pixels, _) = mnist_test_images(1).swap_remove(0);
    let each = |f: fn(u8) -> Vec<u8>| -> Vec<u8> { pixels.iter().flat_map(|&pixel| f(pixel)).collect() };
    let kinds = [
        ("gray8", ColorType::Grayscale, BitDepth::Eight, None, pixels.clone()),
        ("gray16", ColorType::Grayscale, BitDepth::Sixteen, None, each(|p| vec![p, 0x5a])),
        ("gray_alpha8", ColorType::GrayscaleAlpha, BitDepth::Eight, None, each(|p| vec![p, 255])),
        // The stroke's brightness may as well be its opacity.
        ("white_alpha8", ColorType::GrayscaleAlpha, BitDepth::Eight, None, each(|p| vec![255, p])),
        ("rgb8", ColorType::Rgb, BitDepth::Eight, None, each(|p| vec![p, p, p])),
        ("rgba8", ColorType::Rgba, BitDepth::Eight, None, each(|p| vec![p, p, p, 255])),
        ("rgba16", ColorType::Rgba, BitDepth::Sixteen, None, each(|p| vec![p, 1, p, 2, p, 3, 255, 255])),
        (
            "palette",
            ColorType::Indexed,
            BitDepth::Eight,
            Some((0..=255).rev().flat_map(|v| [v; 3]).collect()),
            each(|p| vec![255 - p]),
        ),
    ];
    let answer = |options: &[&str], file: &str| {
        let run = softreg(["predict", "--json", "--model", model].iter().chain(options).chain([&file]));
        // What is said about the picture is another test's.
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        report["probabilities"].clone()
    };
    let mut expected = None;
    for (name, color, depth, palette, samples) in kinds {
        let file = at(&dir, name);
        png(file.as_ref(), color, depth, palette, &samples);
        let found = answer(&[], &file);
        assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "{name}");
    }

    // The same digit as a pen writes it, on white paper and on none.
    let paper = at(&dir, "paper");
    png(paper.as_ref(), ColorType::Grayscale, BitDepth::Eight, None, &each(|p| vec![255 - p]));
    let glass = at(&dir, "glass");
    png(glass.as_ref(), ColorType::Rgba, BitDepth::Eight, None, &each(|p| vec![0, 0, 0, p]));
    let expected = expected.unwrap();
    assert_ne!(answer(&["--frame", "never"], &paper), expected, "black on white is another picture");
    for options in [&[][..], &["--invert"], &["--frame", "never", "--invert"]] {
        assert_eq!(answer(options, &paper), expected, "{options:?}");
        assert_eq!(answer(options, &glass), expected, "{options:?}");
    }
}

#[test]
fn predict_goes_on_after_a_picture_that_fails() {
    let (_, model, _) = trained();
    let dir = scratch();
    let (pixels, _) = mnist_test_images(1).swap_remove(0);
    let (first, last) = (at(&dir, "first.png"), at(&dir, "last.png"));
    for file in [&first, &last] {
        png(file.as_ref(), ColorType::Grayscale, BitDepth::Eight, None, &pixels);
    }
    let blank = at(&dir, "blank.png");
    picture(blank.as_ref(), (30, 28), ColorType::Grayscale, BitDepth::Eight, None, &vec![0; 30 * 28]);
    let cut = at(&dir, "cut.png");
    let whole = std::fs::read(&first).unwrap();
    std::fs::write(&cut, &whole[..whole.len() - 20]).unwrap();
    let text = at(&dir, "text.png");
    std::fs::write(&text, "not a picture").unwrap();
    let missing = at(&dir, "missing.png");
    let folder = dir.path().to_str().unwrap();

    let run = softreg(["predict", "--model", model, &first, &blank, &cut, &text, &missing, folder, &last]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let answered: Vec<&str> = run.stdout.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(answered, [&first, &last]);
    let errors: Vec<&str> = run.stderr.lines().collect();
    let expected = [
        (blank.as_str(), "found a picture that is blank"),
        (&cut, "cut short"),
        (&text, "found no picture but a file that starts with"),
        (&missing, ""),
        (folder, "found a directory"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (line, (file, message)) in errors.iter().zip(expected) {
        assert!(line.starts_with(&format!("softreg: {file}: ")) && line.contains(message), "{line}");
    }
}

/// A picture that claims to be huge is refused by its header, before anything is unpacked.
#[test]
fn predict_refuses_a_huge_picture() {
    let (_, model, _) = trained();
    let dir = scratch();
    let file = at(&dir, "huge.png");
    picture(file.as_ref(), (28, 28), ColorType::Grayscale, BitDepth::Eight, None, &vec![0; PIXELS]);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    // The header's checksum, over the chunk's name and content.
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    std::fs::write(&file, bytes).unwrap();
    let run = softreg(["predict", "--model", model, &file]);
    assert!(run.silent_error(1).starts_with(&file), "{run:?}");
}
