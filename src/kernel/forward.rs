//! The forward pass of rows of either form, as threads share it out: their logits, and where targets are given each row's
//! cross-entropy right after. The three products are in the folders beside this file.

use super::block_sparse;
use super::class_lanes;
use super::feature_lanes;
use super::output::Logits;
use super::prefetch::Ahead;
use super::softmax::CrossEntropy;
use crate::exec::Divide;
use crate::layout::Lanes;
use crate::matrix::{AnyRows, Targets};
use crate::parameters::Parameters;
use crate::simd::{Element, Kernel, Simd};

/// `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]`, and the losses of the
/// logits. The fields' shapes are checked by who makes one.
pub(super) struct Forward<'a, T> {
    pub(super) x: AnyRows<'a, T>,
    pub(super) scale: f32,
    pub(super) parameters: &'a Parameters,
    pub(super) logits: &'a mut [f32],
    pub(super) ahead: Ahead,
    /// The targets for which the logits become `p - y`, and where the losses go.
    pub(super) losses: Option<(Targets<'a>, &'a mut [f64])>,
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, scale, parameters, logits, ahead, losses } = self;
        let out = Logits::new(scale, parameters, &mut *logits);
        match (x, parameters.lanes()) {
            (AnyRows::Dense(x), Lanes::Features) => feature_lanes::forward(simd, x, parameters, out, ahead),
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
        let (ahead, rest_ahead) = self.ahead.split_at(self.x.len(), row);
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
        (
            Self { x, logits, ahead, losses, ..self },
            Self { x: rest_x, logits: rest_logits, ahead: rest_ahead, losses: rest_losses, ..self },
        )
    }
}
