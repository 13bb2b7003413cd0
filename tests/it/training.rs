//! A trainer's life with any optimizer: steps of every kind of rows and targets against the f64 reference, epochs, early
//! stopping, averaging, a class more; and settings that are refused.

use crate::support::descent::{Descent, Kind};
use crate::support::levels::levels;
use crate::support::random::Random;
use crate::support::reference;
use softreg::{
    Adagrad, Adam, AdamW, Batch, Dataset, EarlyStopping, Error, Level, Matrix, Optimizer, Plateau, Reduction, RmsProp,
    Run, Scaler, Schedule, Sgd, SoftmaxRegression, Targets, Trainer,
};

const FEATURES: usize = 100;
const CLASSES: usize = 9;
const ROWS: usize = 240;
const BATCH: usize = 200;
const STEPS: usize = 4;

/// Rows of a few kinds, in each of which other features are zero.
fn datasets() -> [Dataset; 2] {
    let mut random = Random::new(7);
    let mut pixels = random.pixels(ROWS * FEATURES);
    for row in pixels.chunks_exact_mut(FEATURES) {
        let kind = random.below(4);
        row.iter_mut().enumerate().filter(|(feature, _)| feature * 7 % 4 != kind).for_each(|(_, pixel)| *pixel = 0);
    }
    let labels: Vec<u8> = random.labels(ROWS, CLASSES).into_iter().map(|label| label as u8).collect();
    let values = pixels.iter().map(|&pixel| f32::from(pixel) / 256.0).collect();
    let wide = labels.iter().copied().map(u32::from).collect();
    [Dataset::from_u8(pixels, labels, FEATURES, CLASSES), Dataset::from_f32(values, wide, FEATURES, CLASSES)]
        .map(|data| data.expect("the lengths fit"))
}

fn start() -> SoftmaxRegression {
    let mut random = Random::new(8);
    let (w, b) = (random.numbers(FEATURES * CLASSES, 0.5), random.numbers(CLASSES, 0.5));
    SoftmaxRegression::from_row_major(&w, &b, FEATURES, CLASSES).expect("a model")
}

/// Targets with weights or smoothing or neither, and the same written out, `[ROWS, CLASSES]`, with each row's weight.
struct Weighted {
    rows: Vec<f32>,
    classes: Vec<f32>,
    weighs: bool,
    smoothing: f32,
}

impl Weighted {
    fn new(weighs: bool, smooths: bool) -> Self {
        let rows = (0..ROWS).map(|row| (row % 5) as f32 / 2.0).collect();
        let classes = (0..CLASSES).map(|class| 0.5 + class as f32 / 4.0).collect();
        Self { rows, classes, weighs, smoothing: if smooths { 0.125 } else { 0.0 } }
    }

    fn targets<'a>(&'a self, data: &'a Dataset) -> Targets<'a> {
        let mut targets = data.targets();
        if self.weighs {
            targets = targets.with_row_weights(&self.rows).expect("a weight a row").with_class_weights(&self.classes);
        }
        if self.smoothing > 0.0 {
            targets = targets.with_label_smoothing(self.smoothing).expect("a share");
        }
        targets
    }

    fn written_out(&self, row: usize, label: usize) -> (Vec<f64>, f64) {
        let smoothing = f64::from(self.smoothing);
        let row_weight = if self.weighs { f64::from(self.rows[row]) } else { 1.0 };
        let class_weight = |class: usize| if self.weighs { f64::from(self.classes[class]) } else { 1.0 };
        let one_hot = |class: usize| f64::from(u8::from(class == label));
        let share = |class| (1.0 - smoothing) * one_hot(class) + smoothing / CLASSES as f64;
        let targets = (0..CLASSES).map(|class| share(class) * class_weight(class) * row_weight).collect();
        (targets, row_weight * class_weight(label))
    }
}

/// What trains, and how.
struct Table {
    kind: Kind,
    reduction: Reduction,
    clip: Option<f64>,
}

impl Table {
    fn rate(&self) -> f64 {
        let adaptive = !matches!(self.kind, Kind::Sgd | Kind::DecayedSgd | Kind::Momentum | Kind::Nesterov);
        match (adaptive, self.reduction) {
            (true, _) => 0.02,
            (false, Reduction::Mean) => 0.3,
            (false, Reduction::Sum) => 0.001,
        }
    }

