//! The users' own files: folders of images under every set's names, and arrays; what is wrong with them. Tables are in
//! `tables.rs`.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::common::*;

/// The names of a set's four files behind a prefix, with the test set's name and the type of the labels.
fn set_names(prefix: &str, test: &str, labels: &str) -> [String; 4] {
    ["train", test]
        .map(|set| [format!("{prefix}{set}-images-idx3-ubyte"), format!("{prefix}{set}-labels-{labels}")])
        .concat()
        .try_into()
        .expect("four names")
}

/// Writes images of `side` x `side` pixels, each with a bright pixel of its class, and their labels from `first` on.
fn write_set(dir: &Path, names: &[String; 4], side: u32, classes: u8, first: u8, encode: fn(&[u8]) -> Vec<u8>) {
    fs::create_dir_all(dir).unwrap();
    for (files, rows) in names.chunks_exact(2).zip([4 * u32::from(classes), u32::from(classes)]) {
        let labels: Vec<u8> = (0..rows).map(|row| (row % u32::from(classes)) as u8).collect();
        let mut pixels = vec![0; (rows * side * side) as usize];
        for (image, &label) in pixels.chunks_exact_mut((side * side) as usize).zip(&labels) {
            image[2 * usize::from(label) + 1] = 255;
        }
        fs::write(dir.join(&files[0]), idx(&[rows, side, side], &pixels)).unwrap();
        fs::write(dir.join(&files[1]), encode(&labels.iter().map(|label| label + first).collect::<Vec<_>>())).unwrap();
    }
}

fn byte_labels(labels: &[u8]) -> Vec<u8> {
    idx(&[labels.len() as u32], labels)
}

/// 32-bit integers, eight a row, as QMNIST's.
fn wide_labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 12, 2];
    bytes.extend([labels.len() as u32, 8].into_iter().flat_map(u32::to_be_bytes));
    bytes.extend(labels.iter().flat_map(|&label| [u32::from(label), 9, 9, 9, 9, 9, 9, 9]).flat_map(u32::to_be_bytes));
    bytes
}

