//! Every bad argument and every bad file: one line on standard error that says what to do, the right exit code, never
//! a panic, never a file that is not whole.

use crate::common::*;
use flate2::{Compression, GzBuilder};
use std::fs;
use std::io::Write;
use tempfile::TempDir;

/// A run on this data that has no reason to fail but the data.
fn train_on(dir: &TempDir) -> Run {
    words(&format!("train --data {} --validation 20 --steps 2", dir.path().display()))
}

/// A small data set with one file replaced.
fn with_file(name: &str, bytes: &[u8]) -> TempDir {
    let dir = tiny_data();
    put(&dir, name, bytes);
    dir
}

/// Checks that the run on `dir` fails, that the line names the file and holds these words.
fn fails(dir: &TempDir, name: &str, expected: &[&str]) {
    let run = train_on(dir);
    let line = run.silent_error(1);
    for expected in [name, "--data"].iter().chain(expected) {
        assert!(line.contains(expected), "{expected:?} in {line:?}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let cases = [
        ("--level avx1024", "auto, avx512, avx2, neon or portable"),
        ("train --level AVX2", "expected auto"),
        ("eval --model m --level x", "expected auto"),
        ("--threads 0", "from 1 to"),
        ("--threads -1", "threads"),
        ("--threads 1000000000", "from 1 to"),
        ("eval --model m --threads 0", "from 1 to"),
        ("--batch 0", "from 1 to"),
        ("--batch 99999999999999999999", "from 1 to"),
        ("--batch 10000000000", "from 1 to"),
        ("--lr 0", "above 0"),
        ("--lr=-1", "above 0"),
        ("--lr nan", "finite"),
        ("--lr inf", "finite"),
        ("--lr 1e39", "finite"),
        ("--lr 1e-60", "above 0"),
        ("--lr fast", "finite"),
        ("--loss median", "sum, mean"),
        ("--order random", "shuffled, file"),
        ("--seed -1", "seed"),
        ("--steps ten", "steps"),
        ("--validation x", "validation"),
        ("--step", "--steps"),
        ("trian", "train"),
        ("--steps 3 info", "steps"),
        ("train extra", "extra"),
        ("eval", "--model"),
        ("predict --model m", "IMAGE"),
        ("predict x.png", "--model"),
        ("info --level auto", "--level"),
        ("bench --level sse9", "auto, avx512, avx2, neon or portable"),
        ("bench --threads 0", "from 1 to"),
        ("bench --twice", "--twice"),
    ];
    for (line, expected) in cases {
        let run = words(line);
        let error = run.silent_error(2);
        assert!(error.contains(expected), "softreg {line}: {expected:?} in {error:?}");
    }
}

/// Each machine lacks one of them.
#[test]
fn unavailable_level_is_exit_code_2() {
    let missing = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    let run = words(&format!("--level {missing}"));
    let line = run.silent_error(2);
    assert!(line.contains("not available") && line.contains("softreg info"), "{line}");
}

#[test]
fn missing_directory() {
    let dir = scratch();
    let missing = at(&dir, "nowhere");
    for command in ["train", "train --json"] {
        let run = words(&format!("{command} --data {missing}"));
        let line = run.silent_error(1);
        assert!(line.starts_with(&missing) && line.contains("no such directory"), "{line}");
        assert!(line.contains("train-images-idx3-ubyte") && line.contains("--data"), "what should be there: {line}");
    }
    let file = put(&dir, "file", b"");
    assert!(words(&format!("--data {}", file.display())).silent_error(1).contains("not a directory"));
    // An empty directory, and one that lacks a single file.
    assert!(words(&format!("--data {}", dir.path().display())).silent_error(1).contains("no such file"));
    let data = tiny_data();
    fs::remove_file(data.path().join("t10k-labels-idx1-ubyte")).unwrap();
    fails(&data, "t10k-labels-idx1-ubyte", &["no such file"]);
}

#[test]
fn file_cut_short() {
    let (images, _) = tiny_set(TRAIN_ROWS);
    let whole = idx(&[TRAIN_ROWS as u32, 28, 28], &images);
    for length in [0, 3, 4, 15, 16, 17, whole.len() - 1] {
        fails(&with_file("train-images-idx3-ubyte", &whole[..length]), "train-images-idx3-ubyte", &["found"]);
    }
    let packed = gzip(&whole);
    let data = tiny_data();
    fs::remove_file(data.path().join("train-images-idx3-ubyte")).unwrap();
    put(&data, "train-images-idx3-ubyte.gz", &packed[..packed.len() / 2]);
    fails(&data, "train-images-idx3-ubyte.gz", &["gzip"]);
    put(&data, "train-images-idx3-ubyte.gz", &packed);
    train_on(&data).plain(); // whole, it is as good as the raw one
}

#[test]
fn header_that_claims_too_much() {
    for dims in [[u32::MAX; 3], [60_000, 28, 28]] {
        fails(&with_file("train-images-idx3-ubyte", &idx(&dims, &[0; 100])), "train-images-idx3-ubyte", &["found"]);
    }
}

/// 100 KB that unpack to 100 MB more than the header says.
#[test]
fn gzip_bomb() {
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::best());
    packer.write_all(&idx(&[TRAIN_ROWS as u32], &tiny_set(TRAIN_ROWS).1)).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..100 {
        packer.write_all(&zeros).unwrap();
    }
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    let dir = with_file("train-labels-idx1-ubyte", &bomb);
    fails(&dir, "train-labels-idx1-ubyte", &["found more data"]);
}