    fn trainer(&self, level: Level, threads: usize) -> Trainer {
        let model = start().with_level(level).with_threads(threads);
        let trainer = Trainer::new(model, self.kind.settings(self.rate())).reduction(self.reduction);
        match self.clip {
            Some(largest) => trainer.clip_norm(largest),
            None => trainer,
        }
    }

    /// Losses of some steps, and the parameters after them, in f64.
    fn expected(&self, data: &Dataset, exact: &[f64], weighted: &Weighted) -> (Vec<f64>, Vec<f64>) {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let model = start();
        let mut descent = Descent::new(self.kind, self.rate(), &wide(&model.to_row_major()), &wide(model.bias()));
        let (labels, mut losses) = (data.labels(), Vec::new());
        for step in 0..STEPS {
            let rows: Vec<usize> = (step * BATCH..(step + 1) * BATCH).map(|row| row % ROWS).collect();
            let x: Vec<f64> = rows.iter().flat_map(|row| exact[row * FEATURES..][..FEATURES].to_vec()).collect();
            let (mut targets, mut weight) = (Vec::new(), 0.0);
            for &row in &rows {
                let (t, w) = weighted.written_out(row, labels[row] as usize);
                targets.extend(t);
                weight += w;
            }
            let (w, b) = descent.parameters.split_at(FEATURES * CLASSES);
            let (row_losses, residual) = reference::cross_entropy(&reference::forward(&x, w, b), &targets, CLASSES);
            let divisor = if self.reduction == Reduction::Mean { weight } else { 1.0 };
            losses.push(row_losses.iter().sum::<f64>() / divisor);
            let (w, b) = reference::gradient(&x, &residual, FEATURES, CLASSES);
            let mut gradient: Vec<f64> = w.iter().chain(&b).map(|g| g / divisor).collect();
            if let Some(largest) = self.clip {
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                gradient.iter_mut().for_each(|g| *g *= (largest / (norm + 1e-6)).min(1.0));
            }
            descent.step(&gradient);
        }
        (losses, descent.parameters)
    }
}

/// Runs work within a pool of two threads, where small work is shared out too.
fn two_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    #[cfg(feature = "rayon")]
    return rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads").install(work);
    #[cfg(not(feature = "rayon"))]
    work()
}

