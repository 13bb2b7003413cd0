//! Adam, and AdamW, which decays the weights beside it.

use super::{Step, check_epsilon, check_learning_rate, check_share, check_weight_decay, power};
use crate::error::Result;
use crate::kernel::{self, DescentRule};

/// Adam (Kingma, Ba: "Adam: a method for stochastic optimization", ICLR 2015): a running mean of gradients over the root of
/// one of their squares, both corrected for having begun at 0.
///
/// ```text
/// g = gradient + weight_decay * weights
/// mean = beta1 * mean + (1 - beta1) * g
/// square = beta2 * square + (1 - beta2) * g^2
/// parameters -= learning_rate * (mean / (1 - beta1^t)) / (sqrt(square / (1 - beta2^t)) + epsilon)       t = 1, 2, ...
/// ```
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Adam {
    pub(super) learning_rate: f64,
    beta1: f64,
    beta2: f64,
    pub(super) epsilon: f64,
    weight_decay: f64,
}

impl Adam {
    /// Adam with this learning rate; PyTorch's default is 0.001. The first step checks all settings.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { learning_rate, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// The shares of the two means that a step keeps, at least 0 and below 1; 0.9 and 0.999 unless told.
    #[must_use]
    pub const fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { beta1, beta2, ..self }
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

    pub(super) fn check(&self) -> Result<()> {
        check_learning_rate(self.learning_rate)?;
        check_share("beta1", self.beta1)?;
        check_share("beta2", self.beta2)?;
        check_weight_decay(self.weight_decay)?;
        check_epsilon(self.epsilon)
    }

    pub(super) fn step(&self, rate: f64, steps: u64) -> Step {
        let t = steps.saturating_add(1);
        let rule = DescentRule::Adam(kernel::Adam {
            kept: self.beta1 as f32,
            taken: (1.0 - self.beta1) as f32,
            kept_square: self.beta2 as f32,
            taken_square: (1.0 - self.beta2) as f32,
            unbias: (1.0 / libm::sqrt(1.0 - power(self.beta2, t))) as f32,
            epsilon: self.epsilon as f32,
        });
        Step { rate: rate / (1.0 - power(self.beta1, t)), decay: self.weight_decay, shrink: 1.0, rule }
    }
}

/// AdamW (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019): [`Adam`], and the weights are multiplied
/// by `1 - learning_rate * weight_decay` before each step, whatever their gradients. The bias is left alone.
#[doc(alias = "optimizer")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AdamW {
    /// Its weight decay is the decoupled one.
    pub(super) adam: Adam,
}

impl AdamW {
    /// AdamW with this learning rate; PyTorch's default is 0.001. The first step checks all settings.
    #[must_use]
    pub const fn new(learning_rate: f64) -> Self {
        Self { adam: Adam::new(learning_rate).weight_decay(0.01) }
    }

    /// The shares of the two means that a step keeps, at least 0 and below 1; 0.9 and 0.999 unless told.
    #[must_use]
    pub const fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { adam: self.adam.betas(beta1, beta2) }
    }

    /// What is added to the root, so that no division is by 0; 1e-8 unless told.
    #[must_use]
    pub const fn epsilon(self, epsilon: f64) -> Self {
        Self { adam: self.adam.epsilon(epsilon) }
    }

    /// What of the weights each step takes away, times the learning rate, at least 0; 0.01 unless told. The bias is left
    /// alone.
    #[must_use]
    pub const fn weight_decay(self, weight_decay: f64) -> Self {
        Self { adam: self.adam.weight_decay(weight_decay) }
    }

    pub(super) fn step(&self, rate: f64, steps: u64) -> Step {
        let step = self.adam.step(rate, steps);
        Step { decay: 0.0, shrink: 1.0 - rate * self.adam.weight_decay, ..step }
    }
}
