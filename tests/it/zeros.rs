//! Skipping zeros: a trainer's steps on block-sparse rows within the budget of the f64 reference; at any level, of f32 or
//! pixels, whole or picked rows, on any number of threads.

use crate::support::cases::Shape;
use crate::support::compare::Expected;
use crate::support::expect::{self, wide};
use crate::support::failures::{Failures, text};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::{Batch, Dataset, Error, Level, Matrix, Reduction, Sgd, SoftmaxRegression, Targets, Trainer};

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
            let mut trainer = Trainer::new(model.clone(), Sgd::new(RATE.into())).reduction(Reduction::Sum);
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

/// Features of four kinds; rows with values in one kind each, ten of each kind; then a row with values in the first three.
/// Features of a kind are zero in the same rows, so that an index puts them together; in their own order a vector's
/// lanes go through the kinds in turn, each beginning with another.
mod kinds {
    use super::*;

    pub(super) const FEATURES: usize = 64;
    pub(super) const CLASSES: usize = 10;
    /// With fewer nothing is skipped.
    pub(super) const FEWEST_CLASSES: usize = 8;
    /// The row of three kinds.
    pub(super) const MIXED: usize = 40;

    fn kind(feature: usize) -> usize {
        (feature + feature / 16) % 4
    }

    pub(super) fn datasets(classes: usize) -> [Dataset; 2] {
        let has_value =
            |row: usize, feature: usize| if row == MIXED { kind(feature) < 3 } else { kind(feature) == row % 4 };
        let pixels: Vec<u8> =
            (0..=MIXED).flat_map(|row| (0..FEATURES).map(move |f| u8::from(has_value(row, f)) * 255)).collect();
        let values = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        [
            Dataset::from_u8(pixels, vec![0; MIXED + 1], FEATURES, classes),
            Dataset::from_f32(values, vec![0; MIXED + 1], FEATURES, classes),
        ]
        .map(|data| data.expect("the lengths fit"))
    }

    /// Weights of class 0 whose sum over the mixed row depends on its order, and on nothing else: 16 features each of
    /// 2^30, -2^30 and 1/8. Half of the lanes that begin with one kind and take the others in turn lose their eighths in
    /// 2^30. Where all lanes take the kinds in one order, all eighths are lost or none.
    pub(super) fn model(level: Level, classes: usize) -> SoftmaxRegression {
        let mut w = vec![0.0; FEATURES * classes];
        for (feature, w) in w.chunks_exact_mut(classes).enumerate() {
            w[0] = [1_073_741_824.0, -1_073_741_824.0, 0.125, 5.0][kind(feature)];
        }
        let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], FEATURES, classes);
        model.expect("the lengths fit").with_level(level)
    }

    pub(super) const IN_THEIR_OWN_ORDER: f64 = 1.0;
    pub(super) const IN_ANY_OF_AN_INDEX: [f64; 2] = [0.0, 2.0];

    /// The loss of label 0 where the other logits are 0.
    pub(super) fn loss(logit: f64, classes: usize) -> f64 {
        (logit.exp() + (classes - 1) as f64).ln() - logit
    }

    pub(super) fn batch<'a>(data: &'a Dataset, rows: &'a [usize]) -> Batch<'a> {
        let targets = Targets::from_u8(&[0; MIXED + 1][..rows.len()]);
        Batch::new(data.x().select(rows).expect("indices in range"), targets).expect("rows agree")
    }
}

