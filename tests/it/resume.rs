//! The state of a training as a file: what goes on from it has the same bits as what never stopped; files that are no state,
//! or another's, are refused and change nothing.

#![cfg(feature = "safetensors")]

use crate::support::descent::Kind;
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{
    Adagrad, Adam, Batch, Dataset, EarlyStopping, Error, Matrix, ModelFile, Optimizer, Plateau, Reduction, RmsProp,
    Run, Scaler, Schedule, Sgd, SoftmaxRegression, Trainer,
};

const FEATURES: usize = 40;
const CLASSES: usize = 8;

fn datasets() -> [Dataset; 3] {
    let mut random = Random::new(3);
    let mut pixels = random.pixels(90 * FEATURES);
    for row in pixels.chunks_exact_mut(FEATURES) {
        let kind = random.below(4);
        row.iter_mut().enumerate().filter(|(feature, _)| feature * 7 % 4 != kind).for_each(|(_, pixel)| *pixel = 0);
    }
    let labels: Vec<u8> = random.labels(90, CLASSES).into_iter().map(|label| label as u8).collect();
    let values = pixels.iter().map(|&pixel| f32::from(pixel) / 64.0 - 1.0).collect();
    let wide = labels.iter().copied().map(u32::from).collect();
    let pixels = Dataset::from_u8(pixels, labels, FEATURES, CLASSES).expect("the lengths fit");
    [Dataset::from_f32(values, wide, FEATURES, CLASSES).expect("the lengths fit"), pixels.clone(), pixels.skip_zeros()]
}

/// The bits of everything that can be seen of a trainer.
fn outcome(trainer: &mut Trainer) -> (Vec<u32>, Option<Vec<u32>>, u64, u64) {
    let bits = |model: &SoftmaxRegression| {
        let all = [model.to_row_major(), model.bias().to_vec()].concat();
        all.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let mean = trainer.averaged_model().expect("memory").as_ref().map(bits);
    (bits(trainer.model()), mean, trainer.learning_rate().to_bits(), trainer.steps())
}

#[test]
fn a_training_resumed_at_any_step_has_the_same_bits() {
    let plateau = Plateau { patience: 0, threshold: 0.5, factor: 0.5, ..Plateau::default() };
    for data in datasets() {
        for level in levels() {
            for (i, kind) in Kind::ALL.into_iter().enumerate() {
                let fresh = || {
                    let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
                    let trainer = Trainer::new(model, kind.settings(0.01));
                    match i % 3 {
                        0 => trainer.schedule(Schedule::on_plateau(plateau).warm_up(3, 0.1)).averaging(2),
                        1 => {
                            let scaler = Scaler::standard(data.x()).expect("finite rows");
                            let trainer = trainer.schedule(Schedule::cosine(20, 0.1).every(2)).clip_norm(0.5);
                            trainer.scaled_by(scaler).expect("the features fit")
                        }
                        _ => trainer.reduction(Reduction::Sum).clip_value(0.25).averaging(0),
                    }
                };
                for stop in [0, 1, 2, 5] {
                    let (mut whole, mut batches) = (fresh(), data.batches(20).seed(1));
                    let mut resumed = None;
                    for step in 0..8 {
                        if step == stop {
                            // Any settings of the same optimizer: the file's are taken.
                            let mut trainer = Trainer::new(
                                SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level),
                                kind.settings(0.5),
                            );
                            trainer.resume_from_bytes(&whole.to_bytes().expect("a state")).expect("a state");
                            let mut again = data.batches(20);
                            again.go_to(batches.position()).expect("a position");
                            resumed = Some((trainer, again));
                        }
                        let loss = whole.step(batches.next_batch()).expect("a step");
                        whole.observe(loss).expect("a finite loss");
                        if step == 3 {
                            whole.set_learning_rate(0.02);
                        }
                        if let Some((trainer, batches)) = &mut resumed {
                            let again = trainer.step(batches.next_batch()).expect("a step");
                            assert_eq!(
                                again.to_bits(),
                                loss.to_bits(),
                                "{level} {kind:?} stopped at {stop}, step {step}"
                            );
                            trainer.observe(again).expect("a finite loss");
                            if step == 3 {
                                trainer.set_learning_rate(0.02);
                            }
                        }
                    }
                    let (mut trainer, _) = resumed.expect("it was stopped");
                    assert_eq!(trainer.model().level(), level);
                    assert_eq!(outcome(&mut trainer), outcome(&mut whole), "{level} {kind:?} stopped at {stop}");
                }
            }
        }
    }
}

#[path = "../../examples/online.rs"]
mod online;

