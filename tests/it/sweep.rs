//! The sweep against the separate kernels and the f64 reference, at any number of threads. What it costs is asked by the
//! benchmarks.

use crate::support::cases::{Case, Kind, Shape};
use crate::support::expect::{self, wide};
use crate::support::failures::{Failures, text};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::kernel::{self, Sweep};
use softreg::{
    Batch, Dataset, Error, Exec, Level, Matrix, Parameters, Reduction, Sgd, SoftmaxRegression, Targets, Trainer,
};

/// Less than a part, its end, several parts and more rows than parts are long; blocks of 16 to 512 rows; weights that
/// threads share by rows and by features.
const SHAPES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (17, 784, 10),
    (512, 33, 10),
    (513, 33, 10),
    (1100, 785, 3),
    (1537, 100, 17),
    (530, 4100, 2),
    (40_000, 3, 2),
    (33_333, 2, 16),
    (600, 1030, 130),
    (520, 300, 450),
    (0, 5, 3),
];

/// Losses and gradient of a batch by the sweep at some number of threads.
fn swept(
    sweep: &mut Sweep,
    exec: Exec,
    batch: Batch<'_>,
    parameters: &Parameters,
) -> Result<(Vec<f64>, Parameters, kernel::Loss), Error> {
    let (features, classes) = (parameters.features(), parameters.classes());
    let unwritten = (vec![f32::NAN; features * classes], vec![f32::NAN; classes]);
    let mut gradient = Parameters::from_row_major(&unwritten.0, &unwritten.1, features, classes)?;
    let mut losses = vec![f64::NAN; batch.x.rows()];
    let loss = sweep.run(exec, batch, parameters, &mut losses, &mut gradient)?;
    Ok((losses, gradient, loss))
}

