//! Laws that the kernels obey whatever the data: symmetries, sums, and equalities between kernels. Agreement with the
//! reference is `kernels.rs`'s business; here it only lends its budgets.

use std::ops::Range;

use crate::support::cases::{Kind, Shape, WIDE};
use crate::support::compare::{UNIT, same_bits};
use crate::support::data::{BOTH, Data, LEARNING_RATE, cross_entropy, forward, log_softmax, softmax};
use crate::support::expect::{self, wide};
use crate::support::failures::{Failures, text};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::{Exec, Matrix, Parameters, Targets, kernel};

fn bits64(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// `values [n, columns]` with column `order[j]` at `j`.
fn permute_columns<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    values.chunks_exact(order.len()).flat_map(|row| order.iter().map(|&column| row[column])).collect()
}

fn data() -> impl Strategy<Value = Data> {
    let classes = prop_oneof![8 => 1usize..30, 1 => 60usize..70, 1 => 99usize..260];
    let shape = (1usize..50, 1usize..70, classes);
    (shape, any::<u64>())
        .prop_map(|((rows, features, classes), seed)| Data::new(Shape { rows, features, classes }, seed))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn probabilities_sum_to_one(data in data()) {
        let classes = data.shape.classes;
        let tolerances = expect::softmax(&wide(&data.logits), classes).tolerances;
        for level in levels() {
            let p = softmax(level, &data.logits, classes);
            for (row, tolerances) in p.chunks_exact(classes).zip(tolerances.chunks_exact(classes)) {
                let (sum, budget) = (wide(row).iter().sum::<f64>(), tolerances.iter().sum::<f64>());
                prop_assert!((sum - 1.0).abs() <= budget, "{level}: {sum} +- {budget}");
            }
        }
    }

    /// A probability of t in all makes the residual's sum t - t, within the budgets of its elements.
    #[test]
    fn residual_rows_sum_to_zero(data in data()) {
        let classes = data.shape.classes;
        let tolerances = expect::cross_entropy(&wide(&data.logits), &wide(&data.soft), classes).1.tolerances;
        for level in levels() {
            let residual = cross_entropy(level, data.soft(), &data.logits).1;
            for (row, tolerances) in residual.chunks_exact(classes).zip(tolerances.chunks_exact(classes)) {
                let (sum, budget) = (wide(row).iter().sum::<f64>(), tolerances.iter().sum::<f64>());
                prop_assert!(sum.abs() <= budget, "{level}: {sum} +- {budget}");
            }
        }
    }

    /// Each row is shifted by its own amount: a maximum taken over more than one row would show.
    #[test]
    fn shifting_a_row_changes_nothing(data in data(), seed: u64) {
        let classes = data.shape.classes;
        let mut random = Random::new(seed);
        let mut shifted = data.logits.clone();
        for row in shifted.chunks_exact_mut(classes) {
            let shift = random.below(1 << 21) as f32 - (1 << 20) as f32;
            row.iter_mut().for_each(|z| *z += shift);
        }
        let z = wide(&data.logits);
        let (losses, residual) = expect::cross_entropy(&z, &wide(&data.soft), classes);
        for level in levels() {
            let p = softmax(level, &data.logits, classes);
            let around = expect::softmax(&z, classes).around(&p);
            prop_assert_eq!(around.check(&softmax(level, &shifted, classes)), Ok(()), "softmax at {}", level);
            let log_p = log_softmax(level, &data.logits, classes);
            let around = expect::log_softmax(&z, classes).around(&log_p);
            prop_assert_eq!(around.check(&log_softmax(level, &shifted, classes)), Ok(()), "log_softmax at {}", level);
            let before = cross_entropy(level, data.soft(), &data.logits);
            let after = cross_entropy(level, data.soft(), &shifted);
            prop_assert_eq!(losses.around(&before.0).check(&after.0), Ok(()), "losses at {}", level);
            prop_assert_eq!(residual.around(&before.1).check(&after.1), Ok(()), "residual at {}", level);
        }
    }

    #[test]
    fn log_softmax_is_the_logarithm_of_softmax(data in data()) {
        let classes = data.shape.classes;
        let z = wide(&data.logits);
        let (p_budget, log_budget) = (expect::softmax(&z, classes).tolerances, expect::log_softmax(&z, classes));
        for level in levels() {
            let p = softmax(level, &data.logits, classes);
            // An error of e in p is one of e / p in its logarithm; the logits are close enough that no p underflows.
            let mut expected = log_budget.clone();
            for (at, &p) in p.iter().enumerate() {
                expected.values[at] = f64::from(p).ln();
                expected.tolerances[at] += 1.001 * p_budget[at] / f64::from(p);
            }
            prop_assert_eq!(expected.check(&log_softmax(level, &data.logits, classes)), Ok(()), "{}", level);
        }
    }

    #[test]
    fn a_split_batch_has_the_logits_of_the_whole_to_the_bit(data in data(), at: prop::sample::Index) {
        let (rows, middle) = (data.shape.rows, at.index(data.shape.rows + 1));
        for level in levels() {
            for kind in BOTH {
                let whole = data.forward(level, data.x(kind));
                let first = data.forward(level, data.rows(kind, 0..middle));
                let rest = data.forward(level, data.rows(kind, middle..rows));
                let split = [first, rest].concat();
                prop_assert_eq!(same_bits(&split, &whole), Ok(()), "{} {:?} at {}", level, kind, middle);
            }
        }
    }

    #[test]
    fn a_split_batch_has_the_losses_of_the_whole_to_the_bit(data in data(), at: prop::sample::Index) {
        let Shape { rows, classes, .. } = data.shape;
        let middle = at.index(rows + 1);
        let (first_z, rest_z) = data.logits.split_at(middle * classes);
        let (first_t, rest_t) = data.soft.split_at(middle * classes);
        let soft = |t| Targets::from_probabilities(t, classes).expect("whole rows");
        let labels = |range: Range<usize>| Targets::from_u32(&data.labels[range]);
        for level in levels() {
            for [whole, first, rest] in [
                [data.soft(), soft(first_t), soft(rest_t)],
                [labels(0..rows), labels(0..middle), labels(middle..rows)],
            ] {
                let whole = cross_entropy(level, whole, &data.logits);
                let (first, rest) = (cross_entropy(level, first, first_z), cross_entropy(level, rest, rest_z));
                let (losses, residual) = ([first.0, rest.0].concat(), [first.1, rest.1].concat());
                prop_assert_eq!(bits64(&losses), bits64(&whole.0), "losses at {}, split at {}", level, middle);
                prop_assert_eq!(same_bits(&residual, &whole.1), Ok(()), "residual at {}, split at {}", level, middle);
            }
        }
    }

    #[test]
    fn a_split_batch_accumulates_and_steps_to_what_the_whole_does(data in data(), at: prop::sample::Index) {
        let (rows, start) = (data.shape.rows, data.start());
        let middle = at.index(rows + 1);
        let (first_r, rest_r) = data.residual.split_at(middle * data.shape.classes);
        for kind in BOTH {
            let accumulated = data.expect_step(kind, -1.0, &start);
            let stepped = data.expect_step(kind, LEARNING_RATE, &start);
            let (x, first, rest) = (data.x(kind), data.rows(kind, 0..middle), data.rows(kind, middle..rows));
            for level in levels() {
                let whole = data.accumulate(level, x, &data.residual, &start);
                let split = data.accumulate(level, rest, rest_r, &data.accumulate(level, first, first_r, &start));
                prop_assert_eq!(accumulated.around(&whole).check(&split), Ok(()), "accumulate at {}", level);
                let whole = data.step(level, x, &data.residual, &start);
                let split = data.step(level, rest, rest_r, &data.step(level, first, first_r, &start));
                prop_assert_eq!(stepped.around(&whole).check(&split), Ok(()), "sgd_step at {}", level);
            }
        }
    }

    #[test]
    fn accumulating_from_zero_is_overwriting_to_the_bit(data in data()) {
        let zeros = vec![0.0; data.weights.len() + data.bias.len()];
        for level in levels() {
            for kind in BOTH {
                let overwritten = data.gradient(level, data.x(kind), &data.residual);
                let accumulated = data.accumulate(level, data.x(kind), &data.residual, &zeros);
                prop_assert_eq!(same_bits(&accumulated, &overwritten), Ok(()), "{} {:?}", level, kind);
            }
        }
    }

    #[test]
    fn a_step_subtracts_the_learning_rate_times_the_gradient(data in data()) {
        let start = data.start();
        for kind in BOTH {
            let expected = data.expect_step(kind, LEARNING_RATE, &start);
            for level in levels() {
                let gradient = data.gradient(level, data.x(kind), &data.residual);
                let by_hand: Vec<f64> = start.iter().zip(&gradient)
                    .map(|(w, g)| f64::from(*w) - f64::from(LEARNING_RATE) * f64::from(*g)).collect();
                let stepped = data.step(level, data.x(kind), &data.residual, &start);
                prop_assert_eq!(expected.around(&by_hand).check(&stepped), Ok(()), "{} {:?}", level, kind);
            }
        }
    }

    /// Targets of twice the size are a row of weight 2: twice the loss and the residual, and a residual of twice the
    /// size makes the gradient of the same row taken twice.
    #[test]
    fn a_row_of_weight_two_is_the_row_twice(data in data()) {
        let Shape { rows, features, classes } = data.shape;
        let double: Vec<f32> = data.soft.iter().map(|t| 2.0 * t).collect();
        let twice: Vec<usize> = (0..rows).flat_map(|row| [row, row]).collect();
        let residual_twice: Vec<f32> =
            twice.iter().flat_map(|row| &data.residual[row * classes..][..classes]).copied().collect();
        let doubled_residual: Vec<f32> = data.residual.iter().map(|r| 2.0 * r).collect();
        let (losses, residual) = expect::cross_entropy(&wide(&data.logits), &wide(&double), classes);
        for level in levels() {
            let once = cross_entropy(level, data.soft(), &data.logits);
            let targets = Targets::from_probabilities(&double, classes).expect("whole rows");
            let weighted = cross_entropy(level, targets, &data.logits);
            let sums: Vec<f64> = once.0.iter().map(|loss| 2.0 * loss).collect();
            let residuals: Vec<f64> = once.1.iter().map(|r| 2.0 * f64::from(*r)).collect();
            prop_assert_eq!(losses.around(&sums).check(&weighted.0), Ok(()), "losses at {}", level);
            prop_assert_eq!(residual.around(&residuals).check(&weighted.1), Ok(()), "residual at {}", level);
            for kind in BOTH {
                let gathered = data.x(kind).select(&twice).expect("indices in range");
                let rows_twice = data.gradient(level, gathered, &residual_twice);
                let weighted = data.gradient(level, data.x(kind), &doubled_residual);
                let (x64, r64) = (data.x64(kind), wide(&doubled_residual));
                let (mut expected, bias) = expect::gradient(&x64, &r64, features, classes);
                expected.tolerances.extend(bias.tolerances);
                // The longer of the two sums has twice as many roundings.
                expected.tolerances.iter_mut().for_each(|tolerance| *tolerance *= 2.0);
                let outcome = expected.around(&weighted).check(&rows_twice);
                prop_assert_eq!(outcome, Ok(()), "gradient at {} {:?}", level, kind);
            }
        }
    }

    #[test]
    fn labels_of_any_type_and_one_hot_targets_agree(data in data()) {
        let classes = data.shape.classes.min(256);
        let logits = &data.logits[..data.shape.rows * classes];
        let labels: Vec<u32> = data.labels.iter().map(|label| label % classes as u32).collect();
        let bytes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        let mut hot = vec![0.0; logits.len()];
        hot.chunks_exact_mut(classes).zip(&labels).for_each(|(row, &label)| row[label as usize] = 1.0);
        let (losses, residual) = expect::cross_entropy(&wide(logits), &wide(&hot), classes);
        for level in levels() {
            let by_u32 = cross_entropy(level, Targets::from_u32(&labels), logits);
            let by_u8 = cross_entropy(level, Targets::from_u8(&bytes), logits);
            prop_assert_eq!(bits64(&by_u8.0), bits64(&by_u32.0), "losses at {}", level);
            prop_assert_eq!(same_bits(&by_u8.1, &by_u32.1), Ok(()), "residual at {}", level);
            let targets = Targets::from_probabilities(&hot, classes).expect("whole rows");
            let by_hot = cross_entropy(level, targets, logits);
            prop_assert_eq!(losses.around(&by_u32.0).check(&by_hot.0), Ok(()), "one-hot losses at {}", level);
            prop_assert_eq!(residual.around(&by_u32.1).check(&by_hot.1), Ok(()), "one-hot residual at {}", level);
        }
    }

    #[test]
    fn selecting_every_row_in_order_is_the_whole_to_the_bit(data in data()) {
        let all: Vec<usize> = (0..data.shape.rows).collect();
        let start = data.start();
        for level in levels() {
            for kind in BOTH {
                let (x, selected) = (data.x(kind), data.x(kind).select(&all).expect("indices in range"));
                let all_of = |x| {
                    let gradient = data.gradient(level, x, &data.residual);
                    [data.forward(level, x), gradient, data.step(level, x, &data.residual, &start)]
                };
                for (name, (selected, whole)) in
                    ["forward", "gradient", "sgd_step"].iter().zip(all_of(selected).iter().zip(&all_of(x)))
                {
                    prop_assert_eq!(same_bits(selected, whole), Ok(()), "{} at {} {:?}", name, level, kind);
                }
            }
            let whole = cross_entropy(level, data.soft(), &data.logits);
            let selected = cross_entropy(level, data.soft().select(&all).expect("indices in range"), &data.logits);
            prop_assert_eq!(bits64(&selected.0), bits64(&whole.0), "losses at {}", level);
            prop_assert_eq!(same_bits(&selected.1, &whole.1), Ok(()), "residual at {}", level);
        }
    }

    #[test]
    fn pixels_are_their_fractions_of_255(data in data()) {
        let fractions: Vec<f32> = data.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let x = Matrix::from_f32(&fractions, data.shape.features).expect("whole rows");
        let logits = expect::forward(&wide(&fractions), &wide(&data.weights), &wide(&data.bias));
        let gradient = data.expect_step(Kind::U8, -1.0, &vec![0.0; data.start().len()]);
        for level in levels() {
            let by_f32 = data.forward(level, x);
            prop_assert_eq!(logits.around(&by_f32).check(&data.forward(level, data.x(Kind::U8))), Ok(()), "{}", level);
            let by_f32 = data.gradient(level, x, &data.residual);
            let by_u8 = data.gradient(level, data.x(Kind::U8), &data.residual);
            prop_assert_eq!(gradient.around(&by_f32).check(&by_u8), Ok(()), "gradient at {}", level);
        }
    }

    #[test]
    fn permuting_the_classes_permutes_the_results(data in data(), seed: u64) {
        let Shape { features, classes, .. } = data.shape;
        let mut order: Vec<usize> = (0..classes).collect();
        let mut random = Random::new(seed);
        (1..classes).for_each(|last| order.swap(last, random.below(last + 1)));
        let (bias, z) = (permute_columns(&data.bias, &order), permute_columns(&data.logits, &order));
        let (soft, residual) = (permute_columns(&data.soft, &order), permute_columns(&data.residual, &order));
        let parameters = data.pack(&permute_columns(&data.weights, &order), &bias);
        let (losses, residuals) = expect::cross_entropy(&wide(&z), &wide(&soft), classes);
        for level in levels() {
            for kind in BOTH {
                let logits = permute_columns(&data.forward(level, data.x(kind)), &order);
                let expected = expect::forward(&data.x64(kind), &wide(&parameters.to_row_major()), &wide(&bias));
                let permuted = forward(level, data.x(kind), &parameters);
                prop_assert_eq!(expected.around(&logits).check(&permuted), Ok(()), "forward at {} {:?}", level, kind);
                let gradient = permute_columns(&data.gradient(level, data.x(kind), &data.residual), &order);
                let (mut expected, b) = expect::gradient(&data.x64(kind), &wide(&residual), features, classes);
                expected.tolerances.extend(b.tolerances);
                let permuted = data.gradient(level, data.x(kind), &residual);
                let outcome = expected.around(&gradient).check(&permuted);
                prop_assert_eq!(outcome, Ok(()), "gradient at {} {:?}", level, kind);
            }
            let before = cross_entropy(level, data.soft(), &data.logits);
            let after = cross_entropy(level, Targets::from_probabilities(&soft, classes).expect("whole rows"), &z);
            prop_assert_eq!(losses.around(&before.0).check(&after.0), Ok(()), "losses at {}", level);
            let before = permute_columns(&before.1, &order);
            prop_assert_eq!(residuals.around(&before).check(&after.1), Ok(()), "residual at {}", level);
        }
    }
}