/// Optimizers by weights, by smoothing, by u8 and f32, by zeros skipped, by threads; and clipped, with each reduction.
#[test]
fn every_optimizer_on_every_kind_of_rows_and_targets_is_the_reference() {
    const BUDGET: f64 = 2e-5;
    for kind in Kind::ALL {
        for (i, (weighs, smooths)) in
            [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
        {
            let reduction = if i % 2 == 0 { Reduction::Mean } else { Reduction::Sum };
            let table = Table { kind, reduction, clip: (i >= 2).then_some(0.25) };
            let weighted = Weighted::new(weighs, smooths);
            for (data, scale) in datasets().into_iter().zip([f64::from(1.0f32 / 255.0), 1.0]) {
                let read = |&value: &f32| {
                    if scale == 1.0 { f64::from(value) } else { f64::from((value * 255.0).round()) * scale }
                };
                let exact: Vec<f64> = data.to_f32().iter().map(read).collect();
                let (losses, parameters) = table.expected(&data, &exact, &weighted);
                for data in [data.clone(), data.clone().skip_zeros()] {
                    for level in levels() {
                        let what = format!("{kind:?} {weighs} {smooths} {level} {data:?}");
                        let run = |threads| {
                            let mut trainer = table.trainer(level, threads);
                            let batches = data.batches(BATCH).targets(weighted.targets(&data)).expect("a target a row");
                            let mut batches = batches.in_file_order();
                            let step = |_| trainer.step(batches.next_batch()).expect("a step");
                            let losses: Vec<f64> = (0..STEPS).map(step).collect();
                            let model = trainer.into_model();
                            (losses, [model.to_row_major(), model.bias().to_vec()].concat())
                        };
                        let one = run(1);
                        for (found, expected) in one.0.iter().zip(&losses) {
                            assert!(
                                (found - expected).abs() < BUDGET * expected,
                                "{what}: loss {found} for {expected}"
                            );
                        }
                        for (&found, expected) in one.1.iter().zip(&parameters) {
                            assert!((f64::from(found) - expected).abs() < BUDGET, "{what}: {found} for {expected}");
                        }
                        assert!(two_threads(|| run(2)) == one, "{what}: two threads");
                    }
                }
            }
        }
    }
}

/// What is remembered follows the parameters from one order of the features to another.
#[test]
fn rows_that_skip_zeros_and_rows_that_do_not_take_turns() {
    let data = datasets()[0].clone();
    let sparse = data.clone().skip_zeros();
    for kind in Kind::ALL {
        let table = Table { kind, reduction: Reduction::Mean, clip: None };
        let train = |skips: fn(usize) -> bool| {
            let mut trainer = table.trainer(Level::best(), 1);
            let [mut dense, mut sparse] = [&data, &sparse].map(|data| data.batches(BATCH).in_file_order());
            for step in 0..6 {
                let batches = [dense.next_batch(), sparse.next_batch()];
                trainer.step(batches[usize::from(skips(step))]).expect("a step");
            }
            let model = trainer.into_model();
            [model.to_row_major(), model.bias().to_vec()].concat()
        };
        let expected = train(|_| false);
        for skips in [|_| true, |step| step % 2 == 0, |step| step % 3 > 0] {
            for (found, expected) in train(skips).iter().zip(&expected) {
                assert!((found - expected).abs() < 2e-5, "{kind:?}: {found} for {expected}");
            }
        }
    }
}

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

#[test]
fn the_average_is_the_mean_of_the_models_after_its_steps() {
    for data in [datasets()[0].clone(), datasets()[0].clone().skip_zeros(), datasets()[1].clone()] {
        for optimizer in [Optimizer::from(Sgd::new(0.5)), Adam::new(0.01).into()] {
            for weighs in [false, true] {
                let weighted = Weighted::new(weighs, weighs);
                let mut trainer = Trainer::new(start(), optimizer).averaging(3);
                let mut batches = data.batches(50).targets(weighted.targets(&data)).expect("a target a row");
                let mut sum = vec![0.0; FEATURES * CLASSES + CLASSES];
                for step in 0..8 {
                    assert_eq!(trainer.averaged_model().expect("memory").is_some(), step > 3);
                    trainer.step(batches.next_batch()).expect("a step");
                    if step >= 3 {
                        let model = trainer.model();
                        let all = [model.to_row_major(), model.bias().to_vec()].concat();
                        sum.iter_mut().zip(all).for_each(|(sum, value)| *sum += f64::from(value));
                    }
                }
                let mean = trainer.averaged_model().expect("memory").expect("five steps");
                for (found, sum) in [mean.to_row_major(), mean.bias().to_vec()].concat().into_iter().zip(sum) {
                    assert!((f64::from(found) - sum / 5.0).abs() < 1e-6, "{found} for {}", sum / 5.0);
                }
                assert_ne!(&mean, trainer.model());
            }
        }
    }
}

/// The old classes go on as a model would that had the new one, at 0, from the start and never saw a row of it.
#[test]
fn a_class_more_starts_at_0_and_leaves_the_others() {
    let x = [1.0, 0.5, -1.0, 2.0, 0.25, -0.5];
    let x = Matrix::from_f32(&x, 2).expect("three rows");
    for optimizer in Kind::ALL.map(|kind| kind.settings(0.1)) {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), optimizer).averaging(0);
        let first = Batch::new(x, &[0u32, 1, 1][..]).expect("labels");
        for _ in 0..3 {
            trainer.step(first).expect("a step");
        }
        let before = trainer.model().clone();
        trainer.add_class().expect("memory");
        let after = trainer.model().clone();
        assert_eq!((after.classes(), after.features()), (3, 2));
        let row = |model: &SoftmaxRegression, class: usize| model.to_class_major()[class * 2..class * 2 + 2].to_vec();
        for class in 0..2 {
            assert_eq!((row(&after, class), after.bias()[class]), (row(&before, class), before.bias()[class]));
        }
        assert_eq!((row(&after, 2), after.bias()[2]), (vec![0.0; 2], 0.0));
        assert!(matches!(trainer.step(Batch::new(x, &[0u32, 3, 1][..]).expect("labels")), Err(Error::Label { .. })));
        let with_new = Batch::new(x, &[0u32, 2, 2][..]).expect("labels");
        let losses: Vec<f64> = (0..50).map(|_| trainer.step(with_new).expect("a step")).collect();
        assert!(losses[49] < losses[0], "{optimizer:?}: {losses:?}");
        assert_eq!(trainer.averaged_model().expect("memory").expect("steps").classes(), 3);
        assert_eq!(trainer.steps(), 53);
    }
}

