//! Reductions over vectors: what a step asks of its operands before it trusts them. Products are elsewhere.

#![allow(clippy::needless_range_loop, reason = "loops over a const number of sums, which must unroll")]

use crate::exec::Exec;
use crate::layout::{Line, PANEL};
use crate::matrix::{AnyRows, OnRows};
use crate::parameters::Parameters;
use crate::simd::{Element, Kernel, Simd, load_start, store_start};

/// Independent sums, so that none waits for another: two multiply-adds a cycle take four cycles each.
const SUMS: usize = 8;

/// Whether all parameters are finite.
pub(super) struct AllFinite<'a>(pub(super) &'a Parameters);

impl Kernel for AllFinite<'_> {
    type Output = bool;

    /// `0 * v` is 0 for finite `v` and NaN for all others.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let zero = simd.splat(0.0);
        let mut sums = [zero; SUMS];
        for lines in self.0.lines().chunks(SUMS) {
            for (sum, Line(line)) in sums.iter_mut().zip(lines) {
                for array in S::arrays(line).0 {
                    *sum = simd.mul_add(simd.load(array), zero, *sum);
                }
            }
        }
        for bias in self.0.bias().chunks(S::LANES) {
            sums[0] = simd.mul_add(load_start(simd, bias), zero, sums[0]);
        }
        total(simd, sums) == 0.0
    }
}

/// `mean = mean - share * mean + share * values`
pub(super) struct Mix<'a> {
    pub(super) mean: &'a mut Parameters,
    pub(super) values: &'a Parameters,
    pub(super) share: f32,
}

impl Kernel for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (lines, bias) = self.mean.parts_mut();
        for (Line(mean), Line(values)) in lines.iter_mut().zip(self.values.lines()) {
            mix(simd, mean, values, self.share);
        }
        mix(simd, bias, self.values.bias(), self.share);
    }
}

#[inline(always)]
fn mix<S: Simd>(simd: S, mean: &mut [f32], values: &[f32], share: f32) {
    for (mean, values) in mean.chunks_mut(S::LANES).zip(values.chunks(S::LANES)) {
        let (old, new) = (load_start(simd, mean), load_start(simd, values));
        // Not the difference of the two, which may overflow.
        let kept = simd.mul_add(simd.splat(-share), old, old);
        store_start(simd, simd.mul_add(simd.splat(share), new, kept), mean);
    }
}

/// The sum of the squares of all parameters, in f64: what f32 holds does not overflow it.
pub(super) struct SumOfSquares<'a>(pub(super) &'a Parameters);

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f64 {
        let mut sums = [0.0; PANEL];
        for line in self.0.lines().iter().map(|line| &line.0[..]).chain(self.0.bias().chunks(PANEL)) {
            for (sum, &value) in sums.iter_mut().zip(line) {
                let value = f64::from(value);
                *sum += value * value;
            }
        }
        sums.iter().sum()
    }
}

/// A bound of the magnitudes of all stored values, for a multiply-add a vector: the sum of their squares, or 1. Infinite
/// where it overflows or a value is not finite.
pub(super) struct Bound<'a> {
    pub(super) exec: Exec,
    pub(super) bound: &'a mut f32,
}

impl<'a> OnRows<'a> for Bound<'_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        *self.bound = self.exec.run_here(BoundOf(x));
    }
}

struct BoundOf<'a, T>(AnyRows<'a, T>);

impl<T: Element> Kernel for BoundOf<'_, T> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let AnyRows::Dense(rows) = self.0 else { return f32::INFINITY };
        let mut sums = [simd.splat(0.0); SUMS];
        for row in 0..rows.len() {
            let (arrays, rest) = S::arrays(rows.row(row));
            for arrays in arrays.chunks(SUMS) {
                for (sum, array) in sums.iter_mut().zip(arrays) {
                    let x = T::load(simd, array);
                    *sum = simd.mul_add(x, x, *sum);
                }
            }
            let x = T::load_partial(simd, rest);
            sums[0] = simd.mul_add(x, x, sums[0]);
        }
        match total(simd, sums) {
            total if total >= 1.0 => total,
            total if total < 1.0 => 1.0,
            _ => f32::INFINITY, // NaN
        }
    }
}

/// The largest magnitude among values; infinite where one is not finite.
pub(super) struct Largest<'a>(pub(super) &'a [f32]);

impl Kernel for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut magnitudes = Magnitudes::new(simd);
        for values in self.0.chunks(SUMS * S::LANES) {
            magnitudes.take(simd, values);
        }
        magnitudes.largest(simd)
    }
}

/// The same among parameters.
pub(super) struct LargestParameter<'a>(pub(super) &'a Parameters);

impl Kernel for LargestParameter<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut magnitudes = Magnitudes::new(simd);
        for Line(line) in self.0.lines() {
            magnitudes.take(simd, line);
        }
        for bias in self.0.bias().chunks(SUMS * S::LANES) {
            magnitudes.take(simd, bias);
        }
        magnitudes.largest(simd)
    }
}

/// The largest magnitudes so far, and 0 or NaN.
struct Magnitudes<S: Simd> {
    largest: [S::Vector; SUMS],
    zeros: [S::Vector; SUMS],
}

impl<S: Simd> Magnitudes<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { largest: [simd.splat(0.0); SUMS], zeros: [simd.splat(0.0); SUMS] }
    }

    /// At most as many values as the sums have lanes.
    #[inline(always)]
    fn take(&mut self, simd: S, values: &[f32]) {
        let zero = simd.splat(0.0);
        for (i, values) in values.chunks(S::LANES).enumerate() {
            let v = load_start(simd, values);
            self.largest[i] = simd.max(self.largest[i], simd.max(v, simd.sub(zero, v)));
            // NaN where v is not finite: a maximum does not keep NaN.
            self.zeros[i] = simd.mul_add(v, zero, self.zeros[i]);
        }
    }

    #[inline(always)]
    fn largest(self, simd: S) -> f32 {
        if total(simd, self.zeros) != 0.0 {
            return f32::INFINITY;
        }
        let mut all = self.largest[0];
        for i in 1..SUMS {
            all = simd.max(all, self.largest[i]);
        }
        let mut lanes = S::array(0.0);
        simd.store(all, &mut lanes);
        lanes.as_ref().iter().copied().fold(0.0, f32::max)
    }
}

/// The sum of all lanes of all sums.
#[inline(always)]
fn total<S: Simd>(simd: S, sums: [S::Vector; SUMS]) -> f32 {
    let mut sum = sums[0];
    for i in 1..SUMS {
        sum = simd.add(sum, sums[i]);
    }
    let mut lanes = S::array(0.0);
    simd.store(sum, &mut lanes);
    lanes.as_ref().iter().sum()
}
