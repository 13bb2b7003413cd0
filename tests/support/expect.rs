//! The named budgets: for each kernel the reference's values, and how far an f32 kernel may be from each and why.
//! `u` is the unit roundoff of f32 throughout. Terms of order `u^2` are left out; every bound here has slack for them.
#![allow(dead_code, reason = "each crate that includes this file needs some of it")]

use super::compare::{Expected, UNDERFLOW, UNIT, sum_budget};
use super::reference;

/// Exactly the same numbers as f64.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}

fn budgets(values: Vec<f64>, magnitudes: &[f64], roundings: usize, columns: usize) -> Expected {
    Expected { values, tolerances: magnitudes.iter().map(|m| sum_budget(roundings, *m)).collect(), columns }
}

/// Logits: `features` products and sums, one rounding for a folded scale, one for the bias.
pub(crate) fn forward(x: &[f64], w: &[f64], b: &[f64]) -> Expected {
    let magnitudes = reference::forward(&absolute(x), &absolute(w), &absolute(b));
    budgets(reference::forward(x, w, b), &magnitudes, w.len() / b.len() + 2, b.len())
}

/// The sums that the gradient, its accumulation and the step have in common, and the same over absolute values: each pair
/// is of the weights `[features, classes]` and of the bias `[classes]`.
pub(crate) struct Gradient {
    sums: (Vec<f64>, Vec<f64>),
    magnitudes: (Vec<f64>, Vec<f64>),
    rows: usize,
    classes: usize,
}

impl Gradient {
    pub(crate) fn new(x: &[f64], residual: &[f64], features: usize, classes: usize) -> Self {
        Self {
            sums: reference::gradient(x, residual, features, classes),
            magnitudes: reference::gradient(&absolute(x), &absolute(residual), features, classes),
            rows: residual.len() / classes,
            classes,
        }
    }

    /// The gradient itself is the accumulation that starts from zeros.
    pub(crate) fn overwritten(&self) -> (Expected, Expected) {
        self.stepped(-1.0, &vec![0.0; self.sums.0.len()], &vec![0.0; self.classes])
    }

    /// Weights and bias after a step: `n` products and sums, on top of the weights themselves in whatever order, and one
    /// rounding each for the scale, the learning rate, their product with the residual, and the final subtraction. An
    /// accumulation is the step of learning rate -1.
    pub(crate) fn stepped(&self, learning_rate: f64, w: &[f64], b: &[f64]) -> (Expected, Expected) {
        let step = |start: &[f64], sums: &[f64], magnitudes: &[f64]| {
            let values = start.iter().zip(sums).map(|(w, sum)| w - learning_rate * sum);
            let sizes = start.iter().zip(magnitudes).map(|(w, size)| w.abs() + learning_rate.abs() * size);
            budgets(values.collect(), &sizes.collect::<Vec<_>>(), self.rows + 4, self.classes)
        };
        (step(w, &self.sums.0, &self.magnitudes.0), step(b, &self.sums.1, &self.magnitudes.1))
    }
}

/// One gradient, overwritten.
pub(crate) fn gradient(x: &[f64], residual: &[f64], features: usize, classes: usize) -> (Expected, Expected) {
    Gradient::new(x, residual, features, classes).overwritten()
}

/// One step.
pub(crate) fn sgd_step(x: &[f64], residual: &[f64], learning_rate: f64, w: &[f64], b: &[f64]) -> (Expected, Expected) {
    Gradient::new(x, residual, w.len() / b.len(), b.len()).stepped(learning_rate, w, b)
}

/// The bounds of one row's softmax, from its shifted logits `d = z - max`.
///
/// `d` rounds once, so `exp(d)` is off by a factor within `1 +- u |d|`, and by 2 ULP, at most `4 u`, of its own
/// (`exp_error`); beyond `|d|` of 104 it is 0 in f32 whatever the error of `d`. The sum of the exponentials averages
/// their errors, weighted by the probabilities, and rounds once per class (`sum_error`).
struct RowBounds {
    shifted: Vec<f64>,
    exp_error: Vec<f64>,
    sum_error: f64,
    log_sum: f64,
}