/// As `a_split_batch_has_the_logits_of_the_whole_to_the_bit`, where whole and parts may be so different in size that
/// different code computes them.
#[test]
fn a_split_batch_of_very_many_classes_has_the_logits_of_the_whole_to_the_bit() {
    let mut failures = Failures::default();
    for (rows, features, classes) in WIDE {
        let data = Data::new(Shape { rows, features, classes }, rows as u64);
        for level in levels() {
            for kind in BOTH {
                let whole = data.forward(level, data.x(kind));
                for middle in [1, 100, rows - 1] {
                    let first = data.forward(level, data.rows(kind, 0..middle));
                    let rest = data.forward(level, data.rows(kind, middle..rows));
                    failures.check(format!("{level}, {kind:?}, {} split at {middle}", data.shape), || {
                        same_bits(&[first, rest].concat(), &whole)
                    });
                }
            }
        }
    }
    failures.finish();
}

/// The kernels' own gradient against slopes of the kernels' own loss: no reference takes part.
#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let shape = Shape { rows: 3, features: 19, classes: 4 };
    let data = Data::new(shape, 11);
    // The loss has an error of some units in the last place of its logits, which the step divides; the third derivative
    // of three rows' loss is below 1, so that the slope is off by h^2 / 6 at most.
    let (step, roundoff) = (1.0f32 / 128.0, 64.0 * UNIT);
    let tolerance = roundoff / f64::from(step) + f64::from(step * step) / 6.0;
    for level in levels() {
        for kind in BOTH {
            let loss = |parameters: &[f32]| {
                let (w, b) = parameters.split_at(data.weights.len());
                cross_entropy(level, data.soft(), &forward(level, data.x(kind), &data.pack(w, b))).0.iter().sum::<f64>()
            };
            let residual = cross_entropy(level, data.soft(), &data.forward(level, data.x(kind))).1;
            let mut parameters = data.start();
            for (at, gradient) in data.gradient(level, data.x(kind), &residual).into_iter().enumerate() {
                let middle = parameters[at];
                parameters[at] = middle + step;
                let (above, right) = (loss(&parameters), parameters[at]);
                parameters[at] = middle - step;
                let (below, left) = (loss(&parameters), parameters[at]);
                parameters[at] = middle;
                let slope = (above - below) / f64::from(right - left);
                assert!(
                    (slope - f64::from(gradient)).abs() <= tolerance,
                    "{level} {kind:?}, parameter {at}: slope {slope}, gradient {gradient}, tolerance {tolerance}"
                );
            }
        }
    }
}

