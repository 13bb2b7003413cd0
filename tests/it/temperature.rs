//! Temperature scaling: against a search in f64 that knows nothing of derivatives, against closed forms, and against laws.

use crate::support::compare::same_bits;
use crate::support::expect::wide;
use crate::support::levels::levels;
use crate::support::random::Random;
use crate::support::reference;
use crate::support::targets::Ingredients;
use proptest::prelude::*;
use softreg::{Batch, Error, Matrix, SoftmaxRegression, Targets};

/// The mean cross-entropy of logits divided by a temperature.
fn loss(logits: &[f64], targets: &[f64], classes: usize, temperature: f64) -> f64 {
    let logits: Vec<f64> = logits.iter().map(|z| z / temperature).collect();
    reference::cross_entropy(&logits, targets, classes).0.iter().sum::<f64>() / targets.iter().sum::<f64>()
}

/// The temperature of the least loss from 1e-3 to 1e3: golden-section search over its logarithm.
fn golden_section(logits: &[f64], targets: &[f64], classes: usize) -> f64 {
    let at = |ln: f64| loss(logits, targets, classes, ln.exp());
    let ratio = (5_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (1e-3_f64.ln(), 1e3_f64.ln());
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (at(left), at(right));
    while high - low > 1e-9 {
        if at_left < at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = at(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = at(right);
        }
    }
    (0.5 * (low + high)).exp()
}

/// A model that is too sure or not sure enough, by its size, and labels that follow it most of the time but not always.
struct Data {
    model: SoftmaxRegression,
    values: Vec<f32>,
    labels: Vec<u32>,
    soft: Vec<f32>,
    weights: Vec<f32>,
    classes: usize,
}

const FEATURES: usize = 5;

impl Data {
    fn new(rows: usize, classes: usize, size: f32, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let (w, b) = (random.numbers(FEATURES * classes, size), random.numbers(classes, size));
        let model = SoftmaxRegression::from_row_major(&w, &b, FEATURES, classes).expect("the lengths fit");
        let values = random.numbers(rows * FEATURES, 1.0);
        let predicted = model.predict(Matrix::from_f32(&values, FEATURES).expect("whole rows")).expect("finite");
        let label = |(row, class): (usize, u32)| match row % 7 {
            0 => (class + 1) % classes as u32,
            1 => random.below(classes) as u32,
            _ => class,
        };
        let labels: Vec<u32> = predicted.into_iter().enumerate().map(label).collect();
        let mut soft = random.soft_targets(rows, classes);
        soft.chunks_exact_mut(classes).zip(&labels).for_each(|(row, &label)| row[label as usize] += classes as f32);
        let weights = (0..rows).map(|row| (random.below(4) + usize::from(row % 7 == 0)) as f32 / 2.0).collect();
        Self { model, values, labels, soft, weights, classes }
    }

    fn x(&self) -> Matrix<'_> {
        Matrix::from_f32(&self.values, FEATURES).expect("whole rows")
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(self.x(), &self.labels[..]).expect("a label a row")
    }

    fn logits(&self, model: &SoftmaxRegression) -> Vec<f64> {
        let mut logits = vec![0.0; self.labels.len() * self.classes];
        model.logits_into(self.x(), &mut logits).expect("the shapes fit");
        wide(&logits)
    }

    /// One-hot targets, each row multiplied by its weight.
    fn one_hot(&self, weights: &[f32]) -> Vec<f64> {
        let one_hot = |(&label, &weight): (&u32, &f32)| {
            (0..self.classes).map(move |class| if class == label as usize { f64::from(weight) } else { 0.0 })
        };
        self.labels.iter().zip(weights).flat_map(one_hot).collect()
    }
}

fn near(found: f64, expected: f64, tolerance: f64) -> bool {
    (found / expected - 1.0).abs() <= tolerance
}

