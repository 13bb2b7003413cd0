//! Where the sums of a product go: into logits, or by a rule into panels of A. See the products' folders for
//! the sums.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::rule::Rule;
use crate::layout::{Line, PANEL};
use crate::parameters::Parameters;
use crate::simd::{Simd, load_start, store_start};
use core::ops::Range;

/// The logits that a forward pass writes: `scale * sum + bias`.
pub(super) struct Logits<'a> {
    scale: f32,
    /// `[classes]`
    bias: &'a [f32],
    /// `[n, classes]`
    logits: &'a mut [f32],
}

impl<'a> Logits<'a> {
    /// The logits of rows whose values stand for `scale` times themselves. The caller guarantees the shape.
    pub(super) fn new(scale: f32, parameters: &'a Parameters, logits: &'a mut [f32]) -> Self {
        Self { scale, bias: parameters.bias(), logits }
    }

    /// `scale * sum of lanes + bias` of a row's sums, whose classes begin at `first`.
    #[inline(always)]
    pub(super) fn write_sums<S: Simd, const G: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        acc: [S::Vector; G],
    ) {
        let scale = simd.splat(self.scale);
        let bias = &self.bias[first..][..G];
        let logits = &mut self.logits[row * self.bias.len() + first..][..G];
        for chunk in 0..G.div_ceil(S::LANES) {
            let lanes = chunk * S::LANES..G.min((chunk + 1) * S::LANES);
            let mut sums = S::array(simd.splat(0.0));
            for g in lanes.clone() {
                sums[g % S::LANES] = acc[g];
            }
            let bias = load_start(simd, &bias[lanes.clone()]);
            store_start(simd, simd.mul_add(scale, simd.sum_lanes(sums), bias), &mut logits[lanes]);
        }
    }

    /// Some classes of a row's logits.
    #[inline(always)]
    pub(super) fn row(&mut self, row: usize, classes: Range<usize>) -> &mut [f32] {
        &mut self.logits[row * self.bias.len()..][classes]
    }

    /// `scale * sum + bias` of a vector of classes that begins at `class`.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&self, simd: S, class: usize, len: usize, sum: S::Vector) -> S::Vector {
        simd.mul_add(simd.splat(self.scale), sum, load_start(simd, &self.bias[class..class + len]))
    }
}

/// Panels of A, and the rule by which sums go into them.
pub(super) struct Panels<'a, R> {
    pub(super) lines: &'a mut [Line],
    pub(super) panel_lines: usize,
    /// Panels of A before these.
    pub(super) first: usize,
    pub(super) classes: usize,
    pub(super) rule: R,
}

impl<R> Panels<'_, R> {
    /// The number of these panels.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.lines.len() / self.panel_lines
    }

    /// The features before these panels.
    #[inline(always)]
    pub(super) const fn features_before(&self) -> usize {
        self.first * PANEL
    }

    /// How many of `features` in all are in these panels.
    #[inline(always)]
    pub(super) fn features_of(&self, features: usize) -> usize {
        (features - self.features_before()).min(self.len() * PANEL)
    }
}

impl<R: Rule> Panels<'_, R> {
    /// `A = rule(A, sum)` of a tile's sums, whose first vector of features and first class are given.
    #[inline(always)]
    pub(super) fn write_sums<S: Simd, const V: usize, const G: usize>(
        &mut self,
        simd: S,
        [vector, first]: [usize; 2],
        acc: [[S::Vector; G]; V],
    ) {
        // A copy, or the compiler reads the rule anew after every store.
        let rule = self.rule;
        for v in 0..V {
            let (panel, part) = ((vector + v) * S::LANES / PANEL, (vector + v) % (PANEL / S::LANES));
            let lines = &mut self.lines[panel * self.classes + first..][..G];
            for g in 0..G {
                let a = &mut S::arrays_mut(&mut lines[g].0).0[part];
                simd.store(rule.apply(simd, acc[v][g], simd.load(a)), a);
            }
        }
    }

    /// The same of one vector with no more than `lanes` features. What fills the panel up stays zero even where the sum is
    /// not finite.
    #[inline(always)]
    pub(super) fn write_partial<S: Simd, const G: usize>(
        &mut self,
        simd: S,
        [vector, first]: [usize; 2],
        lanes: usize,
        acc: [S::Vector; G],
    ) {
        let (panel, part) = (vector * S::LANES / PANEL, vector % (PANEL / S::LANES));
        let lines = &mut self.lines[panel * self.classes + first..][..G];
        for g in 0..G {
            let a = &mut S::arrays_mut(&mut lines[g].0).0[part];
            let sum = self.rule.apply(simd, acc[g], simd.load(a));
            simd.store_partial(sum, &mut a.as_mut()[..lanes]);
        }
    }
}
