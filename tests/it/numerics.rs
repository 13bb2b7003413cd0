//! The edges of f32: the exponential over all its inputs; logits that are huge, infinite, NaN or subnormal; subnormals
//! kept, and not made. NaN and infinity in the products are `non_finite.rs`'s business, ordinary numbers `kernels.rs`'s.

use std::hint::black_box;

use crate::support::compare::{UNIT, same_bits, ulps};
use crate::support::data::{cross_entropy, forward, log_softmax, softmax};
use crate::support::expect::{self, wide};
use crate::support::failures::Failures;
use crate::support::guarded::{Guarded, SENTINEL};
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{Level, Matrix, Parameters, Targets, kernel};

/// What exp promises where its result is a normal number.
const EXP_ULPS: u32 = 2;

/// `e^x` as the contract wants it: 0 where the exact value is subnormal, else rounded, which past the largest f32 is
/// infinity.
fn exact_exp(x: f32) -> f32 {
    let exact = f64::from(x).exp();
    if exact < f64::from(f32::MIN_POSITIVE) { 0.0 } else { exact as f32 }
}

/// Zeros, infinities and NaN must be exactly those.
fn check_exp(x: f32, got: f32, want: f32) -> Result<(), String> {
    let budget = if want.is_normal() { EXP_ULPS } else { 0 };
    if ulps(got, want) <= budget && (got.is_nan() || got.is_sign_positive()) && !got.is_subnormal() {
        return Ok(());
    }
    Err(format!("exp({x:e}) is {got:e} ({} ULP), wanted {want:e}", ulps(got, want)))
}

/// Every 97th f32, infinities and NaNs included: 97 is prime, so that no pattern of low bits is missed.
#[test]
fn exp_keeps_its_budget_over_all_of_f32() {
    const STRIDE: usize = 97;
    let levels = levels();
    let mut worst = vec![(0, 0.0); levels.len()];
    let mut bits = (0..=u32::MAX).step_by(STRIDE);
    let mut inputs = Vec::new();
    loop {
        inputs.clear();
        inputs.extend(bits.by_ref().take(4096).map(f32::from_bits));
        if inputs.is_empty() {
            break;
        }
        let want: Vec<f32> = inputs.iter().map(|&x| exact_exp(x)).collect();
        for (&level, worst) in levels.iter().zip(&mut worst) {
            let mut got = inputs.clone();
            kernel::exp(level, &mut got);
            for ((&x, &got), &want) in inputs.iter().zip(&got).zip(&want) {
                check_exp(x, got, want).unwrap_or_else(|error| panic!("{level}: {error}"));
                let distance = ulps(got, want);
                if distance > worst.0 {
                    *worst = (distance, x);
                }
            }
        }
    }
    for (level, (distance, x)) in levels.iter().zip(worst) {
        println!("{level}: at most {distance} ULP, first at {x:e}");
    }
}

/// The inputs around every decision that an exponential makes: its thresholds, the multiples of ln 2 / 2 where the
/// reduction changes sides, zero.
#[test]
fn exp_keeps_its_budget_around_every_threshold() {
    let mut centers =
        vec![0.0f32, 1.0, -1.0, 88.0, -87.0, 88.722_84, -87.336_54, -103.278_93, -103.972_08, 128.0, -150.0];
    centers.extend((-310..310).map(|half| (f64::from(half) * std::f64::consts::LN_2 / 2.0) as f32));
    let mut inputs = vec![f32::MIN_POSITIVE, -f32::MIN_POSITIVE, f32::from_bits(1), -f32::from_bits(1), -0.0];
    inputs.extend([f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN]);
    for center in centers {
        let bits = center.to_bits();
        inputs.extend((bits.saturating_sub(300)..=bits + 300).map(f32::from_bits));
    }
    let mut failures = Failures::default();
    for level in levels() {
        let mut got = inputs.clone();
        kernel::exp(level, &mut got);
        for (&x, &got) in inputs.iter().zip(&got) {
            failures.check(level, || check_exp(x, got, exact_exp(x)));
        }
    }
    failures.finish();
}

#[test]
fn exp_has_the_exact_values_that_everyone_relies_on() {
    for level in levels() {
        let mut values = [0.0, -0.0, f32::from_bits(1), f32::NEG_INFINITY, f32::MIN, f32::INFINITY, f32::MAX, f32::NAN];
        kernel::exp(level, &mut values);
        same_bits(&values, &[1.0, 1.0, 1.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::NAN])
            .unwrap_or_else(|error| panic!("{level}: {error}"));
    }
}

