//! The optimizers' settings, and the coefficients of a step that follow from them. What an optimizer remembers is the
//! trainer's, the arithmetic `kernel/descent.rs`'s.
//!
//! Formulas, names and defaults are PyTorch's, `torch.optim`, but for the bias, which no weight decay touches.

mod adagrad;
mod adam;
mod rms_prop;
mod sgd;

pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

use crate::error::{Result, expect_setting};
use crate::kernel::{Descent, DescentRule};

/// Any of the optimizers. A [`Trainer`](crate::Trainer) takes the settings of each as they are.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum or without.
    Sgd(Sgd),
    /// A rate of its own for each parameter, by the sum of its squared gradients.
    Adagrad(Adagrad),
    /// The same by their running mean.
    RmsProp(RmsProp),
    /// Running means of gradients and of their squares.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

macro_rules! from_settings {
    ($($settings:ident)+) => {$(
        impl From<$settings> for Optimizer {
            fn from(settings: $settings) -> Self {
                Self::$settings(settings)
            }
        }
    )+};
}
from_settings!(Sgd Adagrad RmsProp Adam AdamW);

/// What is done in one step, but for the gradient's own scale and clipping.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Step {
    pub(super) rate: f64,
    /// Added to the gradient, times the weights.
    pub(super) decay: f64,
    /// What the weights are multiplied by.
    pub(super) shrink: f64,
    pub(super) rule: DescentRule,
}

impl Step {
    /// With the gradient multiplied by `scale` and then clipped.
    pub(super) fn scaled(&self, scale: f64, limit: f64) -> Descent {
        let &Self { rate, decay, shrink, rule } = self;
        let [rate, scale, limit, decay, shrink] = [rate, scale, limit, decay, shrink].map(|value| value as f32);
        Descent { rate, scale, limit, decay, shrink, rule }
    }
}

impl Optimizer {
    /// The optimizer's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "Sgd",
            Self::Adagrad(_) => "Adagrad",
            Self::RmsProp(_) => "RmsProp",
            Self::Adam(_) => "Adam",
            Self::AdamW(_) => "AdamW",
        }
    }

    /// The learning rate, as it was given.
    #[must_use]
    pub const fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
            Self::Adagrad(adagrad) => adagrad.learning_rate,
            Self::RmsProp(rms_prop) => rms_prop.learning_rate,
            Self::Adam(adam) => adam.learning_rate,
            Self::AdamW(adam_w) => adam_w.adam.learning_rate,
        }
    }

    pub(super) const fn learning_rate_mut(&mut self) -> &mut f64 {
        match self {
            Self::Sgd(sgd) => &mut sgd.learning_rate,
            Self::Adagrad(adagrad) => &mut adagrad.learning_rate,
            Self::RmsProp(rms_prop) => &mut rms_prop.learning_rate,
            Self::Adam(adam) => &mut adam.learning_rate,
            Self::AdamW(adam_w) => &mut adam_w.adam.learning_rate,
        }
    }

    /// Checks the settings.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Sgd(sgd) => sgd.check(),
            Self::Adagrad(adagrad) => adagrad.check(),
            Self::RmsProp(rms_prop) => rms_prop.check(),
            Self::Adam(adam) => adam.check(),
            Self::AdamW(adam_w) => adam_w.adam.check(),
        }
    }

    /// How many states it has, each in the parameters' shape, and what each is before the first step.
    pub(super) fn initial_states(&self) -> &[f64] {
        match self {
            Self::Sgd(sgd) => sgd.initial_states(),
            Self::Adagrad(adagrad) => core::slice::from_ref(&adagrad.initial_accumulator),
            Self::RmsProp(rms_prop) => rms_prop.initial_states(),
            Self::Adam(_) | Self::AdamW(_) => &[0.0; 2],
        }
    }

    /// Which state is of squares.
    #[cfg(feature = "safetensors")]
    pub(super) const fn square(&self) -> Option<usize> {
        match self {
            Self::Sgd(_) => None,
            Self::Adagrad(_) | Self::RmsProp(_) => Some(0),
            Self::Adam(_) | Self::AdamW(_) => Some(1),
        }
    }

    /// The coefficients of a step at this learning rate, after so many steps.
    pub(super) fn step(&self, rate: f64, steps: u64) -> Step {
        match self {
            Self::Sgd(sgd) => sgd.step(rate, steps),
            Self::Adagrad(adagrad) => adagrad.step(rate, steps),
            Self::RmsProp(rms_prop) => rms_prop.step(rate),
            Self::Adam(adam) => adam.step(rate, steps),
            Self::AdamW(adam_w) => adam_w.step(rate, steps),
        }
    }

    /// A bound of a direction's elements, where those of all gradients so far, decay included, are at most `gradient` in
    /// magnitude.
    pub(super) fn largest_direction(&self, gradient: f64) -> f64 {
        match self {
            Self::Sgd(sgd) => gradient / (1.0 - sgd.momentum),
            // The root is at least the gradient that is divided by it, but for gradients whose squares are none in f32.
            Self::Adagrad(adagrad) => 1.0 + 1e-18 / adagrad.epsilon,
            // Momentum's buffer may be longer than any quotient that is left of it.
            Self::RmsProp(rms_prop) => gradient / rms_prop.epsilon.min(1.0) / (1.0 - rms_prop.momentum),
            Self::Adam(Adam { epsilon, .. }) | Self::AdamW(AdamW { adam: Adam { epsilon, .. } }) => gradient / epsilon,
        }
    }
}

pub(super) fn check_learning_rate(found: f64) -> Result<()> {
    // As f32, which the arithmetic is in.
    let rounded = found as f32;
    expect_setting("learning rate", found, rounded > 0.0 && rounded.is_finite(), "a finite number above 0")
}

fn check_weight_decay(found: f64) -> Result<()> {
    expect_setting("weight decay", found, found >= 0.0 && (found as f32).is_finite(), "a finite number of at least 0")
}

/// A share that a mean keeps, or a momentum.
fn check_share(name: &'static str, found: f64) -> Result<()> {
    // As f32, which may round it to 1.
    expect_setting(name, found, found >= 0.0 && (found as f32) < 1.0, "at least 0 and below 1")
}

fn check_epsilon(found: f64) -> Result<()> {
    // Above 0, since a parameter whose gradients are all 0 divides 0 by it.
    let rounded = found as f32;
    expect_setting(
        "epsilon",
        found,
        rounded >= f32::MIN_POSITIVE && rounded.is_finite(),
        "a finite number above 1.2e-38",
    )
}

/// `base^exponent` for whole exponents beyond `i32` too.
fn power(base: f64, exponent: u64) -> f64 {
    libm::pow(base, exponent as f64)
}
