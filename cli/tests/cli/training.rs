//! `softreg train` beyond the tutorial: optimizers, schedules, epochs, early stopping, weights of classes, the user's own
//! files, the history; and what it refuses of them.

use crate::common::*;
use std::fs;

/// MNIST in the program's own defaults: every optimizer learns it without being coaxed.
#[test]
fn every_optimizer_learns_mnist_by_its_defaults() {
    for optimizer in ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"] {
        let report = words(&format!("train --optimizer {optimizer} --json")).json();
        assert_eq!(report["optimizer"], optimizer);
        let accuracy = report["test_accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.9, "{optimizer}: {accuracy}");
        if is_emulated() {
            break;
        }
    }
}

#[test]
fn schedules_end_low_and_warm_up_begins_low() {
    let (data, dir) = (tiny_data(), scratch());
    let history = at(&dir, "history.csv");
    let rates = |options: &str| {
        let line =
            format!("train --data {} --validation 20 --steps 100 --history {history} {options}", data.path().display());
        words(&line).plain();
        let text = fs::read_to_string(&history).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse::<f64>().unwrap()).collect::<Vec<_>>()
    };
    assert!(rates("").iter().all(|&rate| rate == 0.01));
    for (name, last) in [("cosine", 1e-4), ("exponential", 1e-4), ("step", 1e-4), ("inverse-scaling", 0.001)] {
        let rates = rates(&format!("--schedule {name}"));
        assert_eq!(rates.len(), 10);
        assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]), "{name}: {rates:?}");
        assert!((rates[9] / last - 1.0).abs() < 0.02, "{name}: {rates:?}");
    }
    let cycle = rates("--schedule one-cycle");
    assert!(cycle[2] > cycle[0] && cycle[2] > cycle[9] && cycle[9] < 1e-6, "{cycle:?}");
    let warm = rates("--warm-up 50 --optimizer adam --lr 0.5");
    assert!((warm[0] / (0.5 * (0.01 + 0.99 * 0.2)) - 1.0).abs() < 1e-9 && warm[5] == 0.5, "{warm:?}");
}

/// A line tells the loss since the line before, not since the start.
#[test]
fn each_line_has_the_loss_of_its_own_steps() {
    let (data, dir) = (tiny_data(), scratch());
    let history = at(&dir, "history.csv");
    let line =
        format!("train --data {} --validation 0 --steps 10 --batch 8 --history {history}", data.path().display());
    let report = words(&format!("{line} --json")).json();
    let text = fs::read_to_string(&history).unwrap();
    assert_eq!(text.lines().count(), 11, "a line for each step: {text}");
    let last: f64 = text.lines().last().unwrap().split(',').nth(3).unwrap().parse().unwrap();
    let expected = report["final_loss"].as_f64().unwrap() / 8.0;
    assert!((last / expected - 1.0).abs() < 1e-9, "{last} for {expected}");
}

/// Features from Python, classes by their names, and a history that a spreadsheet reads.
#[test]
fn own_files_train_by_epochs_and_stop_early() {
    let dir = scratch();
    let (features, labels) = own_rows(dir.path(), "train", 300);
    let (test_features, test_labels) = own_rows(dir.path(), "test", 90);
    let (model, history) = (at(&dir, "model"), at(&dir, "history.csv"));
    let own = format!(
        "train --features {features} --labels {labels} --test-features {test_features} --test-labels {test_labels}"
    );
    let line = format!("{own} --epochs 7 --optimizer adam --lr 0.05 --loss mean --batch 32 --validation 0.2");
    let report = words(&format!("{line} --save {model} --history {history} --json")).json();
    assert_eq!((&report["train_rows"], &report["validation_rows"]), (&240.into(), &60.into()));
    assert_eq!((&report["features"], &report["classes"], &report["test_rows"]), (&4.into(), &3.into(), &90.into()));
    assert_eq!((&report["epochs"], &report["steps"]), (&7.into(), &56.into()));
    assert!(report["test_accuracy"].as_f64().unwrap() > 0.6);
    let bytes = fs::read(&model).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["class_names"], r#"["ash","elm","oak"]"#);
    assert_eq!((&metadata["epochs"][..], &metadata["optimizer"][..]), ("7", "adam"));
    let text = fs::read_to_string(&history).unwrap();
    let mut lines = text.lines();
    let header = "steps,epochs,learning_rate,training_loss,validation_loss,validation_accuracy";
    assert_eq!(lines.next(), Some(header));
    let table: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|field| field.parse().unwrap()).collect()).collect();
    assert_eq!(table.iter().map(|row| row[0]).collect::<Vec<_>>(), [8.0, 16.0, 24.0, 32.0, 40.0, 48.0, 56.0]);
    assert!(table[6][3] < table[0][3] && table[6][4] < table[0][4], "{text}");
    assert_eq!(table[6][5], report["validation_accuracy"].as_f64().unwrap());

    let stopped =
        words(&format!("{own} --early-stopping 2 --optimizer adam --lr 2 --loss mean --batch 16 --json")).json();
    let epochs = stopped["epochs"].as_u64().unwrap();
    assert!((3..100).contains(&epochs), "{epochs} epochs");
    let same =
        |options: &str| words(&format!("{own} --epochs 3 --seed 5 --json {options}")).json()["test_log_loss"].clone();
    assert_eq!(same(""), same("--threads 2"));
    assert_ne!(same(""), same("--class-weight oak=5"));
    assert_ne!(same(""), same("--label-smoothing 0.2"));
    let plateau = words(&format!("{own} --epochs 30 --schedule plateau --lr 0.5 --history {history} --json"));
    plateau.json();
    let last = fs::read_to_string(&history).unwrap().lines().last().unwrap().split(',').nth(2).unwrap().to_owned();
    assert!(last.parse::<f64>().unwrap() < 0.5, "{last}");
}