/// What the optimizer remembers of the old classes stays: momentum carries them on, and Adagrad's sums keep them slow.
#[test]
fn a_class_more_keeps_what_is_remembered() {
    let x = [1.0];
    let batch = |label: &'static [u32]| Batch::new(Matrix::from_f32(&x, 1).expect("a row"), label).expect("a label");
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1).momentum(0.5));
    trainer.step(batch(&[0])).expect("a step");
    trainer.add_class().expect("memory");
    trainer.step(batch(&[2])).expect("a step");
    // First gradient (-0.5, 0.5); then p of logits (0.1, -0.1, 0), the input being 1 and the bias alike.
    let exp = [0.1f64.exp(), (-0.1f64).exp(), 1.0];
    let p = exp.map(|e| e / exp.iter().sum::<f64>());
    let expected = [0.05 - 0.1 * (0.5 * -0.5 + p[0]), -0.05 - 0.1 * (0.5 * 0.5 + p[1]), -0.1 * (p[2] - 1.0)];
    for (found, expected) in trainer.model().to_row_major().into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

/// The sums of a new class begin as those of the others did.
#[test]
fn a_class_more_has_the_initial_accumulator() {
    let x = [1.0];
    let batch = |label: &'static [u32]| Batch::new(Matrix::from_f32(&x, 1).expect("a row"), label).expect("a label");
    let adagrad = Adagrad::new(0.1).initial_accumulator(1.0);
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), adagrad);
    trainer.step(batch(&[0])).expect("a step");
    trainer.add_class().expect("memory");
    trainer.step(batch(&[2])).expect("a step");
    // First gradient (-0.5, 0.5), of weights and bias alike.
    let first = 0.1 * 0.5 / 1.25f64.sqrt();
    let exp = [(2.0 * first).exp(), (-2.0 * first).exp(), 1.0];
    let p = exp.map(|e| e / exp.iter().sum::<f64>());
    let step = |g: f64, sum: f64| 0.1 * g / (sum + g * g).sqrt();
    let expected = [first - step(p[0], 1.25), -first - step(p[1], 1.25), -step(p[2] - 1.0, 1.0)];
    for (found, expected) in trainer.model().to_row_major().into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

/// The gradient of the weights is (-1.5, 1.5), of the bias (-0.5, 0.5), and its norm the root of 5.
#[test]
fn clipping_by_the_norm_comes_before_clipping_by_value() {
    let batch = Batch::new(Matrix::from_f32(&[3.0], 1).expect("a row"), &[0u8][..]).expect("a label");
    let trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(1.0));
    let mut trainer = trainer.clip_norm(1.0).clip_value(0.5);
    trainer.step(batch).expect("a step");
    let bias = 0.5 / 5.0f32.sqrt();
    let found = [trainer.model().to_row_major(), trainer.model().bias().to_vec()].concat();
    for (found, expected) in found.into_iter().zip([0.5, -0.5, bias, -bias]) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

#[test]
fn labels_of_a_byte_have_256_classes_at_most() {
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 256), Sgd::new(0.1));
    let x = Matrix::from_f32(&[1.0], 1).expect("a row");
    trainer.step(Batch::new(x, &[255u8][..]).expect("a label")).expect("a step");
    let before = trainer.model().clone();
    let error = trainer.add_class().expect_err("no u8 names class 256").to_string();
    assert_eq!(error, "classes with labels of u8: found 257, expected at most 256; step on labels of u32 first");
    assert_eq!(trainer.model(), &before);
    trainer.step(Batch::new(x, &[255u32][..]).expect("a label")).expect("a step");
    trainer.add_class().expect("labels of u32");
    assert_eq!(trainer.model().classes(), 257);
}

