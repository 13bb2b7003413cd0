//! What `softreg inspect` shows of models, of states and of files that are neither.

use crate::common::*;
use safetensors::tensor::{Dtype, TensorView};
use softreg::{Adam, Dataset, ModelFile, Run as Epochs, Sgd, SoftmaxRegression, Trainer};
use std::collections::HashMap;
use tempfile::TempDir;

fn inspect(path: &str) -> serde_json::Value {
    words(&format!("inspect {path} --json")).json()
}

/// Saves a model and returns its path.
fn saved(dir: &TempDir, file: &ModelFile) -> String {
    let path = at(dir, "model.safetensors");
    file.save(&path).unwrap();
    path
}

/// A trainer on a few rows.
fn trainer() -> Trainer {
    Trainer::new(SoftmaxRegression::zeros(1, 2), Adam::new(0.5))
}

fn rows() -> Dataset {
    Dataset::from_f32(vec![0.0, 1.0, 2.0, 3.0], vec![0, 0, 1, 1], 1, 2).unwrap()
}

/// The value beside a name on the page.
fn beside<'a>(page: &'a str, name: &str) -> &'a str {
    let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
    line[name.len()..].trim()
}

#[test]
fn a_trained_model() {
    let (data, dir) = (tiny_data(), scratch());
    let model = at(&dir, "model.safetensors");
    words(&format!("train --data {} --validation 0 --steps 20 --seed 5 --save {model}", data.path().display())).plain();
    let report = inspect(&model);
    let file = ModelFile::load(&model).unwrap();
    assert_eq!(report["bytes"], std::fs::metadata(&model).unwrap().len());
    assert_eq!((&report["features"], &report["classes"]), (&784.into(), &10.into()));
    assert_eq!(report["preprocessing"], "u8 pixels / 255");
    assert_eq!(report["class_names"][9], "9");
    assert_eq!(report["metadata"]["seed"], "5");
    assert_eq!(report["tensors"]["weight"], serde_json::json!({"dtype": "F32", "shape": [10, 784]}));
    assert!(report["state"].is_null());
    let squares = |weights: &[f32]| weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>();
    let weight = file.model.to_class_major();
    let close = |found: &serde_json::Value, expected: f64| {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-12 * expected, "{found} for {expected}");
    };
    close(&report["norms"]["weight"], squares(&weight).sqrt());
    for class in 0..10 {
        close(&report["norms"]["by_class"][class], squares(&weight[class * 784..][..784]).sqrt());
    }

    let run = words(&format!("inspect {model}"));
    let page = run.plain();
    assert_eq!(beside(page, "classes"), "10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
    assert_eq!(beside(page, "tensors"), "bias F32 [10], weight F32 [10, 784]");
    assert_eq!(beside(page, "seed"), "5");
    assert_eq!(beside(page, "norm of weight"), format!("{:.6}", squares(&weight).sqrt()));
    // One column of values.
    let starts = page.lines().filter(|line| !line.is_empty()).map(|line| {
        let name = line.find("  ").unwrap();
        name + line[name..].find(|c| c != ' ').unwrap()
    });
    let starts: std::collections::BTreeSet<usize> = starts.collect();
    assert_eq!(starts.len(), 1, "{page}");
}

#[test]
fn models_from_elsewhere_and_at_the_edge() {
    let dir = scratch();
    let zeros = vec![0; 2 * 3 * 2];
    let view = |shape: &[usize], data| TensorView::new(Dtype::F16, shape.to_vec(), data).unwrap();
    let tensors = [("fc.weight", view(&[3, 2], &zeros)), ("fc.bias", view(&[3], &zeros[..6]))];
    let bytes = safetensors::serialize(tensors, None::<HashMap<String, String>>).unwrap();
    let report = inspect(&put(&dir, "half", &bytes).display().to_string());
    assert_eq!(report["tensors"]["fc.weight"], serde_json::json!({"dtype": "F16", "shape": [3, 2]}));
    assert!(report["class_names"].is_null() && report["preprocessing"].is_null());
    assert_eq!(report["norms"]["by_class"], serde_json::json!([0.0, 0.0, 0.0]));

    let path = saved(&dir, &ModelFile::new(SoftmaxRegression::zeros(5, 1)));
    let run = words(&format!("inspect {path}"));
    assert_eq!(beside(run.plain(), "classes"), "1: without names");
    assert_eq!(beside(run.plain(), "norm of weight"), "0.000000");
    let largest = SoftmaxRegression::from_class_major(&[f32::MAX], &[f32::MIN_POSITIVE], 1, 1).unwrap();
    let path = saved(&dir, &ModelFile::new(largest));
    let run = words(&format!("inspect {path}"));
    assert_eq!(beside(run.plain(), "largest |weight|"), "3.402823e38");
    assert_eq!(beside(run.plain(), "bias from, to"), "1.175494e-38, 1.175494e-38");
}

