//! Stochastic gradient descent.

use super::{Step, check_learning_rate, check_share, check_weight_decay};
use crate::error::{Result, expect_setting};
use crate::kernel::{DescentRule, Momentum};

/// Stochastic gradient descent: `parameters -= learning_rate * gradient`; with momentum, of a running sum of gradients:
///
/// ```text
/// g = gradient + weight_decay * weights
/// buffer = momentum * buffer + (1 - dampening) * g      the first step: buffer = g
/// parameters -= learning_rate * buffer                  Nesterov: learning_rate * (g + momentum * buffer)
/// ```
///
/// Without momentum and weight decay the step is fused into the gradient's product, and nothing is remembered.
///
/// ```
/// use softreg::Sgd;
///
/// let sgd = Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(1e-4);
/// ```
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sgd {
    pub(super) learning_rate: f64,
    pub(super) momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl Sgd {
    /// Descent with this learning rate; the first step checks all settings. It goes with the trainer's
    /// [`Reduction`](crate::Reduction): on the mean loss of 100 rows `Sgd::new(0.5)` makes the step of `Sgd::new(0.005)` on
    /// their sum.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// The share of the buffer that a step keeps, at least 0 and below 1; 0 unless told.
    #[must_use]
    pub const fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// The share of a gradient that the buffer does not take, from 0 to 1; 0 unless told.
    #[must_use]
    pub const fn dampening(self, dampening: f64) -> Self {
        Self { dampening, ..self }
    }

    /// Whether a step looks ahead, as Nesterov's does. It takes momentum, and no dampening.
    #[must_use]
    pub const fn nesterov(self, nesterov: bool) -> Self {
        Self { nesterov, ..self }
    }

    /// What of the weights is added to their gradient, at least 0; 0 unless told. For a loss with a penalty of `l2 / 2`
    /// times the sum of the squared weights it is `l2`. The bias is left alone.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The learning rate, as it was given.
    #[must_use]
    pub const fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Whether a step takes the gradient as it is.
    pub(in crate::train) const fn is_plain(&self) -> bool {
        self.momentum == 0.0 && self.weight_decay == 0.0
    }

    pub(super) fn check(&self) -> Result<()> {
        check_learning_rate(self.learning_rate)?;
        check_share("momentum", self.momentum)?;
        check_weight_decay(self.weight_decay)?;
        let dampening = (0.0..=1.0).contains(&self.dampening);
        expect_setting("dampening", self.dampening, dampening, "0 to 1")?;
        let applies = !self.nesterov || self.momentum > 0.0;
        expect_setting("momentum", self.momentum, applies, "above 0 with Nesterov's step")?;
        let applies = !self.nesterov || self.dampening == 0.0;
        expect_setting("dampening", self.dampening, applies, "0 with Nesterov's step")
    }

    pub(super) fn initial_states(&self) -> &'static [f64] {
        if self.momentum > 0.0 { &[0.0] } else { &[] }
    }

    pub(super) fn step(&self, rate: f64, steps: u64) -> Step {
        let momentum = self.momentum as f32;
        let taken = if steps == 0 { 1.0 } else { (1.0 - self.dampening) as f32 };
        let (direct, ahead) = if self.nesterov { (1.0, momentum) } else { (0.0, 1.0) };
        let rule = match self.momentum > 0.0 {
            true => DescentRule::Momentum(Momentum { momentum, taken, direct, ahead }),
            false => DescentRule::Plain,
        };
        Step { rate, decay: self.weight_decay, shrink: 1.0, rule }
    }
}