/// How far from the least loss a search may end, as a share of the temperature: the loss is a parabola there, and all lower
/// than the rounding of its sum are one to the search.
fn budget(logits: &[f64], targets: &[f64], classes: usize, temperature: f64) -> f64 {
    let at = |factor: f64| loss(logits, targets, classes, factor * temperature);
    let step = 0.02_f64;
    let curvature = (at(step.exp()) + at((-step).exp()) - 2.0 * at(1.0)) / (step * step);
    let rounding = 16.0 * f64::EPSILON * at(1.0);
    (2.0 * rounding / curvature).sqrt() + 1e-8
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_temperature_is_that_of_a_search_in_f64(
        rows in 40usize..200,
        classes in 2usize..8,
        ln_size in -3.0f32..4.0,
        seed: u64,
    ) {
        let data = Data::new(rows, classes, ln_size.exp(), seed);
        let soft = Targets::from_probabilities(&data.soft, classes).expect("whole rows");
        let weighted = Targets::from_u32(&data.labels).with_row_weights(&data.weights).expect("a weight a row");
        for level in levels() {
            let model = data.model.clone().with_level(level);
            let logits = data.logits(&model);
            for (name, targets, reference) in [
                ("labels", Targets::from_u32(&data.labels), data.one_hot(&vec![1.0; rows])),
                ("weights", weighted, data.one_hot(&data.weights)),
                ("soft", soft, wide(&data.soft)),
            ] {
                let found = model.temperature(Batch::new(data.x(), targets).expect("rows agree")).expect("finite");
                let expected = golden_section(&logits, &reference, classes);
                let budget = budget(&logits, &reference, classes, expected);
                prop_assert!(budget < 1e-4, "{level}, {name}: {budget} tells nothing");
                prop_assert!(near(found, expected, budget), "{level}, {name}: {found} for {expected} +- {budget}");
            }
        }
    }

    /// Logits that are three times as large are as well divided by three times as much.
    #[test]
    fn a_model_scaled_by_3_has_three_times_the_temperature(classes in 2usize..8, seed: u64) {
        let data = Data::new(150, classes, 2.0, seed);
        let temperature = data.model.temperature(data.batch()).expect("finite");
        let scaled: Vec<f32> = data.model.to_row_major().iter().map(|w| 3.0 * w).collect();
        let bias: Vec<f32> = data.model.bias().iter().map(|b| 3.0 * b).collect();
        let scaled = SoftmaxRegression::from_row_major(&scaled, &bias, FEATURES, classes).expect("the lengths fit");
        let found = scaled.temperature(data.batch()).expect("finite");
        prop_assert!(near(found, 3.0 * temperature, 1e-5), "{found} for 3 x {temperature}");
    }

    /// Of a calibrated model the temperature is 1, its loss is no larger, and its classes are the same.
    #[test]
    fn a_calibrated_model_is_no_worse_and_says_the_same(classes in 2usize..8, ln_size in -3.0f32..4.0, seed: u64) {
        let data = Data::new(150, classes, ln_size.exp(), seed);
        let before = data.model.evaluate(data.batch()).expect("finite");
        let temperature = data.model.temperature(data.batch()).expect("finite");
        let calibrated = data.model.clone().with_temperature(temperature).expect("finite");
        let after = calibrated.evaluate(data.batch()).expect("finite");
        prop_assert!(after.log_loss <= before.log_loss * (1.0 + 1e-6), "{} from {}", after.log_loss, before.log_loss);
        // Of logits that are the same but for rounding, either class is the best.
        let classes_after = calibrated.predict(data.x()).expect("finite");
        for (logits, class) in data.logits(&data.model).chunks_exact(classes).zip(classes_after) {
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let size = logits.iter().fold(0.0, |size: f64, z| size.max(z.abs()));
            prop_assert!(logits[class as usize] >= largest - 1e-5 * size, "class {class} of {logits:?}");
        }
        let again = calibrated.temperature(data.batch()).expect("finite");
        prop_assert!(near(again, 1.0, 1e-5), "{again} after {temperature}");
        // A little to either side it is worse.
        for factor in [0.9, 1.1] {
            let worse = data.model.clone().with_temperature(factor * temperature).expect("finite");
            prop_assert!(worse.log_loss(data.batch()).expect("finite") > after.log_loss, "{factor} x {temperature}");
        }
    }

    /// Weight 2 is the row twice, weight 0 no row, and a common factor nothing.
    #[test]
    fn a_weight_is_the_row_as_often(classes in 2usize..6, seed: u64) {
        let data = Data::new(120, classes, 2.0, seed);
        let weights: Vec<f32> = (0..120).map(|row| [1.0, 2.0, 0.0, 3.0][row % 4]).collect();
        let order: Vec<usize> = (0..120).flat_map(|row| vec![row; weights[row] as usize]).collect();
        let repeated = Batch::new(
            data.x().select(&order).expect("rows"),
            Targets::from_u32(&data.labels).select(&order).expect("rows"),
        );
        let expected = data.model.temperature(repeated.expect("rows agree")).expect("finite");
        for factor in [1.0, 2_f32.powi(-60), 2_f32.powi(60)] {
            let weights: Vec<f32> = weights.iter().map(|weight| factor * weight).collect();
            let targets = Targets::from_u32(&data.labels).with_row_weights(&weights).expect("a weight a row");
            let found = data.model.temperature(Batch::new(data.x(), targets).expect("rows agree")).expect("finite");
            prop_assert!(near(found, expected, 1e-9), "{factor}: {found} for {expected}");
        }
    }
}

