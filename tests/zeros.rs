//! Skipping blocks of zeros changes no bit of any result, at any level, of f32 or pixels, whole or picked rows, on any
//! number of threads. Whether the results are right is asked elsewhere.

mod support;

use proptest::prelude::*;
use softreg::{Batch, Dataset, Level, Matrix, Sgd, SoftmaxRegression, Trainer, Weights, kernel};
use support::cases::Shape;
use support::failures::Failures;
use support::levels::levels;
use support::random::Random;

/// Blocks are of 8 features, words of 64 blocks, panels of 16; rows go through the update in blocks of 64 or 128; with fewer
/// than 16 rows or 8 classes nothing is skipped.
const FEATURES: [usize; 13] = [7, 8, 15, 16, 24, 33, 100, 511, 512, 520, 784, 785, 1040];
const CLASSES: [usize; 8] = [7, 8, 10, 12, 13, 17, 25, 40];
const ROWS: [usize; 6] = [15, 16, 63, 64, 65, 130];

/// Rows with zero blocks of every kind: whole rows, single blocks, half blocks, none; four fifths of all, so that every
/// level skips them.
fn datasets(shape: Shape, seed: u64) -> [Dataset; 2] {
    let Shape { rows, features, classes } = shape;
    let mut random = Random::new(seed);
    let mut pixels = random.pixels(rows * features);
    for row in pixels.chunks_exact_mut(features) {
        row.chunks_mut(8).filter(|_| random.below(4) > 0).for_each(|block| block.fill(0));
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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The logits, the gradient and the stepped weights of one matrix.
fn results(level: Level, x: Matrix<'_>, weights: &Weights, bias: &[f32], residual: &[f32]) -> [Vec<u32>; 3] {
    let mut logits = vec![f32::NAN; x.rows() * bias.len()];
    kernel::forward(level, x, weights, bias, &mut logits).expect("the shapes fit");
    let (mut gradient, mut bias_gradient) = (weights.clone(), bias.to_vec());
    kernel::gradient(level, x, residual, &mut gradient, &mut bias_gradient).expect("the shapes fit");
    let (mut stepped, mut stepped_bias) = (weights.clone(), bias.to_vec());
    kernel::sgd_step(level, x, residual, 0.1, &mut stepped, &mut stepped_bias).expect("the shapes fit");
    [bits(&logits), bits(&gradient.to_row_major()), bits(&stepped.to_row_major())]
}

fn check(level: Level, shape: Shape, seed: u64, poison: Option<f32>) -> Result<(), String> {
    let Shape { rows, features, classes } = shape;
    let mut random = Random::new(seed);
    let mut w = random.numbers(features * classes, 1.0);
    let mut residual = random.numbers(rows * classes, 1.0);
    if let Some(poison) = poison {
        let (in_weights, in_residual) = (random.below(w.len()), random.below(residual.len()));
        w[in_weights] = poison;
        residual[in_residual] = poison;
    }
    let weights = Weights::from_row_major(&w, features, classes).expect("the shape of the weights");
    let bias = random.numbers(classes, 1.0);
    let picked = random.indices(rows, rows);
    for (element, dense) in ["u8", "f32"].into_iter().zip(datasets(shape, seed)) {
        let skipping = dense.clone().skip_zeros();
        let whole = [dense.x(), skipping.x()];
        let picked = whole.map(|x| x.select(&picked).expect("indices of rows"));
        for (what, [dense, skipping]) in [("whole", whole), ("picked", picked)] {
            let expected = results(level, dense, &weights, &bias, &residual);
            let found = results(level, skipping, &weights, &bias, &residual);
            for ((name, expected), found) in ["logits", "gradient", "step"].iter().zip(expected).zip(found) {
                if expected != found {
                    return Err(format!("{name} of {what} {element} rows differ"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_shape_gives_the_same_bits() {
    let mut failures = Failures::default();
    for level in levels() {
        for (i, features) in FEATURES.into_iter().enumerate() {
            for (j, classes) in CLASSES.into_iter().enumerate() {
                let shape = Shape { rows: ROWS[(i + j) % ROWS.len()], features, classes };
                failures.check(format!("{level} {shape}"), || check(level, shape, (i * 100 + j) as u64, None));
            }
        }
    }
    failures.finish();
}

/// 0 * NaN is NaN: a block of zeros must not hide a weight or a residual that is not finite.
#[test]
fn no_block_hides_what_is_not_finite() {
    let mut failures = Failures::default();
    for level in levels() {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for seed in 0..20 {
                let shape = Shape { rows: 40, features: 100, classes: 10 };
                failures.check(format!("{level} {poison} {seed}"), || check(level, shape, seed, Some(poison)));
            }
        }
    }
    failures.finish();
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
    let narrow = Dataset::from_u8(vec![0; 15], vec![0], 15, 1).expect("the lengths fit");
    assert!(!narrow.skip_zeros().skips_zeros(), "there is no whole panel");
}

proptest! {
    #[test]
    fn random_shapes_give_the_same_bits(
        rows in 16..200_usize, features in 1..1200_usize, classes in 8..30_usize, seed: u64,
    ) {
        for level in levels() {
            let outcome = check(level, Shape { rows, features, classes }, seed, None);
            prop_assert!(outcome.is_ok(), "{level}: {outcome:?}");
        }
    }

    /// Both halves of a split keep their share of the index, and threads change nothing.
    #[test]
    fn training_gives_the_same_bits(split in 0..150_usize, threads in 1..4_usize, seed: u64) {
        let shape = Shape { rows: 400, features: 600, classes: 10 };
        for level in levels() {
            for data in datasets(shape, seed) {
                let skipping = data.clone().skip_zeros();
                prop_assert!(skipping.skips_zeros());
                let run = |data: &Dataset, threads| {
                    let rest = data.split_at(split).expect("fewer rows than there are").1;
                    let model = SoftmaxRegression::zeros(shape.features, shape.classes).with_level(level);
                    let mut trainer = Trainer::new(model.with_threads(threads), Sgd::new(0.001));
                    let mut batches = rest.batches(200).seed(seed);
                    let losses: Vec<f64> = (0..4).map(|_| trainer.step(batches.next_batch()).expect("a step")).collect();
                    let batch = Batch::from(data);
                    let loss = trainer.model().log_loss(batch).expect("the shapes fit");
                    (losses, loss, trainer.model().to_row_major())
                };
                prop_assert_eq!(run(&data, 1), run(&skipping, threads));
            }
        }
    }
}
