//! `softreg train`: what it prints, that it is the default, that one seed gives one result, what it leaves on disk.

use crate::common::*;
use serde_json::Value;

#[test]
fn json_is_one_object_with_every_key() {
    let data = tiny_data();
    let run =
        words(&format!("train --data {} --validation 20 --steps 5 --batch 7 --seed 3 --json", data.path().display()));
    let report = run.json();

    let mut keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = [
        "level",
        "threads",
        "train_rows",
        "steps",
        "batch",
        "learning_rate",
        "seed",
        "load_seconds",
        "train_seconds",
        "test_rows",
        "test_correct",
        "test_accuracy",
        "test_log_loss",
        "final_loss", // and what else is said
        "version",
        "data",
        "validation_rows",
        "validation_accuracy",
        "loss",
        "order",
        "features",
        "classes",
        "epochs",
        "optimizer",
        "schedule",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);

    assert_eq!(report["train_rows"], TRAIN_ROWS - 20);
    assert_eq!(report["validation_rows"], 20);
    assert_eq!(report["test_rows"], TEST_ROWS);
    assert_eq!((&report["steps"], &report["batch"], &report["seed"]), (&5.into(), &7.into(), &3.into()));
    assert_eq!((&report["loss"], &report["order"]), (&"sum".into(), &"shuffled".into()));
    assert_eq!(report["threads"], 1);
    assert_eq!(field(&run.stdout, "learning_rate"), "0.01", "an f32 is written as short as it reads back");
    assert!(report["load_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["train_seconds"].as_f64().unwrap() > 0.0);
    let accuracy = report["test_correct"].as_f64().unwrap() / TEST_ROWS as f64;
    assert_eq!(report["test_accuracy"].as_f64().unwrap(), accuracy);
}

#[test]
fn train_is_what_softreg_does_without_a_command() {
    let data = tiny_data();
    let options = format!("--data {} --validation 20 --steps 9 --batch 8 --json", data.path().display());
    let strip_times = |run: Run| {
        let mut report = run.json();
        let times: Vec<Value> = ["load_seconds", "train_seconds"].iter().map(|key| report[key].take()).collect();
        assert!(times.iter().all(Value::is_f64));
        report
    };
    assert_eq!(strip_times(words(&options)), strip_times(words(&format!("train {options}"))));
}

/// The tutorial's settings, without any argument but the one that makes the answer readable.
#[test]
fn default_run_learns_mnist() {
    let report = words("--json").json();
    assert_eq!((&report["train_rows"], &report["test_rows"]), (&55_000.into(), &10_000.into()));
    let accuracy = report["test_accuracy"].as_f64().unwrap();
    assert!((0.905..=0.925).contains(&accuracy), "{accuracy}");
}

/// The reference is a run of the same steps in float64.
#[test]
fn file_order_follows_the_reference_at_every_level() {
    let info = words("info --json").json();
    let levels = info["levels"].as_array().unwrap();
    assert!(!levels.is_empty());
    for level in levels {
        let level = level.as_str().unwrap();
        let report = words(&format!("train --validation 0 --order file --level {level} --json")).json();
        assert_eq!(report["level"], level);
        assert_eq!(report["train_rows"], 60_000);
        let correct = report["test_correct"].as_i64().unwrap();
        assert!((correct - 9084).abs() <= 1, "{level}: {correct}");
        let log_loss = report["test_log_loss"].as_f64().unwrap();
        assert!((log_loss - 0.322_398_3).abs() <= 1e-5, "{level}: {log_loss}");
    }
}

/// The batch is large enough for the threads to share it.
#[test]
fn one_seed_gives_one_result_at_any_thread_count() {
    let dir = scratch();
    let run = |seed: u64, threads: usize, name: &str| {
        let model = at(&dir, name);
        let run = words(&format!(
            "train --steps 12 --batch 2000 --lr 0.001 --seed {seed} --threads {threads} --save {model} --json"
        ));
        run.json();
        (field(&run.stdout, "final_loss").to_owned(), std::fs::read(model).unwrap())
    };
    let first = run(7, 1, "a");
    assert_eq!(first, run(7, 1, "b"), "the same run again");
    assert_eq!(first, run(7, 2, "c"), "two threads");
    assert_eq!(first, run(7, 3, "d"), "three threads");
    assert_ne!(first.0, run(8, 1, "e").0, "another seed");
}

/// The mean with a learning rate of `batch` times as much is the same descent.
#[test]
fn loss_mean_divides_by_the_batch() {
    let data = tiny_data();
    let run = |options: &str| {
        words(&format!("--data {} --validation 0 --batch 8 --steps 6 {options} --json", data.path().display())).json()
    };
    let (sum, mean) = (run("--loss sum --lr 0.01"), run("--loss mean --lr 0.08"));
    let (sum_loss, mean_loss) = (sum["final_loss"].as_f64().unwrap(), mean["final_loss"].as_f64().unwrap());
    assert!((sum_loss / 8.0 / mean_loss - 1.0).abs() < 1e-4, "{sum_loss} {mean_loss}");
    assert_eq!(sum["test_correct"], mean["test_correct"]);
}

#[test]
fn piped_output_is_a_few_plain_lines() {
    let data = tiny_data();
    let run = words(&format!("--data {} --validation 20 --steps 1000 --batch 4", data.path().display()));
    let lines: Vec<&str> = run.plain().lines().collect();
    let steps: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("step ")).collect();
    assert_eq!(steps.len(), 10, "{lines:?}");
    assert!(steps[0].starts_with("step   100 of 1,000  loss "), "{steps:?}");
    assert!(steps[9].starts_with("step 1,000 of 1,000  loss "), "{steps:?}");
    // The mean of a row over a hundred steps, and the accuracy on the validation rows.
    let losses: Vec<f64> = steps.iter().map(|line| line.split_whitespace().nth(5).unwrap().parse().unwrap()).collect();
    assert!(losses[0] < 10f64.ln() && losses.windows(2).all(|pair| pair[1] < pair[0]), "{steps:?}");
    assert!(steps.iter().all(|line| line.contains("  validation accuracy ")), "{steps:?}");
    assert!(lines.iter().any(|line| line.starts_with("validation  accuracy ")), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("test        accuracy "), "{lines:?}");
    assert!(!run.stdout.contains('\x1b'), "no escape sequences");
}

#[test]
fn few_steps_are_all_shown() {
    let data = tiny_data();
    let run = words(&format!("--data {} --validation 0 --steps 3 --batch 4", data.path().display()));
    assert_eq!(run.plain().lines().filter(|line| line.starts_with("step ")).count(), 3);
    assert!(!run.stdout.contains("validation  "), "there is none");
}

#[test]
fn no_steps_leave_a_model_of_zeros() {
    let (data, dir) = (tiny_data(), scratch());
    let (model, picture) = (at(&dir, "zeros.safetensors"), at(&dir, "zeros.png"));
    let report = words(&format!(
        "--data {} --validation 20 --steps 0 --save {model} --weights-png {picture} --json",
        data.path().display()
    ))
    .json();
    assert_eq!(report["final_loss"], Value::Null);
    assert!((report["test_log_loss"].as_f64().unwrap() - 10f64.ln()).abs() < 1e-6);
    let bytes = std::fs::read(model).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.tensor("weight").unwrap().data().iter().all(|&byte| byte == 0));
    assert_eq!(names(dir.path()), ["zeros.png", "zeros.safetensors"]);
}

