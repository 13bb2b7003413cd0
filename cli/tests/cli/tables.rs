//! The users' own tables: columns by their names, delimiters, splits, scikit-learn's sets; and what is wrong with them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::common::*;

/// A table of one of the sets that scikit-learn ships, its classes called by names.
fn golden_table(dir: &TempDir, set: &str, names: &[&str]) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/sets");
    let features = softreg::npy::read_features(golden.join(format!("{set}.npy"))).expect("a golden set");
    let labels = softreg::npy::read_labels(golden.join(format!("{set}_labels.npy"))).expect("golden labels");
    let mut text: String = (0..features.features).map(|column| format!("feature {column},")).collect();
    text += "kind\n";
    for (row, label) in features.values.chunks_exact(features.features).zip(labels) {
        row.iter().for_each(|value| text += &format!("{value},"));
        text += &format!("\"{}\"\n", names[label as usize]);
    }
    put(dir, &format!("{set}.csv"), text.as_bytes()).display().to_string()
}

/// The optima of `tests/golden/optimum.json`.
#[test]
fn tables_of_scikit_learns_sets_reach_their_optima() {
    let dir = scratch();
    let digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let sets: [(&str, &[&str]); 4] = [
        ("iris", &["setosa", "versicolor", "virginica"]),
        ("wine", &["class, first", "class, second", "class, third"]),
        ("cancer", &["malignant", "benign"]),
        ("digits", &digits),
    ];
    let optima = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/optimum.json"));
    let optima: serde_json::Value = serde_json::from_str(&optima.unwrap()).unwrap();
    let mut seen = 0;
    for (set, names) in sets {
        let table = golden_table(&dir, set, names);
        for optimum in optima["optima"].as_array().unwrap().iter().filter(|optimum| optimum["data"] == set) {
            let standardize = if optimum["standardized"] == true { "--standardize" } else { "" };
            let line = format!("fit --csv {table} --label kind --l2 {} {standardize}", optimum["l2"]);
            let report = words(&format!("{line} --json")).json();
            let (found, expected) = (report["objective"].as_f64().unwrap(), optimum["objective"].as_f64().unwrap());
            assert!((found / expected - 1.0).abs() < 1e-4, "{set} {standardize}: {found} for {expected}");
            seen += 1;
        }
        // The report of the test calls the classes by their names.
        let report = words(&format!("fit --csv {table} --label kind --l2 0.001 --test 0.2"));
        for name in names {
            assert!(report.plain().contains(name), "{name} in {report:?}");
        }
    }
    assert!(seen >= 8, "{seen} optima");
}

/// Rows of three classes as a table with columns in another order, and one that is no number.
fn table(dir: &TempDir, name: &str, header: &str, rows: usize) -> String {
    let mut text = format!("{header}\n");
    for row in 0..rows {
        let class = row % 3;
        let value = |column: usize| if column == class { 1.5 } else { (row * 7 % 5) as f64 / 10.0 };
        for column in header.split(',') {
            match column {
                "id" => text += &format!("row-{row},"),
                "kind" => text += &format!("{},", ["oak", "ash", "elm"][class]),
                column => text += &format!("{},", value("abc".find(column).expect("a feature"))),
            }
        }
        text.pop();
        text.push('\n');
    }
    put(dir, name, text.as_bytes()).display().to_string()
}

