//! Finding the way: examples in the help, completions, manual pages, and names for what is nearly right.

use crate::common::*;
use std::fs;

const COMMANDS: [&str; 10] =
    ["train", "fit", "eval", "predict", "inspect", "export", "bench", "info", "completions", "man"];

#[test]
fn help_shows_examples() {
    for line in ["--help", "-h", "train --help", "fit --help", "eval --help", "predict --help"] {
        let run = words(line);
        let help = run.plain();
        let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("no examples: {help}"));
        assert_eq!(examples.lines().filter(|line| line.starts_with("  softreg")).count(), 3, "{help}");
        assert_eq!(help.contains("Exit codes: 0 done"), line.starts_with('-'), "{help}");
    }
    let run = words("--help");
    for command in COMMANDS {
        assert!(run.plain().contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn completions_name_every_command_and_parse() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = words(&format!("completions {shell}"));
        let script = run.plain();
        for word in COMMANDS.into_iter().chain(["early-stopping", "show-input"]) {
            assert!(script.contains(word), "{word} in {shell}");
        }
        if shell == "bash" {
            parses_in_bash(script);
        }
    }
    let run = words("completions tcsh");
    assert!(run.silent_error(2).contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{run:?}");
}

/// Where there is a bash.
fn parses_in_bash(script: &str) {
    let dir = scratch();
    let file = put(&dir, "script", script.as_bytes());
    match std::process::Command::new("bash").arg("-n").arg(file).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn manual_pages_are_roff() {
    let run = words("man");
    let page = run.plain();
    let starts = |line: &str| page.lines().any(|found| found.starts_with(line));
    let title = concat!(".TH softreg 1  \"softreg ", env!("CARGO_PKG_VERSION"), "\" ");
    assert!(page.starts_with(".ie ") && page.lines().nth(1).is_some_and(|line| line.starts_with(".el ")), "{page}");
    assert_eq!((page.lines().nth(2), page.matches(".ie ").count()), (Some(title), 1));
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "SUBCOMMANDS", "OPTIONS", "EXAMPLES", "\"EXIT STATUS\""] {
        assert!(starts(&format!(".SH {section}")), "{section} in {page}");
    }
    for command in COMMANDS {
        assert!(page.contains(&format!("softreg\\-{command}(1)")), "{command} in {page}");
        let run = words(&format!("man {command}"));
        let page = run.plain();
        assert!(page.contains(&format!(".TH softreg-{command} 1")), "{page}");
        assert!(page.contains(".SH OPTIONS"), "{page}");
    }
    let run = words("man train");
    assert!(run.plain().contains("\\-\\-early\\-stopping"), "{run:?}");
    assert!(run.plain().contains(".nf\n  softreg train"), "{run:?}");
    let run = words("man trian");
    assert!(run.silent_error(2).contains("found no command \"trian\", expected one of train, fit"), "{run:?}");
}

#[test]
fn misspelt_options_are_named() {
    for (line, expected) in [
        ("train --sed 3", "'--seed'"),
        ("predcit x.png", "'predict'"),
        ("eval --modell x", "'--model'"),
        ("train --optimizer adagrd", "'adagrad'"),
    ] {
        let run = words(line);
        assert!(run.silent_error(2).contains(expected), "{run:?}");
    }
}

#[test]
fn missing_files_are_said_with_their_neighbours() {
    let (dir, data) = (scratch(), tiny_data());
    let model = at(&dir, "model.safetensors");
    softreg::SoftmaxRegression::zeros(784, 10).save(&model).unwrap();
    let (features, labels) = own_rows(dir.path(), "leaves", 9);
    let picture = dir.path().join("digit.png");
    png(&picture, png::ColorType::Grayscale, png::BitDepth::Eight, None, &mnist_test_images(1)[0].0);
    let (picture, folder) = (picture.display().to_string(), dir.path().join("mnist-data").display().to_string());
    fs::rename(data.path(), &folder).unwrap();
    let missing = |line: String, expected: &str| {
        let run = words(&line);
        let line = run.silent_error(1);
        assert!(line.ends_with(&format!("; did you mean {expected}?")), "{expected} in {line}");
    };
    let here = |name: &str| at(&dir, name);
    for command in ["eval --model", "inspect", "predict x.png --model"] {
        missing(format!("{command} {}", here("model.safetensor")), &model);
        missing(format!("{command} {}", here("Modle.safetensors")), &model);
    }
    missing(format!("export --npz {} --model {}", here("m.npz"), here("model")), &model);
    missing(format!("predict --model {model} {}", here("digti.png")), &picture);
    missing(format!("eval --model {model} --data {}", here("mnist_data")), &folder);
    missing(format!("fit --features {} --labels {labels}", here("leafes.npy")), &features);
    missing(format!("fit --features {features} --labels {}", here("leave.txt")), &labels);
    missing(format!("fit --features {features} --labels {}", here("leavs.npy")), &features);

    let run = words(&format!("eval --model {}", here("something else entirely").replace(' ', "_")));
    let line = run.silent_error(1);
    assert!(!line.contains("did you mean") && line.ends_with("made by `softreg train --save FILE`"), "{line}");
}
