//! The weight of a row, which is the sum of its targets: in losses, means, rates and accuracies alike. Which targets are
//! refused is here too.

use crate::support::levels::levels;
use softreg::{Batch, Error, Matrix, Reduction, Sgd, SoftmaxRegression, Targets, Trainer, kernel};

/// Weights 1 and -1 on one feature, for two classes.
fn opposites() -> SoftmaxRegression {
    SoftmaxRegression::from_row_major(&[1.0, -1.0], &[0.0, 0.0], 1, 2).expect("one feature, two classes")
}

fn batch<'a>(x: &'a [f32], targets: &'a [f32]) -> Batch<'a> {
    let x = Matrix::from_f32(x, 1).expect("one feature");
    Batch::new(x, Targets::from_probabilities(targets, 2).expect("two classes")).expect("rows agree")
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "found {found}, expected {expected}");
}

/// The mean divides by the sum of the weights, as scikit-learn's `sample_weight` does; rows of weight 0 do not count.
#[test]
fn means_and_accuracies_divide_by_the_sum_of_the_weights() {
    // ln(1 + e^-2) and ln(1 + e^2)
    let (right, wrong) = ((-2_f64).exp().ln_1p(), 2_f64.exp().ln_1p());
    type Case<'a> = (&'a [f32], &'a [f32], f64, f64, usize);
    let cases: [Case<'_>; 4] = [
        (&[1.0, -1.0, -1.0, 1.0], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 0.5, 1.126928, 2),
        (&[1.0, 1.0], &[3.0, 0.0, 0.0, 1.0], 0.75, (3.0 * right + wrong) / 4.0, 2),
        (&[1.0, 1.0], &[0.5, 0.0, 0.0, 0.0], 1.0, right, 1),
        (&[1.0, 1.0], &[0.0, 2.0, 0.0, 0.25], 0.0, wrong, 2),
    ];
    for level in levels() {
        for (x, targets, accuracy, log_loss, rows) in cases {
            let model = opposites().with_level(level);
            let found = model.evaluate(batch(x, targets)).expect("rows with a weight");
            near(found.accuracy(), accuracy);
            near(found.log_loss, log_loss);
            near(model.log_loss(batch(x, targets)).expect("rows with a weight"), log_loss);
            near(model.accuracy(batch(x, targets)).expect("rows with a weight"), accuracy);
            assert_eq!(found.rows, rows);
            let mut trainer = Trainer::new(model, Sgd::new(1e-3));
            near(trainer.step(batch(x, targets)).expect("a step"), log_loss);
        }
    }
    near(opposites().evaluate(batch(&[1.0, 1.0], &[3.0, 0.0, 0.0, 1.0])).expect("rows").log_loss, 0.626_928);
}

#[test]
fn the_mean_of_a_model_of_zeros_is_ln_2_whatever_the_weights() {
    for targets in [[3.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.1, 0.0], [0.0, 0.0, 0.0, 7.0]] {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1));
        near(trainer.step(batch(&[1.0, 2.0], &targets)).expect("a step"), std::f64::consts::LN_2);
    }
}

/// Weight 3 is the row three times over, and weight 0 none, for the loss, the step and both reductions.
#[test]
fn a_weight_is_the_row_as_often() {
    for level in levels() {
        for reduction in [Reduction::Mean, Reduction::Sum] {
            let after = |x: &[f32], targets: &[f32]| {
                let mut trainer = Trainer::new(opposites().with_level(level), Sgd::new(0.25)).reduction(reduction);
                let loss = trainer.step(batch(x, targets)).expect("a step");
                let model = trainer.into_model();
                (loss, [model.to_row_major(), model.bias().to_vec()].concat())
            };
            let weighted = after(&[0.5, 2.0, -1.0], &[3.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
            let repeated = after(&[0.5, 0.5, 0.5, -1.0], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
            near(weighted.0, repeated.0);
            for (weighted, repeated) in weighted.1.iter().zip(&repeated.1) {
                assert!((weighted - repeated).abs() <= 1e-6, "{level} {reduction:?}: {weighted} for {repeated}");
            }
        }
    }
}

/// A row of weight 0 may hold anything that its logits can be.
#[test]
fn a_row_of_weight_0_is_ignored_even_where_its_logits_are_not_finite() {
    for level in levels() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for classes in [2, 40] {
                let mut logits = vec![0.0; 2 * classes];
                logits[classes] = bad;
                let mut targets = vec![0.0; 2 * classes];
                targets[0] = 1.0;
                let mut losses = [f64::NAN; 2];
                let targets = Targets::from_probabilities(&targets, classes).expect("two rows");
                kernel::cross_entropy(level, targets, classes, &mut logits, &mut losses).expect("the shapes fit");
                near(losses[0], (classes as f64).ln());
                assert_eq!(losses[1], 0.0, "{level} {bad}");
                assert!(logits[classes..].iter().all(|&residual| residual == 0.0), "{level} {bad}: {logits:?}");
            }
        }
        let found = opposites().with_level(level).evaluate(batch(&[1.0, f32::NAN], &[1.0, 0.0, 0.0, 0.0]));
        assert_eq!(found.expect("one row with a weight").rows, 1);
    }
}

#[test]
fn rows_without_any_weight_are_refused() {
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let mut trainer = Trainer::new(opposites(), Sgd::new(0.1)).reduction(reduction);
        let found = trainer.step(batch(&[1.0, 2.0], &[0.0, 0.0, -0.0, 0.0]));
        assert!(matches!(found, Err(Error::NoWeight { rows: 2 })), "{found:?}");
        assert_eq!(trainer.into_model(), opposites());
    }
    let found = opposites().evaluate(batch(&[1.0], &[0.0, 0.0]));
    assert!(matches!(found, Err(Error::NoWeight { rows: 1 })), "{found:?}");
}