#[test]
fn settings_out_of_range_are_refused_and_nothing_changes() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let adam = || Adam::new(0.1);
    let cases: Vec<(Optimizer, &str)> = vec![
        (Sgd::new(0.0).into(), "learning rate: found 0, expected a finite number above 0"),
        (Sgd::new(-0.1).into(), "learning rate: found -0.1"),
        (Sgd::new(nan).into(), "learning rate: found NaN"),
        (Sgd::new(inf).into(), "learning rate: found inf"),
        (Sgd::new(1e-50).into(), "learning rate: found 0.0"),
        (Sgd::new(0.1).momentum(1.0).into(), "momentum: found 1, expected at least 0 and below 1"),
        (Sgd::new(0.1).momentum(-0.1).into(), "momentum: found -0.1"),
        (Sgd::new(0.1).momentum(nan).into(), "momentum: found NaN"),
        (Sgd::new(0.1).momentum(0.999_999_999_9).into(), "momentum: found 0.9999999999"),
        (Sgd::new(0.1).momentum(0.5).dampening(1.5).into(), "dampening: found 1.5, expected 0 to 1"),
        (Sgd::new(0.1).momentum(0.5).dampening(nan).into(), "dampening: found NaN"),
        (Sgd::new(0.1).nesterov(true).into(), "momentum: found 0, expected above 0 with Nesterov's step"),
        (Sgd::new(0.1).momentum(0.5).dampening(0.1).nesterov(true).into(), "dampening: found 0.1, expected 0 with"),
        (Sgd::new(0.1).weight_decay(-1.0).into(), "weight decay: found -1, expected a finite number of at least 0"),
        (Sgd::new(0.1).weight_decay(nan).into(), "weight decay: found NaN"),
        (Sgd::new(0.1).weight_decay(inf).into(), "weight decay: found inf"),
        (Adagrad::new(0.0).into(), "learning rate: found 0"),
        (Adagrad::new(0.1).learning_rate_decay(-1.0).into(), "learning rate decay: found -1"),
        (Adagrad::new(0.1).initial_accumulator(-1.0).into(), "initial accumulator: found -1"),
        (Adagrad::new(0.1).weight_decay(-1.0).into(), "weight decay: found -1"),
        (Adagrad::new(0.1).epsilon(0.0).into(), "epsilon: found 0, expected a finite number above"),
        (RmsProp::new(-1.0).into(), "learning rate: found -1"),
        (RmsProp::new(0.1).alpha(1.0).into(), "alpha: found 1"),
        (RmsProp::new(0.1).momentum(2.0).into(), "momentum: found 2"),
        (RmsProp::new(0.1).weight_decay(nan).into(), "weight decay: found NaN"),
        (RmsProp::new(0.1).epsilon(-1.0).into(), "epsilon: found -1"),
        (Adam::new(nan).into(), "learning rate: found NaN"),
        (adam().betas(1.0, 0.9).into(), "beta1: found 1"),
        (adam().betas(0.9, -0.1).into(), "beta2: found -0.1"),
        (adam().betas(0.9, nan).into(), "beta2: found NaN"),
        (adam().weight_decay(-1e-9).into(), "weight decay: found"),
        (adam().epsilon(1e-60).into(), "epsilon: found"),
        (AdamW::new(0.1).betas(1.5, 0.9).into(), "beta1: found 1.5"),
        (AdamW::new(0.1).weight_decay(inf).into(), "weight decay: found inf"),
        (AdamW::new(0.1).epsilon(nan).into(), "epsilon: found NaN"),
    ];
    let check = |trainer: Trainer, expected: &str| {
        let mut trainer = trainer;
        let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), &[0u8][..]).expect("a label");
        let error = trainer.step(batch).expect_err(expected);
        assert!(matches!(error, Error::Setting { .. }), "{error:?}");
        assert!(error.to_string().starts_with(expected), "{error}, expected {expected}");
        assert_eq!((trainer.steps(), trainer.into_model()), (0, SoftmaxRegression::zeros(1, 2)));
    };
    let trainer = |optimizer: Optimizer| Trainer::new(SoftmaxRegression::zeros(1, 2), optimizer);
    for (optimizer, expected) in cases {
        check(trainer(optimizer), expected);
    }
    let sgd = || trainer(Sgd::new(0.1).into());
    check(sgd().clip_norm(0.0), "largest norm of a gradient: found 0, expected a finite number above 0");
    check(sgd().clip_norm(nan), "largest norm of a gradient: found NaN");
    check(sgd().clip_value(-1.0), "largest element of a gradient: found -1");
    check(sgd().clip_value(inf), "largest element of a gradient: found inf");
    let plateau = Plateau::default();
    let schedules = [
        (Schedule::step(0, 0.5), "steps between two changes of the rate: found 0, expected at least 1"),
        (Schedule::step(5, 0.0), "factor of the schedule: found 0, expected a finite number above 0"),
        (Schedule::exponential(-0.5), "factor of the schedule: found -0.5"),
        (Schedule::exponential(nan), "factor of the schedule: found NaN"),
        (Schedule::inverse_scaling(-1.0), "power of the schedule: found -1"),
        (Schedule::cosine(0, 0.1), "steps of the schedule: found 0"),
        (Schedule::cosine(10, -0.1), "least factor of the schedule: found -0.1, expected 0 to 1"),
        (Schedule::cosine(10, 1.5), "least factor of the schedule: found 1.5, expected 0 to 1"),
        (Schedule::one_cycle(0), "steps of the schedule: found 0"),
        (Schedule::constant().warm_up(10, 0.0), "first factor of the warm-up: found 0"),
        (Schedule::constant().every(0), "steps that a schedule counts as one: found 0"),
        (Schedule::on_plateau(Plateau { factor: 1.0, ..plateau }), "factor of the plateau: found 1"),
        (Schedule::on_plateau(Plateau { factor: 0.0, ..plateau }), "factor of the plateau: found 0, expected above 0"),
        (Schedule::on_plateau(Plateau { threshold: 1.0, ..plateau }), "threshold of the plateau: found 1"),
        (Schedule::on_plateau(Plateau { least: 0.0, ..plateau }), "least factor of the plateau: found 0"),
    ];
    for (schedule, expected) in schedules {
        check(sgd().schedule(schedule), expected);
    }
}

