//! The users' own files: folders of images under every set's names, arrays, tables; and what is wrong with them.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

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
