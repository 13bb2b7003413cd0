//! RMSprop.

use super::{Step, check_epsilon, check_learning_rate, check_share, check_weight_decay};
use crate::error::Result;
use crate::kernel::{self, CentredRmsProp, DescentRule};

/// RMSprop (Hinton, Srivastava, Swersky: "Neural networks for machine learning", lecture 6, 2012): gradients over the root
/// of the running mean of their squares.
///
/// ```text
/// g = gradient + weight_decay * weights
/// square = alpha * square + (1 - alpha) * g^2
/// mean = alpha * mean + (1 - alpha) * g                centred: sqrt(square - mean^2) is the root below
/// buffer = momentum * buffer + g / (sqrt(square) + epsilon)
/// parameters -= learning_rate * buffer
/// ```
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RmsProp {
    pub(super) learning_rate: f64,
    alpha: f64,
    pub(super) epsilon: f64,
    weight_decay: f64,
    pub(super) momentum: f64,
    centred: bool,
}

impl RmsProp {
    /// RMSprop with this learning rate; PyTorch's default is 0.01. The first step checks all settings.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, alpha: 0.99, epsilon: 1e-8, weight_decay: 0.0, momentum: 0.0, centred: false }
    }

    /// The share of a mean that a step keeps, at least 0 and below 1; 0.99 unless told.
    #[must_use]
    pub const fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    /// What is added to the root, so that no division is by 0; 1e-8 unless told.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// What of the weights is added to their gradient, at least 0; 0 unless told. The bias is left alone.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The share of the buffer that a step keeps, at least 0 and below 1; 0 unless told.
    #[must_use]
    pub const fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// Whether gradients are divided by their deviation from their mean, not from 0.
    #[doc(alias = "centered")]
    #[must_use]
    pub const fn centred(self, centred: bool) -> Self {
        Self { centred, ..self }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_learning_rate(self.learning_rate)?;
        check_share("alpha", self.alpha)?;
        check_share("momentum", self.momentum)?;
        check_weight_decay(self.weight_decay)?;
        check_epsilon(self.epsilon)
    }

    const fn needs_mean_or_buffer(&self) -> bool {
        self.centred || self.momentum > 0.0
    }

    pub(super) fn initial_states(&self) -> &'static [f64] {
        if self.needs_mean_or_buffer() { &[0.0; 3] } else { &[0.0] }
    }

    pub(super) fn step(&self, rate: f64) -> Step {
        let (kept, taken) = (self.alpha as f32, (1.0 - self.alpha) as f32);
        let average = kernel::RmsProp { kept, taken, epsilon: self.epsilon as f32 };
        let rule = match self.needs_mean_or_buffer() {
            true => DescentRule::CentredRmsProp(CentredRmsProp {
                average,
                centred: f32::from(u8::from(self.centred)),
                momentum: self.momentum as f32,
            }),
            false => DescentRule::RmsProp(average),
        };
        Step { rate, decay: self.weight_decay, shrink: 1.0, rule }
    }
}