#[test]
fn a_schedule_that_ends_at_0_says_so_and_a_new_rate_is_checked() {
    let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), &[0u8][..]).expect("a label");
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.5)).schedule(Schedule::cosine(3, 0.0));
    for _ in 0..3 {
        trainer.step(batch).expect("a step");
    }
    let before = trainer.model().clone();
    let error = trainer.step(batch).expect_err("the schedule is over").to_string();
    assert_eq!(
        error,
        "learning rate that the schedule gives: found 0, expected a finite number above 0: give the schedule more steps, \
         or a least factor"
    );
    assert_eq!(trainer.model(), &before);
    assert_eq!(trainer.steps(), 3);
    for loss in [f64::NAN, f64::INFINITY] {
        assert!(matches!(trainer.observe(loss), Err(Error::NonFiniteLoss { .. })));
    }

    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Adam::new(0.5)).schedule(Schedule::step(2, 0.5));
    trainer.step(batch).expect("a step");
    trainer.set_learning_rate(f64::NAN);
    assert!(matches!(trainer.step(batch), Err(Error::Setting { name: "learning rate", .. })));
    trainer.set_learning_rate(0.25);
    assert_eq!((trainer.learning_rate(), trainer.steps()), (0.25, 1));
    trainer.step(batch).expect("a step");
    assert_eq!(trainer.learning_rate(), 0.125);
    assert_eq!(trainer.optimizer().learning_rate(), 0.25);
}