#[test]
fn label_out_of_range() {
    let (_, mut labels) = tiny_set(TRAIN_ROWS);
    labels[7] = 200;
    let dir = with_file("train-labels-idx1-ubyte", &idx(&[TRAIN_ROWS as u32], &labels));
    fails(&dir, "train-labels-idx1-ubyte", &["label 200", "row 7", "0 to 9"]);
}

#[test]
fn images_given_as_labels() {
    let data = tiny_data();
    fs::copy(data.path().join("train-images-idx3-ubyte"), data.path().join("train-labels-idx1-ubyte")).unwrap();
    fails(&data, "train-labels-idx1-ubyte", &["images", "labels"]);
}

#[test]
fn counts_that_disagree() {
    let dir = with_file("t10k-labels-idx1-ubyte", &idx(&[3], &[1, 2, 3]));
    fails(&dir, "t10k-labels-idx1-ubyte", &["3 labels", "40"]);
}

#[test]
fn no_test_images() {
    let dir = with_file("t10k-images-idx3-ubyte", &idx(&[0, 28, 28], &[]));
    put(&dir, "t10k-labels-idx1-ubyte", &idx(&[0], &[]));
    fails(&dir, "test images", &["at least one"]);
}

#[test]
fn validation_that_leaves_nothing() {
    let data = tiny_data();
    for validation in [TRAIN_ROWS, TRAIN_ROWS + 1, usize::MAX] {
        let run = words(&format!("--data {} --validation {validation}", data.path().display()));
        let line = run.silent_error(1);
        assert!(line.contains(&TRAIN_ROWS.to_string()) && line.contains("validation"), "{line}");
    }
}

#[test]
fn a_step_that_would_ruin_the_model() {
    let (data, dir) = (tiny_data(), scratch());
    let model = at(&dir, "model");
    let run = words(&format!(
        "--data {} --validation 0 --steps 50 --lr 1e38 --save {model} --weights-png {model}.png --json",
        data.path().display()
    ));
    let line = run.silent_error(1);
    assert!(line.starts_with("step 1: ") && line.contains("smaller learning rate"), "{line}");
    assert_eq!(names(dir.path()), [""; 0], "nothing was saved");
}

/// A last step whose weights overflow has a finite loss, that of the step before.
#[test]
fn weights_that_are_not_finite() {
    let (data, dir) = (tiny_data(), scratch());
    let run = words(&format!(
        "--data {} --validation 0 --steps 1 --lr 3e38 --save {} --json",
        data.path().display(),
        at(&dir, "model")
    ));
    assert!(run.silent_error(1).contains("smaller learning rate"), "{run:?}");
    assert_eq!(names(dir.path()), [""; 0], "nothing was saved");
}

/// Where the results should go is looked at before the data is: the data directory here does not even exist.
#[test]
fn output_that_cannot_be_written_is_told_first() {
    let dir = scratch();
    fs::create_dir(dir.path().join("folder")).unwrap();
    put(&dir, "file", b"old");
    for (name, expected) in [
        ("nowhere/model", "nowhere"),
        ("file/model", "file"),
        ("folder", "is a directory"),
        ("new/", "does not end in a file name"),
    ] {
        for flag in ["--save", "--weights-png"] {
            let run = words(&format!("--data /nowhere {flag} {}", at(&dir, name)));
            let line = run.silent_error(1);
            assert!(line.starts_with(flag) && line.contains(expected), "{line}");
        }
    }
    let same = at(&dir, "same");
    let run = words(&format!("--save {same} --weights-png {}", at(&dir, "folder/../same")));
    assert!(run.silent_error(2).contains("the same file"), "{run:?}");
    assert_eq!(names(dir.path()), ["file", "folder"]);
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"old");
}

/// A path may hold anything; the error still takes one line.
#[test]
#[cfg(unix)]
fn newline_in_a_path() {
    let run = softreg(["--data", "/no\nwhere"]);
    assert!(run.silent_error(1).contains("/no where"), "{run:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
