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
    // Of many weights f32 alone: their reference takes long.
    let many = shape.features * shape.classes > 100_000;
    for kind in if many { &[Kind::F32][..] } else { &[Kind::F32, Kind::U8] } {
        let kind = *kind;
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

/// More and fewer rows, parts and blocks than before, other features and classes, and as many weights in another shape.
#[test]
fn a_sweep_fits_every_shape_that_follows() {
    let shapes = [
        (513, 20, 3),
        (1030, 20, 3),
        (100, 20, 3),
        (0, 20, 3),
        (1200, 20, 4),
        (1200, 4, 20),
        (600, 1030, 130),
        (1537, 33, 10),
        (40, 1030, 130),
    ];
    let mut failures = Failures::default();
    for level in levels() {
        let mut sweep = Sweep::new();
        for (seed, (rows, features, classes)) in shapes.into_iter().enumerate() {
            let shape = Shape { rows, features, classes };
            failures.check(format!("{level}, {shape}"), || {
                let case = Case::new(shape, seed as u64);
                let labels = Random::new(seed as u64).labels(rows, classes);
                let parameters = Parameters::from_row_major(&case.weights, &case.bias, features, classes);
                let parameters = parameters.map_err(text)?;
                for (_, x) in case.inputs(Kind::F32) {
                    let batch = Batch::new(x, &labels[..]).map_err(text)?;
                    let found = swept(&mut sweep, level.into(), batch, &parameters).map_err(text)?;
                    let expected = swept(&mut Sweep::new(), level.into(), batch, &parameters).map_err(text)?;
                    if found != expected {
                        return Err("another result than with new buffers".into());
                    }
                }
                Ok(())
            });
        }
    }
    failures.finish();
}

/// Few rows, and many weights: there is one part, whose gradient is not added to others'.
#[test]
fn a_sweep_of_one_part_that_fails_leaves_the_gradient() {
    for (rows, features, classes) in [(40, 20, 3), (600, 1030, 130)] {
        let mut random = Random::new(2);
        let (mut values, labels) = (random.numbers(rows * features, 1.0), random.labels(rows, classes));
        values[(rows - 1) * features] = f32::NAN;
        let batch = Batch::new(Matrix::from_f32(&values, features).expect("whole rows"), &labels[..]);
        let (batch, parameters) = (batch.expect("rows agree"), Parameters::zeros(features, classes));
        let filled = (vec![0.5; features * classes], vec![0.25; classes]);
        let before = Parameters::from_row_major(&filled.0, &filled.1, features, classes).expect("the lengths fit");
        for level in levels() {
            for threads in [1, 2] {
                let (mut gradient, mut losses) = (before.clone(), vec![0.0; rows]);
                let exec = Exec { level, threads };
                let found = Sweep::new().run(exec, batch, &parameters, &mut losses, &mut gradient);
                assert!(matches!(found, Err(Error::NonFiniteLoss { loss }) if loss.is_nan()), "{level}: {found:?}");
                assert!(gradient == before, "{level}, {threads} threads: another gradient");
            }
        }
    }
}

/// A batch's fields are public: one put together by hand need not have passed `Batch::new`.
#[test]
fn a_sweep_refuses_other_numbers_of_rows_and_targets() {
    let (values, labels, parameters) = ([1.0; 12], [0_u8; 8], Parameters::zeros(3, 2));
    let x = Matrix::from_f32(&values, 3).expect("four rows");
    for rows in [0, 3, 5] {
        let (mut gradient, mut losses) = (Parameters::zeros(3, 2), [0.5; 4]);
        let batch = Batch { x, targets: Targets::from_u8(&labels[..rows]) };
        let found = Sweep::new().run(Exec::default(), batch, &parameters, &mut losses, &mut gradient);
        assert!(matches!(found, Err(Error::Shape { .. })), "{rows} targets of 4 rows: {found:?}");
        assert!((losses, gradient) == ([0.5; 4], Parameters::zeros(3, 2)), "{rows} targets of 4 rows: written");
    }
}

/// The mean is over the rows' weights, which are the sums of their probabilities.
#[test]
fn a_sweep_weighs_the_rows() {
    for (rows, features, classes) in [(40, 20, 3), (3000, 100, 7)] {
        let mut random = Random::new(5);
        let (values, soft) = (random.numbers(rows * features, 1.0), random.soft_targets(rows, classes));
        let x = Matrix::from_f32(&values, features).expect("whole rows");
        let targets = Targets::from_probabilities(&soft, classes).expect("whole rows");
        let (batch, weight) =
            (Batch::new(x, targets).expect("rows agree"), soft.iter().map(|&t| f64::from(t)).sum::<f64>());
        for level in levels() {
            let (_, _, loss) = swept(&mut Sweep::new(), level.into(), batch, &Parameters::zeros(features, classes))
                .expect("the shapes fit");
            assert!((loss.weight - weight).abs() <= 1e-9 * weight, "{level}: weight {} for {weight}", loss.weight);
            let model = SoftmaxRegression::zeros(features, classes).with_level(level);
            let mean = Trainer::new(model, Sgd::new(0.1)).step(batch).expect("a step");
            assert!((mean - (classes as f64).ln()).abs() < 1e-6, "{level}: a loss of {mean} from a model of zeros");
        }
    }
}

/// As many classes as fill vectors and some more.
#[test]
fn a_large_step_moves_the_bias() {
    for (rows, features, classes) in [(3000, 100, 7), (3000, 100, 21)] {
        let mut random = Random::new(6);
        let values = random.numbers(rows * features, 1.0);
        let data = Dataset::from_f32(values, random.labels(rows, classes), features, classes).expect("the lengths fit");
        let (w, b) = (random.numbers(features * classes, 0.1), random.numbers(classes, 0.1));
        for level in levels() {
            let (mut residual, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
            let mut parameters = Parameters::from_row_major(&w, &b, features, classes).expect("the lengths fit");
            kernel::forward(level, data.x(), &parameters, &mut residual).expect("the shapes fit");
            kernel::cross_entropy(level, data.targets(), classes, &mut residual, &mut losses).expect("they fit");
            kernel::sgd_step(level, data.x(), &residual, 0.5 / rows as f32, &mut parameters).expect("the shapes fit");
            let model = SoftmaxRegression::from_row_major(&w, &b, features, classes).expect("the lengths fit");
            let mut trainer = Trainer::new(model.with_level(level), Sgd::new(0.5));
            trainer.step(data.as_batch()).expect("a step");
            for ((found, expected), before) in trainer.model().bias().iter().zip(parameters.bias()).zip(&b) {
                assert!((found - expected).abs() <= 1e-6, "{level}: {found} for {expected} after {before}");
            }
        }
    }
}

/// Of a plain matrix the largest value is not known: its step is made with care, and where it would ruin the model it is
/// taken back.
#[test]
fn a_large_step_with_care_is_the_same_step() {
    let (rows, features, classes) = (3000, 100, 7);
    let mut random = Random::new(7);
    let (values, labels) = (random.numbers(rows * features, 1.0), random.labels(rows, classes));
    let data = Dataset::from_f32(values.clone(), labels.clone(), features, classes).expect("the lengths fit");
    let batch = Batch::new(Matrix::from_f32(&values, features).expect("whole rows"), &labels[..]).expect("rows agree");
    let mut huge = values.clone();
    huge.iter_mut().for_each(|value| *value *= 1e30);
    let huge = Batch::new(Matrix::from_f32(&huge, features).expect("whole rows"), &labels[..]).expect("rows agree");
    for level in levels() {
        let model = SoftmaxRegression::zeros(features, classes).with_level(level);
        let [mut found, mut expected] = [(); 2].map(|()| Trainer::new(model.clone(), Sgd::new(0.5)));
        for _ in 0..2 {
            let losses = [found.step(batch), expected.step(data.as_batch())].map(|loss| loss.expect("a step"));
            assert_eq!(losses[0], losses[1], "{level}");
            assert!(found.model() == expected.model(), "{level}: another model");
        }
        let mut trainer = Trainer::new(model.clone(), Sgd::new(1e12));
        let refused = trainer.step(huge);
        assert!(matches!(refused, Err(Error::NonFiniteStep)), "{level}: {refused:?}");
        assert!(*trainer.model() == model, "{level}: the model has changed");
    }
}