/// That zeros are skipped does not show in the results but for the order of the sums, which is then the index's.
#[test]
fn a_trainers_sums_come_in_the_order_of_the_rows_index_where_the_classes_are_enough() {
    for (level, classes) in levels().into_iter().flat_map(|level| [7, 8, 10, 13].map(|classes| (level, classes))) {
        for dense in kinds::datasets(classes) {
            let skipping = dense.clone().skip_zeros();
            assert!(skipping.skips_zeros());
            let has_logit = |data: &Dataset, among: &[f64]| {
                // Too small a step to change anything.
                let mut trainer = Trainer::new(kinds::model(level, classes), Sgd::new(1e-30));
                let losses = [0; 2].map(|_| trainer.step(kinds::batch(data, &[kinds::MIXED])).expect("a step"));
                assert_eq!(losses[0], losses[1], "{level}, {data:?}");
                let near = |logit: &f64| (losses[0] - kinds::loss(*logit, classes)).abs() < 1e-5;
                assert!(among.iter().any(near), "{level}, {data:?}: a loss of {}", losses[0]);
            };
            has_logit(&dense, &[kinds::IN_THEIR_OWN_ORDER]);
            match classes < kinds::FEWEST_CLASSES {
                true => has_logit(&skipping, &[kinds::IN_THEIR_OWN_ORDER]),
                false => has_logit(&skipping, &kinds::IN_ANY_OF_AN_INDEX),
            }
        }
    }
}

/// What a trainer gives back is an ordinary model, whatever it was trained on.
#[test]
fn a_trained_model_is_the_same_model_made_from_its_weights() {
    for (level, dense) in
        levels().into_iter().flat_map(|level| kinds::datasets(kinds::CLASSES).map(|data| (level, data)))
    {
        let skipping = dense.clone().skip_zeros();
        let mut trainer = Trainer::new(kinds::model(level, kinds::CLASSES), Sgd::new(1e-3));
        trainer.step(kinds::batch(&skipping, &[1, 2, 3])).expect("a step");
        let model = trainer.into_model();
        let (w, b) = (model.to_row_major(), model.bias());
        let rebuilt = SoftmaxRegression::from_row_major(&w, b, kinds::FEATURES, kinds::CLASSES);
        let rebuilt = rebuilt.expect("the lengths fit").with_level(level);
        let logits = |model: &SoftmaxRegression, x: Matrix<'_>| {
            let mut logits = vec![f32::NAN; x.rows() * kinds::CLASSES];
            model.logits_into(x, &mut logits).expect("the shapes fit");
            logits.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
        };
        let expected = logits(&rebuilt, dense.x());
        for (rows, x) in [("plain", dense.x()), ("indexed", skipping.x())] {
            assert_eq!(logits(&model, x), expected, "{level}, {dense:?}: logits of {rows} rows");
            assert_eq!(logits(&rebuilt, x), expected, "{level}, {dense:?}: the rebuilt model's logits of {rows} rows");
        }
    }
}

/// A rate that overflows with the scale is infinite, and times a zero NaN: the step is refused where zeros are skipped as
/// where they are not.
#[test]
fn no_zero_hides_a_rate_that_is_not_finite() {
    for (level, dense) in
        levels().into_iter().flat_map(|level| kinds::datasets(kinds::CLASSES).map(|data| (level, data)))
    {
        for data in [dense.clone(), dense.skip_zeros()] {
            let zeros = SoftmaxRegression::zeros(kinds::FEATURES, kinds::CLASSES).with_level(level);
            let mut trainer = Trainer::new(zeros.clone(), Sgd::new(1e38));
            let Batch { x, targets } = kinds::batch(&data, &[0, 4, 8]);
            let found = trainer.step(Batch::new(x.with_scale(1e10), targets).expect("rows agree"));
            assert!(matches!(found, Err(Error::NonFiniteStep)), "{level}, {data:?}: {found:?}");
            assert_eq!(trainer.into_model(), zeros, "{level}, {data:?}");
        }
    }
}