/// Trains on a folder, tests the saved model on it, and returns both reports.
fn train_and_eval(data: &Path, options: &str) -> [serde_json::Value; 2] {
    let dir = scratch();
    let (model, data) = (at(&dir, "model"), data.display());
    let run = |line: String| {
        let run = words(&line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        serde_json::from_str(&run.stdout).expect("a report")
    };
    [
        run(format!("train --data {data} --steps 300 --batch 40 --validation 0 --json --save {model} {options}")),
        run(format!("eval --data {data} --model {model} --json {options}")),
    ]
}

#[test]
fn folders_of_other_sets_need_no_renaming() {
    let root = scratch();
    let path = |name: &str| root.path().join(name);
    write_set(&path("emnist"), &set_names("emnist-balanced-", "test", "idx1-ubyte"), 32, 47, 0, byte_labels);
    write_set(&path("qmnist"), &set_names("qmnist-", "test", "idx2-int"), 28, 10, 0, wide_labels);
    // Fashion-MNIST has MNIST's names; these say .gz of files that are not.
    let fashion = set_names("", "t10k", "idx1-ubyte").map(|name| format!("{name}.gz"));
    write_set(&path("fashion"), &fashion, 28, 10, 0, byte_labels);
    write_set(&path("vision/KMNIST/raw"), &set_names("", "t10k", "idx1-ubyte"), 28, 10, 0, byte_labels);
    for (name, features, classes) in [
        ("emnist", 1024, 47),
        ("emnist/emnist-balanced", 1024, 47),
        ("qmnist", 784, 10),
        ("fashion", 784, 10),
        ("vision", 784, 10),
    ] {
        let [trained, tested] = train_and_eval(&path(name), "");
        assert_eq!((&trained["features"], &trained["classes"]), (&features.into(), &classes.into()), "{name}");
        assert_eq!(trained["test_accuracy"], 1.0, "{name}");
        for key in ["test_rows", "test_correct", "test_log_loss"] {
            assert_eq!(trained[key], tested[key], "{name}: {key}");
        }
    }
}

#[test]
fn labels_that_count_from_1_are_said_and_named() {
    let root = scratch();
    write_set(root.path(), &set_names("emnist-letters-", "test", "idx1-ubyte"), 28, 26, 1, byte_labels);
    let data = root.path().display();
    let model = at(&root, "model");
    let run = words(&format!("train --data {data} --steps 200 --batch 26 --validation 0 --save {model}"));
    assert!(run.note().starts_with("the labels count from 1"), "{run:?}");
    let run = words(&format!("eval --data {data} --model {model}"));
    assert!(run.note().starts_with("the labels count from 1"), "{run:?}");
    // Classes are called by the files' labels: 1 to 26.
    let has_class = |report: &str, name: &str| report.lines().any(|line| line.split_whitespace().next() == Some(name));
    assert!(has_class(&run.stdout, "26") && !has_class(&run.stdout, "0"), "{}", run.stdout);
    words(&format!("train --data {data} --first-label 1 --steps 1 --validation 0")).plain();

    let letters: String = ('a'..='z').map(|letter| format!("{letter}\n")).collect();
    let names = put(&root, "names.txt", letters.as_bytes()).display().to_string();
    let train = format!("train --data {data} --first-label 1 --validation 0 --steps 200 --batch 26 --save {model}");
    words(&format!("{train} --class-names {names}")).plain();
    let report = words(&format!("eval --data {data} --first-label 1 --model {model}"));
    assert!(has_class(report.plain(), "z") && !has_class(&report.stdout, "26"), "{report:?}");
    put(&root, "names.txt", b"a\nb\n");
    let error = words(&format!("{train} --class-names {names}"));
    assert!(error.silent_error(1).contains("found 2 class names, expected 26"), "{error:?}");
}

/// Rows are numbered through, over the pieces in which they are predicted.
#[test]
fn rows_are_numbered_from_the_first_to_the_last() {
    let dir = scratch();
    let (classes, rows) = (2000, 300);
    let weights: Vec<f32> = (0..2 * classes).map(|at| (at % 7) as f32 / 10.0).collect();
    let model = softreg::SoftmaxRegression::from_class_major(&weights, &vec![0.0; classes], 2, classes).unwrap();
    let path = at(&dir, "model");
    softreg::ModelFile::new(model).save(&path).unwrap();
    let values: Vec<u8> = (0..2 * rows).flat_map(|at| ((at % 11) as f32).to_le_bytes()).collect();
    let x = npy(dir.path(), "x.npy", "<f4", &format!("({rows}, 2)"), &values);
    let run = words(&format!("predict --features {x} --model {path}"));
    let numbers = run.plain().lines().skip(1).map(|line| line.split(',').next().unwrap().parse::<usize>().unwrap());
    assert!(numbers.eq(0..rows), "{run:?}");
}

/// The height of an image comes before its width, in files as in words.
#[test]
fn images_need_not_be_square() {
    let root = scratch();
    for (set, rows) in [("train", 40_u32), ("t10k", 10)] {
        let labels: Vec<u8> = (0..rows).map(|row| (row % 10) as u8).collect();
        fs::write(
            root.path().join(format!("{set}-images-idx3-ubyte")),
            idx(&[rows, 4, 6], &vec![9; 24 * rows as usize]),
        )
        .unwrap();
        fs::write(root.path().join(format!("{set}-labels-idx1-ubyte")), byte_labels(&labels)).unwrap();
    }
    let (data, model) = (root.path().display(), at(&root, "model"));
    for (options, image) in [("", "4x6"), ("--transpose", "6x4")] {
        words(&format!("train --data {data} --steps 1 --validation 0 --save {model} {options}")).plain();
        let file = softreg::ModelFile::load(&model).unwrap();
        assert_eq!(file.metadata["image"], image);
    }
}

#[test]
fn mistakes_of_many_classes_are_named() {
    let root = scratch();
    write_set(root.path(), &set_names("emnist-balanced-", "test", "idx1-ubyte"), 28, 26, 0, byte_labels);
    let (data, model) = (root.path().display(), at(&root, "model"));
    // A model of zeros takes all for the first class.
    words(&format!("train --data {data} --steps 0 --validation 0 --save {model}")).plain();
    let run = words(&format!("eval --data {data} --model {model}"));
    assert!(
        run.plain().contains("commonest mistakes\n       1  a 1 taken for 0\n       1  a 2 taken for 0\n"),
        "{run:?}"
    );
}

/// The same rows as arrays of every kind of file give the same model.
#[test]
fn arrays_of_every_kind_are_the_same_rows() {
    let dir = scratch();
    let rows = 60;
    let values: Vec<f32> =
        (0..rows * 4).map(|at| if at % 4 == at / 4 % 3 { 2.0 } else { (at * 7 % 9) as f32 / 4.0 }).collect();
    let labels: Vec<i64> = (0..rows as i64).map(|row| row % 3).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let label_bytes: Vec<u8> = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
    let halves: Vec<u8> = bytes.as_chunks::<4>().0.iter().flat_map(|[_, _, a, b]| [*a, *b]).collect();
    let x = npy(dir.path(), "x.npy", "<f4", "(60, 4)", &bytes);
    let y = npy(dir.path(), "y.npy", "<i8", "(60,)", &label_bytes);
    let texts: Vec<u8> = labels.iter().flat_map(|&label| (u32::from(b'a') + label as u32).to_le_bytes()).collect();
    let letters = npy(dir.path(), "letters.npy", "<U1", "(60,)", &texts);
    let both = at(&dir, "both.npz");
    let mut archive = zip::ZipWriter::new(fs::File::create(&both).unwrap());
    for (name, path) in [("x.npy", &x), ("y.npy", &y)] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&fs::read(path).unwrap()).unwrap();
    }
    archive.finish().unwrap();
    use safetensors::tensor::{Dtype, TensorView};
    let tensors = [
        ("rows", TensorView::new(Dtype::F32, vec![60, 4], &bytes).unwrap()),
        ("short", TensorView::new(Dtype::BF16, vec![60, 4], &halves).unwrap()),
        ("labels", TensorView::new(Dtype::I64, vec![60], &label_bytes).unwrap()),
    ];
    let tensors = put(&dir, "t.safetensors", &safetensors::serialize(tensors, None).unwrap()).display().to_string();
    let fit =
        |features: &str, labels: &str| words(&format!("fit --features {features} --labels {labels} --l2 0.01 --json"));
    let expected = fit(&x, &y).json()["objective"].clone();
    for (features, labels) in [
        (x.clone(), letters.clone()),
        (both.clone(), both.clone()),
        (format!("{both}:x"), format!("{both}:y")),
        (x.clone(), format!("{tensors}:labels")),
        (format!("{tensors}:rows"), tensors.clone()),
        (format!("{tensors}:short"), y.clone()), // quarters and a 2 are exact in bf16
    ] {
        assert_eq!(fit(&features, &labels).json()["objective"], expected, "{features} {labels}");
    }
    for (features, labels, expected) in [
        (
            &tensors,
            &y,
            "found several arrays for features of two dimensions (rows [60, 4], short [60, 4]), expected one",
        ),
        (&format!("{tensors}:z"), &y, "found no array named \"z\", expected one of: labels [60], rows [60, 4]"),
        (&format!("{both}:z"), &y, "found no array named \"z\""),
        (&format!("{both}:y"), &y, "expected two dimensions"),
        (&y, &y, "expected two dimensions"),
        (&x, &x, "expected one dimension"),
    ] {
        let run = fit(features, labels);
        assert!(run.silent_error(1).contains(expected), "{expected} in {run:?}");
    }
    let whole = fs::read(&tensors).unwrap();
    put(&dir, "t.safetensors", &[&whole[..], b"x"].concat());
    assert!(fit(&format!("{tensors}:rows"), &y).silent_error(1).contains("bytes of values, expected"));
    for length in [0, 7, 8, 40, whole.len() - 1] {
        put(&dir, "t.safetensors", &whole[..length]);
        fit(&format!("{tensors}:rows"), &tensors).silent_error(1);
    }
    fs::write(&both, b"PK\x03\x04 no archive").unwrap();
    assert!(fit(&both, &y).silent_error(1).contains("expected an .npz archive"));
}

