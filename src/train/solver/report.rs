//! What a fit says of itself. How it came about is `lbfgs.rs`'s.

use crate::model::SoftmaxRegression;
use alloc::vec::Vec;
use core::fmt;

/// A fitted model, and how it was fitted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fit {
    /// The model, for features as they are in the data: a scaling is folded into its weights.
    pub model: SoftmaxRegression,
    /// How the fit went.
    pub report: Report,
}

/// How a fit went.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Report {
    /// Why the fit ended.
    pub stopped: Stop,
    /// Sweeps over all rows, each of which computes the loss and its gradient.
    pub passes: usize,
    /// Steps of the solver.
    pub iterations: usize,
    /// The weighted mean loss of the rows, in nats.
    pub loss: f64,
    /// The mean loss of the model as the kernels compute it from the features as they are, in f32. More than `loss` where
    /// features lie so far from 0, a million times their deviation, that f32 can no longer hold what they differ by:
    /// then take a constant away from them, of the rows to be predicted too.
    pub loss_as_rounded: f64,
    /// The mean loss and the penalty, `l2 / 2 * |W|^2`.
    pub objective: f64,
    /// The length of the objective's gradient, with respect to the bias and to the weights of features scaled to variance
    /// 1. Does not depend on the units that features are in.
    pub gradient_norm: f64,
    /// Since the start, the preconditioner included.
    pub seconds: f64,
    /// The sweeps, in their order.
    pub history: Vec<Pass>,
}

/// A sweep over all rows.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Pass {
    /// Its number, from 1.
    pub pass: usize,
    /// As in [`Report`], at the weights that were tried; infinite where f32 cannot hold them or their logits.
    #[cfg_attr(feature = "serde", serde(with = "finite"))]
    pub loss: f64,
    /// As in [`Report`]; infinite where the loss is.
    #[cfg_attr(feature = "serde", serde(with = "finite"))]
    pub objective: f64,
    /// As in [`Report`].
    pub gradient_norm: f64,
    /// Since the start.
    pub seconds: f64,
}

/// A number that may be infinite, as one or none: JSON has no other word for it.
#[cfg(feature = "serde")]
mod finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}

/// Why a fit ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Stop {
    /// The gradient is small enough: [`Lbfgs::tolerance`](crate::Lbfgs::tolerance).
    Gradient,
    /// The objective hardly falls any more: [`Lbfgs::loss_tolerance`](crate::Lbfgs::loss_tolerance).
    Loss,
    /// No step along the direction is better than none, as far as f32 can tell.
    Precision,
    /// The limit of passes.
    Passes,
    /// The limit of time.
    Time,
    /// The caller's wish.
    Caller,
}

impl Stop {
    /// Whether the model is the optimum, as far as the tolerances or f32 tell; otherwise a limit came first.
    #[must_use]
    pub const fn converged(self) -> bool {
        matches!(self, Self::Gradient | Self::Loss | Self::Precision)
    }

    /// One word: `gradient`, `loss`, `precision`, `passes`, `time` or `caller`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Loss => "loss",
            Self::Precision => "precision",
            Self::Passes => "passes",
            Self::Time => "time",
            Self::Caller => "caller",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
