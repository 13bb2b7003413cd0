//! What is asked of a training, and how far it has come: all that decides a step beside the parameters and what the optimizer
//! remembers. The optimizers' and schedules' own settings are in their files.

use super::optimizer::{Optimizer, check_learning_rate};
use super::schedule::{PlateauState, Schedule};
use crate::error::{Error, Result, expect_setting};

/// How the losses of a batch's rows become the one that is minimised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Reduction {
    /// Their mean: the sum over the sum of the rows' weights. A step's length does not depend on the batch.
    #[default]
    Mean,
    /// Their sum: a step's length grows with the batch. What the TensorFlow tutorial does.
    Sum,
}

/// What the user asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Settings {
    pub(super) optimizer: Optimizer,
    pub(super) reduction: Reduction,
    pub(super) schedule: Schedule,
    pub(super) clip_norm: Option<f64>,
    pub(super) clip_value: Option<f64>,
    /// The step from whose parameters on a mean is taken.
    pub(super) average_from: Option<u64>,
}

/// How far the training has come.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Progress {
    pub(super) steps: u64,
    /// Steps whose parameters the mean is of.
    pub(super) averaged: u64,
    pub(super) plateau: PlateauState,
}

impl Progress {
    pub(super) const START: Self = Self { steps: 0, averaged: 0, plateau: PlateauState::START };

    /// Checks what a file says.
    #[cfg(feature = "safetensors")]
    pub(super) fn check(&self) -> Result<()> {
        let found = self.plateau.factor;
        let holds = found > 0.0 && found <= 1.0;
        expect_setting("factor of the plateau's changes", found, holds, "above 0 and at most 1")
    }
}

impl Settings {
    /// Of a trainer that is told nothing but its optimizer.
    pub(super) const fn new(optimizer: Optimizer) -> Self {
        Self {
            optimizer,
            reduction: Reduction::Mean,
            schedule: Schedule::constant(),
            clip_norm: None,
            clip_value: None,
            average_from: None,
        }
    }

    /// The learning rate of the next step.
    pub(super) fn learning_rate(&self, progress: &Progress) -> f64 {
        self.optimizer.learning_rate() * self.schedule.factor(progress.steps) * progress.plateau.factor
    }

    /// The same, where it and all settings are in their ranges.
    pub(super) fn checked_rate(&self, progress: &Progress) -> Result<f64> {
        self.check()?;
        let rate = self.learning_rate(progress);
        check_learning_rate(rate).map_err(|_| Error::Setting {
            name: "learning rate that the schedule gives",
            found: rate,
            expected: "a finite number above 0: give the schedule more steps, or a least factor",
        })?;
        Ok(rate)
    }

    /// Checks all of them.
    pub(super) fn check(&self) -> Result<()> {
        self.optimizer.check()?;
        self.schedule.check()?;
        let above_0 = |found: f64| found > 0.0 && (found as f32).is_finite();
        for (name, found) in
            [("largest norm of a gradient", self.clip_norm), ("largest element of a gradient", self.clip_value)]
        {
            let holds = found.is_none_or(above_0);
            expect_setting(name, found.unwrap_or_default(), holds, "a finite number above 0")?;
        }
        Ok(())
    }

    /// Whether a step subtracts the gradient as it is, times a rate.
    pub(super) const fn are_plain(&self) -> bool {
        let plain = matches!(&self.optimizer, Optimizer::Sgd(sgd) if sgd.is_plain());
        plain && self.clip_norm.is_none() && self.clip_value.is_none()
    }
}