/// Pixels of a table are divided once, whether the model was trained on a table or on images.
#[test]
fn pixels_are_divided_where_the_model_says_so() {
    let dir = scratch();
    let (images, labels) = tiny_set(TRAIN_ROWS);
    let x = npy(dir.path(), "x.npy", "|u1", &format!("({TRAIN_ROWS}, 784)"), &images);
    let y = npy(dir.path(), "y.npy", "|u1", &format!("({TRAIN_ROWS},)"), &labels);
    let model = at(&dir, "model");
    let line = format!("train --features {x} --labels {y} --pixels --image 28x28 --steps 100 --validation 0 --json");
    let report = words(&format!("{line} --save {model}")).json();
    let loss = |line: &str| words(line).json()["test_log_loss"].as_f64().unwrap();
    let own = loss(&format!("eval --features {x} --labels {y} --model {model} --json"));
    assert!(own < 0.1, "{own} after {report}");
    let data = tiny_data();
    let folder = loss(&format!("eval --data {} --model {model} --json", data.path().display()));
    assert!(folder < 0.2, "{folder}");
    // Divided already, with a white pixel among them: nothing is done to them.
    let divided: Vec<f32> = images.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let white = divided.iter().map(|&value| if value > 0.8 { 1.0 } else { value });
    let bytes: Vec<u8> = white.flat_map(f32::to_le_bytes).collect();
    let z = npy(dir.path(), "z.npy", "<f4", &format!("({TRAIN_ROWS}, 784)"), &bytes);
    let white = loss(&format!("eval --features {z} --labels {y} --model {model} --json"));
    assert!(white < 0.1, "{white}");
    let run = words(&format!("train --features {x} --labels {y} --image 28x27"));
    assert!(run.silent_error(2).contains("found 784 features"), "{run:?}");
}