/// All that targets may be made of counts as in the loss.
#[test]
fn class_weights_smoothing_and_an_ignored_label_count_as_in_the_loss() {
    let data = Data::new(200, 4, 3.0, 5);
    let ingredients = Ingredients {
        class_weights: Some(vec![1.0, 0.5, 2.0, 0.25]),
        smoothing: Some(0.1),
        ignored: Some(2),
        rows: Some(data.weights.clone()),
        ..Ingredients::default()
    };
    let targets = ingredients.targets(&data.labels, 4).expect("they go together");
    let batch = Batch::new(data.x(), targets).expect("rows agree");
    let temperature = data.model.temperature(batch).expect("finite");
    let loss = |temperature| {
        data.model.clone().with_temperature(temperature).expect("finite").log_loss(batch).expect("finite")
    };
    let least = loss(temperature);
    assert!(least < loss(1.0), "{least} at {temperature}");
    // Near its least the loss is a parabola.
    let (left, right) = (loss(0.98 * temperature) - least, loss(temperature / 0.98) - least);
    assert!(left > 0.0 && near(left, right, 0.05), "{left} and {right} around {temperature}");
}

/// Logits of 3 and -3, right three times of four: `softmax(6 / T)` has to be 3/4.
#[test]
fn a_closed_form_is_met() {
    let expected = 6.0 / 3_f64.ln();
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&[3.0, -3.0], &[0.0; 2], 1, 2).expect("1 x 2").with_level(level);
        let found = |x: &[f32], targets: Targets<'_>| {
            let x = Matrix::from_f32(x, 1).expect("one feature");
            model.temperature(Batch::new(x, targets).expect("rows agree")).expect("finite")
        };
        let labels = found(&[1.0; 4], Targets::from_u8(&[0, 0, 1, 0]));
        let soft = found(&[1.0], Targets::from_probabilities(&[6.0, 2.0], 2).expect("a row"));
        let weights = Targets::from_u8(&[1, 0]).with_row_weights(&[0.5, 1.5]).expect("two rows");
        let weighted = found(&[1.0; 2], weights);
        for found in [labels, soft, weighted] {
            assert!(near(found, expected, 1e-12), "{level}: {found} for {expected}");
        }
    }
}

#[test]
fn without_an_optimum_it_is_a_bound_and_without_a_difference_1() {
    let model = SoftmaxRegression::from_row_major(&[1.0, -1.0], &[0.0; 2], 1, 2).expect("1 x 2");
    let temperature = |model: &SoftmaxRegression, x: &[f32], labels: &[u8]| {
        let x = Matrix::from_f32(x, model.features()).expect("whole rows");
        model.temperature(Batch::new(x, labels).expect("rows agree")).expect("finite")
    };
    assert_eq!(temperature(&model, &[1.0, -2.0], &[0, 1]), 1e-3, "all right");
    assert_eq!(temperature(&model, &[1.0, -2.0], &[1, 0]), 1e3, "all wrong");
    assert_eq!(temperature(&model, &[0.0, 0.0], &[0, 1]), 1.0, "no logit is larger");
    assert_eq!(temperature(&SoftmaxRegression::zeros(1, 3), &[1.0, -2.0], &[2, 1]), 1.0, "zeros");
    let one = SoftmaxRegression::from_row_major(&[7.0], &[1.0], 1, 1).expect("1 x 1");
    assert_eq!(temperature(&one, &[1.0, -2.0], &[0, 0]), 1.0, "one class");
    // Beyond the bounds.
    let small = SoftmaxRegression::from_row_major(&[1e-6, -1e-6], &[0.0; 2], 1, 2).expect("1 x 2");
    assert_eq!(temperature(&small, &[1.0; 4], &[0, 0, 1, 0]), 1e-3);
    let large = SoftmaxRegression::from_row_major(&[1e6, -1e6], &[0.0; 2], 1, 2).expect("1 x 2");
    assert_eq!(temperature(&large, &[1.0; 4], &[0, 0, 1, 0]), 1e3);
    // Logits at both ends of f32.
    let widest = SoftmaxRegression::from_row_major(&[3e38, -3e38], &[0.0; 2], 1, 2).expect("1 x 2");
    assert_eq!(temperature(&widest, &[1.0; 4], &[0, 0, 1, 0]), 1e3);
}

/// Rows go through in pieces, and their logits are computed on any number of threads: 20 rows at a time here.
#[test]
fn pieces_and_threads_change_nothing() {
    let (rows, classes) = (50, 50_000);
    let mut random = Random::new(6);
    let (w, values) = (random.numbers(classes, 9.0), random.numbers(rows, 1.0));
    let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], 1, classes).expect("the lengths fit");
    let x = Matrix::from_f32(&values, 1).expect("one feature");
    let mut labels = model.predict(x).expect("finite");
    labels.iter_mut().step_by(3).for_each(|label| *label = random.below(classes) as u32);
    let batch = Batch::new(x, &labels[..]).expect("rows agree");
    let found = model.temperature(batch).expect("finite");
    assert_eq!(found, model.clone().with_threads(2).temperature(batch).expect("finite"));
    let loss =
        |temperature| model.clone().with_temperature(temperature).expect("finite").log_loss(batch).expect("finite");
    let (left, right) = (loss(0.98 * found) - loss(found), loss(found / 0.98) - loss(found));
    assert!(left > 0.0 && near(left, right, 0.05), "{left} and {right} around {found}");
}

