//! Epochs: their batches and positions, their losses, early stopping and what a plateau is told.

use softreg::{
    Adam, Batch, Dataset, EarlyStopping, Error, Level, Plateau, Reduction, Run, Schedule, Sgd, SoftmaxRegression,
    Trainer,
};

fn two_bands() -> Dataset {
    let x: Vec<f32> = (0..70).map(|i| (i * 37 % 70) as f32 / 70.0).collect();
    let labels = x.iter().map(|&x| u32::from(x > 0.5)).collect();
    Dataset::from_f32(x, labels, 1, 2).expect("the lengths fit")
}

#[test]
fn an_epoch_sees_every_row_once_and_its_remainder() {
    let data = two_bands();
    for (drop, sizes) in [(false, vec![32, 32, 6]), (true, vec![32, 32])] {
        let mut batches = data.batches(32).seed(3).drop_last(drop);
        assert_eq!(batches.batches_per_epoch(), sizes.len());
        for _ in 0..3 {
            let (mut found, mut seen) = (Vec::new(), Vec::new());
            while let Some(batch) = batches.next_in_epoch() {
                found.push(batch.x.rows());
                let mut logits = vec![0.0; batch.x.rows()];
                let one = softreg::Parameters::from_row_major(&[1.0], &[0.0], 1, 1).expect("one weight");
                softreg::kernel::forward(Level::best(), batch.x, &one, &mut logits).expect("the shapes fit");
                seen.extend(logits.iter().map(|x| (x * 70.0).round() as usize));
            }
            assert_eq!(found, sizes);
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), sizes.iter().sum::<usize>());
        }
    }
    assert!(data.batches(0).next_in_epoch().is_none());
    assert_eq!(data.batches(0).batches_per_epoch(), 0);
    assert!(data.batches(71).drop_last(true).next_in_epoch().is_none());
    assert_eq!(data.batches(71).next_in_epoch().map(|batch| batch.x.rows()), Some(70));
}

#[test]
fn a_position_goes_on_with_the_same_batches() {
    let data = two_bands();
    for shuffled in [true, false] {
        for batches_before in 0..9 {
            let fresh = || if shuffled { data.batches(32).seed(5) } else { data.batches(32).in_file_order() };
            let mut batches = fresh();
            let rows = |batch: Option<Batch<'_>>| batch.map(|batch| format!("{:?}", batch.x));
            for _ in 0..batches_before {
                batches.next_in_epoch();
            }
            let mut resumed = data.batches(32).seed(99);
            resumed.go_to(batches.position()).expect("a position");
            for _ in 0..7 {
                assert_eq!(rows(resumed.next_in_epoch()), rows(batches.next_in_epoch()));
            }
            assert_eq!(rows(Some(resumed.next_batch())), rows(Some(batches.next_batch())));
            assert_eq!(resumed.position(), batches.position());
        }
    }
    let mut batches = data.batches(32);
    let before = batches.position();
    for wrong in [softreg::Position { used: 71, ..before }, softreg::Position { epochs: u64::MAX, ..before }] {
        assert!(matches!(batches.go_to(wrong), Err(Error::Size { .. })));
        assert_eq!(batches.position(), before);
    }
}

#[test]
fn an_epochs_loss_is_the_mean_of_its_rows() {
    let data = two_bands();
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1).momentum(0.9));
    let mut other = trainer.clone();
    let loss = trainer.epoch(&mut data.batches(32).seed(1)).expect("an epoch");
    let (mut batches, mut sum) = (data.batches(32).seed(1), 0.0);
    while let Some(batch) = batches.next_in_epoch() {
        sum += other.step(batch).expect("a step") * batch_rows(batch);
    }
    assert!((loss - sum / 70.0).abs() < 1e-12);
    assert_eq!((trainer.steps(), trainer.into_model()), (3, other.into_model()));
}

fn batch_rows(batch: Batch<'_>) -> f64 {
    batch.x.rows() as f64
}

#[test]
fn an_epochs_loss_weighs_its_rows() {
    let data = two_bands();
    let weights: Vec<f32> = (0..70).map(|row| (row % 3) as f32).collect();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let batches = || {
        let targets = data.targets().with_row_weights(&weights).expect("a weight a row");
        data.batches(32).targets(targets).expect("a target a row")
    };
    let trainer = || Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.01)).reduction(Reduction::Sum);
    let (mut steps, mut rest, mut sum) = (trainer(), batches(), 0.0);
    while let Some(batch) = rest.next_in_epoch() {
        sum += steps.step(batch).expect("a step");
    }
    let loss = trainer().epoch(&mut batches()).expect("an epoch");
    assert!((loss - sum / total).abs() < 1e-12, "{loss} for {}", sum / total);
    assert_eq!(Run::new(trainer(), batches()).epoch().expect("an epoch").loss, loss);
}

/// The same rows with each label the other one.
fn turned_round(data: &Dataset) -> Dataset {
    let labels = data.labels().iter().map(|label| 1 - label).collect();
    Dataset::from_f32(data.to_f32(), labels, 1, 2).expect("the lengths fit")
}

