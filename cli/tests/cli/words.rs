//! What is said, and how: lines that nothing from outside makes longer than a reader bears or act on a terminal, and
//! words that fit what is wrong.

use crate::common::*;
use flate2::{Compression, GzBuilder};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::fs;
use std::io::Write;

/// Checks that `eval` refuses a model file of these bytes in one short line.
#[track_caller]
fn short_error(bytes: &[u8], expected: &str) {
    let dir = scratch();
    let model = put(&dir, "model", bytes).display().to_string();
    let run = words(&format!("eval --model {model}"));
    let line = run.silent_error(1);
    assert!(line.contains(expected), "{expected:?} in {line}");
    assert!(line.chars().count() < 700, "{} characters: {line}", line.chars().count());
}

#[test]
fn text_of_a_hostile_file_is_bounded() {
    let long = "ä".repeat(200_000);
    let (weight, bias) = (vec![0; 4 * 7840], vec![0; 40]);
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let good = || [("weight", view(&[10, 784], &weight)), ("bias", view(&[10], &bias))];
    for key in ["preprocessing", "features", "classes"] {
        let metadata = HashMap::from([(key.to_owned(), long.clone())]);
        short_error(&safetensors::serialize(good(), Some(metadata)).unwrap(), "(200000 characters)");
    }
    let named = [(long.as_str(), view(&[10], &bias))];
    short_error(&safetensors::serialize(named, None).unwrap(), "(200000 characters)");
    let many: Vec<(String, TensorView<'_>)> =
        (0..5000).map(|number| (format!("tensor{number}"), view(&[0], &[]))).collect();
    short_error(&safetensors::serialize(many, None).unwrap(), "and 4992 more, expected weight");
    let deep = [("weight", view(&vec![1; 10_000], &bias[..4])), ("bias", view(&[10], &bias))];
    short_error(
        &safetensors::serialize(deep, None).unwrap(),
        "weight [1, 1, 1, 1, 1, 1, 1, 1, 9992 more] and bias [10]",
    );
    // A name in the format's own errors.
    let header = format!("{{\"{long}\":{{\"dtype\":\"F32\",\"shape\":[10],\"data_offsets\":[4,44]}}}}");
    short_error(&[&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 44]].concat(), "found a header");
}

#[test]
fn arguments_are_quoted_in_part() {
    let long = "y".repeat(100_000);
    for (arguments, code) in [
        (vec!["--data", long.as_str()], 1),
        (vec!["--save", long.as_str()], 1),
        (vec!["eval", "--model", long.as_str()], 1),
        (vec!["--level", long.as_str()], 2),
        (vec!["--steps", long.as_str()], 2),
        (vec![long.as_str()], 2),
    ] {
        let run = softreg(arguments);
        run.silent_error(code);
        assert!(run.stderr.chars().count() < 3200, "{}", run.stderr.chars().count());
    }
}

#[test]
#[cfg(unix)]
fn plain_output_passes_no_control_characters_on() {
    let dir = scratch();
    let name = "evil\x1b[31m\u{9b}1m\u{202e}\nname";
    let (data, folder) = (tiny_data(), dir.path().join(name));
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(data.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let (model, weights) = (folder.join("model"), folder.join("weights.png"));
    let picture = folder.join("digit.png");
    png(&picture, png::ColorType::Grayscale, png::BitDepth::Eight, None, &mnist_test_images(1)[0].0);
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let train =
        ["--data", &text(&folder), "--validation", "0", "--steps", "1", "--save", &text(&model)].map(str::to_owned);
    let runs = [
        softreg(train.into_iter().chain(["--weights-png".to_owned(), text(&weights)])),
        softreg(["predict", "--model", &text(&model), &text(&picture)]),
    ];
    for run in runs {
        let shown = run.plain().lines().filter(|line| line.contains("evil [31m 1m  name")).count();
        assert!(shown >= 1, "{run:?}");
        assert!(!run.stdout.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{run:?}");
    }
    let run = softreg(["predict", "--json", "--model", &text(&model), &text(&picture)]);
    assert_eq!(run.json()["file"], text(&picture));
}

#[test]
fn damaged_gzip_is_said_to_be_that() {
    let (images, _) = tiny_set(TRAIN_ROWS);
    let content = idx(&[TRAIN_ROWS as u32, 28, 28], &images);
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::default());
    packer.write_all(&content).unwrap();
    let whole = packer.finish().unwrap();
    let data = tiny_data();
    fs::remove_file(data.path().join("train-images-idx3-ubyte")).unwrap();
    let mut refused = 0;
    for bit in (0..80).chain((80..8 * whole.len()).step_by(8 * whole.len() / 60)) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        put(&data, "train-images-idx3-ubyte.gz", &bytes);
        let run = words(&format!("--data {} --validation 0 --steps 0", data.path().display()));
        if run.code != Some(0) {
            refused += 1;
            let line = run.silent_error(1);
            assert!(
                line.contains("train-images-idx3-ubyte.gz: found a damaged or truncated gzip"),
                "bit {bit}: {line}"
            );
        }
    }
    assert!(refused > 80, "{refused}");
}