/// Steps that overflow change neither the model nor what is remembered: the next is as if they had not been.
#[test]
fn a_step_that_overflows_changes_nothing() {
    let small = [1.0f32, 0.5];
    for level in levels() {
        for kind in Kind::ALL {
            for large in [[1e20f32, 1e10], [1e38, 1e38], [1e18, 1.0]] {
                let rate = if kind == Kind::Sgd { 1e30 } else { 1e25 };
                let row = |x| Matrix::from_f32(x, 2).expect("a row");
                let batch = |x| Batch::new(row(x), &[0u8][..]).expect("a label");
                let wrong = Batch::new(row(&large), &[1u8][..]).expect("a label");
                let model = SoftmaxRegression::zeros(2, 2).with_level(level);
                let mut trainer = Trainer::new(model, kind.settings(0.1));
                trainer.step(batch(&small)).expect("a step");
                let mut other = trainer.clone();
                trainer.set_learning_rate(rate);
                let before = trainer.model().clone();
                match trainer.step(wrong) {
                    Ok(_) if large[0] == 1e18 => continue, // Adaptive steps of any gradient are as long as their rate.
                    Err(Error::NonFiniteStep | Error::NonFiniteLoss { .. }) => {}
                    other => panic!("{level} {kind:?} {large:?}: {other:?}"),
                }
                assert_eq!(trainer.model(), &before, "{level} {kind:?}");
                trainer.set_learning_rate(0.1);
                for _ in 0..3 {
                    let losses = [&mut trainer, &mut other].map(|trainer| trainer.step(batch(&small)).expect("a step"));
                    assert_eq!(losses[0].to_bits(), losses[1].to_bits());
                }
                assert_eq!(trainer.model(), other.model(), "{level} {kind:?}");
            }
        }
    }
}

/// Steps on scaled coordinates are those on scaled copies of the rows, and the model is that of the rows as they are.
#[test]
fn training_scaled_is_training_on_scaled_copies() {
    for data in datasets() {
        let scaler = Scaler::standard(data.x()).expect("finite rows");
        let copies = scaler.transform(data.x()).expect("memory");
        let copies = Dataset::from_f32(copies, data.labels(), FEATURES, CLASSES).expect("the lengths fit");
        for level in levels() {
            for (i, kind) in Kind::ALL.into_iter().enumerate() {
                let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
                let trainer = |batch: usize| {
                    let trainer = Trainer::new(model.clone(), kind.settings(0.05)).averaging(1);
                    if i % 2 == batch % 2 { trainer.clip_norm(0.25) } else { trainer }
                };
                for batch in [20, 21] {
                    let mut scaled = trainer(batch).scaled_by(scaler.clone()).expect("the features fit");
                    let mut other = trainer(batch);
                    let rows = data.clone().skip_zeros();
                    let (mut batches, mut copied) = (rows.batches(batch), copies.batches(batch));
                    for step in 0..6 {
                        let loss = scaled.step(batches.next_batch()).expect("a step");
                        let expected = other.step(copied.next_batch()).expect("a step");
                        assert!((loss - expected).abs() < 1e-4, "{level} {kind:?} {step}: {loss} for {expected}");
                    }
                    let averaged = scaled.averaged_model().expect("memory").expect("steps");
                    let expected = other.averaged_model().expect("memory").expect("steps");
                    let expected = scaler.fold(&expected).expect("finite");
                    let folded = scaler.fold(other.model()).expect("finite");
                    for (found, expected) in [(scaled.model(), &folded), (&averaged, &expected)] {
                        let found = found.predict_proba(data.x()).expect("the shapes fit");
                        let expected = expected.predict_proba(data.x()).expect("the shapes fit");
                        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                        assert!(off < 2e-3, "{level} {kind:?}: {off}");
                    }
                    scaled.add_class().expect("memory");
                    assert_eq!(scaled.model().classes(), CLASSES + 1);
                    scaled.step(batches.next_batch()).expect("a step");
                }
            }
        }
    }
}

