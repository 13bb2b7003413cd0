//! Every optimizer once more, in plain f64 loops over one list of numbers: what a trainer's steps are judged against.

use softreg::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};

/// Which optimizer, with the settings that its constructor makes of this learning rate.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    Sgd,
    DecayedSgd,
    Momentum,
    Nesterov,
    Adagrad,
    RmsProp,
    CentredRmsProp,
    Adam,
    AdamW,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Sgd,
        Self::DecayedSgd,
        Self::Momentum,
        Self::Nesterov,
        Self::Adagrad,
        Self::RmsProp,
        Self::CentredRmsProp,
        Self::Adam,
        Self::AdamW,
    ];

    pub(crate) fn settings(self, rate: f64) -> Optimizer {
        match self {
            Self::Sgd => Sgd::new(rate).into(),
            Self::DecayedSgd => Sgd::new(rate).weight_decay(0.5).into(),
            Self::Momentum => Sgd::new(rate).momentum(0.75).dampening(0.25).into(),
            Self::Nesterov => Sgd::new(rate).momentum(0.75).nesterov(true).weight_decay(0.125).into(),
            Self::Adagrad => Adagrad::new(rate).learning_rate_decay(0.25).initial_accumulator(0.01).into(),
            Self::RmsProp => RmsProp::new(rate).alpha(0.75).weight_decay(0.25).epsilon(1e-3).into(),
            Self::CentredRmsProp => RmsProp::new(rate).alpha(0.75).momentum(0.5).centred(true).epsilon(1e-2).into(),
            Self::Adam => Adam::new(rate).betas(0.75, 0.875).weight_decay(0.25).epsilon(1e-3).into(),
            Self::AdamW => AdamW::new(rate).betas(0.75, 0.875).weight_decay(0.5).epsilon(1e-3).into(),
        }
    }
}

/// Parameters, the weights first, and what is remembered of each.
#[derive(Clone, Debug)]
pub(crate) struct Descent {
    kind: Kind,
    rate: f64,
    steps: i32,
    pub(crate) parameters: Vec<f64>,
    /// How many of them are weights, which decay.
    weights: usize,
    states: Vec<[f64; 3]>,
}

impl Descent {
    pub(crate) fn new(kind: Kind, rate: f64, weights: &[f64], bias: &[f64]) -> Self {
        let parameters = [weights, bias].concat();
        let initial = if kind == Kind::Adagrad { 0.01 } else { 0.0 };
        let states = vec![[initial, 0.0, 0.0]; parameters.len()];
        Self { kind, rate, steps: 0, parameters, weights: weights.len(), states }
    }

    pub(crate) fn step(&mut self, gradient: &[f64]) {
        self.steps += 1;
        let (t, mut rate) = (self.steps, self.rate);
        if self.kind == Kind::Adagrad {
            rate /= 1.0 + f64::from(t - 1) * 0.25;
        }
        for (i, ((p, &g), [a, b, c])) in self.parameters.iter_mut().zip(gradient).zip(&mut self.states).enumerate() {
            let decayed = |decay: f64, p: f64| if i < self.weights { decay * p } else { 0.0 };
            match self.kind {
                Kind::Sgd => *p -= rate * g,
                Kind::DecayedSgd => *p -= rate * (g + decayed(0.5, *p)),
                Kind::Momentum => {
                    *a = if t == 1 { g } else { 0.75 * *a + 0.75 * g };
                    *p -= rate * *a;
                }
                Kind::Nesterov => {
                    let g = g + decayed(0.125, *p);
                    *a = 0.75 * *a + g;
                    *p -= rate * (g + 0.75 * *a);
                }
                Kind::Adagrad => {
                    *a += g * g;
                    *p -= rate * g / (a.sqrt() + 1e-10);
                }
                Kind::RmsProp => {
                    let g = g + decayed(0.25, *p);
                    *a = 0.75 * *a + 0.25 * g * g;
                    *p -= rate * g / (a.sqrt() + 1e-3);
                }
                Kind::CentredRmsProp => {
                    *a = 0.75 * *a + 0.25 * g * g;
                    *b = 0.75 * *b + 0.25 * g;
                    *c = 0.5 * *c + g / ((*a - *b * *b).max(0.0).sqrt() + 1e-2);
                    *p -= rate * *c;
                }
                Kind::Adam | Kind::AdamW => {
                    let g = match self.kind {
                        Kind::Adam => g + decayed(0.25, *p),
                        _ => {
                            *p -= rate * decayed(0.5, *p);
                            g
                        }
                    };
                    *a = 0.75 * *a + 0.25 * g;
                    *b = 0.875 * *b + 0.125 * g * g;
                    let (mean, square) = (*a / (1.0 - 0.75f64.powi(t)), *b / (1.0 - 0.875f64.powi(t)));
                    *p -= rate * mean / (square.sqrt() + 1e-3);
                }
            }
        }
    }
}
