//! What a step makes of a gradient: decay, clipping, momentum, adaptive rates; one vector at a time, with what the rule
//! remembers beside it. Plain SGD needs none of it and is fused into the gradient's product, see `rule.rs`. The settings and
//! where the coefficients come from are `train/optimizer`'s.
//!
//! ```text
//! for each vector of parameters p, in the order of the memory
//!     g = clip(scale * gradient) + decay * p
//!     direction, states = rule(g, states)
//!     p = shrink * p - rate * direction
//! ```
//!
//! Rejected: these rules at the ends of the update's tiles. Clipping by the norm needs the whole gradient first, a block of
//! rows gives only part of a sum, and each rule would compile every update kernel once more.

use crate::exec::{Divide, Exec};
use crate::layout::{Line, PANEL};
use crate::parameters::Parameters;
use crate::simd::{Kernel, Simd, load_start, store_start};
use core::{array, mem};

/// A step's coefficients.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Descent {
    /// What the direction is multiplied by.
    pub(crate) rate: f32,
    /// What the gradient is multiplied by first.
    pub(crate) scale: f32,
    /// Then the largest magnitude that an element of it keeps; infinity where it is not clipped.
    pub(crate) limit: f32,
    /// Weights times this are added to their gradient. The bias is left alone.
    pub(crate) decay: f32,
    /// Weights are multiplied by this. The bias is left alone.
    pub(crate) shrink: f32,
    /// What becomes of the gradient.
    pub(crate) rule: DescentRule,
}

/// What becomes of a gradient `g`, and what is remembered from step to step, each in the parameters' shape.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum DescentRule {
    /// `g`
    Plain,
    /// State: the buffer.
    Momentum(Momentum),
    /// State: the sum of squares.
    Adagrad(Adagrad),
    /// State: the mean of squares.
    RmsProp(RmsProp),
    /// States: the means of squares and of gradients, and the buffer.
    CentredRmsProp(CentredRmsProp),
    /// States: the means of gradients and of squares.
    Adam(Adam),
}

/// `buffer = momentum * buffer + taken * g`, `direction = direct * g + ahead * buffer`
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Momentum {
    pub(crate) momentum: f32,
    pub(crate) taken: f32,
    pub(crate) direct: f32,
    pub(crate) ahead: f32,
}

/// `sum = sum + g^2`, `direction = g / (sqrt(sum) + epsilon)`
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Adagrad {
    pub(crate) epsilon: f32,
}

/// `square = kept * square + taken * g^2`, `direction = g / (sqrt(square) + epsilon)`
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct RmsProp {
    pub(crate) kept: f32,
    pub(crate) taken: f32,
    pub(crate) epsilon: f32,
}

/// The same with `mean = kept * mean + taken * g`, whose square times `centred`, which is 0 or 1, is subtracted below the
/// root, and `buffer = momentum * buffer + g / (root + epsilon)`, which is the direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct CentredRmsProp {
    pub(crate) average: RmsProp,
    pub(crate) centred: f32,
    pub(crate) momentum: f32,
}

/// `mean = kept * mean + taken * g`, `square = kept_square * square + taken_square * g^2`,
/// `direction = mean / (unbias * sqrt(square) + epsilon)`
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Adam {
    pub(crate) kept: f32,
    pub(crate) taken: f32,
    pub(crate) kept_square: f32,
    pub(crate) taken_square: f32,
    pub(crate) unbias: f32,
    pub(crate) epsilon: f32,
}

/// A rule with N states.
trait Rule<const N: usize>: Copy + Send + Sync {
    /// The direction, and the states' new values.
    fn direction<S: Simd>(self, simd: S, g: S::Vector, states: &mut [S::Vector; N]) -> S::Vector;
}

#[derive(Clone, Copy)]
struct Plain;

impl Rule<0> for Plain {
    #[inline(always)]
    fn direction<S: Simd>(self, _simd: S, g: S::Vector, []: &mut [S::Vector; 0]) -> S::Vector {
        g
    }
}

impl Rule<1> for Momentum {
    #[inline(always)]
    fn direction<S: Simd>(self, simd: S, g: S::Vector, [buffer]: &mut [S::Vector; 1]) -> S::Vector {
        *buffer = mean(simd, self.momentum, *buffer, self.taken, g);
        mean(simd, self.direct, g, self.ahead, *buffer)
    }
}

