//! Skipping zeros: logits within the budget of the f64 reference, gradients and steps the same to the last bit as where
//! nothing is skipped; at any level, of f32 or pixels, whole or picked rows, on any number of threads.

mod support;

use proptest::prelude::*;
use softreg::{Batch, Dataset, Level, Matrix, Sgd, SoftmaxRegression, Trainer, Weights, kernel};
use support::cases::Shape;
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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn logits(level: Level, x: Matrix<'_>, weights: &Weights, bias: &[f32]) -> Vec<f32> {
    let mut logits = vec![f32::NAN; x.rows() * bias.len()];
    kernel::forward(level, x, weights, bias, &mut logits).expect("the shapes fit");
    logits
}

/// The gradient and the stepped weights.
fn updates(level: Level, x: Matrix<'_>, weights: &Weights, bias: &[f32], residual: &[f32]) -> [Vec<u32>; 2] {
    let (mut gradient, mut bias_gradient) = (weights.clone(), bias.to_vec());
    kernel::gradient(level, x, residual, &mut gradient, &mut bias_gradient).expect("the shapes fit");
    let (mut stepped, mut stepped_bias) = (weights.clone(), bias.to_vec());
    kernel::sgd_step(level, x, residual, 0.1, &mut stepped, &mut stepped_bias).expect("the shapes fit");
    [bits(&gradient.to_row_major()), bits(&stepped.to_row_major())]
}

fn check(level: Level, shape: Shape, seed: u64) -> Result<(), String> {
    let Shape { rows, features, classes } = shape;
    let mut random = Random::new(seed);
    let w = random.numbers(features * classes, 1.0);
    let residual = random.numbers(rows * classes, 1.0);
    let weights = Weights::from_row_major(&w, features, classes).map_err(text)?;
    let bias = random.numbers(classes, 1.0);
    let (all, picked): (Vec<_>, _) = ((0..rows).collect(), random.indices(rows, rows));
    for (element, dense) in ["u8", "f32"].into_iter().zip(datasets(shape, seed)) {
        let skipping = dense.clone().skip_zeros();
        let ordered = weights.clone().ordered_for(skipping.x());
        if ordered != weights || ordered.to_class_major() != weights.to_class_major() {
            return Err(format!("{element}: another order shows in the weights"));
        }
        for rows in [&all, &picked] {
            let (x, plain) = (skipping.x().select(rows).map_err(text)?, dense.x().select(rows).map_err(text)?);
            let found = logits(level, x, &ordered, &bias);
            expect::forward(&exact(&dense, element, rows), &wide(&w), &wide(&bias))
                .check(&found)
                .map_err(|error| format!("{element} logits: {error}"))?;
            let (first, rest) = rows.split_at(rows.len() / 3);
            let mut halves = logits(level, skipping.x().select(first).map_err(text)?, &ordered, &bias);
            halves.extend(logits(level, skipping.x().select(rest).map_err(text)?, &ordered, &bias));
            if bits(&halves) != bits(&found) {
                return Err(format!("{element}: logits depend on the batch"));
            }
            let expected = updates(level, plain, &weights, &bias, &residual);
            if updates(level, x, &ordered, &bias, &residual) != expected {
                return Err(format!("{element} updates differ"));
            }
            // Rows and weights in different orders go the usual way.
            let usual = [logits(level, plain, &weights, &bias), logits(level, plain, &ordered, &bias)];
            let mixed = logits(level, x, &weights, &bias);
            if usual.iter().any(|usual| bits(usual) != bits(&mixed)) {
                return Err(format!("{element}: logits of different orders differ"));
            }
            if updates(level, plain, &ordered, &bias, &residual) != expected {
                return Err(format!("{element} updates of plain rows differ"));
            }
        }
    }
    Ok(())
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

/// 0 * NaN is NaN: a zero must not hide a weight or a residual that is not finite.
#[test]
fn no_zero_hides_what_is_not_finite() {
    let shape = Shape { rows: 40, features: 100, classes: 10 };
    let Shape { rows, features, classes } = shape;
    for level in levels() {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for seed in 0..20 {
                let mut random = Random::new(seed);
                let mut w = random.numbers(features * classes, 1.0);
                let mut residual = random.numbers(rows * classes, 1.0);
                let weights = Weights::from_row_major(&w, features, classes).expect("the shape of the weights");
                let (in_weights, in_residual) = (random.below(w.len()), random.below(residual.len()));
                w[in_weights] = poison;
                residual[in_residual] = poison;
                let poisoned = Weights::from_row_major(&w, features, classes).expect("the shape of the weights");
                let bias = random.numbers(classes, 1.0);
                for dense in datasets(shape, seed) {
                    let skipping = dense.clone().skip_zeros();
                    let (x, plain) = (skipping.x(), dense.x());
                    let ordered = poisoned.clone().ordered_for(x);
                    let expected = logits(level, plain, &poisoned, &bias);
                    assert_eq!(bits(&logits(level, x, &ordered, &bias)), bits(&expected), "{level} {poison} {seed}");
                    let ordered = weights.clone().ordered_for(x);
                    let expected = updates(level, plain, &weights, &bias, &residual);
                    let found = updates(level, x, &ordered, &bias, &residual);
                    assert_eq!(found, expected, "{level} {poison} {seed}");
                }
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
    let mut trainer = Trainer::new(model.clone().with_threads(threads), Sgd::new(0.001));
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
            let trainer = || Trainer::new(SoftmaxRegression::zeros(100, 9).with_level(level), Sgd::new(0.01));
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