/// A validation split whose labels are the training rows' turned round: its loss is lowest at the start.
#[test]
fn a_run_stops_early_and_keeps_the_best_epoch() {
    let data = two_bands();
    let turned = turned_round(&data);
    let trainer = || Trainer::new(SoftmaxRegression::zeros(1, 2), Adam::new(0.05));
    let mut run = Run::new(trainer(), data.batches(32)).validation(&turned).early_stopping(EarlyStopping::new(3));
    assert_eq!(run.epochs(100).expect("a run"), 4);
    assert!(run.has_stopped());
    assert_eq!(run.best_epoch(), Some(0));
    let history = run.history().to_vec();
    let losses: Vec<f64> = history.iter().map(|epoch| epoch.validation.expect("evaluated").log_loss).collect();
    assert!(losses.windows(2).all(|pair| pair[0] < pair[1]), "{losses:?}");
    assert!(history.windows(2).all(|pair| pair[0].loss > pair[1].loss && pair[1].steps == pair[0].steps + 3));
    let best = run.into_model();
    assert_eq!(best.log_loss(&turned).expect("rows"), losses[0]);
    let mut first = trainer();
    first.epoch(&mut data.batches(32)).expect("an epoch");
    assert_eq!(best, first.into_model());

    // A loss that falls, but by less than min_delta, is no better.
    for (min_delta, epochs) in [(0.0, 10), (0.5, 3)] {
        let stopping = EarlyStopping::new(2).min_delta(min_delta);
        let mut run = Run::new(trainer(), data.batches(32)).validation(&data).early_stopping(stopping);
        assert_eq!(run.epochs(10).expect("a run"), epochs);
        assert_eq!(run.has_stopped(), epochs < 10);
    }
    let mut run = Run::new(trainer(), data.batches(32)).validation(&data).early_stopping(EarlyStopping::new(2));
    run.epochs(4).expect("a run");
    let last = run.trainer().model().clone();
    assert_eq!((run.best_epoch(), run.into_model()), (Some(3), last));
    let mut run = Run::new(trainer(), data.batches(32));
    assert_eq!((run.epochs(2).expect("a run"), run.best_epoch()), (2, None));
    assert!(run.history().iter().all(|epoch| epoch.validation.is_none()));
}

#[test]
fn a_run_tells_a_plateau_its_losses() {
    let data = two_bands();
    let plateau = Plateau { factor: 0.5, patience: 1, threshold: 0.9, cooldown: 0, least: 0.3 };
    let trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1)).schedule(Schedule::on_plateau(plateau));
    let mut run = Run::new(trainer, data.batches(32));
    run.epochs(6).expect("a run");
    let rates: Vec<f64> = run.history().iter().map(|epoch| epoch.learning_rate).collect();
    assert_eq!(rates, [0.1, 0.1, 0.05, 0.05, 0.03, 0.03]);
}

/// The loss of the training rows falls, that of the validation rows rises.
#[test]
fn a_run_tells_a_plateau_the_validation_loss() {
    let data = two_bands();
    let turned = turned_round(&data);
    let plateau = Plateau { factor: 0.5, patience: 0, ..Plateau::default() };
    let trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.5)).schedule(Schedule::on_plateau(plateau));
    let mut run = Run::new(trainer, data.batches(32)).validation(&turned);
    run.epochs(3).expect("a run");
    let rates: Vec<f64> = run.history().iter().map(|epoch| epoch.learning_rate).collect();
    assert_eq!(rates, [0.5, 0.25, 0.125]);
}

#[test]
fn runs_without_rows_or_with_settings_out_of_range_are_refused() {
    let data = two_bands();
    let none = data.split_at(0).expect("no rows").0;
    let run = |batches| Run::new(Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1)), batches);
    let refused = |mut run: Run<'_>| {
        let error = run.epoch().expect_err("refused");
        assert!(run.history().is_empty());
        error.to_string()
    };
    assert_eq!(refused(run(data.batches(0))), "batches of an epoch: found 0, expected at least 1");
    assert_eq!(refused(run(none.batches(5))), "batches of an epoch: found 0, expected at least 1");
    assert_eq!(refused(run(data.batches(71).drop_last(true))), "batches of an epoch: found 0, expected at least 1");
    let early = |stopping| run(data.batches(5)).validation(&data).early_stopping(stopping);
    assert_eq!(refused(early(EarlyStopping::new(0))), "patience: found 0, expected at least 1");
    let delta = refused(early(EarlyStopping::new(1).min_delta(-1.0)));
    assert_eq!(delta, "min_delta: found -1, expected a finite number of at least 0");
    assert!(refused(early(EarlyStopping::new(1).min_delta(f64::NAN))).starts_with("min_delta: found NaN"));
    let alone = run(data.batches(5)).early_stopping(EarlyStopping::new(1));
    assert_eq!(refused(alone), "validation rows: found 0, expected at least 1 for early stopping");
    let empty = run(data.batches(5)).validation(&none).early_stopping(EarlyStopping::new(1));
    assert_eq!(refused(empty), "validation rows: found 0, expected at least 1 for early stopping");
}
