//! Adagrad.

use super::{Step, check_epsilon, check_learning_rate, check_weight_decay};
use crate::error::{Result, expect_setting};
use crate::kernel::{self, DescentRule};

/// Adagrad (Duchi, Hazan, Singer: "Adaptive subgradient methods for online learning and stochastic optimization", JMLR
/// 2011): a parameter's rate falls with the sum of its squared gradients.
///
/// ```text
/// g = gradient + weight_decay * weights
/// sum += g^2
/// parameters -= learning_rate / (1 + steps * learning_rate_decay) * g / (sqrt(sum) + epsilon)
/// ```
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Adagrad {
    pub(super) learning_rate: f64,
    learning_rate_decay: f64,
    weight_decay: f64,
    pub(super) initial_accumulator: f64,
    pub(super) epsilon: f64,
}

impl Adagrad {
    /// Adagrad with this learning rate; PyTorch's default is 0.01. The first step checks all settings.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, learning_rate_decay: 0.0, weight_decay: 0.0, initial_accumulator: 0.0, epsilon: 1e-10 }
    }

    /// How fast the learning rate falls with the steps, at least 0; 0 unless told.
    #[must_use]
    pub const fn learning_rate_decay(self, learning_rate_decay: f64) -> Self {
        Self { learning_rate_decay, ..self }
    }

    /// What of the weights is added to their gradient, at least 0; 0 unless told. The bias is left alone.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// What the sums of squares begin with, at least 0; 0 unless told.
    #[must_use]
    pub const fn initial_accumulator(self, initial_accumulator: f64) -> Self {
        Self { initial_accumulator, ..self }
    }

    /// What is added to the root, so that no division is by 0; 1e-10 unless told.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_learning_rate(self.learning_rate)?;
        let at_least_0 = |value: f64| value >= 0.0 && (value as f32).is_finite();
        const EXPECTED: &str = "a finite number of at least 0";
        expect_setting(
            "learning rate decay",
            self.learning_rate_decay,
            at_least_0(self.learning_rate_decay),
            EXPECTED,
        )?;
        expect_setting(
            "initial accumulator",
            self.initial_accumulator,
            at_least_0(self.initial_accumulator),
            EXPECTED,
        )?;
        check_weight_decay(self.weight_decay)?;
        check_epsilon(self.epsilon)
    }

    pub(super) fn step(&self, rate: f64, steps: u64) -> Step {
        let rule = DescentRule::Adagrad(kernel::Adagrad { epsilon: self.epsilon as f32 });
        let rate = rate / (1.0 + steps as f64 * self.learning_rate_decay);
        Step { rate, decay: self.weight_decay, shrink: 1.0, rule }
    }
}