#[test]
fn a_split_without_weight_and_what_is_not_finite_are_refused() {
    let model = SoftmaxRegression::from_row_major(&[1.0, -1.0], &[0.0; 2], 1, 2).expect("1 x 2");
    let x = Matrix::from_f32(&[1.0, f32::NAN, 2.0], 1).expect("three rows");
    let batch = |targets| Batch::new(x, targets).expect("rows agree");
    let refused = model.temperature(batch(Targets::from_u8(&[0, 1, 0])));
    assert!(matches!(refused, Err(Error::NonFinite { what: "logits", row: 1, column: 0, .. })), "{refused:?}");
    // A row of weight 0 may hold anything.
    let weighted = |weights| Targets::from_u8(&[0, 1, 1]).with_row_weights(weights).expect("three rows");
    assert!(model.temperature(batch(weighted(&[1.0, 0.0, 1.0]))).is_ok());
    let refused = model.temperature(batch(weighted(&[0.0; 3])));
    assert!(matches!(refused, Err(Error::NoWeight { rows: 3 })), "{refused:?}");
    let none = Batch::new(Matrix::from_f32(&[], 1).expect("no rows"), &[0u8; 0][..]).expect("rows agree");
    assert!(matches!(model.temperature(none), Err(Error::NoWeight { rows: 0 })));
    let refused = model.temperature(batch(Targets::from_u8(&[0, 1, 2])));
    assert!(matches!(refused, Err(Error::Label { row: 2, label: 2, classes: 2 })), "{refused:?}");
    let wide = Batch::new(Matrix::from_f32(&[1.0; 2], 2).expect("one row"), &[0u8][..]).expect("rows agree");
    assert!(matches!(model.temperature(wide), Err(Error::Shape { found: 2, expected: 1, .. })));
}

#[test]
fn a_model_with_a_temperature_has_its_logits_divided() {
    for (features, classes) in [(3, 4), (17, 10), (33, 20), (5, 100)] {
        let mut random = Random::new(7);
        let (w, b) = (random.numbers(features * classes, 1.0), random.numbers(classes, 1.0));
        let model = SoftmaxRegression::from_row_major(&w, &b, features, classes).expect("the lengths fit");
        let at = |temperature| model.clone().with_temperature(temperature).expect("finite");
        same_bits(&at(1.0).to_row_major(), &w).expect("temperature 1 is none");
        same_bits(at(1.0).bias(), &b).expect("temperature 1 is none");
        for temperature in [4.0, 0.1, 2.7] {
            let divided = |values: &[f32]| -> Vec<f32> {
                values.iter().map(|&value| (f64::from(value) / temperature) as f32).collect()
            };
            same_bits(&at(temperature).to_row_major(), &divided(&w)).expect("weights");
            same_bits(at(temperature).bias(), &divided(&b)).expect("bias");
        }
        let kept = model.clone().with_threads(3).with_temperature(2.0).expect("finite");
        assert_eq!((kept.threads(), kept.level()), (3, model.level()), "the settings stay");
    }
}

#[test]
fn a_temperature_that_is_none_or_leaves_no_finite_model_is_refused() {
    let model = SoftmaxRegression::from_row_major(&[1.0, 2.0, -3.0, 4.0], &[0.5, 0.0], 2, 2).expect("2 x 2");
    for found in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let refused = model.clone().with_temperature(found);
        let Err(Error::Setting { name: "temperature", found: f, .. }) = refused else {
            panic!("{found}: {refused:?}");
        };
        assert!(f == found || (f.is_nan() && found.is_nan()), "{f} for {found}");
    }
    let refused = model.clone().with_temperature(1e-38);
    let infinite = f32::INFINITY;
    assert!(
        matches!(refused, Err(Error::NonFinite { what: "weights", row: 1, column: 1, value }) if value == infinite),
        "{refused:?}"
    );
    let bias = SoftmaxRegression::from_row_major(&[0.0; 2], &[0.0, -4.0], 1, 2).expect("1 x 2");
    let refused = bias.with_temperature(1e-38);
    assert!(
        matches!(refused, Err(Error::NonFinite { what: "bias", row: 0, column: 1, value }) if value == -infinite),
        "{refused:?}"
    );
    assert!(model.with_temperature(f64::MAX).is_ok(), "all zeros are a model");
}