/// A tail's elements are computed like any others, wherever the slice starts and ends.
#[test]
fn exp_of_a_slice_does_not_depend_on_its_length_or_alignment() {
    let inputs = Random::new(1).numbers(70, 100.0);
    for level in levels() {
        let mut singly = inputs.clone();
        singly.chunks_exact_mut(1).for_each(|value| kernel::exp(level, value));
        for len in 0..=inputs.len() {
            let mut values = Guarded::new(&inputs[..len], len, SENTINEL);
            kernel::exp(level, &mut values);
            same_bits(&values, &singly[..len]).unwrap_or_else(|error| panic!("{level}, length {len}: {error}"));
            values.intact().unwrap_or_else(|error| panic!("{level}, length {len}: {error}"));
        }
    }
}

/// Mean relative errors of neighbouring arguments: the roundings, at random, average out, and what a polynomial is off by
/// remains. A hundred times finer than the errors of single results.
struct Bins {
    low: f64,
    width: f64,
    /// Of the errors, and how many they are.
    sums: Vec<(f64, f64)>,
}

impl Bins {
    /// In relative error, what may remain of roundings in the mean of one result: one has a standard deviation of 4e-8.
    const NOISE: f64 = 1.5e-7;

    fn over(low: f64, high: f64, bins: usize) -> Self {
        Self { low, width: (high - low) / bins as f64, sums: vec![(0.0, 0.0); bins] }
    }

    fn add(&mut self, at: f64, error: f64) {
        let bin = (at - self.low) / self.width;
        if bin >= 0.0
            && let Some((sum, count)) = self.sums.get_mut(bin as usize)
        {
            (*sum, *count) = (*sum + error, *count + 1.0);
        }
    }

    fn check(&self, bound: f64) -> Result<(), String> {
        for (bin, (sum, count)) in self.sums.iter().enumerate() {
            let (at, mean) = (self.low + (bin as f64 + 0.5) * self.width, sum / count);
            let noise = Self::NOISE / count.sqrt();
            if mean.is_nan() || mean.abs() > bound + noise || noise > bound / 3.0 {
                return Err(format!("off by {mean:e} around {at:.4}, of {count} arguments; {bound:e} is documented"));
            }
        }
        Ok(())
    }
}

/// Enough of them, and narrow ones at both ends, where a polynomial's error is largest and turns fastest.
fn bins_over(low: f64, high: f64) -> [Bins; 3] {
    let end = 0.0015;
    [Bins::over(low, high, 64), Bins::over(low, low + end, 1), Bins::over(high - end, high, 1)]
}

/// The largest relative errors that `kernel/exp.rs` states for its polynomials.
const EXP_BOUND: f64 = 4e-9;
const LN_BOUND: f64 = 7e-9;

/// Half as much again where products and sums round separately: small arguments then lose more to the product of the
/// square, and not at random.
fn at(level: Level, bound: f64) -> f64 {
    if level.name() == "portable" { 1.5 * bound } else { bound }
}

/// Over the arguments that are not reduced.
#[test]
fn the_polynomial_of_exp_keeps_its_own_bound() {
    let half = std::f64::consts::LN_2 / 2.0;
    let inputs = Random::new(21).numbers(1 << 23, half as f32);
    for level in levels() {
        let (mut got, mut bins) = (inputs.clone(), bins_over(-half, half));
        kernel::exp(level, &mut got);
        for (&x, &got) in inputs.iter().zip(&got) {
            let error = f64::from(got) / f64::from(x).exp() - 1.0;
            bins.iter_mut().for_each(|bins| bins.add(x.into(), error));
        }
        bins.iter()
            .for_each(|bins| bins.check(at(level, EXP_BOUND)).unwrap_or_else(|error| panic!("{level}: {error}")));
    }
}