/// Each digit of the small data has a bright band: its weights are positive there, the other digits' are negative.
#[test]
fn weights_picture_is_blue_for_and_red_against() {
    let (data, dir) = (tiny_data(), scratch());
    let path = at(&dir, "weights.png");
    words(&format!("--data {} --validation 0 --steps 200 --batch 10 --weights-png {path}", data.path().display()))
        .plain();

    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let (width, height) = (info.width as usize, info.height as usize);

    // Two rows of five with a name above each and gaps between, a margin around, the scale of the colours below.
    let (scale, margin, gap, name, below) = (8, 32, 28, 40, 60);
    let tile = 28 * scale;
    assert_eq!((width, height), (5 * tile + 4 * gap + 2 * margin, 2 * (tile + name) + gap + 2 * margin + below));
    let at = |class: usize, pixel: usize| {
        let x = margin + class % 5 * (tile + gap) + pixel % 28 * scale + scale / 2;
        let y = margin + class / 5 * (tile + gap + name) + name + pixel / 28 * scale + scale / 2;
        let [r, g, b] = pixels[3 * (y * width + x)..][..3].try_into().unwrap();
        (i32::from(r), i32::from(g), i32::from(b))
    };
    for class in 0..10 {
        let band = class * 78 + 39;
        let (r, _, b) = at(class, band);
        assert!(b > r + 40, "digit {class} has its own band: {:?}", at(class, band));
        let (r, _, b) = at((class + 1) % 10, band);
        assert!(r > b, "digit {} does not: {:?}", (class + 1) % 10, at((class + 1) % 10, band));
    }
}

#[test]
fn info_names_the_levels() {
    let info = words("info --json").json();
    let levels = info["levels"].as_array().unwrap();
    assert_eq!(levels.last().unwrap(), "portable");
    assert_eq!(info["level"], levels[0], "the best one is chosen");
    assert!(info["threads"].as_u64().unwrap() >= 1);
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    let plain = words("info");
    for level in levels {
        assert!(plain.plain().contains(level.as_str().unwrap()));
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for line in
        ["--help", "train --help", "eval --help", "predict --help", "bench --help", "info --help", "help", "--version"]
    {
        assert!(!words(line).plain().is_empty(), "{line}");
    }
    assert!(words("--help").plain().contains("--weights-png"), "the default command's options are shown");
}

#[cfg(unix)]
mod pipes {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn closed_pipe_ends_the_run_quietly() {
        let data = tiny_data();
        // So many steps that only stopping early ends the test.
        let run = run_without_a_reader(&format!("--data {} --validation 0 --steps 1000000000", data.path().display()));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    }

    #[test]
    fn closed_pipe_does_not_cost_the_model() {
        let (data, dir) = (tiny_data(), scratch());
        let (data, model) = (data.path().display(), at(&dir, "model.safetensors"));
        let run = run_without_a_reader(&format!("--data {data} --validation 0 --batch 10 --steps 200 --save {model}"));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let eval = words(&format!("eval --model {model} --data {data} --json")).json();
        assert_eq!(eval["test_correct"], TEST_ROWS);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn full_standard_output_is_a_failure() {
        let data = tiny_data();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let child = command()
            .args(["--data", data.path().to_str().unwrap(), "--validation", "0", "--steps", "2", "--json"])
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("softreg: standard output: ") && stderr.lines().count() == 1, "{stderr}");
    }
}