/// One row takes kernels of its own, which are to give the bits that the tiles give: those of a row among others, and of
/// a row beside one whose residual is 0.
#[test]
fn a_row_alone_has_the_bits_of_a_row_among_others() {
    let mut failures = Failures::default();
    for (seed, (features, classes)) in
        [(784, 10), (48, 3), (20, 10), (64, 100), (33, 17), (16, 16), (300, 450), (2050, 65)].into_iter().enumerate()
    {
        let mut random = Random::new(seed as u64);
        let x = random.numbers(3 * features, 1.0);
        let residual = random.numbers(classes, 1.0);
        let (w, b) = (random.numbers(features * classes, 1.0), random.numbers(classes, 1.0));
        let parameters = Parameters::from_row_major(&w, &b, features, classes).expect("the lengths fit");
        let of = |rows: Range<usize>| {
            Matrix::from_f32(&x[rows.start * features..rows.end * features], features).expect("whole rows")
        };
        for level in levels() {
            failures.check(format!("forward at {level}, {features} x {classes}"), || {
                let (mut all, mut one) = (vec![0.0; 3 * classes], vec![0.0; 3 * classes]);
                kernel::forward(level, of(0..3), &parameters, &mut all).map_err(text)?;
                for (row, one) in one.chunks_exact_mut(classes).enumerate() {
                    kernel::forward(level, of(row..row + 1), &parameters, one).map_err(text)?;
                }
                same_bits(&one, &all)
            });
            failures.check(format!("updates at {level}, {features} x {classes}"), || {
                let with_zeros = [residual.clone(), vec![0.0; classes]].concat();
                let (mut one, mut two) = (parameters.clone(), parameters.clone());
                kernel::sgd_step(level, of(0..1), &residual, 0.3, &mut one).map_err(text)?;
                kernel::sgd_step(level, of(0..2), &with_zeros, 0.3, &mut two).map_err(text)?;
                same_bits(&one.to_row_major(), &two.to_row_major())?;
                kernel::gradient(level, of(0..1), &residual, &mut one).map_err(text)?;
                kernel::gradient(level, of(0..2), &with_zeros, &mut two).map_err(text)?;
                same_bits(&one.to_row_major(), &two.to_row_major())
            });
        }
    }
    failures.finish();
}

/// Work enough that threads share the features of a single row, in weights of either order.
#[test]
fn threads_share_the_features_of_one_row_to_the_bit() {
    for (features, classes) in [(4100, 1008), (400_000, 10)] {
        let mut random = Random::new(8);
        let (x, residual) = (random.numbers(features, 1.0), random.numbers(classes, 1.0));
        let x = Matrix::from_f32(&x, features).expect("one row");
        let of = |exec: Exec| {
            let mut gradient = Parameters::zeros(features, classes);
            kernel::gradient(exec, x, &residual, &mut gradient).expect("the shapes fit");
            gradient
        };
        for level in levels() {
            let expected = of(level.into());
            for threads in [2, 3] {
                assert!(of(Exec { level, threads }) == expected, "{level}, {threads} threads, {features} x {classes}");
            }
        }
    }
}
