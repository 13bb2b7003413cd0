//! NaN and infinity in the products, among inputs, weights and residuals: they go where arithmetic takes them, and nowhere
//! else.

use crate::support::compare::same_bits;
use crate::support::data::forward;
use crate::support::expect::{self, wide};
use crate::support::failures::{Failures, text};
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{Batch, Dataset, Error, Matrix, Parameters, Reduction, Sgd, SoftmaxRegression, Targets, Trainer, kernel};

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
    // Lanes along the features with 11 classes, along the classes with 16 and 20.
    for (features, classes, bad) in [1, 3, 5, 9, 15, 16, 17, 33]
        .into_iter()
        .flat_map(|f| [11, 16, 20].map(|c| (f, c)))
        .flat_map(|(f, c)| [0.5, f32::INFINITY, f32::NAN].map(|b| (f, c, b)))
    {
        let rows = 3;
        let ones = vec![1.0; rows * features];
        let x = Matrix::from_f32(&ones, features).expect("whole rows");
        let mut residual = Random::new(6).numbers(rows * classes, 1.0);
        residual[4] = bad;
        for level in levels() {
            let mut check = |kernel: &str, left: &Parameters| {
                let copy = Parameters::from_row_major(&left.to_row_major(), left.bias(), features, classes);
                let (got, want) = (forward(level, x, left), forward(level, x, &copy.expect("the lengths fit")));
                let label = format!("{kernel} at {level}, {features} features x {classes} classes, residual {bad}");
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

/// Predictions name the row and the class that are not finite; none is counted as right.
#[test]
fn predictions_refuse_rows_that_are_not_finite() {
    for level in levels() {
        let zeros = SoftmaxRegression::zeros(2, 2).with_level(level);
        for bad in [f32::NAN, f32::INFINITY] {
            let values = [0.5, 1.0, bad, 1.0];
            let x = Matrix::from_f32(&values, 2).expect("two rows");
            let batch = Batch::new(x, &[0_u8, 0][..]).expect("two labels");
            let is_right = |error: Option<Error>| matches!(error, Some(Error::NonFinite { what: "logits", row: 1, column: 0, value }) if value.is_nan());
            assert!(is_right(zeros.predict(x).err()), "{level}");
            assert!(is_right(zeros.top_k(x, 2).err()), "{level}");
            assert!(is_right(zeros.evaluate(batch).err()), "{level}");
            assert!(is_right(zeros.accuracy(batch).err()), "{level}");
            assert!(is_right(zeros.log_loss(batch).err()), "{level}");
            // The probabilities say it themselves.
            assert!(zeros.predict_proba(x).expect("the shape fits")[2].is_nan(), "{level}");
        }
        // Finite features and weights whose product is not.
        let large = SoftmaxRegression::from_row_major(&[3e38, 0.0], &[0.0; 2], 1, 2).expect("finite").with_level(level);
        let found = large.predict(Matrix::from_f32(&[3.0], 1).expect("one row"));
        assert!(matches!(found, Err(Error::NonFinite { row: 0, column: 0, .. })), "{level}: {found:?}");
    }
}

#[test]
fn a_model_is_not_made_of_parameters_that_are_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (feature, class) in [(0, 0), (16, 2), (39, 1)] {
            let mut w = vec![0.5; 40 * 3];
            w[feature * 3 + class] = bad;
            let found = SoftmaxRegression::from_row_major(&w, &[0.0; 3], 40, 3);
            let at = |row, column| (row, column) == (feature, class);
            assert!(
                matches!(found, Err(Error::NonFinite { what: "weights", row, column, .. }) if at(row, column)),
                "{found:?}"
            );
        }
        let found = SoftmaxRegression::from_class_major(&[0.0; 6], &[0.0, bad, 0.0], 2, 3);
        assert!(matches!(found, Err(Error::NonFinite { what: "bias", row: 0, column: 1, .. })), "{found:?}");
    }
}

/// A step is never Ok with parameters that are not finite, whatever makes them so; and leaves the model as it was.
#[test]
fn a_step_that_would_ruin_the_model_is_refused_and_changes_nothing() {
    type Case<'a> = (&'a str, &'a [f32], &'a [f32], f32);
    let cases: [Case<'_>; 7] = [
        ("a large feature and rate", &[1e30, 1.0], &[1.0, 0.0], 1e30),
        ("a large negative feature", &[-1e30, 1.0], &[1.0, 0.0], 1e30),
        ("large targets", &[1.0, 1.0], &[2e38, 2e38], 1e10),
        ("a large rate", &[3.0, 3.0], &[1.0, 0.0], 3e38),
        ("a sum beyond f32", &[3e38, 1.0, 3e38, 1.0, 3e38, 1.0], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 1e-30),
        ("a bias alone", &[0.0, 0.0], &[3.4e38, 0.0], 10.0),
        ("many steps' worth", &[1e19, 1e19], &[1.0, 0.0], 1e20),
    ];
    for level in levels() {
        for (what, x, targets, rate) in cases {
            let start = SoftmaxRegression::from_row_major(&[0.0; 4], &[0.25, 0.5], 2, 2).expect("2 x 2");
            let rows = x.len() / 2;
            let labels = vec![0_u32; rows];
            let data = Dataset::from_f32(x.to_vec(), labels, 2, 2).expect("whole rows");
            let targets = Targets::from_probabilities(targets, 2).expect("whole rows");
            // From memory of the caller's and from a dataset, whose largest value is known.
            for x in [Matrix::from_f32(x, 2).expect("whole rows"), data.x()] {
                let batch = Batch::new(x, targets).expect("rows agree");
                let mut trainer =
                    Trainer::new(start.clone().with_level(level), Sgd::new(rate.into())).reduction(Reduction::Sum);
                let found = trainer.step(batch);
                assert!(matches!(found, Err(Error::NonFiniteStep)), "{what} at {level}: {found:?}");
                assert_eq!(*trainer.model(), start, "{what} at {level}");
            }
        }
    }
}

