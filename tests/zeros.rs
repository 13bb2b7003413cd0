//! Skipping zeros: a trainer's steps on block-sparse rows within the budget of the f64 reference; at any level, of f32 or
//! pixels, whole or picked rows, on any number of threads.

mod support;

use proptest::prelude::*;
use softreg::{Batch, Dataset, Error, Level, Reduction, Sgd, SoftmaxRegression, Trainer};
use support::cases::Shape;
use support::compare::Expected;
use support::expect::{self, wide};
use support::failures::{Failures, text};
use support::levels::levels;
use support::random::Random;

/// Panels are of 16 features, words of 64 panels; rows go through the update in blocks of 64 or 128; with fewer than 8
/// classes nothing is skipped.
const FEATURES: [usize; 10] = [7, 15, 16, 33, 100, 784, 785, 1023, 1024, 1040];
const CLASSES: [usize; 8] = [7, 8, 10, 12, 13, 17, 25, 40];
const ROWS: [usize; 7] = [1, 15, 16, 63, 64, 65, 130];

/// Rows of a few kinds, in each of which other features are zero; some rows all zero, some values too.
fn datasets(shape: Shape, seed: u64) -> [Dataset; 2] {
    let Shape { rows, features, classes } = shape;
    let mut random = Random::new(seed);
    let mut pixels = random.pixels(rows * features);
    for row in pixels.chunks_exact_mut(features) {
        let kind = random.below(4);
        row.iter_mut().enumerate().filter(|(feature, _)| feature * 7 % 4 != kind).for_each(|(_, pixel)| *pixel = 0);
    }
    pixels.chunks_exact_mut(features).step_by(5).for_each(|row| row.fill(0));
    let labels: Vec<u8> = random.labels(rows, classes).into_iter().map(|label| label as u8).collect();
    // -0.0 is zero too.
    let value = |&pixel: &u8| if pixel == 0 { -0.0 } else { f32::from(pixel) / 255.0 - 0.5 };
    let values = pixels.iter().map(value).collect();
    let wide = labels.iter().copied().map(u32::from).collect();
    [Dataset::from_u8(pixels, labels, features, classes), Dataset::from_f32(values, wide, features, classes)]
        .map(|data| data.expect("the lengths fit"))
}

/// What the kernels read the rows as, `[rows, features]`.
fn exact(data: &Dataset, element: &str, rows: &[usize]) -> Vec<f64> {
    let values = data.to_f32();
    let read = |value: &f32| match element {
        "u8" => f64::from((value * 255.0).round()) * f64::from(1.0f32 / 255.0),
        _ => f64::from(*value),
    };
    rows.iter().flat_map(|row| values[row * data.features()..][..data.features()].iter().map(read)).collect()
}

/// One step of a trainer on block-sparse rows: its loss, the weights it leaves, and those of the same rows in two parts.
fn check(level: Level, shape: Shape, seed: u64) -> Result<(), String> {
    let Shape { rows, features, classes } = shape;
    let mut random = Random::new(seed);
    let (w, b) = (random.numbers(features * classes, 1.0), random.numbers(classes, 1.0));
    let model = SoftmaxRegression::from_row_major(&w, &b, features, classes).map_err(text)?.with_level(level);
    let (all, picked): (Vec<_>, _) = ((0..rows).collect(), random.indices(rows, rows));
    for (element, dense) in ["u8", "f32"].into_iter().zip(datasets(shape, seed)) {
        let skipping = dense.clone().skip_zeros();
        for rows in [&all, &picked] {
            let x = skipping.x().select(rows).map_err(text)?;
            let batch = Batch::new(x, skipping.targets().select(rows).map_err(text)?).map_err(text)?;
            let mut trainer = Trainer::new(model.clone(), Sgd::new(RATE)).reduction(Reduction::Sum);
            let loss = trainer.step(batch).map_err(text)?;
            let expected = Step::of(&exact(&dense, element, rows), &dense, rows, &w, &b);
            if (loss - expected.loss).abs() > expected.loss_tolerance {
                let Step { loss: want, loss_tolerance, .. } = expected;
                return Err(format!("{element} loss: {loss:e}, wanted {want:e} +- {loss_tolerance:e}"));
            }
            let stepped = trainer.into_model();
            expected.weights.check(&stepped.to_row_major()).map_err(|error| format!("{element} weights: {error}"))?;
            expected.bias.check(stepped.bias()).map_err(|error| format!("{element} bias: {error}"))?;
        }
    }
    Ok(())
}

