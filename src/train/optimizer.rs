//! Settings of the update rules. The arithmetic is in `kernel/rule.rs`, fused with the gradient's.

use crate::error::{Error, Result};

/// Stochastic gradient descent: `parameters -= learning_rate * gradient`.
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sgd {
    learning_rate: f32,
}

impl Sgd {
    /// Descent with this learning rate, which the first step checks. It goes with the trainer's
    /// [`Reduction`](crate::Reduction): on the mean loss of 100 rows `Sgd::new(0.5)` makes the step of `Sgd::new(0.005)` on
    /// their sum.
    #[must_use]
    pub const fn new(learning_rate: f32) -> Self {
        Self { learning_rate }
    }

    /// The learning rate, as it was given.
    #[must_use]
    pub const fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Checks the settings.
    pub(super) fn check(&self) -> Result<()> {
        if self.learning_rate.is_finite() && self.learning_rate > 0.0 {
            return Ok(());
        }
        let found = f64::from(self.learning_rate);
        Err(Error::Setting { name: "learning rate", found, expected: "a finite number above 0" })
    }
}
