//! Tests of the tests: the reference against its own finite differences, the comparer against wrong results, the
//! required levels, the guards and the failure list. No kernel runs here.

use crate::support::cases::{CLASSES, FEATURES, ROWS, ragged_shapes};
use crate::support::compare::{Expected, UNIT, same_bits, sum_budget, ulps};
use crate::support::expect::{self, wide};
use crate::support::failures::Failures;
use crate::support::guarded::{Guarded, unwritten};
use crate::support::levels::{levels, missing};
use crate::support::random::Random;
use crate::support::reference;
use softreg::Level;

/// Logits `[6, 10]` over 33 features: what is expected, and a result within the budget of it.
fn logits() -> (Expected, Vec<f32>) {
    let mut random = Random::new(1);
    let (x, w, b) = (random.numbers(6 * 33, 1.0), random.numbers(33 * 10, 1.0), random.numbers(10, 1.0));
    let expected = expect::forward(&wide(&x), &wide(&w), &wide(&b));
    let rounded = expected.values.iter().map(|value| *value as f32).collect();
    (expected, rounded)
}

/// Every budget of the cross-entropy and the step beside that of the forward, each with a result within it.
fn all_budgets() -> Vec<(&'static str, Expected, Vec<f32>)> {
    let mut random = Random::new(2);
    let (rows, features, classes) = (6, 33, 10);
    let x = wide(&random.numbers(rows * features, 1.0));
    let z = wide(&random.numbers(rows * classes, 5.0));
    let t = wide(&random.soft_targets(rows, classes));
    let w = wide(&random.numbers(features * classes, 1.0));
    let b = wide(&random.numbers(classes, 1.0));
    let (losses, residual) = expect::cross_entropy(&z, &t, classes);
    let (gradient, bias_gradient) = expect::gradient(&x, &residual.values, features, classes);
    let (new_w, new_b) = expect::sgd_step(&x, &residual.values, 0.1, &w, &b);
    let named = [
        ("forward", expect::forward(&x, &w, &b)),
        ("softmax", expect::softmax(&z, classes)),
        ("log_softmax", expect::log_softmax(&z, classes)),
        ("losses", losses),
        ("residual", residual),
        ("gradient", gradient),
        ("bias gradient", bias_gradient),
        ("new weights", new_w),
        ("new bias", new_b),
    ];
    named.map(|(name, e)| (name, e.clone(), e.values.iter().map(|v| *v as f32).collect())).into()
}