const RATE: f32 = 0.1;

/// What a step should do.
struct Step {
    loss: f64,
    loss_tolerance: f64,
    weights: Expected,
    bias: Expected,
}

impl Step {
    /// The step on rows `x` of a dataset. An error of `e` in a row's logits changes its loss, and each probability, by at
    /// most `2 e`.
    fn of(x: &[f64], data: &Dataset, rows: &[usize], w: &[f32], b: &[f32]) -> Self {
        let (classes, rate) = (b.len(), f64::from(RATE));
        let features = w.len() / classes;
        let z = expect::forward(x, &wide(w), &wide(b));
        let hot = data.one_hot();
        let targets: Vec<f32> = rows.iter().flat_map(|row| &hot[row * classes..][..classes]).copied().collect();
        let (losses, residual) = expect::cross_entropy(&z.values, &wide(&targets), classes);
        let row_errors: Vec<f64> =
            z.tolerances.chunks(classes).map(|row| 2.0 * row.iter().copied().fold(0.0, f64::max)).collect();
        let (mut weights, mut bias) = expect::sgd_step(x, &residual.values, rate, &wide(w), &wide(b));
        for (row, error) in row_errors.iter().enumerate() {
            for class in 0..classes {
                let error = rate * (error + residual.tolerances[row * classes + class]);
                for feature in 0..features {
                    weights.tolerances[feature * classes + class] += error * x[row * features + feature].abs();
                }
                bias.tolerances[class] += error;
            }
        }
        let loss_tolerance =
            losses.tolerances.iter().zip(&row_errors).map(|(tolerance, error)| tolerance + error).sum();
        Self { loss: losses.values.iter().sum(), loss_tolerance, weights, bias }
    }
}

#[test]
fn every_shape_is_within_the_budget() {
    let mut failures = Failures::default();
    for level in levels() {
        for (i, features) in FEATURES.into_iter().enumerate() {
            for (j, classes) in CLASSES.into_iter().enumerate() {
                let shape = Shape { rows: ROWS[(i + j) % ROWS.len()], features, classes };
                failures.check(format!("{level} {shape}"), || check(level, shape, (i * 100 + j) as u64));
            }
        }
    }
    failures.finish();
}

/// Values that are not finite are no zeros: the step that meets one fails as it does on dense rows, and changes nothing.
#[test]
fn what_is_not_finite_is_not_skipped() {
    let shape = Shape { rows: 40, features: 100, classes: 10 };
    for level in levels() {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for seed in 0..20 {
                let [_, data] = datasets(shape, seed);
                let mut values = data.to_f32();
                values[Random::new(seed).below(4000)] = poison;
                let data = Dataset::from_f32(values, data.labels(), 100, 10).expect("the lengths fit").skip_zeros();
                assert!(data.skips_zeros());
                let model = SoftmaxRegression::from_row_major(&[0.5; 1000], &[0.0; 10], 100, 10);
                let model = model.expect("the shape fits").with_level(level);
                let mut trainer = Trainer::new(model.clone(), Sgd::new(0.1));
                let found = trainer.step(data.as_batch());
                assert!(matches!(found, Err(Error::NonFiniteLoss { .. })), "{level} {poison} {seed}: {found:?}");
                assert_eq!(trainer.into_model(), model, "{level} {poison} {seed}");
            }
        }
    }
}