fn row_bounds(logits: &[f64], log_p: &[f64]) -> RowBounds {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shifted: Vec<f64> = logits.iter().map(|z| (z - max).abs()).collect();
    let exp_error: Vec<f64> = shifted.iter().map(|d| (d.min(104.0) + 4.0) * UNIT).collect();
    let average: f64 = log_p.iter().zip(&exp_error).map(|(log_p, error)| log_p.exp() * error).sum();
    let log_sum = logits.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    RowBounds { shifted, exp_error, sum_error: average + sum_budget(logits.len(), 1.0), log_sum }
}

impl RowBounds {
    /// Of a probability `p`: the errors of its exponential and of the sum, and three roundings for a reciprocal and a
    /// product in place of a quotient. What exp flushes to 0 is below `UNDERFLOW`.
    fn probability(&self, class: usize, p: f64) -> f64 {
        (self.exp_error[class] + self.sum_error + 3.0 * UNIT) * p + UNDERFLOW
    }

    /// Of a logarithm `d - ln sum`: the rounding of `d`, the relative error of the sum, which is absolute in its
    /// logarithm, 2 ULP for the logarithm itself, and the rounding of the difference.
    fn log_probability(&self, class: usize, log_p: f64) -> f64 {
        (self.shifted[class] + 4.0 * self.log_sum.abs() + log_p.abs()) * UNIT + self.sum_error
    }
}

/// Walks the rows of logits beside the rows of their log-probabilities.
fn for_each_row(logits: &[f64], log_p: &[f64], classes: usize, mut each: impl FnMut(usize, RowBounds, &[f64])) {
    for (row, (z, log_p)) in logits.chunks_exact(classes).zip(log_p.chunks_exact(classes)).enumerate() {
        each(row, row_bounds(z, log_p), log_p);
    }
}

pub(crate) fn softmax(logits: &[f64], classes: usize) -> Expected {
    let log_p = reference::log_softmax(logits, classes);
    let mut tolerances = Vec::new();
    for_each_row(logits, &log_p, classes, |_, bounds, log_p| {
        tolerances.extend(log_p.iter().enumerate().map(|(class, log_p)| bounds.probability(class, log_p.exp())));
    });
    Expected { values: reference::softmax(logits, classes), tolerances, columns: classes }
}

/// Beyond the range of f32 a log-probability is an infinity: finite logits can be farther apart than f32 can say.
pub(crate) fn log_softmax(logits: &[f64], classes: usize) -> Expected {
    let log_p = reference::log_softmax(logits, classes);
    let mut tolerances = Vec::new();
    for_each_row(logits, &log_p, classes, |_, bounds, log_p| {
        tolerances.extend(log_p.iter().enumerate().map(|(class, log_p)| bounds.log_probability(class, *log_p)));
    });
    let values = log_p.into_iter().map(|log_p| if (log_p as f32).is_infinite() { f64::NEG_INFINITY } else { log_p });
    Expected { values: values.collect(), tolerances, columns: classes }
}

/// Losses `[n, 1]` and residuals `[n, classes]`. A loss adds up the errors of its log-probabilities, each weighted by
/// its target, and rounds once per class; a residual has the errors of the probability and of the sum of the targets.
pub(crate) fn cross_entropy(logits: &[f64], targets: &[f64], classes: usize) -> (Expected, Expected) {
    let (losses, residual) = reference::cross_entropy(logits, targets, classes);
    let log_p = reference::log_softmax(logits, classes);
    let (mut loss_tolerances, mut tolerances) = (Vec::new(), Vec::new());
    for_each_row(logits, &log_p, classes, |row, bounds, log_p| {
        let t = &targets[row * classes..][..classes];
        let costs = || t.iter().zip(log_p).enumerate().filter(|(_, (t, _))| **t != 0.0);
        let error: f64 = costs().map(|(class, (t, log_p))| t.abs() * bounds.log_probability(class, *log_p)).sum();
        let magnitude: f64 = costs().map(|(_, (t, log_p))| (t * log_p).abs()).sum();
        loss_tolerances.push(error + sum_budget(classes, magnitude));
        let total: f64 = t.iter().map(|t| t.abs()).sum();
        tolerances.extend(log_p.iter().zip(t).enumerate().map(|(class, (log_p, t))| {
            let p = log_p.exp();
            bounds.probability(class, p) * total + sum_budget(classes + 2, p * total + t.abs())
        }));
    });
    (
        Expected { values: losses, tolerances: loss_tolerances, columns: 1 },
        Expected { values: residual, tolerances, columns: classes },
    )
}