/// A step of so much weight that parameters might overflow goes on from the last one, whatever order that was in.
#[test]
fn a_careful_step_goes_on_from_one_that_skips_zeros() {
    // Of pixels up to 255, and of values up to 1.
    let data = |level| kinds::datasets(kinds::CLASSES).into_iter().zip([1e36, 6e37]).map(move |data| (level, data));
    for (level, (dense, heavy)) in levels().into_iter().flat_map(data) {
        let after = |data: &Dataset| {
            let zeros = SoftmaxRegression::zeros(kinds::FEATURES, kinds::CLASSES).with_level(level);
            let mut trainer = Trainer::new(zeros, Sgd::new(0.1));
            for (rows, weight) in [([0, 1, 2], 1.0), ([3, 5, 40], heavy), ([4, 5, 6], 1.0)] {
                let mut targets = vec![0.0; 3 * kinds::CLASSES];
                targets.iter_mut().step_by(kinds::CLASSES + 1).for_each(|target| *target = weight);
                let targets = Targets::from_probabilities(&targets, kinds::CLASSES).expect("whole rows");
                let x = data.x().select(&rows).expect("indices in range");
                trainer.step(Batch::new(x, targets).expect("rows agree")).expect("a step");
            }
            trainer.into_model().to_row_major()
        };
        for (found, expected) in after(&dense.clone().skip_zeros()).iter().zip(&after(&dense)) {
            assert!((found - expected).abs() <= 1e-5, "{level}, {dense:?}: {found} for {expected}");
        }
    }
}

/// A panel may have values in the last rows of a block of 128 alone.
#[test]
fn values_of_the_last_rows_of_a_block_alone_are_learnt() {
    let (rows, features, classes) = (128, 64, 10);
    let pixels: Vec<u8> = (0..rows * features)
        .map(|at| if at / features / 64 == at % features / 32 { 1 + (at * 37 % 255) as u8 } else { 0 })
        .collect();
    let labels = (0..rows).map(|row| (row % classes) as u8).collect();
    let dense = Dataset::from_u8(pixels, labels, features, classes).expect("the lengths fit");
    let skipping = dense.clone().skip_zeros();
    assert!(skipping.skips_zeros());
    for level in levels() {
        let after = |data: &Dataset| {
            let zeros = SoftmaxRegression::zeros(features, classes).with_level(level);
            let mut trainer = Trainer::new(zeros, Sgd::new(0.01)).reduction(Reduction::Sum);
            trainer.step(data.as_batch()).expect("a step");
            trainer.into_model().to_row_major()
        };
        for (found, expected) in after(&skipping).iter().zip(&after(&dense)) {
            assert!((found - expected).abs() <= 1e-5, "{level}: {found} for {expected}");
        }
    }
}

/// A thread may begin with panels after the first word of the bitmaps.
#[test]
fn threads_that_begin_in_a_later_word_change_nothing() {
    let shape = Shape { rows: 130, features: 2200, classes: 10 };
    for (level, data) in levels().into_iter().flat_map(|level| datasets(shape, 5).map(|data| (level, data))) {
        let skipping = data.skip_zeros();
        assert!(skipping.skips_zeros());
        let zeros = SoftmaxRegression::zeros(shape.features, shape.classes).with_level(level);
        assert!(train(&skipping, 0, &zeros, 2) == train(&skipping, 0, &zeros, 1), "{level}, {skipping:?}");
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

/// Two fifths of the blocks must be zero, in rows spread evenly over all.
#[test]
fn two_fifths_of_all_rows_blocks_must_be_zero() {
    let indexed = |zero: &dyn Fn(usize) -> bool| {
        let pixels = (0..2000).flat_map(|row| [u8::from(!zero(row)); 16]).collect();
        let data = Dataset::from_u8(pixels, vec![0; 2000], 16, 1).expect("the lengths fit");
        data.skip_zeros().skips_zeros()
    };
    assert!(indexed(&|row| row % 100 < 41));
    assert!(!indexed(&|row| row % 100 < 39));
    assert!(indexed(&|row| row >= 1100), "the last rows count");
    assert!(!indexed(&|row| row < 700), "the first rows are not all");
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
    // Each case is hundreds of milliseconds of f64 reference.
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

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
