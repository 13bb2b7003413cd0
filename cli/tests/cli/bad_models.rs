//! Model files that are not what they should be, and those from elsewhere that are good enough.

use crate::common::*;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;

type Tensor<'a> = (&'a str, Dtype, &'a [usize]);

/// A file of tensors filled with 0.5.
fn file(tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape)| {
            let count = shape.iter().product();
            match dtype {
                Dtype::F64 => 0.5f64.to_le_bytes().repeat(count),
                _ => 0.5f32.to_le_bytes().repeat(count),
            }
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, dtype, shape), data)| (*name, TensorView::new(*dtype, shape.to_vec(), data).unwrap()));
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata)).unwrap()
}

const GOOD: [Tensor<'_>; 2] = [("weight", Dtype::F32, &[10, 784]), ("bias", Dtype::F32, &[10])];

/// Runs `eval` on a model file of these bytes.
fn eval(bytes: &[u8]) -> (Run, String) {
    let (data, dir) = (tiny_data(), scratch());
    let model = put(&dir, "model.safetensors", bytes).display().to_string();
    (words(&format!("eval --model {model} --data {} --json", data.path().display())), model)
}

/// Says what of the data does not fit the model.
fn refuses(bytes: &[u8], expected: &str) {
    let (run, _) = eval(bytes);
    assert!(run.silent_error(1).contains(expected), "{expected:?} in {run:?}");
}

fn fails(bytes: &[u8], expected: &[&str]) {
    let (run, model) = eval(bytes);
    let line = run.silent_error(1);
    assert!(line.starts_with(&model), "{line}");
    for expected in expected.iter().chain(&["softreg train --save"]) {
        assert!(line.contains(expected), "{expected:?} in {line:?}");
    }
}

#[test]
fn from_elsewhere_is_welcome() {
    let report = eval(&file(&GOOD, &[])).0.json();
    assert_eq!(report["test_rows"], TEST_ROWS);
    eval(&file(&GOOD, &[("format", "pt"), ("author", "someone")])).0.json();
    // As a part of a larger model, and in double precision.
    let linear = [("fc.weight", Dtype::F64, [10, 784].as_slice()), ("fc.bias", Dtype::F32, &[10])];
    assert_eq!(eval(&file(&linear, &[])).0.json()["test_log_loss"], report["test_log_loss"]);
}

#[test]
fn of_another_shape() {
    refuses(
        &file(&[("weight", Dtype::F32, &[5, 784]), ("bias", Dtype::F32, &[5])], &[]),
        "found 10 classes, expected 5, as the model has",
    );
    refuses(
        &file(&[("weight", Dtype::F32, &[10, 783]), ("bias", Dtype::F32, &[10])], &[]),
        "found 784 features, expected 783, as the model has",
    );
    let expected = "expected shapes [classes, features] and [classes]";
    fails(&file(&[("weight", Dtype::F32, &[784, 10]), GOOD[1]], &[]), &["weight [784, 10] and bias [10]", expected]);
    fails(&file(&[GOOD[0], ("bias", Dtype::F32, &[1, 10])], &[]), &["weight [10, 784] and bias [1, 10]", expected]);
    refuses(
        &file(&[("weight", Dtype::F32, &[784, 784]), ("bias", Dtype::F32, &[784])], &[]),
        "found 10 classes, expected 784, as the model has",
    );
    fails(
        &file(&[("weight", Dtype::I32, &[10, 784]), GOOD[1]], &[]),
        &["values of type I32 in weight", "expected F32"],
    );
}

#[test]
fn of_other_tensors() {
    fails(&file(&[("fc.weight", Dtype::F32, &[10, 784])], &[]), &["found fc.weight [10, 784], expected weight"]);
    fails(&file(&GOOD[..1], &[]), &["found weight [10, 784], expected"]);
    fails(&file(&[], &[]), &["found no tensors"]);
    let two = [GOOD[0], GOOD[1], ("head.weight", Dtype::F32, &[10, 784]), ("head.bias", Dtype::F32, &[10])];
    fails(&file(&two, &[]), &["2 models: head.weight [10, 784], weight [10, 784]", "expected one"]);
}

#[test]
fn of_another_preprocessing() {
    refuses(
        &file(&GOOD, &[("preprocessing", "(u8 pixels / 255 - 0.1307) / 0.3081")]),
        "found images, which are read as \"u8 pixels / 255\", expected a model of them; this one's preprocessing is \
         \"(u8 pixels / 255 - 0.1307) / 0.3081\"",
    );
    fails(&file(&GOOD, &[("classes", "11")]), &["classes", "11", "10"]);
    fails(
        &file(&GOOD, &[("image", "28x27")]),
        &["metadata image: found \"28x27\", expected HEIGHTxWIDTH of 784 pixels"],
    );
    fails(&file(&GOOD, &[("image", "784")]), &["metadata image"]);
    fails(&file(&GOOD, &[("feature_names", "[\"a\"]")]), &["metadata feature_names", "array of 784 strings"]);
}

#[test]
fn with_values_that_are_not_finite() {
    let good = file(&GOOD, &[]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = good.clone();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        fails(&bytes, &["at position 7839 of weight", "finite"]);
    }
}

#[test]
fn cut_short_or_of_another_kind() {
    let good = file(&GOOD, &[]);
    for length in [0, 1, 7, 8, 50, good.len() - 1] {
        fails(&good[..length], &["found", "expected a safetensors model"]);
    }
    fails(&[good.as_slice(), b"more"].concat(), &["expected a safetensors model"]);
    fails(b"\x89PNG\r\n\x1a\n not a model at all", &["expected a safetensors model"]);
    fails(&vec![b'x'; 3 << 20], &["another kind of file", "expected a safetensors model"]);
    fails(b"PK\x03\x04 as torch.save begins", &["zip archive", "safetensors.torch.save_file"]);
    // A header that is JSON, and yet not one.
    for header in
        ["{}", "[]", "{\"weight\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,9],\"data_offsets\":[0,4]}}"]
    {
        fails(&[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat(), &["found"]);
    }
}

#[test]
fn that_are_missing() {
    let dir = scratch();
    for command in ["eval --model", "predict x.png --model"] {
        let missing = at(&dir, "nowhere");
        let run = words(&format!("{command} {missing}"));
        assert!(run.silent_error(1).starts_with(&missing), "{run:?}");
        let run = words(&format!("{command} {}", dir.path().display()));
        assert!(run.silent_error(1).contains("found a directory"), "{run:?}");
    }
}
