//! The exponential and the logarithm of a vector, for softmax and its loss.
//!
//! Both reduce the argument by a power of two and evaluate a polynomial that minimises the largest
//! relative error over what remains (Remez exchange in double precision, coefficients rounded to f32).
//! The rounding of the last additions dominates the error: the polynomials' own share is under a tenth of
//! a unit in the last place. `tests/it/numerics.rs` sweeps the f32 numbers against double precision.

use crate::simd::{Kernel, Simd};
use core::f32::consts::LOG2_E;

/// ln 2 in two parts. The first has 9 significant bits, so that its product with an exponent is exact
/// even where multiplication and addition round separately.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding and subtracting this rounds a small f32 to a whole number: its last place is 1.
const ROUND: f32 = 1.5 * (1 << 23) as f32;

/// The least f32 whose exponential is normal, and the greatest whose exponential is finite.
const LEAST: f32 = -87.336_54;
const GREATEST: f32 = 88.722_83;

/// `(e^r - 1 - r) / r^2` on `[-ln 2 / 2, ln 2 / 2]`, highest power first; relative error of `e^r` 4e-9.
const EXP: [f32; 5] = [1.381_459_9e-3, 8.368_717e-3, 4.166_839e-2, 0.166_665_21, 0.499_999_94];

/// `(ln(1 + t) - t + t^2 / 2) / t^3` on `[sqrt(1/2) - 1, sqrt(2) - 1]`, highest power first; relative
/// error of `ln(1 + t)` 7e-9.
const LN: [f32; 8] =
    [-0.076_345, 0.127_615_78, -0.131_601_83, 0.142_017_57, -0.166_233_57, 0.200_012_27, -0.250_008_2, 0.333_333_3];

/// `e^x`: at most 2 units in the last place off where that is a normal number, 0 where it would be
/// subnormal, infinity where it is too large, NaN for NaN.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    simd.select_less(simd.splat(GREATEST), x, simd.splat(f32::INFINITY), exp_of_negative(simd, x))
}

/// [`exp`] of what is not above 0, as all is in a softmax.
#[inline(always)]
pub(super) fn exp_of_negative<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let n = simd.sub(simd.mul_add(x, simd.splat(LOG2_E), simd.splat(ROUND)), simd.splat(ROUND));
    let r = simd.mul_add(n, simd.splat(-LN_2_HIGH), x);
    let r = simd.mul_add(n, simd.splat(-LN_2_LOW), r);
    let q = polynomial(simd, r, &EXP);
    let e = simd.add(simd.mul_add(q, simd.mul(r, r), r), simd.splat(1.0));
    // For NaN, r and e are NaN, n converts to an integer whose low bits are 0, and e stays NaN.
    let e = simd.add_exponent(e, n);
    simd.select_less(x, simd.splat(LEAST), simd.splat(0.0), e)
}

/// `ln v` for positive normal `v`, and NaN for NaN; the sums of exponentials in a softmax are nothing
/// else.
#[inline(always)]
pub(super) fn ln<S: Simd>(simd: S, v: S::Vector) -> S::Vector {
    let (m, e) = simd.split_exponent(v);
    let t = simd.sub(m, simd.splat(1.0));
    let square = simd.mul(t, t);
    let q = simd.mul_add(polynomial(simd, t, &LN), t, simd.splat(-0.5));
    let low = simd.mul_add(q, square, simd.mul(e, simd.splat(LN_2_LOW)));
    let ln = simd.mul_add(e, simd.splat(LN_2_HIGH), simd.add(low, t));
    // split_exponent gives NaN some number for mantissa: v - v brings the NaN back.
    simd.add(ln, simd.sub(v, v))
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, x: S::Vector, coefficients: &[f32]) -> S::Vector {
    let mut sum = simd.splat(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.mul_add(sum, x, simd.splat(coefficient));
    }
    sum
}

/// Replaces each value by its exponential.
pub(super) struct Exp<'a>(pub(super) &'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (arrays, rest) = S::arrays_mut(self.0);
        for array in arrays {
            simd.store(exp(simd, simd.load(array)), array);
        }
        let mut last = S::array(0.0);
        simd.store(exp(simd, simd.load_partial(rest)), &mut last);
        rest.copy_from_slice(&last.as_ref()[..rest.len()]);
    }
}
