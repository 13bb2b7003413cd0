//! Every kernel at every level against the f64 reference, over ragged shapes, both input types, whole and selected
//! rows, unaligned slices. Laws that need no reference are in `laws.rs`, extreme values in `numerics.rs`, calls that
//! must be refused in `shapes.rs`.

use crate::support::cases::{CLASSES, Case, Kind, ROWS, Shape, ragged_shapes};
use crate::support::compare::Expected;
use crate::support::expect::{self, wide};
use crate::support::failures::{Failures, text};
use crate::support::guarded::{Guarded, SENTINEL, unwritten};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::{Level, Matrix, Parameters, Targets, kernel};

const LEARNING_RATE: f32 = 0.07;

fn pack(weights: &[f32], bias: &[f32], shape: Shape) -> Parameters {
    let packed = Parameters::from_row_major(weights, bias, shape.features, shape.classes);
    packed.expect("the case's parameters have the case's shape")
}

/// What the four products of one case and one input type should be.
struct Products {
    logits: Expected,
    gradient: (Expected, Expected),
    accumulated: (Expected, Expected),
    stepped: (Expected, Expected),
}

impl Products {
    fn of(case: &Case, kind: Kind) -> Self {
        let Shape { features, classes, .. } = case.shape;
        let (x, residual, w, b) = (case.x(kind), wide(&case.residual), wide(&case.weights), wide(&case.bias));
        let gradient = expect::Gradient::new(&x, &residual, features, classes);
        Self {
            logits: expect::forward(&x, &w, &b),
            gradient: gradient.overwritten(),
            accumulated: gradient.stepped(-1.0, &w, &b),
            stepped: gradient.stepped(LEARNING_RATE.into(), &w, &b),
        }
    }

    fn check_forward(&self, case: &Case, x: Matrix<'_>, level: Level) -> Result<(), String> {
        let mut logits = unwritten(case.residual.len(), case.shape.rows);
        kernel::forward(level, x, &pack(&case.weights, &case.bias, case.shape), &mut logits).map_err(text)?;
        self.logits.check(&logits)?;
        logits.intact()
    }

    fn check_gradient(&self, case: &Case, x: Matrix<'_>, level: Level) -> Result<(), String> {
        let Shape { features, classes, .. } = case.shape;
        let mut gradient = pack(&vec![f32::NAN; features * classes], &vec![f32::NAN; classes], case.shape);
        kernel::gradient(level, x, &case.residual, &mut gradient).map_err(text)?;
        check_pair(&self.gradient, &gradient)
    }

    fn check_accumulate(&self, case: &Case, x: Matrix<'_>, level: Level) -> Result<(), String> {
        let mut gradient = pack(&case.weights, &case.bias, case.shape);
        kernel::gradient_accumulate(level, x, &case.residual, &mut gradient).map_err(text)?;
        check_pair(&self.accumulated, &gradient)
    }

    fn check_step(&self, case: &Case, x: Matrix<'_>, level: Level) -> Result<(), String> {
        let mut parameters = pack(&case.weights, &case.bias, case.shape);
        kernel::sgd_step(level, x, &case.residual, LEARNING_RATE, &mut parameters).map_err(text)?;
        check_pair(&self.stepped, &parameters)
    }
}

fn check_pair(expected: &(Expected, Expected), parameters: &Parameters) -> Result<(), String> {
    expected.0.check(&parameters.to_row_major()).map_err(|error| format!("weights: {error}"))?;
    expected.1.check(parameters.bias()).map_err(|error| format!("bias: {error}"))
}

/// Every product of a case at every level.
fn check_products(case: &Case, failures: &mut Failures) {
    for kind in [Kind::F32, Kind::U8] {
        let products = Products::of(case, kind);
        for (name, x) in case.inputs(kind) {
            for level in levels() {
                let label = |kernel: &str| format!("{kernel} at {level}, {name}, {}", case.shape);
                failures.check(label("forward"), || products.check_forward(case, x, level));
                failures.check(label("gradient"), || products.check_gradient(case, x, level));
                failures.check(label("gradient_accumulate"), || products.check_accumulate(case, x, level));
                failures.check(label("sgd_step"), || products.check_step(case, x, level));
            }
        }
    }
}

