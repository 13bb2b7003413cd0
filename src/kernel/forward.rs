//! The forward pass of rows of either form, as threads share it out: their logits, and what becomes of them right after.
//! The three products are in the folders beside this file.

use super::block_sparse;
use super::class_lanes;
use super::feature_lanes;
use super::output::Logits;
use super::prefetch::Ahead;
use super::softmax::{CrossEntropy, Form, Softmax, WORK_OF_A_LOGIT};
use crate::exec::Divide;
use crate::layout::Lanes;
use crate::matrix::{AnyRows, Targets};
use crate::parameters::Parameters;
use crate::simd::{Element, Kernel, Simd};

/// `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]`, and the epilogue on them. The
/// fields' shapes are checked by who makes one.
pub(super) struct Forward<'a, T> {
    pub(super) x: AnyRows<'a, T>,
    pub(super) scale: f32,
    pub(super) parameters: &'a Parameters,
    pub(super) logits: &'a mut [f32],
    pub(super) ahead: Ahead,
    pub(super) epilogue: Epilogue<'a>,
}

/// What becomes of the logits, by the thread that computed them: their rows are shared out among threads once.
pub(super) enum Epilogue<'a> {
    /// They stay.
    Logits,
    /// Probabilities, or their logarithms.
    Softmax(Form),
    /// `p - y`, and each row's loss.
    CrossEntropy { targets: Targets<'a>, losses: &'a mut [f64] },
}

impl Epilogue<'_> {
    /// The size of the work on a logit, in multiply-adds or what takes as long.
    const fn work(&self) -> usize {
        match self {
            Self::Logits => 0,
            Self::Softmax(_) | Self::CrossEntropy { .. } => WORK_OF_A_LOGIT,
        }
    }

    /// Those of the rows before and from `row`.
    fn split_at(self, row: usize) -> (Self, Self) {
        match self {
            Self::Logits => (Self::Logits, Self::Logits),
            Self::Softmax(form) => (Self::Softmax(form), Self::Softmax(form)),
            Self::CrossEntropy { targets, losses } => {
                let (targets, rest_targets) = targets.split_at(row);
                let (losses, rest_losses) = losses.split_at_mut(row);
                (
                    Self::CrossEntropy { targets, losses },
                    Self::CrossEntropy { targets: rest_targets, losses: rest_losses },
                )
            }
        }
    }
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, scale, parameters, logits, ahead, epilogue } = self;
        let out = Logits::new(scale, parameters, &mut *logits);
        match (x, parameters.lanes()) {
            (AnyRows::Dense(x), Lanes::Features) => feature_lanes::forward(simd, x, parameters, out, ahead),
            (AnyRows::Dense(x), Lanes::Classes) => class_lanes::forward(simd, x, parameters, out),
            (AnyRows::BlockSparse(x), _) => block_sparse::forward(simd, x, parameters, out),
        }
        let classes = parameters.classes();
        match epilogue {
            Epilogue::Logits => {}
            Epilogue::Softmax(form) => simd.call(Softmax { logits, classes, form }),
            Epilogue::CrossEntropy { targets, losses } => simd.call(CrossEntropy { logits, classes, targets, losses }),
        }
    }
}

impl<T: Element> Divide for Forward<'_, T> {
    fn len(&self) -> usize {
        self.x.len()
    }

    fn work(&self) -> usize {
        self.logits.len().saturating_mul(self.x.features().saturating_add(self.epilogue.work()))
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let (ahead, rest_ahead) = self.ahead.split_at(self.x.len(), row);
        let (x, rest_x) = self.x.split_at(row);
        let (logits, rest_logits) = self.logits.split_at_mut(row * self.parameters.classes());
        let (epilogue, rest_epilogue) = self.epilogue.split_at(row);
        (
            Self { x, logits, ahead, epilogue, ..self },
            Self { x: rest_x, logits: rest_logits, ahead: rest_ahead, epilogue: rest_epilogue, ..self },
        )
    }
}
