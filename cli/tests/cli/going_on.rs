//! Trainings that go on: from a model, from a state on disk, and those that the user interrupts.

use std::fs;

use crate::common::*;

/// The report of `train` on a small data set with these options.
fn train(data: &tempfile::TempDir, options: &str) -> Run {
    words(&format!("train --data {} --validation 20 --batch 7 --json {options}", data.path().display()))
}

/// Stopped after some steps and told to go on, a training gives the bits of one that never stopped.
#[test]
fn a_training_goes_on_to_the_same_bits() {
    let data = tiny_data();
    for (options, length, short, long) in [
        ("", "--steps", 13, 40),
        ("--optimizer adam --lr 0.01 --order file", "--steps", 30, 40),
        ("--optimizer momentum --loss mean", "--epochs", 1, 3),
        ("--standardize --lr 0.01", "--epochs", 2, 3),
    ] {
        let (whole, parts, state) = (at(&data, "whole"), at(&data, "parts"), at(&data, "state"));
        let expected = train(&data, &format!("{options} {length} {long} --save {whole}")).json();
        train(&data, &format!("{options} {length} {short} --checkpoint {state}")).json();
        let run = train(&data, &format!("{options} {length} {long} --checkpoint {state} --every 5 --save {parts}"));
        let found = run.json();
        for key in ["final_loss", "test_log_loss", "steps", "epochs"] {
            assert_eq!(found[key], expected[key], "{options}: {key}");
        }
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&parts).unwrap(), "{options}");
        // What is done already is not done again.
        let again = train(&data, &format!("{options} {length} {long} --checkpoint {state} --save {parts}")).json();
        assert_eq!(again["test_log_loss"], expected["test_log_loss"], "{options}");
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&parts).unwrap(), "{options}");
        fs::remove_file(&state).unwrap();
    }
}

#[test]
fn a_state_of_another_training_is_refused_and_left_alone() {
    let (data, dir) = (tiny_data(), scratch());
    let state = at(&dir, "state");
    train(&data, &format!("--steps 3 --checkpoint {state}")).json();
    let before = fs::read(&state).unwrap();
    for (options, expected) in [
        ("--optimizer adam --steps 9", "found the state of Sgd, expected that of Adam"),
        ("--lr 0.25 --steps 9", "learning_rate: 0.5"),
        ("--epochs 3", "expected that of a run"),
    ] {
        let run = train(&data, &format!("{options} --checkpoint {state}"));
        let line = run.silent_error(1);
        assert!(line.starts_with("--checkpoint ") && line.contains("begin anew"), "{line}");
        assert!(options.starts_with("--lr") || line.contains(expected), "{expected} in {line}");
    }
    assert_eq!(fs::read(&state).unwrap(), before);
    fs::write(&state, b"no state").unwrap();
    assert!(train(&data, &format!("--checkpoint {state}")).silent_error(1).contains("remove the file"));
    assert_eq!(fs::read(&state).unwrap(), b"no state");
    let run = train(&data, &format!("--checkpoint {state} --save {state}"));
    assert!(run.silent_error(2).contains("name the same file"), "{run:?}");
}

#[test]
fn a_training_begins_with_a_models_weights() {
    let (data, dir) = (tiny_data(), scratch());
    let [first, second, names] = ["first", "second", "names"].map(|name| at(&dir, name));
    let begun = train(&data, &format!("--steps 50 --save {first}")).json();
    // No steps leave the model as it was.
    let kept = train(&data, &format!("--steps 0 --from {first} --save {second}")).json();
    assert_eq!(kept["test_log_loss"], begun["test_log_loss"]);
    let on = train(&data, &format!("--steps 50 --from {first}")).json();
    assert!(on["test_log_loss"].as_f64() < begun["test_log_loss"].as_f64(), "{on} after {begun}");
    let (features, labels) = own_rows(dir.path(), "rows", 60);
    let run = words(&format!("train --features {features} --labels {labels} --from {first}"));
    let expected = "found 784 features and 10 classes, expected 4 features and 3 classes, as the data has";
    assert!(run.silent_error(1).contains(expected), "{run:?}");
    fs::write(&names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    let run = train(&data, &format!("--from {first} --class-names {names}"));
    assert!(run.silent_error(1).contains("found the classes 0, 1"), "{run:?}");
    // Columns in another order, and pixels that nobody divided, are other features.
    let [mut csv, mut turned] = ["a,b,kind\n", "b,a,kind\n"].map(str::to_owned);
    for row in 0..40 {
        csv += &format!("{},{},{}\n", row % 2, 1, ["x", "y"][row % 2]);
        turned += &format!("{},{},{}\n", 1, row % 2, ["x", "y"][row % 2]);
    }
    let [csv, turned] = [("t.csv", csv), ("u.csv", turned)].map(|(name, text)| put(&dir, name, text.as_bytes()));
    let table = |path: &std::path::Path, options: &str| {
        words(&format!("train --csv {} --label kind --batch 5 --steps 2 {options}", path.display()))
    };
    assert_eq!(table(&csv, &format!("--pixels --save {second}")).code, Some(0));
    let run = table(&turned, &format!("--pixels --from {second}"));
    assert!(run.silent_error(1).contains("found the features a, b, expected the features b, a"), "{run:?}");
    let run = table(&csv, &format!("--from {second}"));
    assert!(run.silent_error(1).contains("found the preprocessing Some(\"u8 pixels / 255\"), expected"), "{run:?}");
    assert!(train(&data, "--from nowhere").silent_error(1).contains("nowhere"));
}

/// The command, whatever its starter ignores: a shell has what it starts in the background ignore interrupts.
#[cfg(unix)]
fn interruptible() -> std::process::Command {
    let command = command();
    if !cfg!(target_os = "linux") {
        return command;
    }
    let mut reset = std::process::Command::new("env");
    reset.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    reset
}

/// Ctrl-C ends a training after its step, with all that it is worth saved.
#[test]
#[cfg(unix)]
fn an_interrupt_saves_and_says_so() {
    use std::process::{Command, Stdio};

    let (data, dir) = (tiny_data(), scratch());
    let [state, model, whole] = ["state", "model", "whole"].map(|name| at(&dir, name));
    let line = |steps: u64| format!("train --data {} --validation 0 --steps {steps} --batch 7", data.path().display());
    for length in ["--steps 100000000", "--epochs 100000000"] {
        let options = format!("--checkpoint {state} --every 10 --save {model}");
        let child = interruptible()
            .args(line(1).replace("--steps 1", length).split_whitespace())
            .args(options.split_whitespace())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !fs::exists(&state).unwrap() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        let expected = format!("saved the state in {state}, the model in {model}");
        assert!(said.starts_with("softreg: interrupted after step ") && said.contains(&expected), "{said}");
        assert_eq!(names(dir.path()), ["model", "state"]);
        // The state is that of the step that was said.
        let steps: u64 = said.split_whitespace().nth(4).unwrap().trim_end_matches(';').parse().unwrap();
        if length.starts_with("--steps") && steps < 20_000 {
            words(&format!("{} --save {whole} --json", line(steps))).json();
            let log_loss = |model: &str| {
                words(&format!("eval --data {} --model {model} --json", data.path().display())).json()["test_log_loss"]
                    .clone()
            };
            assert_eq!(log_loss(&whole), log_loss(&model));
            fs::remove_file(&whole).unwrap();
        }
        fs::remove_file(&state).unwrap();
    }
}
