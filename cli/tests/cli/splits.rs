//! Which rows are set aside for validation, and what is said where that leaves a split worth little.

use crate::common::*;

fn train(data: &tempfile::TempDir, options: &str) -> Run {
    words(&format!("--data {} --steps 3 --batch 10 {options}", data.path().display()))
}

/// The report's rows, whatever is said on standard error.
fn rows(run: &Run) -> [u64; 2] {
    assert_eq!(run.code, Some(0), "{run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    ["train_rows", "validation_rows"].map(|key| report[key].as_u64().unwrap())
}

#[test]
fn fewer_rows_than_mnist_have_a_twelfth_set_aside_and_it_is_said() {
    let data = data_of(6000);
    let run = train(&data, "--json");
    assert_eq!(rows(&run), [5500, 500]);
    let note = run.note();
    assert!(note.starts_with("500 of the 6000 training rows, a twelfth") && note.contains("--validation"), "{note}");
    assert_eq!(rows(&train(&data_of(133), "--json")), [122, 11]);
    let run = train(&data_of(7), "--json");
    assert_eq!(rows(&run), [7, 0]);
}

#[test]
fn a_number_that_is_given_is_obeyed_and_doubted() {
    let data = data_of(6000);
    let run = train(&data, "--validation 5000 --json");
    assert_eq!(rows(&run), [1000, 5000]);
    let note = run.note();
    assert!(note.starts_with("5000 validation rows are more than the 1000 training rows"), "{note}");
    assert_eq!(rows(&train(&data, "--validation 3000 --json")), [3000, 3000]);
    train(&data, "--validation 3000").plain();
    train(&data, "--validation 0").plain();
    assert!(train(&data_of(133), "--validation 5000").silent_error(1).contains("found 133 images"));
}

#[test]
fn a_sorted_file_is_doubted() {
    let data = data_in_order(600, true);
    let run = train(&data, "--validation 120 --json");
    assert_eq!(rows(&run), [480, 120]);
    let note = run.note();
    for expected in [
        "the training rows lack classes that the validation rows have (0, 1)",
        "the training rows lack classes that the test rows have (0, 1)",
        "the validation rows lack classes that the training rows have (2, 3, 4, 5, 6, 7, 8, 9)",
        "shuffle",
    ] {
        assert!(note.contains(expected), "{expected:?} in {note}");
    }
    assert!(train(&data, "--validation 120").note().contains("lack classes"));
    // The first rows are set aside by a share too.
    assert!(train(&data, "--validation 0.2").note().contains("the validation rows have (0, 1)"));
}

/// What MNIST itself has is nothing to say a word about.
#[test]
fn mnist_is_split_as_ever() {
    assert_eq!(rows(&words("--steps 1 --json")), [55_000, 5_000]);
    words("--steps 1").plain();
}