#[test]
fn columns_are_known_by_their_names() {
    let dir = scratch();
    let train = table(&dir, "train.csv", "id,a,b,kind,c", 60);
    let test = table(&dir, "test.csv", "c,kind,b,a", 30);
    let model = at(&dir, "model");
    let run = words(&format!(
        "train --csv {train} --label kind --drop id --test-csv {test} --batch 12 --steps 200 --json --save {model}"
    ));
    let report = run.json();
    assert_eq!((&report["features"], &report["test_accuracy"]), (&3.into(), &1.0.into()), "{report}");
    // The model takes from a table what it knows, and says names.
    let run = words(&format!("eval --csv {train} --label kind --model {model}"));
    assert!(run.plain().contains("accuracy 1.0000") && run.plain().contains("a elm"), "{run:?}");
    let run = words(&format!("predict --csv {test} --model {model}"));
    let lines: Vec<&str> = run.plain().lines().collect();
    assert_eq!((lines.len(), lines[0]), (31, "row,class,probability"));
    assert!(lines[1].starts_with("0,oak,0.") && lines[2].starts_with("1,ash,0."), "{lines:?}");
    let run = words(&format!("predict --csv {test} --model {model} --json"));
    let last: serde_json::Value = serde_json::from_str(run.plain().lines().last().unwrap()).unwrap();
    assert_eq!((&last["row"], &last["name"], &last["class"]), (&29.into(), &"elm".into(), &1.into()));
    assert_eq!(last["probabilities"].as_array().unwrap().len(), 3);
    let run = words(&format!("eval --csv {test} --model {model}"));
    assert!(run.silent_error(2).contains("--label COLUMN is required"), "{run:?}");
    let run = words(&format!("predict {test} --data {} --model {model}", dir.path().display()));
    assert!(run.silent_error(2).contains("cannot be used with"), "{run:?}");
    let lacking = table(&dir, "lacking.csv", "a,b", 3);
    let error = words(&format!("predict --csv {lacking} --model {model}"));
    assert!(error.silent_error(1).contains("feature c: found no such column"), "{error:?}");
}

/// A first line of numbers is no line of names, whatever is missing in it.
#[test]
fn a_gap_is_no_name() {
    let dir = scratch();
    let path = put(&dir, "gap.csv", b"1,?,2\n3,4,1\n").display().to_string();
    let run = words(&format!("fit --csv {path} --label 3"));
    assert!(run.silent_error(1).contains("line 1, column 2: found no value"), "{run:?}");
}

#[test]
fn tables_need_no_names_and_take_any_delimiter() {
    let dir = scratch();
    let named = table(&dir, "named.csv", "a,b,c,kind", 60);
    let text = fs::read_to_string(&named).unwrap();
    let expected = words(&format!("fit --csv {named} --label kind --l2 0.01 --json")).json()["objective"].clone();
    let bare = text.split_once('\n').unwrap().1.replace("oak", "1").replace("ash", "2").replace("elm", "3");
    for (name, text) in [
        ("bare.csv", bare.clone()),
        ("semicolons.csv", bare.replace(',', ";")),
        ("tabs.tsv", bare.replace(',', "\t")),
        ("windows.csv", format!("\u{feff}{}", bare.replace('\n', "\r\n"))),
        ("spaces.csv", bare.replace(',', ", ")),
        ("end.csv", bare.trim_end().to_owned()),
    ] {
        let path = put(&dir, name, text.as_bytes()).display().to_string();
        let report = words(&format!("fit --csv {path} --label 4 --l2 0.01 --json")).json();
        let close = (report["objective"].as_f64().unwrap() / expected.as_f64().unwrap() - 1.0).abs() < 1e-5;
        assert!(close && report["train_rows"] == 60, "{name}: {report}");
    }
}