#[test]
fn the_comparer_accepts_rounded_values_under_every_budget() {
    for (name, expected, rounded) in all_budgets() {
        expected.check(&rounded).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_comparer_rejects_a_thousandth_of_error_under_every_budget() {
    for (name, expected, rounded) in all_budgets() {
        let last = rounded.len() - 1;
        for at in [0, last / 2, last] {
            let mut wrong = rounded.clone();
            wrong[at] = wrong[at] * 1.001 + 1e-5f32.copysign(wrong[at]);
            assert!(
                expected.check(&wrong).is_err(),
                "{name}: element {at} accepted: {} for {}",
                wrong[at],
                rounded[at]
            );
        }
    }
}

#[test]
fn the_comparer_rejects_zeros() {
    for (name, expected, rounded) in all_budgets() {
        assert!(expected.check(&vec![0.0f32; rounded.len()]).is_err(), "{name}");
    }
}

#[test]
fn the_comparer_tells_nan_and_infinities_from_numbers_and_from_each_other() {
    let number = Expected { values: vec![1.0], tolerances: vec![0.5], columns: 1 };
    let nan = Expected { values: vec![f64::NAN], tolerances: vec![0.5], columns: 1 };
    let infinity = Expected { values: vec![f64::INFINITY], tolerances: vec![f64::INFINITY], columns: 1 };
    number.check(&[1.4f32]).expect("a number within the tolerance");
    nan.check(&[f32::NAN]).expect("NaN where NaN is wanted");
    infinity.check(&[f32::INFINITY]).expect("the infinity that is wanted");
    for wrong in [1.6, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        assert!(number.check(&[wrong]).is_err(), "{wrong} accepted for 1");
    }
    for wrong in [0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(nan.check(&[wrong]).is_err(), "{wrong} accepted for NaN");
    }
    for wrong in [0.0, f32::MAX, f32::NAN, f32::NEG_INFINITY] {
        assert!(infinity.check(&[wrong]).is_err(), "{wrong} accepted for infinity");
    }
}

#[test]
fn the_comparer_rejects_what_a_broken_budget_would_accept() {
    for tolerance in [f64::NAN, f64::INFINITY] {
        let broken = Expected { values: vec![1.0], tolerances: vec![tolerance], columns: 1 };
        assert!(broken.check(&[2.0f32]).is_err(), "a tolerance of {tolerance} accepted 2 for 1");
    }
}

#[test]
fn the_comparer_rejects_swapped_rows() {
    let (expected, mut rounded) = logits();
    let (first, second) = rounded.split_at_mut(10);
    first.swap_with_slice(&mut second[..10]);
    let error = expected.check(&rounded).expect_err("rows 0 and 1 are swapped");
    assert!(error.starts_with("20 of 60 wrong"), "{error}");
}

#[test]
fn the_comparer_rejects_a_wrong_last_column() {
    let (expected, mut rounded) = logits();
    rounded.iter_mut().skip(9).step_by(10).for_each(|last| *last = 0.0);
    let error = expected.check(&rounded).expect_err("column 9 is zero");
    assert!(error.starts_with("6 of 60 wrong") && error.contains("column 9"), "{error}");
}

#[test]
fn the_comparer_rejects_a_wrong_last_row() {
    let (expected, mut rounded) = logits();
    rounded[50..].fill(0.0);
    let error = expected.check(&rounded).expect_err("row 5 is zero");
    assert!(error.starts_with("10 of 60 wrong") && error.contains("row 5"), "{error}");
}

#[test]
fn the_comparer_rejects_other_lengths() {
    let (expected, mut rounded) = logits();
    assert!(expected.check(&rounded[..59]).is_err(), "one value short");
    assert!(expected.check::<f32>(&[]).is_err(), "no values");
    rounded.push(0.0);
    assert!(expected.check(&rounded).is_err(), "one value long");
}

#[test]
fn a_feature_left_out_of_the_longest_sum_exceeds_the_budget() {
    let features = 1030;
    let mut random = Random::new(3);
    let (x, w, b) = (random.numbers(features, 1.0), random.numbers(features, 1.0), [0.0]);
    let expected = expect::forward(&wide(&x), &wide(&w), &b);
    let without_last = reference::forward(&wide(&x[..features - 1]), &wide(&w[..features - 1]), &b);
    assert!((x[features - 1] * w[features - 1]).abs() > 0.01, "the product left out is one that matters");
    assert!(expected.check(&without_last).is_err());
}

#[test]
fn the_sum_budget_grows_with_the_length_and_never_faster() {
    assert!((sum_budget(1, 1.0) / UNIT - 1.0).abs() < 1e-6);
    for roundings in 1..5000 {
        let (now, next) = (sum_budget(roundings, 1.0), sum_budget(roundings + 1, 1.0));
        assert!(now < next && next < now + 1.001 * UNIT, "{roundings}");
    }
}

#[test]
fn ulps_count_steps_across_zero_and_never_accept_nan() {
    assert_eq!(ulps(1.0, 1.0), 0);
    assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), 1);
    assert_eq!(ulps(0.0, -0.0), 0);
    assert_eq!(ulps(f32::from_bits(3), -f32::from_bits(4)), 7);
    assert_eq!(ulps(f32::MAX, f32::INFINITY), 1);
    assert_eq!(ulps(f32::NAN, 1.0), u32::MAX);
    assert_eq!(ulps(1.0, f32::NAN), u32::MAX);
    assert_eq!(ulps(f32::NAN, f32::NAN), 0);
}

#[test]
fn same_bits_tells_zeros_apart_and_lengths() {
    same_bits(&[1.0, f32::NAN], &[1.0, -f32::NAN]).expect("NaN for NaN");
    assert!(same_bits(&[0.0], &[-0.0]).is_err());
    assert!(same_bits(&[1.0], &[f32::NAN]).is_err());
    assert!(same_bits(&[1.0], &[1.0, 2.0]).is_err());
}

/// The derivative of the summed loss with respect to each weight and bias, by central differences, against the
/// reference's gradient of its own residual. Soft targets that do not sum to 1 cover the general formula.
#[test]
fn the_reference_gradient_is_the_derivative_of_the_reference_loss() {
    let (rows, features, classes, step) = (5, 7, 4, 1e-5);
    let mut random = Random::new(4);
    let x = wide(&random.numbers(rows * features, 1.0));
    let w = wide(&random.numbers(features * classes, 1.0));
    let b = wide(&random.numbers(classes, 1.0));
    let t = wide(&random.soft_targets(rows, classes));
    let loss = |parameters: &[f64]| {
        let (w, b) = parameters.split_at(features * classes);
        reference::cross_entropy(&reference::forward(&x, w, b), &t, classes).0.iter().sum::<f64>()
    };
    let residual = reference::cross_entropy(&reference::forward(&x, &w, &b), &t, classes).1;
    let (w_gradient, b_gradient) = reference::gradient(&x, &residual, features, classes);
    let mut parameters = [w, b].concat();
    for (at, gradient) in [w_gradient, b_gradient].concat().into_iter().enumerate() {
        let middle = parameters[at];
        parameters[at] = middle + step;
        let above = loss(&parameters);
        parameters[at] = middle - step;
        let below = loss(&parameters);
        parameters[at] = middle;
        let slope = (above - below) / (2.0 * step);
        assert!((slope - gradient).abs() < 1e-7, "parameter {at}: slope {slope}, gradient {gradient}");
    }
}

