//! Update rules: what a step makes of the gradient. The arithmetic is in `kernel`, fused with the
//! gradient's.

use crate::error::{Error, Result};

/// How the losses of a batch's rows become the one that is minimised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reduction {
    /// Their sum: a step's length grows with the batch. What the TensorFlow tutorial does.
    #[default]
    Sum,
    /// Their mean: a step's length does not depend on the batch.
    Mean,
}

/// Stochastic gradient descent: `parameters -= learning_rate * gradient`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sgd {
    learning_rate: f32,
    reduction: Reduction,
}

impl Sgd {
    /// Descent on the summed loss. The learning rate is checked by the first step.
    #[must_use]
    pub const fn new(learning_rate: f32) -> Self {
        Self { learning_rate, reduction: Reduction::Sum }
    }

    /// The same with another reduction of the loss.
    #[must_use]
    pub const fn reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// The learning rate, as it was given.
    #[must_use]
    pub const fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// The learning rate on the summed loss of `rows` rows.
    pub(crate) fn rate_on_sum(&self, rows: usize) -> Result<f32> {
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let found = f64::from(self.learning_rate);
            return Err(Error::Setting { name: "learning rate", found, expected: "a finite number above 0" });
        }
        Ok(match self.reduction {
            Reduction::Sum => self.learning_rate,
            Reduction::Mean => self.learning_rate / rows as f32,
        })
    }

    /// The reduced loss of `rows` rows whose losses sum to `sum`.
    pub(crate) fn reduce(&self, sum: f64, rows: usize) -> f64 {
        match self.reduction {
            Reduction::Sum => sum,
            Reduction::Mean => sum / rows as f64,
        }
    }
}
