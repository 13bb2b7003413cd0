//! Pictures given to `predict` that are no digits of MNIST's kind, and are not framed: what is said of them, and what is
//! not. What framing makes of them is in `framing`.

use crate::common::*;
use png::{BitDepth, ColorType};
use std::fs;
use std::sync::OnceLock;
use tempfile::TempDir;

/// A model that has seen a little.
fn model() -> &'static str {
    static MODEL: OnceLock<(TempDir, String)> = OnceLock::new();
    &MODEL
        .get_or_init(|| {
            let (data, dir) = (tiny_data(), scratch());
            let model = at(&dir, "model");
            words(&format!("--data {} --validation 0 --steps 20 --save {model}", data.path().display())).plain();
            (dir, model)
        })
        .1
}

fn predict(options: &[&str], file: &str) -> Run {
    softreg(["predict", "--model", model()].iter().chain(options).chain([&file]))
}

/// Writes gray values with their opacity.
fn gray_alpha(dir: &TempDir, name: &str, pixels: impl Iterator<Item = [u8; 2]>) -> String {
    let file = at(dir, name);
    let samples: Vec<u8> = pixels.flatten().collect();
    png(file.as_ref(), ColorType::GrayscaleAlpha, BitDepth::Eight, None, &samples);
    file
}

#[test]
fn pictures_of_another_kind_get_one_note() {
    let dir = scratch();
    let digits = mnist_test_images(20);
    let digit = || digits[0].0.iter().copied();
    let bright = "mostly bright at its border";
    let with = "try --invert";
    let without = "try without --invert";
    for (name, invert, expected, file) in [
        ("paper", false, [bright, with], gray_alpha(&dir, "paper", digit().map(|p| [255 - p, 255]))),
        ("gray", false, [bright, with], gray_alpha(&dir, "gray", digit().map(|p| [150 - p / 2, 255]))),
        ("glass", false, ["blank", with], gray_alpha(&dir, "glass", digit().map(|p| [0, p]))),
        ("black", false, ["blank", with], gray_alpha(&dir, "black", digit().map(|_| [0, 255]))),
        ("white", false, ["blank", with], gray_alpha(&dir, "white", digit().map(|_| [255, 255]))),
        ("faint", false, ["blank", with], gray_alpha(&dir, "faint", digit().map(|p| [p / 11, 255]))),
        ("digit", true, [bright, without], gray_alpha(&dir, "digit", digit().map(|p| [p, 255]))),
        ("light glass", true, ["blank", without], gray_alpha(&dir, "light", digit().map(|p| [255, p]))),
    ] {
        let options: &[&str] = if invert { &["--frame", "never", "--invert"] } else { &["--frame", "never"] };
        let run = predict(options, &file);
        let note = run.note();
        assert!(note.starts_with(&file) && expected.iter().all(|words| note.contains(words)), "{name}: {note}");
        let with_json = predict(&[options, &["--json"]].concat(), &file);
        assert_eq!(with_json.note(), note, "{name}");
        assert_eq!(with_json.stdout.lines().count(), 1, "{name}");
    }
    // Digits as they should be are nothing to say a word about.
    for (number, (pixels, _)) in digits.iter().enumerate() {
        let light = gray_alpha(&dir, &format!("light{number}"), pixels.iter().map(|&p| [p, 255]));
        predict(&[], &light).plain();
        let dark = gray_alpha(&dir, &format!("dark{number}"), pixels.iter().map(|&p| [255 - p, 255]));
        predict(&["--invert"], &dark).plain();
    }
}

#[test]
fn other_formats_are_named() {
    let dir = scratch();
    for (format, start) in [
        ("GIF", &b"GIF89a\x1c\x00\x1c\x00\x80\x00\x00"[..]),
        ("HEIF", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    ] {
        for length in [1, 50] {
            // Behind the start is what a decoder would look at, and nothing here does.
            let file = put(&dir, "picture", &[start, &vec![0; length]].concat()).display().to_string();
            let run = predict(&[], &file);
            let line = run.silent_error(1);
            let expected = format!("{file}: found a {format} file (");
            assert!(line.starts_with(&expected) && line.contains("expected a PNG, JPEG, BMP, WebP or TIFF"), "{line}");
            assert!(line.contains("convert it"), "{line}");
        }
    }
    let file = put(&dir, "words", b"\x1b[31mnot a picture").display().to_string();
    let line = predict(&[], &file);
    assert!(line.silent_error(1).contains("found no picture but a file that starts with \"\\x1b[31mno"), "{line:?}");
    let file = put(&dir, "empty", b"").display().to_string();
    assert!(predict(&[], &file).silent_error(1).contains("an empty file"));
    let file = put(&dir, "start", b"\x89PNG").display().to_string();
    assert!(predict(&[], &file).silent_error(1).contains("cut short"));
}

/// A formatting width has 16 bits. The system opens no such path, and the others are still worth an answer.
#[test]
fn a_very_long_path_is_an_error_and_no_more() {
    let dir = scratch();
    let digit = gray_alpha(&dir, "digit", mnist_test_images(1)[0].0.iter().map(|&p| [p, 255]));
    for length in [255, 256, 4095, 4096, 65_535, 65_536, 100_000] {
        let long = "x".repeat(length);
        let run = softreg(["predict", "--model", model(), &digit, &long]);
        assert_eq!((run.code, run.stdout.lines().count()), (Some(1), 1), "{length}: {}", run.stderr.len());
        assert_eq!(run.stderr.lines().count(), 1, "{length}");
        assert!(run.stderr.len() < 4500, "{length}: {}", run.stderr.len());
        let run = predict(&["--json"], &long);
        run.silent_error(1);
    }
}

/// Weights that are finite, and logits that are not.
#[test]
fn an_answer_that_is_no_number_is_an_error() {
    let dir = scratch();
    let bytes = fs::read(model()).unwrap();
    let weight = safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("weight").unwrap().data().to_vec();
    let place = bytes.windows(weight.len()).position(|window| window == weight).unwrap();
    let mut huge = bytes;
    huge[place..place + weight.len()]
        .chunks_exact_mut(4)
        .for_each(|value| value.copy_from_slice(&3e38_f32.to_le_bytes()));
    let huge = put(&dir, "huge", &huge).display().to_string();
    let digit = gray_alpha(&dir, "digit", mnist_test_images(1)[0].0.iter().map(|&p| [p, 255]));
    for json in [&["--json"][..], &[]] {
        let run = softreg(["predict", "--model", &huge, &digit].iter().chain(json));
        assert!(run.silent_error(1).starts_with(&digit) && run.stderr.contains("finite"), "{run:?}");
        let data = tiny_data();
        let data = data.path().to_str().unwrap();
        let run = softreg(["eval", "--model", &huge, "--data", data].iter().chain(json));
        assert!(run.silent_error(1).contains("finite"), "{run:?}");
    }
}