/// Losses to the bit as from the separate kernels, the gradient within the budget of the residual's product.
fn check(level: Level, kind: Kind, case: &Case, x: Matrix<'_>, targets: Targets<'_>) -> Result<(), String> {
    let Shape { rows, features, classes } = case.shape;
    let parameters = Parameters::from_row_major(&case.weights, &case.bias, features, classes).map_err(text)?;
    let (mut residual, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
    kernel::forward(level, x, &parameters, &mut residual).map_err(text)?;
    let sum = kernel::cross_entropy(level, targets, classes, &mut residual, &mut losses).map_err(text)?;
    let (weights, bias) = expect::Gradient::new(&case.x(kind), &wide(&residual), features, classes).overwritten();

    let batch = Batch::new(x, targets).map_err(text)?;
    let mut sweep = Sweep::new();
    let (found, gradient, loss) = swept(&mut sweep, level.into(), batch, &parameters).map_err(text)?;
    if (&found, loss.sum) != (&losses, sum) {
        return Err(format!("losses {} for {sum}", loss.sum));
    }
    weights.check(&gradient.to_row_major()).map_err(|error| format!("weights: {error}"))?;
    bias.check(gradient.bias()).map_err(|error| format!("bias: {error}"))?;
    for threads in [2, 5] {
        // The buffers of the runs before are used again.
        let again = swept(&mut sweep, Exec { level, threads }, batch, &parameters).map_err(text)?;
        if again != (found.clone(), gradient.clone(), loss) {
            return Err(format!("{threads} threads: another result"));
        }
    }
    Ok(())
}

fn check_shape(shape: Shape, seed: u64, failures: &mut Failures) {
    let case = Case::new(shape, seed);
    let mut random = Random::new(seed);
    let labels = random.labels(shape.rows, shape.classes);
    let soft = random.soft_targets(shape.rows, shape.classes);
    let soft = Targets::from_probabilities(&soft, shape.classes).expect("whole rows");
    for kind in [Kind::F32, Kind::U8] {
        for ((name, x), targets) in case.inputs(kind).into_iter().zip([Targets::from_u32(&labels), soft]) {
            for level in levels() {
                let label = format!("{level}, {name}, {shape}");
                failures.check(label, || check(level, kind, &case, x, targets));
            }
        }
    }
}

#[test]
fn a_sweep_is_what_the_kernels_are_one_by_one() {
    let mut failures = Failures::default();
    for (seed, (rows, features, classes)) in SHAPES.into_iter().enumerate() {
        check_shape(Shape { rows, features, classes }, seed as u64, &mut failures);
    }
    failures.finish();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_sweep_of_any_shape_is_too(rows in 0_usize..1200, features in 1_usize..100, classes in 1_usize..40, seed: u64) {
        let mut failures = Failures::default();
        check_shape(Shape { rows, features, classes }, seed, &mut failures);
        failures.finish();
    }
}

#[test]
fn a_sweep_that_fails_leaves_the_gradient() {
    let (rows, features, classes) = (1200, 20, 3);
    let mut random = Random::new(1);
    let (mut values, labels) = (random.numbers(rows * features, 1.0), random.labels(rows, classes));
    let parameters = Parameters::zeros(features, classes);
    let before = Parameters::from_row_major(&[0.5; 60], &[0.25; 3], features, classes).expect("the lengths fit");
    let run = |values: &[f32], labels: &[u32], losses: &mut [f64], parameters: &Parameters, exec: Exec| {
        let batch = Batch::new(Matrix::from_f32(values, features)?, labels)?;
        let mut gradient = before.clone();
        let found = Sweep::new().run(exec, batch, parameters, losses, &mut gradient);
        assert_eq!(gradient == before, found.is_err(), "{found:?}");
        found
    };
    let mut losses = vec![0.0; rows];
    for level in levels() {
        for threads in [1, 2] {
            let exec = Exec { level, threads };
            run(&values, &labels, &mut losses, &parameters, exec).expect("all is well");
            let found = run(&values, &labels, &mut losses[1..], &parameters, exec);
            assert!(matches!(found, Err(Error::Shape { what: "losses", found: 1199, expected: 1200 })), "{found:?}");
            let found = run(&values, &labels, &mut losses, &Parameters::zeros(features + 1, classes), exec);
            assert!(matches!(found, Err(Error::Shape { what: "features of x", .. })), "{found:?}");
            let mut wrong = labels.clone();
            wrong[1199] = 3;
            let found = run(&values, &wrong, &mut losses, &parameters, exec);
            assert!(matches!(found, Err(Error::Label { row: 1199, label: 3, classes: 3 })), "{found:?}");
            for bad in [f32::NAN, f32::INFINITY] {
                let good = std::mem::replace(&mut values[1000 * features], bad);
                let found = run(&values, &labels, &mut losses, &parameters, exec);
                assert!(matches!(found, Err(Error::NonFiniteLoss { loss }) if loss.is_nan()), "{found:?}");
                values[1000 * features] = good;
            }
        }
    }
    for (features, classes) in [(19, 3), (20, 4)] {
        let batch = Batch::new(Matrix::from_f32(&values, 20).expect("whole rows"), &labels[..]).expect("rows agree");
        let mut gradient = Parameters::zeros(features, classes);
        let found = Sweep::new().run(Level::best(), batch, &parameters, &mut losses, &mut gradient);
        assert!(matches!(found, Err(Error::Shape { .. })), "a gradient of {features} x {classes}: {found:?}");
    }
}

/// A step of more rows than a cache holds is a sweep; the same step in two halves of the batch's rows is none.
#[test]
fn a_large_step_is_the_sum_of_small_ones() {
    let (rows, features, classes) = (3000, 100, 7);
    let mut random = Random::new(4);
    let data = Dataset::from_f32(random.numbers(rows * features, 1.0), random.labels(rows, classes), features, classes);
    let data = data.expect("the lengths fit");
    for level in levels() {
        let exec = Exec::from(level);
        let (mut residual, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
        let mut parameters = Parameters::zeros(features, classes);
        kernel::forward(exec, data.x(), &parameters, &mut residual).expect("the shapes fit");
        let sum = kernel::cross_entropy(exec, data.targets(), classes, &mut residual, &mut losses).expect("they fit");
        kernel::sgd_step(exec, data.x(), &residual, 0.5 / 3000.0, &mut parameters).expect("the shapes fit");
        for (reduction, rate, expected) in [(Reduction::Mean, 0.5, sum / 3000.0), (Reduction::Sum, 0.5 / 3000.0, sum)] {
            let model = SoftmaxRegression::zeros(features, classes).with_level(level);
            let mut trainer = Trainer::new(model, Sgd::new(rate)).reduction(reduction);
            let loss = trainer.step(data.as_batch()).expect("a step");
            assert_eq!(loss, expected, "{level}");
            for (found, expected) in trainer.model().to_row_major().iter().zip(parameters.to_row_major()) {
                assert!((found - expected).abs() <= 1e-6 * expected.abs() + 1e-8, "{level}: {found} for {expected}");
            }
        }
    }
}
