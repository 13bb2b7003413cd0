//! NaN and infinity in the products, among inputs, weights and residuals: they go where arithmetic takes them, and nowhere
//! else.

mod support;

use softreg::{Matrix, Parameters, kernel};
use support::compare::same_bits;
use support::data::forward;
use support::expect::{self, wide};
use support::failures::{Failures, text};
use support::levels::levels;
use support::random::Random;

/// Where one factor is NaN or infinite and the other is zero, the product is NaN: code that skips zeros must not skip
/// that.
#[test]
fn zeros_do_not_hide_nan_or_infinity_in_the_other_factor() {
    let (rows, features, classes) = (5, 53, 10);
    let mut failures = Failures::default();
    let (values, pixels) = (vec![0.0; rows * features], vec![0; rows * features]);
    let mut random = Random::new(4);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 17, features * classes / 2, features * classes - 1] {
            let mut w = random.numbers(features * classes, 1.0);
            w[at] = bad;
            let mut residual = random.numbers(rows * classes, 1.0);
            residual[at % (rows * classes)] = bad;
            let x64 = vec![0.0; rows * features];
            let logits = expect::forward(&x64, &wide(&w), &[0.0; 10]);
            let (gradient, _) = expect::gradient(&x64, &wide(&residual), features, classes);
            for (name, x) in [("f32", Matrix::from_f32(&values, features)), ("u8", Matrix::from_u8(&pixels, features))]
            {
                let x = x.expect("whole rows");
                for level in levels() {
                    let parameters = Parameters::from_row_major(&w, &[0.0; 10], features, classes).expect("they fit");
                    failures.check(format!("forward at {level}, {name}, {bad} at {at}"), || {
                        logits.check(&forward(level, x, &parameters))
                    });
                    let mut sum = Parameters::zeros(features, classes);
                    failures.check(format!("gradient at {level}, {name}, {bad} at {at}"), || {
                        kernel::gradient(level, x, &residual, &mut sum).map_err(text)?;
                        gradient.check(&sum.to_row_major())
                    });
                }
            }
        }
    }
    failures.finish();
}

/// The same where the classes are so many that other code computes the products.
#[test]
fn nan_among_very_many_rows_and_classes_stays_where_it_belongs() {
    let (rows, features, classes) = (513, 5, 2050);
    let mut failures = Failures::default();
    let mut random = Random::new(7);
    let mut values = random.numbers(rows * features, 1.0);
    values[100 * features + 4] = f32::NAN;
    let (mut w, mut residual) = (random.numbers(features * classes, 1.0), random.numbers(rows * classes, 1.0));
    w[2 * classes + 2049] = f32::INFINITY;
    residual[512 * classes + 7] = f32::NAN;
    let bias = random.numbers(classes, 1.0);
    let x = Matrix::from_f32(&values, features).expect("whole rows");
    let logits = expect::forward(&wide(&values), &wide(&w), &wide(&bias));
    let (gradient, _) = expect::gradient(&wide(&values), &wide(&residual), features, classes);
    for level in levels() {
        let mut parameters = Parameters::from_row_major(&w, &bias, features, classes).expect("the lengths fit");
        failures.check(format!("forward at {level}"), || logits.check(&forward(level, x, &parameters)));
        failures.check(format!("gradient at {level}"), || {
            kernel::gradient(level, x, &residual, &mut parameters).map_err(text)?;
            gradient.check(&parameters.to_row_major())
        });
    }
    failures.finish();
}

/// What a packed layout fills its rows up with is no part of the weights: the weights that a step or a gradient left
/// behave like the same weights packed anew, even where the residual was infinite or NaN.
#[test]
fn weights_left_by_a_kernel_are_their_own_copy() {
    let mut failures = Failures::default();
    for (features, bad) in
        [1, 3, 5, 9, 15, 16, 17, 33].into_iter().flat_map(|f| [0.5, f32::INFINITY, f32::NAN].map(|b| (f, b)))
    {
        let (rows, classes) = (3, 11);
        let ones = vec![1.0; rows * features];
        let x = Matrix::from_f32(&ones, features).expect("whole rows");
        let mut residual = Random::new(6).numbers(rows * classes, 1.0);
        residual[4] = bad;
        for level in levels() {
            let mut check = |kernel: &str, left: &Parameters| {
                let copy = Parameters::from_row_major(&left.to_row_major(), left.bias(), features, classes);
                let (got, want) = (forward(level, x, left), forward(level, x, &copy.expect("the lengths fit")));
                let label = format!("{kernel} at {level}, {features} features, residual {bad}");
                failures.check(label, || same_bits(&got, &want));
            };
            let mut left = Parameters::zeros(features, classes);
            kernel::sgd_step(level, x, &residual, 0.5, &mut left).expect("the shapes fit");
            check("sgd_step", &left);
            kernel::gradient(level, x, &residual, &mut left).expect("the shapes fit");
            check("gradient", &left);
            kernel::gradient_accumulate(level, x, &residual, &mut left).expect("the shapes fit");
            check("gradient_accumulate", &left);
        }
    }
    failures.finish();
}

/// A NaN or infinity among the inputs spoils its row of logits and its feature of the gradient, and nothing else.
#[test]
fn nan_and_infinity_among_the_inputs_stay_where_they_belong() {
    let (rows, features, classes) = (7, 37, 11);
    let mut failures = Failures::default();
    let mut random = Random::new(5);
    let (w, residual) = (random.numbers(features * classes, 1.0), random.numbers(rows * classes, 1.0));
    let parameters = Parameters::from_row_major(&w, &[0.0; 11], features, classes).expect("the lengths fit");
    for bad in [f32::NAN, f32::INFINITY] {
        for at in 0..rows * features {
            let mut values = random.numbers(rows * features, 1.0);
            values[at] = bad;
            let x = Matrix::from_f32(&values, features).expect("whole rows");
            let logits = expect::forward(&wide(&values), &wide(&w), &[0.0; 11]);
            let (gradient, _) = expect::gradient(&wide(&values), &wide(&residual), features, classes);
            for level in levels() {
                failures.check(format!("forward at {level}, {bad} at {at}"), || {
                    logits.check(&forward(level, x, &parameters))
                });
                failures.check(format!("gradient at {level}, {bad} at {at}"), || {
                    let mut sum = parameters.clone();
                    kernel::gradient(level, x, &residual, &mut sum).map_err(text)?;
                    gradient.check(&sum.to_row_major())
                });
            }
        }
    }
    failures.finish();
}