#[test]
fn the_reference_agrees_with_sums_done_by_hand() {
    let logits = reference::forward(&[1.0, 2.0, -1.0, 0.5], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[10.0, 20.0, 30.0]);
    assert_eq!(logits, [19.0, 32.0, 45.0, 11.0, 20.5, 30.0]);
    let p = reference::softmax(&[0.0, 3f64.ln(), 0.0, 0.0], 2);
    for (p, want) in p.iter().zip([0.25, 0.75, 0.5, 0.5]) {
        assert!((p - want).abs() < 1e-15, "{p} for {want}");
    }
    let (losses, residual) = reference::cross_entropy(&[0.0, f64::NEG_INFINITY, 0.0, 0.0], &[1.0, 0.0, 0.5, 0.5], 2);
    assert_eq!(losses, [0.0, 2f64.ln()]);
    assert_eq!(residual, [0.0, 0.0, 0.0, 0.0]);
    let (mut w, mut b) = (vec![1.0; 4], vec![1.0; 2]);
    reference::sgd_step(&[1.0, 2.0], &[3.0, 4.0], 0.5, &mut w, &mut b);
    assert_eq!((w, b), (vec![-0.5, -1.0, -2.0, -3.0], vec![-0.5, -1.0]));
}

#[test]
fn every_level_that_runs_is_named_and_a_required_one_that_cannot_run_is_missing() {
    let names: Vec<&str> = levels().iter().map(|level| level.name()).collect();
    println!("levels that run: {}", names.join(", "));
    assert_eq!(names.last(), Some(&"portable"), "portable always runs, and is the last choice");
    assert_eq!(levels().first(), Some(&Level::best()));
    assert!(missing("", &names).is_empty());
    assert!(missing(" portable, ", &names).is_empty());
    assert_eq!(missing("portable,avx1024", &names), ["avx1024"]);
    assert_eq!(missing("neon", &["avx2", "portable"]), ["neon"]);
    assert_eq!(missing("AVX2", &["avx2", "portable"]), ["AVX2"], "names are exact");
}

#[test]
fn a_level_is_its_name() {
    let available = Level::available();
    for name in ["avx512", "avx2", "neon", "portable"] {
        match Level::from_name(name) {
            Ok(level) => {
                assert!(available.contains(&level), "{name} can be named but is not listed");
                assert_eq!((level.name(), level.to_string().as_str()), (name, name));
            }
            Err(softreg::Error::UnavailableLevel { name: found }) => {
                assert_eq!(found, name);
                assert!(available.iter().all(|level| level.name() != name), "{name} is listed but cannot be named");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    for name in ["", "AVX2", "sse2", "avx512 "] {
        assert!(matches!(Level::from_name(name), Err(softreg::Error::UnknownLevel { .. })), "{name:?}");
    }
}

#[test]
fn the_guard_sees_a_write_on_either_side_and_starts_off_alignment() {
    for offset in 0..3 {
        let mut guarded = unwritten(4, offset);
        guarded.fill(1.0);
        guarded.intact().expect("only the slice was written");
        assert_ne!(guarded.as_ptr() as usize % 16, 0, "a vector load of this slice is unaligned");
    }
    for stray in [-1isize, 4] {
        let mut guarded = Guarded::new(&[1u8, 2, 3, 4], 0, 255);
        *guarded.beyond(stray) = 0;
        assert!(guarded.intact().is_err(), "a write at {stray} went unseen");
    }
}

#[test]
fn failures_name_every_case_and_an_empty_list_is_no_pass() {
    let mut failures = Failures::default();
    failures.check("a", || Ok(()));
    assert_eq!(failures.report(), None);
    failures.check("b", || Err("wrong".into()));
    failures.check("c", || panic!("boom"));
    let report = failures.report().expect("two checks failed");
    assert_eq!(report, "2 of 3 checks failed\nb: wrong\nc: panicked: boom");
    assert!(std::panic::catch_unwind(|| Failures::default().finish()).is_err(), "nothing was checked");
}

#[test]
fn the_ragged_shapes_hold_every_pair_of_sizes() {
    let shapes = ragged_shapes();
    let holds = |f: Option<usize>, c: Option<usize>, r: Option<usize>| {
        shapes.iter().any(|shape| {
            f.is_none_or(|f| f == shape.features)
                && c.is_none_or(|c| c == shape.classes)
                && r.is_none_or(|r| r == shape.rows)
        })
    };
    for f in FEATURES {
        CLASSES.iter().for_each(|&c| assert!(holds(Some(f), Some(c), None), "features {f}, classes {c}"));
        ROWS.iter().for_each(|&r| assert!(holds(Some(f), None, Some(r)), "features {f}, rows {r}"));
    }
    for c in CLASSES {
        ROWS.iter().for_each(|&r| assert!(holds(None, Some(c), Some(r)), "classes {c}, rows {r}"));
    }
}