#[test]
fn states_say_what_they_are() {
    let (dir, rows) = (scratch(), rows());
    let path = at(&dir, "state");
    let mut one = trainer();
    one.save(&path).unwrap();
    assert_eq!(inspect(&path)["state"]["steps"], 0);
    one.step(rows.as_batch()).unwrap();
    one.save(&path).unwrap();
    let report = inspect(&path);
    let state =
        serde_json::json!({"is_run": false, "optimizer": one.optimizer().name(), "steps": 1, "learning_rate": 0.5});
    assert_eq!(report["state"], state);
    assert!(report["tensors"]["state.0.weight"].is_object(), "{report}");

    let mut epochs = Epochs::new(trainer(), rows.batches(2)).validation(&rows);
    epochs.epochs(3).unwrap();
    epochs.save(&path).unwrap();
    let report = inspect(&path);
    assert_eq!((&report["state"]["is_run"], &report["state"]["steps"]), (&true.into(), &6.into()));
    let run = words(&format!("inspect {path}"));
    assert!(beside(run.plain(), "state of").starts_with("a run over epochs"), "{run:?}");
    assert_eq!(beside(run.plain(), "steps"), "6");

    let mut plain = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.25));
    plain.save(&path).unwrap();
    assert_eq!(inspect(&path)["state"]["learning_rate"], 0.25);
}

#[test]
fn states_that_do_not_hold_together() {
    let dir = scratch();
    for training in ["", "{}", "null", "[1,2"] {
        let file = ModelFile::new(SoftmaxRegression::zeros(1, 2)).with_metadata("training", training);
        let path = saved(&dir, &file);
        let run = words(&format!("inspect {path}"));
        let line = run.silent_error(1);
        assert!(line.starts_with(&path) && line.contains("expected the state of a training"), "{line}");
    }
}

#[test]
fn files_that_are_no_model() {
    let dir = scratch();
    let good = ModelFile::new(SoftmaxRegression::zeros(2, 2)).to_bytes().unwrap();
    let mut nan = good.clone();
    let end = nan.len() - 4;
    nan[end..].copy_from_slice(&f32::NAN.to_le_bytes());
    for (bytes, expected) in [
        (nan.as_slice(), "expected finite numbers"),
        (&good[..good.len() - 1], "cut short"),
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n and so on", "another kind of file"),
    ] {
        let path = put(&dir, "file", bytes).display().to_string();
        let run = words(&format!("inspect {path}"));
        let line = run.silent_error(1);
        assert!(line.starts_with(&path) && line.contains(expected), "{expected:?} in {line}");
    }
    let run = words(&format!("inspect {}", dir.path().display()));
    assert!(run.silent_error(1).contains("found a directory"), "{run:?}");
}

#[test]
fn text_of_a_hostile_file_is_bounded_and_harmless() {
    let dir = scratch();
    let hostile = "\x1b[31m\u{202e}\n\"".repeat(100_000);
    let file = ModelFile::new(SoftmaxRegression::zeros(1, 2))
        .with_class_names([hostile.as_str(), "\t"])
        .with_metadata(hostile.as_str(), hostile.as_str())
        .with_metadata("preprocessing", hostile.as_str());
    let path = saved(&dir, &file);
    let run = words(&format!("inspect {path}"));
    let page = run.plain();
    assert!(!page.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{page:?}");
    assert!(page.lines().all(|line| line.chars().count() < 700), "{page}");
    let report = inspect(&path);
    assert_eq!(report["class_names"][0], hostile.as_str());
    assert_eq!(report["metadata"][hostile.as_str()], hostile.as_str());
}