/// The service of the example: what was stopped half way and went on from the disk has the same bits.
#[test]
fn the_service_of_the_example_goes_on_with_the_same_bits() {
    let directory = directory();
    let path = directory.path().join("service.safetensors");
    let shown = std::sync::RwLock::new(SoftmaxRegression::zeros(64, 2));
    let mut whole = online::service();
    online::learn(&mut whole, 0..9_500, &shown).expect("it learns");
    whole.save(&path).expect("a file");
    let mut resumed = Trainer::load(&path).expect("a state");
    let mut losses = Vec::new();
    for trainer in [&mut whole, &mut resumed] {
        online::learn(trainer, 9_500..20_000, &shown).expect("it learns");
        losses.push(outcome(trainer));
    }
    assert_eq!(losses[0], losses[1]);
    let model = shown.read().expect("nobody panicked");
    assert_eq!((&*model, model.classes()), (whole.model(), 3));
    let mut row = [0.0; 64];
    let right = (20_000..21_000).filter(|&step| {
        let label = online::next_row(step, &mut row);
        model.predict(Matrix::from_f32(&row, 64).expect("a row")).expect("finite")[0] == label
    });
    assert!(right.count() > 900);
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn a_run_resumed_within_any_epoch_has_the_same_bits() {
    let [_, data, _] = datasets();
    let (validation, train) = data.split_at(30).expect("30 rows");
    let directory = directory();
    let path = directory.path().join("run.safetensors");
    for stop in [0, 1, 3, 4, 5, 9] {
        let fresh = |seed| {
            let trainer = Trainer::new(SoftmaxRegression::zeros(FEATURES, CLASSES), Adam::new(0.05));
            let batches = train.batches(16).seed(seed);
            Run::new(trainer, batches).validation(&validation).early_stopping(EarlyStopping::new(4))
        };
        let mut whole = fresh(7);
        for _ in 0..stop {
            whole.step().expect("a step");
        }
        whole.save(&path).expect("a file");
        let mut resumed = fresh(99);
        resumed.epoch().expect("an epoch");
        resumed.resume(&path).expect("a run");
        assert_eq!(resumed.epochs(12).expect("a run"), whole.epochs(12).expect("a run"));
        assert_eq!(resumed.history(), whole.history());
        assert_eq!((resumed.best_epoch(), resumed.has_stopped()), (whole.best_epoch(), whole.has_stopped()));
        assert_eq!(outcome(resumed.trainer()), outcome(whole.trainer()));
        assert_eq!(resumed.into_model(), whole.into_model());
    }
}

#[test]
fn a_state_is_a_models_file_too_and_a_trainer_of_its_own() {
    let directory = directory();
    let path = directory.path().join("state.safetensors");
    let [data, ..] = datasets();
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(FEATURES, CLASSES), Adam::new(0.01));
    trainer.step(data.batches(10).next_batch()).expect("a step");
    trainer.add_class().expect("memory");
    trainer.save(&path).expect("a file");
    assert_eq!(&ModelFile::load_tensors(&path, "").expect("a model").model, trainer.model());
    let mut loaded = Trainer::load(&path).expect("a state");
    assert_eq!(loaded.optimizer(), trainer.optimizer());
    assert_eq!(outcome(&mut loaded), outcome(&mut trainer));
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 1);
}

/// A small state, after a step.
fn small(optimizer: impl Into<Optimizer>) -> Vec<u8> {
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), optimizer).averaging(0);
    let x = [1.0, 0.5];
    trainer.step(Batch::new(Matrix::from_f32(&x, 2).expect("a row"), &[1u8][..]).expect("a label")).expect("a step");
    trainer.to_bytes().expect("a state")
}

/// The file with one piece of its header replaced by another of the same length.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = bytes.windows(old.len()).position(|window| window == old.as_bytes()).expect("it is there");
    let mut bytes = bytes.to_vec();
    bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    bytes
}

#[track_caller]
fn refused(optimizer: impl Into<Optimizer>, features: usize, bytes: &[u8], expected: &str) {
    let x = vec![1.0; features];
    let batch = Batch::new(Matrix::from_f32(&x, features).expect("a row"), &[1u8][..]).expect("a label");
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(features, 2), optimizer);
    trainer.step(batch).expect("a step");
    let mut other = trainer.clone();
    let error = trainer.resume_from_bytes(bytes).expect_err(expected);
    assert!(error.to_string().contains(expected), "{error}\nexpected: {expected}");
    for trainer in [&mut trainer, &mut other] {
        trainer.step(batch).expect("a step");
    }
    assert_eq!(outcome(&mut trainer), outcome(&mut other));
}