/// A row of weight 0 has no loss to show what its features are: NaN in them would reach the weights all the same.
#[test]
fn features_of_rows_without_weight_do_not_ruin_the_model() {
    let start = SoftmaxRegression::from_row_major(&[0.0; 4], &[0.25, 0.5], 2, 2).expect("2 x 2");
    for level in levels() {
        for bad in [f32::NAN, f32::INFINITY] {
            for rows in [2, 30] {
                let mut values = vec![0.5; 2 * rows];
                values[2] = bad;
                let mut targets: Vec<f32> = [1.0, 0.0].repeat(rows);
                targets[2] = 0.0;
                let data = Dataset::from_f32(values.clone(), vec![0; rows], 2, 2).expect("whole rows");
                for x in [Matrix::from_f32(&values, 2).expect("whole rows"), data.x()] {
                    let targets = Targets::from_probabilities(&targets, 2).expect("whole rows");
                    let mut trainer = Trainer::new(start.clone().with_level(level), Sgd::new(0.1));
                    let found = trainer.step(Batch::new(x, targets).expect("rows agree"));
                    assert!(matches!(found, Err(Error::NonFiniteStep)), "{bad}, {rows} rows at {level}: {found:?}");
                    assert_eq!(*trainer.model(), start, "{bad}, {rows} rows at {level}");
                }
            }
        }
    }
}

/// Steps that come near the end of f32 but not beyond are made, by data of any size, and the careful way gives the same
/// bits as the usual one.
#[test]
fn large_steps_that_stay_finite_are_made() {
    for level in levels() {
        for rows in [1, 3, 30] {
            let x = vec![1e30; rows];
            let batch = |x| Batch::new(x, Targets::from_u8(&[1; 30][..rows])).expect("rows agree");
            let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), Sgd::new(1e7));
            trainer.step(batch(Matrix::from_f32(&x, 1).expect("one feature"))).expect("1e37 is finite");
            assert!(trainer.into_model().to_row_major().iter().all(|w| w.abs() > 1e36 && w.is_finite()));
        }
        let ordinary = Random::new(8).numbers(64 * 20, 1.0);
        let labels: Vec<u32> = Random::new(9).labels(64, 3);
        let data = Dataset::from_f32(ordinary.clone(), labels.clone(), 20, 3).expect("the lengths fit");
        let after = |x| {
            let model = SoftmaxRegression::zeros(20, 3).with_level(level);
            let mut trainer = Trainer::new(model, Sgd::new(0.1));
            for _ in 0..3 {
                trainer.step(Batch::new(x, &labels[..]).expect("rows agree")).expect("a step");
            }
            trainer.into_model().to_row_major()
        };
        // 64 rows of unknown size for 3 classes go the careful way.
        let careful = after(Matrix::from_f32(&ordinary, 20).expect("whole rows"));
        same_bits(&careful, &after(data.x())).unwrap_or_else(|error| panic!("{level}: {error}"));
    }
}