#[test]
fn targets_that_are_none_are_refused_with_row_class_and_value() {
    let cases: [(&[f32], usize, usize); 6] = [
        (&[-1.0, 2.0], 0, 0),
        (&[-1.0, 0.0], 0, 0),
        (&[1.0, 0.0, 0.5, f32::NAN], 1, 1),
        (&[1.0, 0.0, f32::INFINITY, 0.0], 1, 0),
        (&[0.0, f32::NEG_INFINITY], 0, 1),
        (&[0.0, -1e-45], 0, 1),
    ];
    for (targets, row, class) in cases {
        let right = |error: Option<&Error>| {
            let Some(&Error::Target { row: r, class: c, value }) = error else { return false };
            (r, c) == (row, class) && value.to_bits() == targets[2 * row + class].to_bits()
        };
        let x = vec![1.0; targets.len() / 2];
        let batch = batch(&x, targets);
        let mut trainer = Trainer::new(opposites(), Sgd::new(0.1));
        let stepped = trainer.step(batch);
        assert!(right(stepped.as_ref().err()), "{targets:?}: {stepped:?}");
        assert_eq!(trainer.into_model(), opposites());
        let evaluated = opposites().evaluate(batch);
        assert!(right(evaluated.as_ref().err()), "{targets:?}: {evaluated:?}");
        for level in levels() {
            let (mut logits, mut losses) = (vec![0.5; targets.len()], vec![0.25; targets.len() / 2]);
            let found = kernel::cross_entropy(level, batch.targets, 2, &mut logits, &mut losses);
            assert!(right(found.as_ref().err()), "{targets:?}: {found:?}");
            assert!(logits.iter().all(|&z| z == 0.5) && losses.iter().all(|&loss| loss == 0.25), "{targets:?}");
        }
    }
}

/// A row of 100,000 smoothed targets: summed in f32 their weight is off by 1.3e-3, and so is every gradient.
#[test]
fn the_weight_of_many_small_targets_is_summed_in_f64() {
    let classes = 100_000;
    let mut targets = vec![1e-6; classes];
    targets[0] += 0.9;
    for level in levels() {
        let (mut residual, mut losses) = (vec![0.0; classes], [0.0]);
        let soft = Targets::from_probabilities(&targets, classes).expect("one row");
        kernel::cross_entropy(level, soft, classes, &mut residual, &mut losses).expect("the shapes fit");
        assert!((residual[1] - 9.0e-6).abs() < 1e-10, "{level}: {}", residual[1]);
        let sum: f64 = residual.iter().copied().map(f64::from).sum();
        assert!(sum.abs() < 1e-6, "{level}: the row's gradient sums to {sum}");
    }
}

/// Where the sum of a row's weights is beyond f32, its gradient is still that of its probabilities.
#[test]
fn weights_beyond_f32_leave_finite_gradients_where_they_fit() {
    let targets = [3e38, 3e38];
    for level in levels() {
        let (mut residual, mut losses) = ([0.0; 2], [0.0]);
        let soft = Targets::from_probabilities(&targets, 2).expect("one row");
        kernel::cross_entropy(level, soft, 2, &mut residual, &mut losses).expect("the shapes fit");
        assert!(losses[0].is_finite() && residual.iter().all(|r| r.abs() < 1e32), "{level}: {losses:?} {residual:?}");
    }
}

/// The mean over rows whose weights sum to more than f32 holds is that over rows of weight 1.
#[test]
fn a_mean_holds_beyond_f32() {
    for level in levels() {
        let after = |targets: &[f32]| {
            let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), Sgd::new(0.1));
            near(trainer.step(batch(&[1.0, 1.0], targets)).expect("a step"), std::f64::consts::LN_2);
            trainer.into_model().to_row_major()
        };
        for (heavy, light) in after(&[3e38, 0.0, 3e38, 0.0]).iter().zip(&after(&[1.0, 0.0, 1.0, 0.0])) {
            assert!((heavy - light).abs() <= 1e-4 * light.abs(), "{level}: {heavy} for {light}");
        }
    }
}