#[test]
fn a_directory_in_a_files_place_is_called_one() {
    let data = tiny_data();
    let (name, beside) = ("train-images-idx3-ubyte", "train-images.idx3-ubyte");
    fs::rename(data.path().join(name), data.path().join("file")).unwrap();
    fs::create_dir(data.path().join(name)).unwrap();
    let run = || words(&format!("--data {} --validation 0 --steps 1", data.path().display()));
    let failed = run();
    let line = failed.silent_error(1);
    let expected = format!("{name}: found a directory without a file of its own name in it, expected a file");
    assert!(line.contains(&expected), "{line}");
    // A file in it that has the directory's name is taken, and one that goes by another of the names.
    fs::rename(data.path().join("file"), data.path().join(name).join(name)).unwrap();
    run().plain();
    fs::rename(data.path().join(name).join(name), data.path().join(beside)).unwrap();
    run().plain();
}

/// A reader that goes away is no failure; a disk that is full is one.
#[test]
#[cfg(target_os = "linux")]
fn help_that_cannot_be_written_is_a_failure() {
    for line in ["--help", "-h", "help", "help train", "train --help", "predict --help", "bench -h", "--version", "-V"]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command().args(line.split_whitespace()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("softreg: standard output: ") && stderr.lines().count() == 1, "{line}: {stderr}");
        let run = run_without_a_reader(line);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{line}");
    }
}

/// A loss that grew a thousandfold is no training, finite as it is.
#[test]
fn training_that_diverges_is_said_to() {
    let data = tiny_data();
    let run = |options: &str| words(&format!("--data {} --validation 0 --batch 10 {options}", data.path().display()));
    for options in ["--steps 3 --lr 1e6", "--steps 3 --lr 1e6 --json", "--steps 3 --lr 1e7 --loss mean"] {
        let run = run(options);
        let note = run.note();
        assert!(note.starts_with("the loss grew from ") && note.contains("at the last"), "{options}: {note}");
        assert!(note.contains("smaller --lr"), "{options}: {note}");
    }
    for options in ["--steps 1 --lr 1e6", "--steps 1 --lr 1e7 --loss mean --json"] {
        let run = run(options);
        let note = run.note();
        assert!(note.starts_with("the loss grew from 2.3026 a row at the first step to "), "{options}: {note}");
        assert!(note.contains("smaller --lr"), "{options}: {note}");
    }
    run("--steps 50 --lr 0.01").plain();
    run("--steps 0").plain();
}

/// The weights are finite, and what they make of the test set is not.
#[test]
fn a_model_that_gives_no_numbers_is_not_saved() {
    let (data, dir) = (tiny_data(), scratch());
    let (data, model) = (data.path().display(), at(&dir, "model"));
    for options in ["--validation 0", "--validation 20", "--validation 0 --json"] {
        for rate in ["1e35", "1e36", "1e37"] {
            let run = words(&format!("--data {data} {options} --steps 1 --lr {rate} --save {model}"));
            assert_eq!((run.code, names(dir.path()).len()), (Some(1), 0), "{rate}: {run:?}");
            assert!(run.error(1).contains("smaller learning rate"), "{rate}: {run:?}");
        }
    }
}
