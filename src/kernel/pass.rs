//! A pass over rows as threads share it out: their logits, and where targets are given their cross-entropy, each row's
//! right after its logits. What is computed is in `forward`, `along_classes`, `skip` and `softmax`; which of the three
//! products is taken is chosen here.

use super::along_classes;
use super::forward::Forward;
use super::skip;
use super::softmax::CrossEntropy;
use crate::level::Kernel;
use crate::matrix::{Rows, Targets};
use crate::parallel::Divide;
use crate::simd::{Element, Simd};
use crate::weights::Weights;

/// One pass. The fields' shapes are checked by who makes one.
pub(super) struct Pass<'a, T> {
    pub(super) x: Rows<'a, T>,
    pub(super) scale: f32,
    pub(super) weights: &'a Weights,
    pub(super) bias: &'a [f32],
    pub(super) logits: &'a mut [f32],
    /// What the logits become `p - y` of, and where the losses go.
    pub(super) losses: Option<(Targets<'a>, &'a mut [f64])>,
}

impl<T: Element> Kernel for Pass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, scale, weights, bias, logits, losses } = self;
        let forward = Forward { x, scale, weights, bias, logits: &mut *logits };
        if let Some(rows) = x.indexed() {
            skip::Forward { forward, rows }.run(simd);
        } else if weights.lanes_are_classes() {
            along_classes::Forward(forward).run(simd);
        } else {
            forward.run(simd);
        }
        if let Some((targets, losses)) = losses {
            CrossEntropy { logits, classes: weights.classes(), targets, losses }.run(simd);
        }
    }
}

impl<T: Element> Divide for Pass<'_, T> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn work(&self) -> usize {
        self.logits.len().saturating_mul(self.x.features())
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let (x, rest_x) = self.x.split_at(row);
        let (logits, rest_logits) = self.logits.split_at_mut(row * self.weights.classes());
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
