//! Whether a step may make a parameter infinite: bounds that cost next to nothing, so that the parameters need not be copied
//! before each step, and looked through after it, to undo it.

use super::optimizer::{Optimizer, Step};
use crate::exec::Exec;
use crate::kernel;
use crate::parameters::Parameters;

/// Half of what f32 holds leaves room for every rounding.
const LIMIT: f64 = f32::MAX as f64 / 2.0;

/// More steps than a sum of squares is ever made of.
const MOST_STEPS: f64 = (1_u64 << 40) as f64;

/// Bounds of magnitudes, where they are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Of all parameters.
    parameters: Option<f64>,
    /// Of the gradients so far, with what decay adds to them: of everything that an optimizer's means are made of.
    gradients: Option<f64>,
}

impl Guard {
    /// Whether a step of plain SGD is safe: a row's `p - y` is at most its weight, and a gradient at most the sum of the
    /// weights times the largest feature. `scale` is what a stored 1 stands for.
    pub(super) fn allows_plain(&mut self, [rate, scale, weight, largest]: [f64; 4], now: (Exec, &Parameters)) -> bool {
        let alpha = rate * scale.abs().max(1.0);
        let gradient = weight * largest.max(1.0);
        let bound = *self.parameters.get_or_insert_with(|| largest_of(now));
        let next = bound + alpha * gradient;
        let safe = alpha < LIMIT && gradient < LIMIT && next < LIMIT;
        if safe {
            self.parameters = Some(next);
        }
        safe
    }

    /// Whether a step is safe whose gradient, scaled and clipped, is at most `gradient` in magnitude.
    pub(super) fn allows<'a>(
        &mut self,
        optimizer: &Optimizer,
        step: &Step,
        gradient: f64,
        now: (Exec, &Parameters),
        states: impl Iterator<Item = &'a Parameters> + Clone,
    ) -> bool {
        self.allows_once(optimizer, step, gradient, now, states.clone()) || {
            // Bounds grow faster than what they bound.
            self.forget();
            self.allows_once(optimizer, step, gradient, now, states)
        }
    }

    fn allows_once<'a>(
        &mut self,
        optimizer: &Optimizer,
        step: &Step,
        gradient: f64,
        now: (Exec, &Parameters),
        states: impl Iterator<Item = &'a Parameters>,
    ) -> bool {
        let parameters = *self.parameters.get_or_insert_with(|| largest_of(now));
        let largest_state = || states.map(|state| largest_of((now.0, state))).fold(0.0, f64::max);
        let before = *self.gradients.get_or_insert_with(largest_state);
        let gradients = before.max(gradient + step.decay * parameters);
        let next = step.shrink.abs().max(1.0) * parameters + step.rate * optimizer.largest_direction(gradients);
        let safe = step.rate < LIMIT && gradients * gradients * MOST_STEPS < LIMIT && next < LIMIT;
        if safe {
            (self.parameters, self.gradients) = (Some(next), Some(gradients));
        }
        safe
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The largest magnitude among parameters, which are finite.
fn largest_of((exec, parameters): (Exec, &Parameters)) -> f64 {
    f64::from(kernel::largest_parameter(exec, parameters))
}