/// The logarithm as losses show it. Of `ones` logits 0 and one of d the sum of the exponentials is `ones + exp(d)`,
/// rounded once, which is known to the bit; the loss of the first class is its logarithm. So the sums are spread evenly
/// over every mantissa, at several exponents.
#[test]
fn the_logarithm_keeps_its_bounds_at_every_mantissa_and_exponent() {
    let mut random = Random::new(22);
    for level in levels() {
        let mut bins = bins_over(0.5f64.sqrt() - 1.0, 2f64.sqrt() - 1.0);
        let mut by_exponent = [(0.0, 0.0); 5];
        for ones in 1..=16 {
            let rows = 1 << if ones == 1 { 23 } else { 15 };
            let logits: Vec<f32> = (0..rows).map(|_| (random.number(0.5) + 0.5).max(1e-4).ln()).collect();
            let mut powers = logits.clone();
            kernel::exp(level, &mut powers);
            let row = |&d: &f32| (0..=ones).map(move |class| if class == ones { d } else { 0.0 });
            let rows: Vec<f32> = logits.iter().flat_map(row).collect();
            let (losses, _) = cross_entropy(level, Targets::from_u8(&vec![0; logits.len()]), &rows);
            for (power, loss) in powers.iter().zip(losses) {
                let sum = f64::from(ones as f32 + power);
                let (exact, exponent) = (sum.ln(), (sum * 2f64.sqrt()).log2().floor());
                let error = loss / exact - 1.0;
                assert!(error.abs() <= 4.0 * UNIT, "{level}: ln {sum} is {loss}, wanted {exact}");
                // With larger exponents the polynomial is the lesser part.
                if exponent <= 1.0 {
                    bins.iter_mut().for_each(|bins| bins.add(sum / exponent.exp2() - 1.0, error));
                }
                let (sum, count) = &mut by_exponent[exponent as usize];
                (*sum, *count) = (*sum + error, *count + 1.0);
            }
        }
        bins.iter().for_each(|bins| bins.check(at(level, LN_BOUND)).unwrap_or_else(|error| panic!("{level}: {error}")));
        // The parts of ln 2 are off by less than the polynomial.
        for (exponent, (sum, count)) in by_exponent.into_iter().enumerate() {
            let mean: f64 = sum / count;
            assert!(mean.abs() <= LN_BOUND, "{level}: off by {mean:e} at exponent {exponent}, of {count} arguments");
        }
    }
}

/// Rows of finite logits `[classes]`, each an edge of its own.
fn finite_rows(classes: usize) -> Vec<(&'static str, Vec<f32>)> {
    let all = |z: f32| vec![z; classes];
    let first = |z: f32, rest: f32| (0..classes).map(|class| if class == 0 { z } else { rest }).collect::<Vec<_>>();
    let last = |z: f32, rest: f32| first(z, rest).into_iter().rev().collect::<Vec<_>>();
    let alternating = |a: f32, b: f32| (0..classes).map(|class| if class % 2 == 0 { a } else { b }).collect();
    let tiny = f32::from_bits(1);
    vec![
        ("all 0", all(0.0)),
        ("all 1e30", all(1e30)),
        ("all -1e30", all(-1e30)),
        ("all the largest", all(f32::MAX)),
        ("all the lowest", all(f32::MIN)),
        ("+-1e30", alternating(1e30, -1e30)),
        ("+-the largest", alternating(f32::MAX, f32::MIN)),
        ("the largest above zeros", last(f32::MAX, 0.0)),
        ("the lowest below zeros", first(f32::MIN, 0.0)),
        ("the largest above the lowest", first(f32::MAX, f32::MIN)),
        ("the lowest below the largest", last(f32::MIN, f32::MAX)),
        ("subnormal", alternating(tiny, -tiny)),
        ("subnormal and smallest normal", alternating(f32::MIN_POSITIVE, 37.0 * tiny)),
        ("where exp is about to underflow", first(0.0, -87.33)),
        ("where exp has just underflowed", first(0.0, -87.34)),
        ("where a subnormal would remain", last(0.0, -95.0)),
        ("where nothing would remain", last(0.0, -104.0)),
        ("an underflow below many ones", first(-87.3, 0.0)),
        ("close to 1e6", alternating(1e6, 1e6 + 0.0625)),
        ("neighbours", (0..classes).map(|class| f32::from_bits(1.0f32.to_bits() + class as u32)).collect()),
        ("steps of ten", (0..classes).map(|class| class as f32 * -10.0).collect()),
    ]
}

/// Rows with infinities or NaN in them.
fn non_finite_rows(classes: usize) -> Vec<(&'static str, Vec<f32>)> {
    let with = |at: usize, z: f32, rest: f32| {
        (0..classes).map(|class| if class == at % classes { z } else { rest }).collect::<Vec<_>>()
    };
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    vec![
        ("-inf first", with(0, -inf, 0.5)),
        ("-inf last", with(classes - 1, -inf, -2.0)),
        ("all but one -inf", with(classes / 2, -1e30, -inf)),
        ("all -inf", vec![-inf; classes]),
        ("+inf first", with(0, inf, 0.0)),
        ("+inf last", with(classes - 1, inf, -inf)),
        ("all +inf", vec![inf; classes]),
        ("NaN first", with(0, nan, 1.0)),
        ("NaN last", with(classes - 1, nan, 1.0)),
        ("NaN in the middle of -inf", with(classes / 2, nan, -inf)),
        ("negative NaN", with(classes / 3, -nan, f32::MIN)),
        ("all NaN", vec![nan; classes]),
    ]
}