impl Rule<1> for Adagrad {
    #[inline(always)]
    fn direction<S: Simd>(self, simd: S, g: S::Vector, [sum]: &mut [S::Vector; 1]) -> S::Vector {
        *sum = simd.mul_add(g, g, *sum);
        simd.div(g, simd.add(simd.sqrt(*sum), simd.splat(self.epsilon)))
    }
}

impl Rule<1> for RmsProp {
    #[inline(always)]
    fn direction<S: Simd>(self, simd: S, g: S::Vector, [square]: &mut [S::Vector; 1]) -> S::Vector {
        *square = mean(simd, self.kept, *square, self.taken, simd.mul(g, g));
        simd.div(g, simd.add(simd.sqrt(*square), simd.splat(self.epsilon)))
    }
}

impl Rule<3> for CentredRmsProp {
    #[inline(always)]
    fn direction<S: Simd>(self, simd: S, g: S::Vector, states: &mut [S::Vector; 3]) -> S::Vector {
        let [square, average, buffer] = states;
        let RmsProp { kept, taken, epsilon } = self.average;
        *square = mean(simd, kept, *square, taken, simd.mul(g, g));
        *average = mean(simd, kept, *average, taken, g);
        let below = simd.mul(simd.mul(simd.splat(-self.centred), *average), *average);
        // A variance, which rounding may bring below 0.
        let variance = simd.max(simd.add(*square, below), simd.splat(0.0));
        let scaled = simd.div(g, simd.add(simd.sqrt(variance), simd.splat(epsilon)));
        *buffer = simd.mul_add(simd.splat(self.momentum), *buffer, scaled);
        *buffer
    }
}

impl Rule<2> for Adam {
    #[inline(always)]
    fn direction<S: Simd>(self, simd: S, g: S::Vector, [average, square]: &mut [S::Vector; 2]) -> S::Vector {
        *average = mean(simd, self.kept, *average, self.taken, g);
        *square = mean(simd, self.kept_square, *square, self.taken_square, simd.mul(g, g));
        let root = simd.mul_add(simd.splat(self.unbias), simd.sqrt(*square), simd.splat(self.epsilon));
        simd.div(*average, root)
    }
}

/// `kept * a + taken * b`
#[inline(always)]
fn mean<S: Simd>(simd: S, kept: f32, a: S::Vector, taken: f32, b: S::Vector) -> S::Vector {
    simd.mul_add(simd.splat(kept), a, simd.mul(simd.splat(taken), b))
}

impl Descent {
    /// `parameters -= rate * gradient`
    pub(crate) const fn plain(rate: f32) -> Self {
        Self { rate, scale: 1.0, limit: f32::INFINITY, decay: 0.0, shrink: 1.0, rule: DescentRule::Plain }
    }

    /// Does the step. The gradient, the parameters and the states, as many as the rule has, have one shape.
    pub(crate) fn run(&self, exec: Exec, gradient: &Parameters, to: &mut Parameters, states: &mut [Parameters]) {
        match self.rule {
            DescentRule::Plain => self.run_rule(exec, Plain, gradient, to, states),
            DescentRule::Momentum(rule) => self.run_rule(exec, rule, gradient, to, states),
            DescentRule::Adagrad(rule) => self.run_rule(exec, rule, gradient, to, states),
            DescentRule::RmsProp(rule) => self.run_rule(exec, rule, gradient, to, states),
            DescentRule::CentredRmsProp(rule) => self.run_rule(exec, rule, gradient, to, states),
            DescentRule::Adam(rule) => self.run_rule(exec, rule, gradient, to, states),
        }
    }

    fn run_rule<R: Rule<N>, const N: usize>(
        &self,
        exec: Exec,
        rule: R,
        gradient: &Parameters,
        to: &mut Parameters,
        states: &mut [Parameters],
    ) {
        let Some(states) = states.first_chunk_mut::<N>() else {
            unreachable!("the states are made for the rule");
        };
        let mut biases: [&mut [f32]; N] = array::from_fn(|_| Default::default());
        let mut lines: [&mut [Line]; N] = array::from_fn(|_| Default::default());
        for ((state, lines), bias) in states.iter_mut().zip(&mut lines).zip(&mut biases) {
            (*lines, *bias) = state.parts_mut();
        }
        let (parameters, bias) = to.parts_mut();
        exec.run(OnLines { descent: *self, rule, gradient: gradient.lines(), parameters, states: lines });
        let descent = Self { decay: 0.0, shrink: 1.0, ..*self };
        exec.run_here(OnBias { descent, rule, gradient: gradient.bias(), bias, states: biases });
    }