#[test]
fn what_is_no_state_of_this_trainer_is_refused() {
    let whole = small(Adam::new(0.01));
    let adam = || Adam::new(0.1);
    for length in 0..whole.len() {
        refused(adam(), 2, &whole[..length], "a safetensors model");
    }
    refused(Sgd::new(0.1), 2, &whole, "found the state of Adam, expected that of Sgd, which this trainer has");
    refused(RmsProp::new(0.1), 2, &whole, "expected that of RmsProp");
    refused(adam(), 3, &whole, "found a model of 2 features and 2 classes, expected 3 features and 2 classes");
    let model = SoftmaxRegression::zeros(2, 2).to_bytes().expect("a model");
    refused(adam(), 2, &model, "found no entry \"training\" in the metadata, expected the state of a training");
    refused(adam(), 2, &replaced(&whole, "\"training\"", "\"Training\""), "no entry \"training\"");
    refused(
        adam(),
        2,
        &replaced(&whole, "\\\"settings\\\"", "\\\"Settings\\\""),
        "metadata with missing field `settings`",
    );
    refused(
        adam(),
        2,
        &replaced(&whole, "\\\"states\\\":2", "\\\"states\\\":1"),
        "found 1 states of Adam, expected 2, or none",
    );
    refused(adam(), 2, &replaced(&whole, "state.1.bias", "state.2.bias"), "no tensors state.1.weight and state.1.bias");
    refused(adam(), 2, &replaced(&whole, "\\\"beta1\\\":0.9", "\\\"beta1\\\":1.9"), "beta1: found 1.9");
    refused(
        adam(),
        2,
        &replaced(&whole, "\\\"factor\\\":1.0", "\\\"factor\\\":0.0"),
        "factor of the plateau's changes: found 0",
    );
    refused(
        adam(),
        2,
        &replaced(&whole, "\\\"factor\\\":1.0", "\\\"factor\\\":2.0"),
        "factor of the plateau's changes: found 2",
    );
    refused(adam(), 2, &replaced(&whole, "\\\"steps\\\":1", "\\\"steps\\\":x"), "metadata with");
    // The last but one pair is Adam's squares; the mean's bias and weights follow.
    let mut negative = whole.clone();
    let at = whole.len() - 2 * 24 + 3;
    negative[at] |= 0x80;
    refused(adam(), 2, &negative, "a mean of squares below 0");
    // Their only state.
    for optimizer in [Optimizer::from(Adagrad::new(0.1)), RmsProp::new(0.1).into()] {
        let mut negative = small(optimizer);
        let at = negative.len() - 2 * 24 + 3;
        negative[at] |= 0x80;
        refused(optimizer, 2, &negative, "a mean of squares below 0");
    }
    let mut nan = whole.clone();
    nan[whole.len() - 2 * 24 - 24..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(adam(), 2, &nan, "NaN at position 0 of state.0.bias");
    let old = "\"state.0.weight\":{\"dtype\":\"F32\",\"shape\":[2,2]";
    let other = replaced(&whole, old, &old.replace("[2,2]", "[1,4]"));
    refused(adam(), 2, &other, "found state.0.weight [1, 4], expected weight [2, 2], the shape of the model");
}

#[test]
fn a_run_takes_a_runs_file_and_its_dataset() {
    let directory = directory();
    let path = directory.path().join("run.safetensors");
    let [data, ..] = datasets();
    let trainer = || Trainer::new(SoftmaxRegression::zeros(FEATURES, CLASSES), Adam::new(0.05));
    trainer().save(&path).expect("a file");
    let mut run = Run::new(trainer(), data.batches(20));
    run.epoch().expect("an epoch");
    let before = (run.history().to_vec(), outcome(run.trainer()));
    let error = run.resume(&path).expect_err("no run").to_string();
    assert!(error.contains("found the state of a trainer alone, expected that of a run"), "{error}");
    let mut longer = Run::new(trainer(), data.batches(20));
    longer.epoch().expect("an epoch");
    longer.save(&path).expect("a file");
    let few = data.split_at(10).expect("ten rows").0;
    let mut small = Run::new(trainer(), few.batches(20));
    assert!(matches!(small.resume(&path), Err(Error::Size { what: "rows used of an epoch", found: 90, .. })));
    assert!(small.history().is_empty());
    let mut other =
        Run::new(Trainer::new(SoftmaxRegression::zeros(FEATURES, CLASSES), Sgd::new(0.1)), data.batches(20));
    other.epoch().expect("an epoch");
    other.step().expect("a step");
    let mut same = other.clone();
    let expected = (other.history().to_vec(), outcome(other.trainer()));
    assert!(other.resume(&path).expect_err("another optimizer").to_string().contains("that of Sgd"));
    assert_eq!((other.history().to_vec(), outcome(other.trainer())), expected);
    assert_eq!(other.epoch().expect("an epoch"), same.epoch().expect("an epoch"));
    assert_eq!(outcome(other.trainer()), outcome(same.trainer()));
    assert_eq!((run.history().to_vec(), outcome(run.trainer())), before);
    let missing = run.resume(directory.path().join("none")).expect_err("no file");
    assert!(matches!(missing, Error::Io { .. }), "{missing:?}");
}