#[test]
fn a_table_is_split_by_class() {
    let dir = scratch();
    let table = table(&dir, "table.csv", "a,b,c,kind", 300);
    let line = format!("train --csv {table} --label kind --test 0.2 --validation 30 --batch 10 --steps 200 --json");
    let report = words(&line).json();
    let rows = ["train_rows", "validation_rows", "test_rows"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(rows, [210, 30, 60]);
    assert_eq!(report["test_accuracy"], 1.0);
    // A twelfth of what the test has left.
    let usual = words(&format!("train --csv {table} --label kind --test 0.2 --steps 1 --json")).json();
    assert_eq!((&usual["train_rows"], &usual["validation_rows"]), (&220.into(), &20.into()));
    assert_eq!(words(&line).json()["final_loss"], report["final_loss"], "the seed decides");
    assert_ne!(words(&format!("{line} --seed 1")).json()["final_loss"], report["final_loss"]);
    for (options, expected) in [
        ("--test 300", "--test: found 300, expected less than the 300"),
        ("--test 0.5 --validation 150", "--validation: found 150, expected less than the 150"),
    ] {
        let run = words(&format!("train --csv {table} --label kind {options}"));
        assert!(run.silent_error(1).contains(expected), "{run:?}");
    }
}

/// What is wrong with a table is said with its place.
#[test]
fn a_bad_table_is_one_line() {
    let dir = scratch();
    for (name, text, expected) in [
        ("ragged", "a,b,kind\n1,2,x\n1,2\n", "line 3: found 2 fields, expected 3"),
        ("text", "a,b,kind\n1,2,x\n1,red,y\n", "line 3, column b: found \"red\", expected a number; --drop b"),
        ("missing", "a,b,kind\n1,,x\n", "line 2, column b: found no value"),
        ("nan", "a,b,kind\n1,2,x\n1,NaN,x\n", "line 3, column b: found no value"),
        ("infinite", "a,b,kind\n1,1e39,x\n", "line 2, column b: found \"1e39\", expected a number that f32 holds"),
        ("unlabelled", "a,b,kind\n1,2,x\n1,2,\n", "line 3, column kind: found no label"),
        ("one class", "a,b,kind\n1,2,x\n2,3,x\n", "found one class, \"x\", expected at least two"),
        ("twice", "a,a,kind\n1,2,x\n", "found two columns named a"),
        ("no label", "a,b\n1,2\n", "--label kind: found no such column, expected a column of the first line: a, b"),
        ("only labels", "kind\nx\ny\n", "found no column of features"),
        ("no rows", "a,b,kind\n", "found no rows"),
        ("empty", "", "found an empty file"),
        ("latin", "a,b,kind\n1,2,\u{0}\n", "found bytes that are no text"),
    ] {
        let path = put(&dir, "bad.csv", text.as_bytes()).display().to_string();
        for command in ["train", "fit"] {
            let run = words(&format!("{command} --csv {path} --label kind"));
            let line = run.silent_error(1);
            assert!(line.starts_with(&path) && line.contains(expected), "{name}: {line}");
        }
    }
    put(&dir, "bad.csv", b"a,kind\n1,\xff\xfe\n");
    let path = at(&dir, "bad.csv");
    let line = words(&format!("fit --csv {path} --label kind"));
    assert!(line.silent_error(1).contains("line 2: found bytes that are no UTF-8"), "{line:?}");
    let line = words(&format!("fit --csv {path}"));
    assert!(line.silent_error(2).contains("--label COLUMN is required"), "{line:?}");
    let line = words(&format!("fit --csv {} --label kind", dir.path().display()));
    assert!(line.silent_error(1).contains("found a directory"), "{line:?}");
    // A quotation that never ends, and a line that never does.
    for byte in ["\"", ","] {
        put(&dir, "bad.csv", byte.repeat(20 << 20).as_bytes());
        let line = words(&format!("fit --csv {path} --label kind"));
        let line = line.silent_error(1);
        assert!(line.contains("line 1: found more than"), "{line}");
    }
}

/// A test file with a class that the training rows have not.
#[test]
fn a_class_that_training_never_saw_is_an_error() {
    let dir = scratch();
    let train = table(&dir, "train.csv", "a,b,c,kind", 60);
    let text = fs::read_to_string(&train).unwrap().replace("elm", "yew");
    let test = put(&dir, "test.csv", text.as_bytes()).display().to_string();
    for command in ["train", "fit --l2 1"] {
        let run = words(&format!("{command} --csv {train} --label kind --test-csv {test}"));
        let line = run.silent_error(1);
        assert!(line.starts_with(&test) && line.contains("row 2: found label \"yew\", expected one of"), "{line}");
    }
}