/// A small scale makes no smaller step of the bias, and a pixel may be 255.
#[test]
fn no_scale_hides_a_step_that_would_ruin_the_model() {
    let start = SoftmaxRegression::zeros(1, 2);
    for level in levels() {
        let small = Matrix::from_f32(&[1.0], 1).map(|x| x.with_scale(1e-10));
        let pixel = Matrix::from_u8_scaled(&[255], 1, 1.0);
        for (what, x, rate) in [("a bias alone", small, 3e38), ("a pixel's weight", pixel, 1e37)] {
            let targets = Targets::from_probabilities(&[4.0, 0.0], 2).expect("whole rows");
            let batch = Batch::new(x.expect("one row"), targets).expect("rows agree");
            let mut trainer = Trainer::new(start.clone().with_level(level), Sgd::new(rate)).reduction(Reduction::Sum);
            let found = trainer.step(batch);
            assert!(matches!(found, Err(Error::NonFiniteStep)), "{what} at {level}: {found:?}");
            assert_eq!(*trainer.model(), start, "{what} at {level}");
        }
    }
}

/// Wherever in a row the value is that is not finite, and in whichever weights of a panel the infinity.
#[test]
fn no_place_hides_what_is_not_finite() {
    let (features, classes) = (130, 24);
    let zeros = SoftmaxRegression::zeros(features, 2);
    let second_ignored = [1.0, 0.0, 0.0, 0.0];
    for level in levels() {
        for at in 0..features {
            let mut values = vec![0.5; 2 * features];
            values[features + at] = f32::NAN;
            let data = Dataset::from_f32(values.clone(), vec![0; 2], features, 2).expect("whole rows");
            for x in [Matrix::from_f32(&values, features).expect("whole rows"), data.x()] {
                let targets = Targets::from_probabilities(&second_ignored, 2).expect("whole rows");
                let mut trainer = Trainer::new(zeros.clone().with_level(level), Sgd::new(0.1));
                let found = trainer.step(Batch::new(x, targets).expect("rows agree"));
                assert!(matches!(found, Err(Error::NonFiniteStep)), "NaN at {at}, {level}: {found:?}");
            }
        }
        // All but two classes have probability 0 and keep their weights.
        for class in 0..classes - 8 {
            let mut bias = vec![-1e3; classes];
            (bias[class], bias[class + 8]) = (0.0, 0.0);
            let w = vec![0.0; features * classes];
            let start = SoftmaxRegression::from_row_major(&w, &bias, features, classes).expect("the lengths fit");
            let mut values = vec![0.0; features];
            values[0] = 1e38;
            let (x, labels) = (Matrix::from_f32(&values, features).expect("one row"), [class as u8]);
            let mut trainer = Trainer::new(start.clone().with_level(level), Sgd::new(1e10)).reduction(Reduction::Sum);
            let found = trainer.step(Batch::new(x, &labels[..]).expect("rows agree"));
            assert!(
                matches!(found, Err(Error::NonFiniteStep)),
                "classes {class} and {}, {level}: {found:?}",
                class + 8
            );
            assert_eq!(*trainer.model(), start, "classes {class} and {}, {level}", class + 8);
        }
    }
}