/// Shapes of a row block: less than, as much as and more than the rows and classes of a vector.
const CLASS_COUNTS: [usize; 9] = [1, 2, 3, 8, 10, 16, 17, 33, 100];

/// Runs the row kernels over these rows at once, against the reference; each row for each of some targets.
fn check_rows(rows: &[(&'static str, Vec<f32>)], classes: usize, level: Level, failures: &mut Failures) {
    let logits: Vec<f32> = rows.iter().flat_map(|(_, row)| row).copied().collect();
    let z = wide(&logits);
    let by_row = |kernel: &str, outcome: Result<(), String>| {
        let row = |error: &str| error.split("row ").nth(1)?.split(',').next()?.parse::<usize>().ok();
        outcome.map_err(|error| format!("{kernel} of {:?}: {error}", row(&error).map(|row| rows[row].0)))
    };
    let label = || format!("{level}, {classes} classes");
    let p = softmax(level, &logits, classes);
    failures.check(label(), || by_row("softmax", expect::softmax(&z, classes).check(&p)));
    let log_p = log_softmax(level, &logits, classes);
    failures.check(label(), || by_row("log_softmax", expect::log_softmax(&z, classes).check(&log_p)));
    for target in [0, classes / 2, classes - 1] {
        let labels = vec![target as u32; rows.len()];
        let mut hot = vec![0.0; logits.len()];
        hot.chunks_exact_mut(classes).for_each(|row| row[target] = 1.0);
        let soft: Vec<f32> = hot.iter().map(|t| 0.75 * t + 0.125).collect();
        let all_targets = [
            ("labels", Targets::from_u32(&labels), &hot),
            ("one-hot targets", Targets::from_probabilities(&hot, classes).expect("whole rows"), &hot),
            ("soft targets", Targets::from_probabilities(&soft, classes).expect("whole rows"), &soft),
        ];
        for (name, targets, t) in all_targets {
            let (losses, residual) = expect::cross_entropy(&z, &wide(t), classes);
            let got = cross_entropy(level, targets, &logits);
            failures.check(label(), || by_row(&format!("loss, {name} {target},"), losses.check(&got.0)));
            failures.check(label(), || by_row(&format!("residual, {name} {target},"), residual.check(&got.1)));
        }
    }
}

#[test]
fn finite_logits_of_any_size_give_finite_right_results() {
    let mut failures = Failures::default();
    for classes in CLASS_COUNTS {
        let rows = finite_rows(classes);
        for level in levels() {
            check_rows(&rows, classes, level, &mut failures);
            let logits: Vec<f32> = rows.iter().flat_map(|(_, row)| row).copied().collect();
            let labels = vec![classes as u32 - 1; rows.len()];
            let (losses, residual) = cross_entropy(level, Targets::from_u32(&labels), &logits);
            failures.check(format!("{level}, {classes} classes"), || {
                let finite = losses.iter().all(|loss| loss.is_finite()) && residual.iter().all(|r| r.is_finite());
                if finite { Ok(()) } else { Err("finite logits gave an infinite or NaN loss or residual".into()) }
            });
        }
    }
    failures.finish();
}

#[test]
fn infinities_and_nan_give_what_arithmetic_says_and_never_a_hidden_number() {
    let mut failures = Failures::default();
    for classes in CLASS_COUNTS {
        let (finite, non_finite) = (finite_rows(classes), non_finite_rows(classes));
        // Alternate, so that every vector of rows holds both.
        let mixed: Vec<_> = non_finite.iter().cloned().zip(finite).flat_map(|(a, b)| [a, b]).collect();
        for level in levels() {
            check_rows(&mixed, classes, level, &mut failures);
            check_rows(&non_finite, classes, level, &mut failures);
        }
    }
    failures.finish();
}

/// Every position of a NaN in a block of rows: its row becomes NaN, all others keep their bits.
#[test]
fn a_nan_stays_in_its_row() {
    let (rows, classes) = (35, 5);
    let logits = Random::new(2).numbers(rows * classes, 4.0);
    let targets: Vec<u32> = Random::new(3).labels(rows, classes);
    for level in levels() {
        let clean = cross_entropy(level, Targets::from_u32(&targets), &logits);
        for at in 0..logits.len() {
            let mut spoiled = logits.clone();
            spoiled[at] = f32::NAN;
            let (losses, residual) = cross_entropy(level, Targets::from_u32(&targets), &spoiled);
            for (row, (loss, residual)) in losses.iter().zip(residual.chunks_exact(classes)).enumerate() {
                if row == at / classes {
                    assert!(loss.is_nan(), "{level}: NaN at {at}, loss {loss}");
                    assert!(residual.iter().all(|r| r.is_nan()), "{level}: NaN at {at}, residual {residual:?}");
                } else {
                    assert_eq!(loss.to_bits(), clean.0[row].to_bits(), "{level}: NaN at {at} reached row {row}");
                    same_bits(residual, &clean.1[row * classes..][..classes])
                        .unwrap_or_else(|error| panic!("{level}: NaN at {at} reached row {row}: {error}"));
                }
            }
        }
    }
}

/// exp makes no subnormals, and neither may what divides its results.
#[test]
fn no_exponential_and_no_probability_is_subnormal() {
    for level in levels() {
        let mut values: Vec<f32> = (0..400_000).map(|step| -84.0 - step as f32 * 5e-5).collect();
        kernel::exp(level, &mut values);
        assert!(!values.iter().any(|p| p.is_subnormal()), "{level}: exp");
        for classes in [2, 3, 10, 17, 64] {
            for step in 0..2000 {
                let mut logits = vec![0.0; classes];
                logits[step % classes] = -80.0 - step as f32 * 0.005;
                let p = softmax(level, &logits, classes);
                let subnormal = p.iter().position(|p| p.is_subnormal());
                assert!(subnormal.is_none(), "{level}: softmax of {logits:?} is {p:?}");
            }
        }
    }
}

/// Whether this thread's float control register is as it should be: subnormals are neither flushed nor read as zero.
fn subnormals_work() -> bool {
    let flushed = black_box(f32::MIN_POSITIVE) * black_box(0.5);
    let read = black_box(f32::from_bits(1)) * black_box(f32::MAX);
    flushed.is_subnormal() && read > 0.0
}

#[test]
fn no_kernel_touches_the_float_control_register() {
    assert!(subnormals_work(), "before any kernel");
    let (x, pixels) = ([0.5; 20 * 33], [7; 20 * 33]);
    for level in levels() {
        for x in [Matrix::from_f32(&x, 33), Matrix::from_u8(&pixels, 33)] {
            let x = x.expect("whole rows");
            let mut parameters = Parameters::zeros(33, 7);
            let logits = forward(level, x, &parameters);
            assert!(subnormals_work(), "{level}: forward");
            let (_, residual) = cross_entropy(level, Targets::from_u8(&[3; 20]), &logits);
            assert!(subnormals_work(), "{level}: cross_entropy");
            softmax(level, &logits, 7);
            assert!(subnormals_work(), "{level}: softmax");
            log_softmax(level, &logits, 7);
            assert!(subnormals_work(), "{level}: log_softmax");
            kernel::gradient(level, x, &residual, &mut parameters).expect("the shapes fit");
            assert!(subnormals_work(), "{level}: gradient");
            kernel::gradient_accumulate(level, x, &residual, &mut parameters).expect("the shapes fit");
            assert!(subnormals_work(), "{level}: gradient_accumulate");
            kernel::sgd_step(level, x, &residual, 0.1, &mut parameters).expect("the shapes fit");
            assert!(subnormals_work(), "{level}: sgd_step");
            kernel::exp(level, &mut [0.25; 7]);
            assert!(subnormals_work(), "{level}: exp");
        }
    }
}

#[test]
fn subnormal_weights_reach_the_logits() {
    for level in levels() {
        for features in [1, 15, 16, 33] {
            let tiny = f32::from_bits(12);
            let x = vec![1.0; features];
            let tiny = Parameters::from_row_major(&vec![tiny; features * 3], &[0.0; 3], features, 3);
            let x = Matrix::from_f32(&x, features).expect("one row");
            let logits = forward(level, x, &tiny.expect("the lengths fit"));
            same_bits(&logits, &[f32::from_bits(12 * features as u32); 3])
                .unwrap_or_else(|error| panic!("{level}, {features} features: {error}"));
        }
    }
}