/// Features in units far apart: standardized they are learnt, and the saved model takes them as they are.
#[test]
fn badly_scaled_features_are_standardized() {
    let dir = scratch();
    let (mut data, mut names) = (Vec::new(), String::new());
    for row in 0..300 {
        let noise = |i: usize| ((row * 7919 + i * 104_729) % 1000) as f32 / 500.0 - 1.0;
        let class = row % 2;
        names += ["no\n", "yes\n"][class];
        for value in [1e4 * noise(0), 0.01 * (noise(1) + 2.0 * class as f32), 500.0 + noise(2)] {
            data.extend(value.to_le_bytes());
        }
    }
    let features = npy(dir.path(), "x.npy", "<f4", "(300, 3)", &data);
    let labels = put(&dir, "y.txt", names.as_bytes());
    let model = at(&dir, "model");
    let run = |options: &str| {
        let line =
            format!("train --features {features} --labels {} --epochs 20 --loss mean --lr 0.3", labels.display());
        words(&format!("{line} {options} --json")).json()["validation_accuracy"].as_f64().unwrap()
    };
    let standardized = run(&format!("--standardize --save {model}"));
    assert!(standardized > 0.95, "{standardized}");
    assert!(run("") < 0.8);
    let bytes = fs::read(&model).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weight: Vec<f32> =
        tensors.tensor("weight").unwrap().data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    assert!(weight[1].abs() > 1000.0 * weight[0].abs(), "{weight:?}");
}

/// A penalty beside the mean loss is the decay of each row's share of the sum.
#[test]
fn l2_is_that_of_the_mean_loss() {
    let data = tiny_data();
    let run = |options: &str| {
        let line =
            format!("train --data {} --validation 20 --steps 50 --batch 8 {options} --json", data.path().display());
        words(&line).json()["test_log_loss"].as_f64().unwrap()
    };
    let penalised = run("--lr 0.01 --l2 0.05");
    assert_eq!(penalised, run("--lr 0.01 --weight-decay 0.4"));
    assert!((penalised - run("--lr 0.08 --loss mean --l2 0.05")).abs() < 1e-4);
    assert!((penalised - run("--lr 0.01")).abs() > 1e-3);
    assert_ne!(run("--optimizer adamw"), run("--optimizer adamw --weight-decay 0.5"));
    assert_ne!(run("--clip-norm 0.1"), run(""));
}

#[test]
fn options_that_do_not_go_together_are_refused() {
    let dir = scratch();
    let (features, labels) = own_rows(dir.path(), "train", 30);
    let own = format!("train --features {features} --labels {labels}");
    let cases = [
        (format!("{own} --epochs 2 --steps 5"), "cannot be used with"),
        (format!("{own} --early-stopping 0"), "expected a whole number from 1"),
        (format!("{own} --early-stopping 2 --validation 0"), "--early-stopping: no validation rows to stop by"),
        (format!("{own} --schedule plateau"), "--schedule plateau looks at the loss after each epoch; give --epochs"),
        (format!("{own} --optimizer adamw --l2 0.1"), "--l2: adamw takes the weights' decay beside the gradient"),
        (format!("{own} --l2 0.1 --weight-decay 0.1"), "cannot be used with"),
        (format!("{own} --schedule one-cycle --warm-up 5"), "--warm-up: one-cycle warms up by itself"),
        (format!("{own} --optimizer lion"), "invalid value 'lion'"),
        (format!("{own} --lr 0"), "expected a finite number above 0"),
        (format!("{own} --lr NaN"), "expected a finite number above 0"),
        (format!("{own} --clip-norm 0"), "expected a finite number above 0"),
        (format!("{own} --weight-decay -1"), "expected a finite number of at least 0"),
        (format!("{own} --label-smoothing 2"), "expected a share from 0 to 1"),
        (format!("{own} --class-weight birch=2"), "--class-weight: found \"birch=2\", expected balanced, or"),
        (format!("{own} --weights-png x.png"), "--image HEIGHTxWIDTH says"),
        (format!("train --features {features}"), "required"),
        (format!("train --save {0} --history {0}", dir.path().join("x").display()), "name the same file; choose two"),
    ];
    for (line, expected) in cases {
        let run = words(&line);
        let error = run.error(2);
        assert!(error.contains(expected), "{line}: {error}");
    }
    let few = words(&format!("{own} --validation 30 --steps 1"));
    assert!(few.error(1).contains("--validation: found 30, expected less than the 30 training rows"));
    assert_eq!(names(dir.path()), ["train.npy", "train.txt"]);
}