/// Softmax, log-softmax and cross-entropy of `[rows, classes]` at every level. The spread covers flat rows and rows
/// where some classes underflow.
fn check_rows(rows: usize, classes: usize, seed: u64, failures: &mut Failures) {
    let mut random = Random::new(seed);
    let spread = [1.0, 8.0, 120.0][random.below(3)];
    let logits = random.numbers(rows * classes, spread);
    let z = wide(&logits);
    let (softmax, log_softmax) = (expect::softmax(&z, classes), expect::log_softmax(&z, classes));
    let stored = rows / 2 + 1;
    let index = random.indices(rows, stored);
    let labels = random.labels(stored, classes);
    let bytes: Vec<u8> = labels.iter().map(|label| (label % 256) as u8).collect();
    let soft = random.soft_targets(stored, classes);
    let all_targets = [
        ("u32 labels", Targets::from_u32(&labels), one_hot(&labels, classes)),
        ("u8 labels", Targets::from_u8(&bytes), one_hot(&bytes, classes)),
        ("soft targets", Targets::from_probabilities(&soft, classes).expect("whole rows"), soft.clone()),
    ];
    for level in levels() {
        let label = |kernel: &str| format!("{kernel} at {level}, {rows} rows x {classes} classes, logits +-{spread}");
        let fresh = || Guarded::new(&logits, seed as usize, SENTINEL);
        failures.check(label("softmax"), || {
            let mut p = fresh();
            kernel::softmax(level, &mut p, classes).map_err(text)?;
            softmax.check(&p).and_then(|()| p.intact())
        });
        failures.check(label("log_softmax"), || {
            let mut p = fresh();
            kernel::log_softmax(level, &mut p, classes).map_err(text)?;
            log_softmax.check(&p).and_then(|()| p.intact())
        });
        for (name, targets, stored_rows) in &all_targets {
            let picked: Vec<f32> =
                index.iter().flat_map(|row| &stored_rows[row * classes..][..classes]).copied().collect();
            let (losses, residual) = expect::cross_entropy(&z, &wide(&picked), classes);
            failures.check(label(&format!("cross_entropy of {name}")), || {
                let (mut in_place, mut found) = (fresh(), Guarded::new(&vec![f64::NAN; rows], 1, -1e300));
                let selected = targets.select(&index).map_err(text)?;
                let sum = kernel::cross_entropy(level, selected, classes, &mut in_place, &mut found).map_err(text)?;
                losses.check(&found).map_err(|error| format!("losses: {error}"))?;
                residual.check(&in_place).map_err(|error| format!("residual: {error}"))?;
                let in_order = found.iter().fold(0.0, |sum, loss| sum + loss);
                if sum != in_order {
                    return Err(format!("returned {sum:e}, the losses sum to {in_order:e} in row order"));
                }
                in_place.intact().and_then(|()| found.intact())
            });
        }
    }
}

fn one_hot<T: Copy + Into<u32>>(labels: &[T], classes: usize) -> Vec<f32> {
    let mut hot = vec![0.0; labels.len() * classes];
    hot.chunks_exact_mut(classes).zip(labels).for_each(|(row, &label)| row[label.into() as usize] = 1.0);
    hot
}

#[test]
fn products_agree_with_the_reference_at_every_ragged_shape() {
    let mut failures = Failures::default();
    for (seed, shape) in ragged_shapes().into_iter().enumerate() {
        check_products(&Case::new(shape, seed as u64), &mut failures);
    }
    failures.finish();
}

#[test]
fn row_kernels_agree_with_the_reference_at_every_ragged_shape() {
    let mut failures = Failures::default();
    for (i, classes) in CLASSES.into_iter().enumerate() {
        for (j, rows) in ROWS.into_iter().chain([1023, 4100]).enumerate() {
            check_rows(rows, classes, (i * 100 + j) as u64, &mut failures);
        }
    }
    failures.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_agree_with_the_reference(
        rows in 0usize..70, features in 1usize..180, classes in 1usize..45, seed: u64,
    ) {
        let mut failures = Failures::default();
        check_products(&Case::new(Shape { rows, features, classes }, seed), &mut failures);
        prop_assert!(failures.report().is_none(), "{}", failures.report().unwrap_or_default());
    }

    #[test]
    fn row_kernels_agree_with_the_reference(rows in 0usize..70, classes in 1usize..150, seed: u64) {
        let mut failures = Failures::default();
        check_rows(rows, classes, seed, &mut failures);
        prop_assert!(failures.report().is_none(), "{}", failures.report().unwrap_or_default());
    }

    /// A scale of either sign, on top of the pixels' own 1/255.
    #[test]
    fn a_scale_multiplies_the_inputs(scale in -3.0f32..3.0, features in 1usize..40, seed: u64) {
        let case = Case::new(Shape { rows: 9, features, classes: 11 }, seed);
        let mut failures = Failures::default();
        for kind in [Kind::F32, Kind::U8] {
            let unit = if kind == Kind::U8 { f64::from(1.0f32 / 255.0) } else { 1.0 };
            let x: Vec<f64> = case.x(kind).iter().map(|x| x / unit * f64::from(unit as f32 * scale)).collect();
            let logits = expect::forward(&x, &wide(&case.weights), &wide(&case.bias));
            let residual = wide(&case.residual);
            let gradient = expect::gradient(&x, &residual, features, 11);
            let products = Products { logits, gradient, ..Products::of(&case, kind) };
            for (name, x) in case.inputs(kind) {
                for level in levels() {
                    let x = x.with_scale(scale);
                    failures.check(format!("forward at {level}, {name}"), || products.check_forward(&case, x, level));
                    failures.check(format!("gradient at {level}, {name}"), || products.check_gradient(&case, x, level));
                }
            }
        }
        prop_assert!(failures.report().is_none(), "{}", failures.report().unwrap_or_default());
    }

    #[test]
    fn weights_come_back_from_their_layout_as_they_went_in(features in 1usize..70, classes in 1usize..70, seed: u64) {
        let values = Random::new(seed).numbers(features * classes, 1.0);
        let bias = vec![0.0; classes];
        let rows = Parameters::from_row_major(&values, &bias, features, classes).expect("the lengths fit");
        prop_assert_eq!(rows.to_row_major(), values.clone());
        let turned = |at: usize| values[at % features * classes + at / features];
        let transposed: Vec<f32> = (0..features * classes).map(turned).collect();
        prop_assert_eq!(rows.to_class_major(), transposed.clone());
        let columns = Parameters::from_class_major(&transposed, &bias, features, classes).expect("the lengths fit");
        prop_assert_eq!((columns.features(), columns.classes()), (features, classes));
        prop_assert!(columns == rows);
    }
}