#[test]
fn only_data_with_zeros_is_indexed() {
    let indexed = |pixels: Vec<u8>| {
        let labels = vec![0; pixels.len() / 16];
        let data = Dataset::from_u8(pixels, labels, 16, 1).expect("the lengths fit").skip_zeros();
        data.skips_zeros()
    };
    assert!(indexed([[0; 16], [1; 16]].concat()));
    assert!(!indexed(vec![1; 160]));
    assert!(!indexed(vec![]));
}

/// What a trainer leaves behind after a few steps: losses, the loss of all rows, weights.
fn train(data: &Dataset, split: usize, model: &SoftmaxRegression, threads: usize) -> (Vec<f64>, f64, Vec<f32>) {
    let rest = data.split_at(split).expect("fewer rows than there are").1;
    let mut trainer = Trainer::new(model.clone().with_threads(threads), Sgd::new(0.001)).reduction(Reduction::Sum);
    // Work enough for four threads.
    let mut batches = rest.batches(800).seed(split as u64);
    let losses = (0..4).map(|_| trainer.step(batches.next_batch()).expect("a step")).collect();
    let loss = trainer.model().log_loss(Batch::from(data)).expect("the shapes fit");
    (losses, loss, trainer.into_model().to_row_major())
}

proptest! {
    #[test]
    fn random_shapes_are_within_the_budget(
        rows in 1..200_usize, features in 1..1200_usize, classes in 8..30_usize, seed: u64,
    ) {
        for level in levels() {
            let outcome = check(level, Shape { rows, features, classes }, seed);
            prop_assert!(outcome.is_ok(), "{level}: {outcome:?}");
        }
    }

    /// Both parts of a split keep their share of the index, threads change nothing, and where nothing is skipped the
    /// same is learnt.
    #[test]
    fn training_learns_the_same(split in 0..150_usize, threads in 2..4_usize, seed: u64) {
        let shape = Shape { rows: 400, features: 600, classes: 10 };
        for level in levels() {
            let model = SoftmaxRegression::zeros(shape.features, shape.classes).with_level(level);
            for data in datasets(shape, seed) {
                let skipping = data.clone().skip_zeros();
                prop_assert!(skipping.skips_zeros());
                let found = train(&skipping, split, &model, 1);
                prop_assert_eq!(&train(&skipping, split, &model, threads), &found);
                let expected = train(&data, split, &model, 1);
                prop_assert!((found.1 - expected.1).abs() <= 1e-6 * expected.1, "{} for {}", found.1, expected.1);
                for (found, expected) in found.2.iter().zip(&expected.2) {
                    prop_assert!((found - expected).abs() <= 1e-5, "{found} for {expected}");
                }
            }
        }
    }

    /// A trainer may be given rows of any dataset in any turn.
    #[test]
    fn orders_may_change_from_step_to_step(turns in prop::collection::vec(0..3_usize, 1..8), seed: u64) {
        let shape = Shape { rows: 60, features: 100, classes: 9 };
        let [data, _] = datasets(shape, seed);
        let [other, _] = datasets(shape, seed.wrapping_add(1));
        let choices = [data.clone(), data.clone().skip_zeros(), other.clone().skip_zeros()];
        let plain = [&data, &data, &other];
        for level in levels() {
            let trainer = || Trainer::new(SoftmaxRegression::zeros(100, 9).with_level(level), Sgd::new(0.01)).reduction(Reduction::Sum);
            let (mut found, mut expected) = (trainer(), trainer());
            for &turn in &turns {
                found.step(choices[turn].as_batch()).expect("a step");
                expected.step(plain[turn].as_batch()).expect("a step");
            }
            let [found, expected] = [found, expected].map(|trainer| trainer.into_model().to_row_major());
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-5, "{level}: {found} for {expected}");
            }
        }
    }
}
