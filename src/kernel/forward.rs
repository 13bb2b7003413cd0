//! The forward pass of rows of either form, as threads share it out: their logits, and where targets are given each row's
//! cross-entropy right after. The three products are in the folders beside this file.

use super::block_sparse;
use super::class_lanes;
use super::feature_lanes;
use super::softmax::CrossEntropy;
use crate::exec::Divide;
use crate::layout::Lanes;
use crate::matrix::{AnyRows, Targets};
use crate::parameters::Parameters;
use crate::simd::{Element, Kernel, Simd, load_start, store_start};

/// `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]`, and the losses of the
/// logits. The fields' shapes are checked by who makes one.
pub(super) struct Forward<'a, T> {
    pub(super) x: AnyRows<'a, T>,
    pub(super) scale: f32,
    pub(super) parameters: &'a Parameters,
    pub(super) logits: &'a mut [f32],
    /// The targets for which the logits become `p - y`, and where the losses go.
    pub(super) losses: Option<(Targets<'a>, &'a mut [f64])>,
}

/// Where a product's sums go.
pub(super) struct Logits<'a> {
    scale: f32,
    bias: &'a [f32],
    /// `[n, classes]`
    logits: &'a mut [f32],
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, scale, parameters, logits, losses } = self;
        let out = Logits { scale, bias: parameters.bias(), logits: &mut *logits };
        match (x, parameters.lanes()) {
            (AnyRows::Dense(x), Lanes::Features) => feature_lanes::forward(simd, x, parameters, out),
            (AnyRows::Dense(x), Lanes::Classes) => class_lanes::forward(simd, x, parameters, out),
            (AnyRows::BlockSparse(x), _) => block_sparse::forward(simd, x, parameters, out),
        }
        if let Some((targets, losses)) = losses {
            simd.call(CrossEntropy { logits, classes: parameters.classes(), targets, losses });
        }
    }
}

impl<T: Element> Divide for Forward<'_, T> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn work(&self) -> usize {
        self.logits.len().saturating_mul(self.x.features())
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let (x, rest_x) = self.x.split_at(row);
        let (logits, rest_logits) = self.logits.split_at_mut(row * self.parameters.classes());
        let (losses, rest_losses) = match self.losses {
            Some((targets, losses)) => {
                let (targets, rest_targets) = targets.split_at(row);
                let (losses, rest_losses) = losses.split_at_mut(row);
                (Some((targets, losses)), Some((rest_targets, rest_losses)))
            }
            None => (None, None),
        };
        (Self { x, logits, losses, ..self }, Self { x: rest_x, logits: rest_logits, losses: rest_losses, ..self })
    }
}

impl Logits<'_> {
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
    pub(super) fn row(&mut self, row: usize, classes: core::ops::Range<usize>) -> &mut [f32] {
        &mut self.logits[row * self.bias.len()..][classes]
    }

    /// `scale * sum + bias` of a vector of classes that begins at `class`.
    #[inline(always)]
    pub(super) fn finish<S: Simd>(&self, simd: S, class: usize, len: usize, sum: S::Vector) -> S::Vector {
        simd.mul_add(simd.splat(self.scale), sum, load_start(simd, &self.bias[class..class + len]))
    }
}