/// Steps that are each far from the end of f32 and together beyond it: each row finds its class improbable by a weight of
/// its own, and pushes the bias on.
#[test]
fn many_safe_steps_that_together_would_ruin_the_model_are_refused() {
    let features = 20;
    let w: Vec<f32> = [-1.1e38, 1.1e38].repeat(features);
    let mut values = vec![0.0; features * features];
    values.iter_mut().step_by(features + 1).for_each(|value| *value = 3.0);
    let data = Dataset::from_f32(values, vec![0; features], features, 2).expect("whole rows");
    for level in levels() {
        let start = SoftmaxRegression::from_row_major(&w, &[0.0; 2], features, 2).expect("the lengths fit");
        let mut trainer = Trainer::new(start.with_level(level), Sgd::new(1.9e37)).reduction(Reduction::Sum);
        for row in 0..features {
            let before = trainer.model().clone();
            let rows = [row];
            let x = data.x().select(&rows).expect("a row");
            match trainer.step(Batch::new(x, Targets::from_u8(&[0])).expect("rows agree")) {
                Ok(_) => assert!(row < 17, "{level}: 18 steps of 1.9e37 are beyond f32"),
                Err(error) => {
                    assert!(matches!(error, Error::NonFiniteStep) && row == 17, "{level}, step {row}: {error:?}");
                    assert_eq!(*trainer.model(), before, "{level}");
                    break;
                }
            }
        }
    }
}

/// What was known of the parameters before a large step does not hold after it.
#[test]
fn a_small_step_after_a_large_one_is_refused_where_it_would_ruin_the_model() {
    let [zero, large] = [0.0, 3.3].map(|value| Dataset::from_f32(vec![value], vec![0], 1, 2).expect("one row"));
    for level in levels() {
        let start = SoftmaxRegression::from_row_major(&[0.98e38, -0.98e38], &[0.0; 2], 1, 2).expect("1 x 2");
        let mut trainer = Trainer::new(start.with_level(level), Sgd::new(1.6e38)).reduction(Reduction::Sum);
        let mut step = |data: &Dataset, targets: &[f32]| {
            let targets = Targets::from_probabilities(targets, 2).expect("one row");
            trainer.step(Batch::new(data.x(), targets).expect("rows agree"))
        };
        step(&zero, &[1e-3, 0.0]).expect("a small step");
        step(&zero, &[0.0, 2.0]).expect("a bias of 3.2e38 is finite");
        let found = step(&large, &[0.0, 0.135]);
        assert!(matches!(found, Err(Error::NonFiniteStep)), "{level}: {found:?}");
        assert!(trainer.into_model().bias().iter().all(|bias| bias.abs() > 3e38 && bias.is_finite()), "{level}");
    }
}

/// What fills panels of features and of classes up stays zero after one row: else it would show in what is computed next.
#[test]
fn one_row_that_is_not_finite_leaves_what_fills_panels_up() {
    for (features, classes) in [(17, 17), (33, 60), (48, 60), (20, 10), (48, 3)] {
        let mut random = Random::new(9);
        let (good, residuals) = (random.numbers(2 * features, 1.0), random.numbers(2 * classes, 1.0));
        let two = Matrix::from_f32(&good, features).expect("two rows");
        for level in levels() {
            let mut expected = Parameters::zeros(features, classes);
            kernel::gradient(level, two, &residuals, &mut expected).expect("the shapes fit");
            for bad in [f32::NAN, f32::INFINITY] {
                let (ones, bads) =
                    ((vec![1.0; features], vec![1.0; classes]), (vec![bad; features], vec![bad; classes]));
                for (x, residual) in [(&ones.0, &bads.1), (&bads.0, &ones.1)] {
                    let mut found = Parameters::zeros(features, classes);
                    let one = Matrix::from_f32(x, features).expect("one row");
                    kernel::gradient(level, one, residual, &mut found).expect("the shapes fit");
                    kernel::gradient(level, two, &residuals, &mut found).expect("the shapes fit");
                    assert!(found == expected, "{level}, {features} x {classes}, {bad}");
                    let (mut logits, mut right) = (vec![0.0; 2 * classes], vec![0.0; 2 * classes]);
                    kernel::forward(level, two, &found, &mut logits).expect("the shapes fit");
                    kernel::forward(level, two, &expected, &mut right).expect("the shapes fit");
                    assert_eq!(logits, right, "{level}, {features} x {classes}, {bad}");
                }
            }
        }
    }
}