/// A large batch is swept; one row, and a model that was trained before, are no other matter.
#[test]
fn a_scaled_step_of_any_size_is_the_same_step() {
    let mut random = Random::new(5);
    let rows = 3000;
    let x: Vec<f32> = random.numbers(rows * FEATURES, 1.0).iter().map(|x| 50.0 + 3.0 * x).collect();
    let data = Dataset::from_f32(x, random.labels(rows, CLASSES), FEATURES, CLASSES).expect("the lengths fit");
    let scaler = Scaler::standard(data.x()).expect("finite rows");
    let trained = SoftmaxRegression::from_row_major(
        &random.numbers(FEATURES * CLASSES, 0.01),
        &[0.0; CLASSES],
        FEATURES,
        CLASSES,
    );
    let trained = trained.expect("a model");
    for level in levels() {
        let mut trainer =
            Trainer::new(trained.clone().with_level(level), Sgd::new(0.1)).scaled_by(scaler.clone()).expect("fits");
        let unfolded = scaler.unfold(&trained).expect("finite").with_level(level);
        let copies = scaler.transform(data.x()).expect("memory");
        let mut other = Trainer::new(unfolded, Sgd::new(0.1));
        let x = Matrix::from_f32(&copies, FEATURES).expect("rows");
        let loss = trainer.step(data.as_batch()).expect("a step");
        let expected = other.step(Batch::new(x, data.targets()).expect("rows agree")).expect("a step");
        assert!((loss - expected).abs() < 1e-4, "{level}: {loss} for {expected}");
        let folded = scaler.fold(other.model()).expect("finite");
        for (found, expected) in trainer.model().to_row_major().into_iter().zip(folded.to_row_major()) {
            assert!((found - expected).abs() < 1e-5, "{level}: {found} for {expected}");
        }
        // What the weights stand for overflows before they do.
        let before = trainer.model().clone();
        trainer.set_learning_rate(3e38);
        assert!(matches!(trainer.step(data.as_batch()), Err(Error::NonFiniteStep | Error::NonFiniteLoss { .. })));
        assert_eq!(trainer.model(), &before);
        trainer.set_learning_rate(0.1);
        trainer.step(data.as_batch()).expect("a step");
        let few = Scaler::new(vec![0.0; 3], vec![1.0; 3]).expect("finite");
        assert!(matches!(Trainer::new(trained.clone(), Sgd::new(0.1)).scaled_by(few), Err(Error::Shape { .. })));
    }
}

/// A trainer whose last step must be refused, and leaves it as it was.
#[track_caller]
fn overflows(mut trainer: Trainer, x: f32) {
    let x = [x];
    let batch = Batch::new(Matrix::from_f32(&x, 1).expect("a row"), &[0u8][..]).expect("a label");
    let before = trainer.model().clone();
    let found = trainer.step(batch);
    assert!(matches!(found, Err(Error::NonFiniteStep)), "{found:?}, {:?}", trainer.optimizer());
    assert_eq!(trainer.model(), &before);
}

/// The gradient of the last step is small; what is remembered, or decay, makes it too long.
#[test]
fn a_small_gradient_overflows_too() {
    let batch = |x: &'static [f32]| Batch::new(Matrix::from_f32(x, 1).expect("a row"), &[0u8][..]).expect("a label");
    for level in levels() {
        let zeros = || SoftmaxRegression::zeros(1, 2).with_level(level);
        // The weights come to 2e38 in the first step; the second adds 0.9 times that.
        let mut trainer = Trainer::new(zeros(), Sgd::new(4e19).momentum(0.9));
        trainer.step(batch(&[1e19])).expect("within f32's range");
        overflows(trainer, 0.0);

        let mut trainer = Trainer::new(zeros(), Sgd::new(1e-3).momentum(0.9));
        trainer.step(batch(&[1e12])).expect("a step");
        trainer.set_learning_rate(1e27);
        overflows(trainer, 0.0);

        let model = SoftmaxRegression::from_row_major(&[1e10, 0.0], &[0.0; 2], 1, 2).expect("a model");
        overflows(Trainer::new(model.with_level(level), Sgd::new(1e-3).weight_decay(1e30)), 0.0);
    }
}

#[test]
fn squares_that_overflow_are_refused() {
    for level in levels() {
        for kind in [Kind::Adagrad, Kind::RmsProp, Kind::CentredRmsProp, Kind::Adam, Kind::AdamW] {
            overflows(Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), kind.settings(0.1)), 1e25);
        }
    }
}

/// Smoothing gives a share of the row to a class that weighs 1e30 times the label's.
#[test]
fn a_class_that_weighs_more_than_the_rows_own_overflows_too() {
    let targets = Targets::from_u8(&[0]).with_class_weights(&[1.0, 1e30]).with_label_smoothing(0.125).expect("a share");
    let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), targets).expect("a label");
    for level in levels() {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), Sgd::new(1e11));
        assert!(matches!(trainer.step(batch), Err(Error::NonFiniteStep)));
        assert_eq!(trainer.into_model(), SoftmaxRegression::zeros(1, 2).with_level(level));
    }
}
