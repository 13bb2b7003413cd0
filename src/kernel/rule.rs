//! Update rules. A rule computes the new value of A from a tile's sum and the old value of A, one vector at a time. Each
//! update kernel is generic over the rule. See `output.rs` for where sums are written.
//!
//! A kernel updates A once per block of rows. A rule must therefore be linear in the sums: applied to each partial sum in
//! turn it gives the same A as applied once to the whole sum. Rules that are not, such as Adam's, need the whole gradient
//! first: they are in `descent`.

use crate::simd::Simd;

/// What becomes of a sum.
pub(super) trait Rule: Copy + Send + Sync {
    /// The new value of A, from the sum and what A holds.
    fn apply<S: Simd>(self, simd: S, sum: S::Vector, a: S::Vector) -> S::Vector;
    /// The rule for the parts of a sum after the first.
    fn for_more(self) -> Self;
    /// Whether sums of no terms leave A as it is.
    fn keeps(self) -> bool;
}

/// `A = alpha * sum`, or `A = A + alpha * sum`: the gradient, overwritten or accumulated, and a step of SGD, which is the
/// same with the parameters as A and minus the learning rate as alpha.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    alpha: f32,
    accumulates: bool,
}

impl Linear {
    /// `A = sum`, whatever A holds.
    pub(super) const REPLACE: Self = Self { alpha: 1.0, accumulates: false };

    /// `A = A + alpha * sum`
    pub(super) const fn accumulate(alpha: f32) -> Self {
        Self { alpha, accumulates: true }
    }

    /// The rule for sums of stored values, each of which stands for `scale` times itself.
    pub(super) const fn scaled(self, scale: f32) -> Self {
        Self { alpha: self.alpha * scale, ..self }
    }

    /// Alpha, and the rule for sums that were multiplied by it.
    pub(super) const fn factored(self) -> (f32, Self) {
        (self.alpha, Self { alpha: 1.0, ..self })
    }
}

impl Rule for Linear {
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, sum: S::Vector, a: S::Vector) -> S::Vector {
        let alpha = simd.splat(self.alpha);
        if self.accumulates { simd.mul_add(alpha, sum, a) } else { simd.mul(alpha, sum) }
    }

    #[inline(always)]
    fn for_more(self) -> Self {
        Self { accumulates: true, ..self }
    }

    #[inline(always)]
    fn keeps(self) -> bool {
        self.accumulates
    }
}
