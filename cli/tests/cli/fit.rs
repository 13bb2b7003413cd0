//! `softreg fit`: MNIST's files and the user's own, what it prints, chooses and saves, and what it refuses.

use crate::common::*;
use std::fs;

#[test]
fn mnist_is_fitted_saved_and_tested() {
    let data = tiny_data();
    let model = data.path().join("model");
    let line = format!("fit --data {} --l2 0.01 --save {} --json", data.path().display(), model.display());
    let report = words(&line).json();
    assert_eq!((&report["train_rows"], &report["validation_rows"]), (&TRAIN_ROWS.into(), &0.into()));
    assert_eq!((&report["features"], &report["classes"], &report["l2"]), (&PIXELS.into(), &10.into(), &0.01.into()));
    assert_eq!((&report["stopped"], &report["threads"]), (&"loss".into(), &1.into()));
    for key in ["objective", "train_loss", "gradient_norm", "passes", "iterations", "train_seconds", "load_seconds"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(report["path"].as_array().unwrap().is_empty() && report["validation_accuracy"].is_null());
    let evaluated = words(&format!("eval --data {} --model {} --json", data.path().display(), model.display())).json();
    for key in ["test_rows", "test_correct", "test_accuracy", "test_log_loss"] {
        assert_eq!(report[key], evaluated[key], "{key}");
    }
    let text = words(&format!("eval --data {} --model {}", data.path().display(), model.display())).stdout;
    assert!(text.contains("precision    recall  f1-score   support") && text.contains("weighted avg"), "{text}");
}

#[test]
fn the_strength_is_chosen_on_rows_set_aside() {
    let dir = scratch();
    let (features, labels) = own_rows(dir.path(), "train", 300);
    let (test_features, test_labels) = own_rows(dir.path(), "test", 90);
    let own = format!(
        "fit --features {features} --labels {labels} --test-features {test_features} --test-labels {test_labels}"
    );
    let report = words(&format!("{own} --validation 0.2 --json")).json();
    assert_eq!(
        (&report["train_rows"], &report["validation_rows"], &report["classes"]),
        (&300.into(), &60.into(), &3.into())
    );
    let path = report["path"].as_array().unwrap();
    let losses: Vec<f64> = path.iter().map(|tried| tried["validation_log_loss"].as_f64().unwrap()).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(report["validation_log_loss"].as_f64(), Some(best));
    let chosen = path.iter().find(|tried| tried["validation_log_loss"] == best).unwrap();
    assert_eq!((&report["l2"], &report["test_rows"]), (&chosen["l2"], &90.into()));
    assert!(report["test_accuracy"].as_f64().unwrap() > 0.6);

    let same = |line: &str| {
        let report = words(line).json();
        (report["objective"].clone(), report["test_log_loss"].clone(), report["l2"].clone())
    };
    let threads = format!("{own} --validation 60 --json --threads 2");
    assert_eq!(
        same(&threads),
        same(&format!("{own} --validation 0.2 --json")),
        "by seed alone, at any number of threads"
    );
    let held_out = words(&format!("{own} --l2 0.01 --validation 30 --json")).json();
    assert_eq!((&held_out["train_rows"], &held_out["validation_rows"]), (&270.into(), &30.into()));
    assert!(held_out["validation_accuracy"].as_f64().unwrap() > 0.5);

    let text = words(&format!("{own} --save {}", dir.path().join("trees").display())).stdout;
    for part in ["<- the best", "converged (loss)", "         elm ", "accuracy", "saved"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(fs::read(dir.path().join("trees")).unwrap().windows(22).any(|w| w == br#"[\"ash\",\"elm\",\"oak"#));
}

/// What is asked for changes the objective, and what is asked for by other words does not.
#[test]
fn weights_smoothing_and_scaling_are_what_they_say() {
    let dir = scratch();
    let (features, labels) = own_rows(dir.path(), "train", 100);
    let numbers: Vec<u8> = (0..100i64).flat_map(|row| ([30, 10, 20][row as usize % 3] as i64).to_le_bytes()).collect();
    let numbers = npy(dir.path(), "labels.npy", "<i8", "(100,)", &numbers);
    let objective = |labels: &str, more: &str| {
        words(&format!("fit --features {features} --labels {labels} --l2 0.01 --json {more}")).json()["objective"]
            .as_f64()
            .unwrap()
    };
    let plain = objective(&labels, "");
    assert!((objective(&numbers, "") / plain - 1.0).abs() < 1e-6, "numbers are names");
    for other in ["--class-weight oak=2,elm=0.5", "--label-smoothing 0.1", "--standardize"] {
        assert!((objective(&labels, other) / plain - 1.0).abs() > 1e-3, "{other}");
    }
    let balanced = objective(&labels, "--class-weight balanced");
    // 34, 33 and 33 rows.
    let by_hand = format!("--class-weight oak={},ash={},elm={}", 100.0 / 102.0, 100.0 / 99.0, 100.0 / 99.0);
    assert!((objective(&labels, &by_hand) / balanced - 1.0).abs() < 1e-6);
    let few = words(&format!("fit --features {features} --labels {labels} --l2 1e-6 --max-passes 3 --json"));
    let report: serde_json::Value = serde_json::from_str(&few.stdout).unwrap();
    assert_eq!((few.code, &report["stopped"], &report["passes"]), (Some(0), &"passes".into(), &3.into()));
    assert!(few.stderr.contains("before it converged"), "{}", few.stderr);
    assert!(words(&format!("fit --features {features} --labels {labels} --l2 1 --json")).json()["test_rows"].is_null());
}

#[test]
fn what_cannot_be_fitted_is_refused_in_one_line() {
    let dir = scratch();
    let (features, labels) = own_rows(dir.path(), "train", 30);
    let (short, few) = own_rows(dir.path(), "short", 9);
    let nan = npy(dir.path(), "nan.npy", "<f4", "(2, 1)", &[1.0f32, f32::NAN].map(f32::to_le_bytes).concat());
    let two = dir.path().join("two.txt");
    fs::write(&two, "a\nb\n").unwrap();
    let two = two.display().to_string();
    let blank = dir.path().join("blank.txt");
    fs::write(&blank, "a\n\nb\n").unwrap();
    let blank = blank.display();
    let own = format!("fit --features {features} --labels {labels}");
    for (line, code, part) in [
        (format!("fit --features {features} --labels {few} --l2 1"), 1, "found 9 labels, expected 30"),
        (format!("fit --features {features} --labels {blank} --l2 1"), 1, "found nothing in line 2"),
        (format!("fit --features {labels} --labels {labels} --l2 1"), 1, "expected a .npy file"),
        (
            format!("fit --features {nan} --labels {two} --l2 1 --json"),
            1,
            "row 1, feature 0: found NaN, expected a finite number",
        ),
        (format!("{own} --test-features {short} --test-labels {two} --l2 1"), 1, "found 2 labels, expected 9"),
        (format!("{own} --test-features {nan} --test-labels {two} --l2 1"), 1, "row 1, feature 0: found NaN"),
        (format!("{own} --l2 -1"), 2, "expected a finite number of at least 0"),
        (format!("{own} --l2 NaN"), 2, "expected a finite number of at least 0"),
        (format!("{own} --validation 0"), 2, "no validation rows"),
        (format!("{own} --validation 30"), 1, "expected less than the 30 training rows"),
        (format!("{own} --validation 1.5"), 2, "a share of them"),
        (format!("{own} --l2 1 --class-weight pine=2"), 2, "of: ash, elm, oak"),
        (format!("{own} --l2 1 --class-weight oak=-2"), 2, "found \"oak=-2\""),
        (format!("{own} --l2 1 --label-smoothing 2"), 2, "a share from 0 to 1"),
        (format!("{own} --l2 1 --max-passes 0"), 2, "whole number from 1"),
        (format!("fit --features {features} --l2 1"), 2, "--labels"),
    ] {
        let run = words(&line);
        let said = run.silent_error(code);
        assert!(said.contains(part), "{line}: {part:?} in {said}");
    }
}