    /// The new values of a vector of parameters and of its states.
    #[inline(always)]
    fn step<S: Simd, R: Rule<N>, const N: usize>(
        &self,
        simd: S,
        rule: R,
        gradient: S::Vector,
        p: S::Vector,
        states: &mut [S::Vector; N],
    ) -> S::Vector {
        let (limit, zero) = (simd.splat(self.limit), simd.splat(0.0));
        let g = simd.mul(gradient, simd.splat(self.scale));
        let g = simd.select_less(limit, g, limit, g);
        let g = simd.max(g, simd.sub(zero, limit));
        let g = simd.mul_add(simd.splat(self.decay), p, g);
        let direction = rule.direction(simd, g, states);
        simd.mul_add(simd.splat(-self.rate), direction, simd.mul(simd.splat(self.shrink), p))
    }
}

/// The step of the weights.
struct OnLines<'a, R, const N: usize> {
    descent: Descent,
    rule: R,
    gradient: &'a [Line],
    parameters: &'a mut [Line],
    states: [&'a mut [Line]; N],
}

impl<R: Rule<N>, const N: usize> Kernel for OnLines<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { descent, rule, gradient, parameters, mut states } = self;
        for (i, (p, gradient)) in parameters.iter_mut().zip(gradient).enumerate() {
            for part in 0..PANEL / S::LANES {
                let mut vectors = [simd.splat(0.0); N];
                for (vector, state) in vectors.iter_mut().zip(&states) {
                    *vector = simd.load(&S::arrays(&state[i].0).0[part]);
                }
                let (p, gradient) = (&mut S::arrays_mut(&mut p.0).0[part], &S::arrays(&gradient.0).0[part]);
                let new = descent.step(simd, rule, simd.load(gradient), simd.load(p), &mut vectors);
                simd.store(new, p);
                for (vector, state) in vectors.iter().zip(&mut states) {
                    simd.store(*vector, &mut S::arrays_mut(&mut state[i].0).0[part]);
                }
            }
        }
    }
}

impl<R: Rule<N>, const N: usize> Divide for OnLines<'_, R, N> {
    fn len(&self) -> usize {
        self.parameters.len()
    }

    fn work(&self) -> usize {
        self.parameters.len().saturating_mul(PANEL * (4 + 2 * N))
    }

    fn split_at(self, line: usize) -> (Self, Self) {
        let (gradient, rest_gradient) = self.gradient.split_at(line);
        let (parameters, rest_parameters) = self.parameters.split_at_mut(line);
        let mut rest_states: [&mut [Line]; N] = array::from_fn(|_| Default::default());
        let mut states = self.states;
        for (state, rest) in states.iter_mut().zip(&mut rest_states) {
            (*state, *rest) = mem::take(state).split_at_mut(line);
        }
        let rest = Self { gradient: rest_gradient, parameters: rest_parameters, states: rest_states, ..self };
        (Self { gradient, parameters, states, ..self }, rest)
    }
}

/// The step of the bias.
struct OnBias<'a, R, const N: usize> {
    descent: Descent,
    rule: R,
    gradient: &'a [f32],
    bias: &'a mut [f32],
    states: [&'a mut [f32]; N],
}

impl<R: Rule<N>, const N: usize> Kernel for OnBias<'_, R, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { descent, rule, gradient, bias, mut states } = self;
        for first in (0..bias.len()).step_by(S::LANES) {
            let range = first..bias.len().min(first + S::LANES);
            let mut vectors = [simd.splat(0.0); N];
            for (vector, state) in vectors.iter_mut().zip(&states) {
                *vector = load_start(simd, &state[range.clone()]);
            }
            let (gradient, bias) = (&gradient[range.clone()], &mut bias[range.clone()]);
            let new = descent.step(simd, rule, load_start(simd, gradient), load_start(simd, bias), &mut vectors);
            store_start(simd, new, bias);
            for (vector, state) in vectors.iter().zip(&mut states) {
                store_start(simd, *vector, &mut state[range.clone()]);
            }
        }
    }
}
