//! The kernels as safe functions over slices and views: shapes are checked here, once, and below
//! nothing is checked again but the lengths of slices. Each takes the [`Level`] to run at.
//!
//! They run on the calling thread, need neither the model nor the trainer, and allocate nothing, but where weights are in
//! the order of an index ([`Weights::ordered_for`]) and the rows are not: a product then copies the weights first.
//!
//! ```
//! use softreg::{Level, Matrix, Targets, Weights, kernel};
//!
//! let level = Level::best();
//! let x = [1.0, 0.0, 0.0, 1.0]; // two rows of two features
//! let x = Matrix::from_f32(&x, 2)?;
//! let targets = Targets::from_u8(&[0, 2]);
//!
//! let (mut weights, mut bias) = (Weights::zeros(2, 3), [0.0; 3]);
//! let (mut logits, mut losses) = ([0.0; 6], [0.0; 2]);
//! for _ in 0..100 {
//!     kernel::forward(level, x, &weights, &bias, &mut logits)?;
//!     kernel::cross_entropy(level, targets, 3, &mut logits, &mut losses)?; // logits become p - y
//!     kernel::sgd_step(level, x, &logits, 0.5, &mut weights, &mut bias)?;
//! }
//! assert!(losses.iter().all(|&loss| loss < 0.1));
//! # Ok::<(), softreg::Error>(())
//! ```
//!
//! An element of every result is computed by the same additions in the same order however the rows are
//! cut into calls (forward, softmax, cross-entropy) or the features into threads (gradient, step).

mod along_classes;
mod balanced;
mod exp;
mod forward;
mod pass;
mod skip;
mod softmax;
mod update;

use crate::error::{Error, Result};
use crate::level::Level;
use crate::matrix::{Batch, Matrix, Rows, Targets, Values};
use crate::parallel;
use crate::simd::Element;
use crate::weights::Weights;
use exp::Exp;
use pass::Pass;
pub(crate) use skip::FEWEST_CLASSES;
use skip::Factors;
use softmax::{CrossEntropy, Form, Softmax};
use update::{Update, UpdateBias};

/// Logits `[n, classes] = x [n, features] * weights [features, classes] + bias [classes]`.
///
/// # Errors
/// [`Error::Shape`] where a length does not fit the weights' shape or the rows of `x`.
pub fn forward(level: Level, x: Matrix<'_>, weights: &Weights, bias: &[f32], logits: &mut [f32]) -> Result<()> {
    forward_threads(level, 1, x, weights, bias, logits)
}

/// [`forward`], the rows shared out among threads.
pub(crate) fn forward_threads(
    level: Level,
    threads: usize,
    x: Matrix<'_>,
    weights: &Weights,
    bias: &[f32],
    logits: &mut [f32],
) -> Result<()> {
    expect("features of x", x.features(), weights.features())?;
    expect("bias", bias.len(), weights.classes())?;
    expect("logits", logits.len(), elements(x.rows(), weights.classes()))?;
    pass(level, threads, x, (weights, bias), logits, None);
    Ok(())
}

/// [`forward`] and [`cross_entropy`] on its logits, the rows shared out among threads once for both.
pub(crate) fn loss_threads(
    level: Level,
    threads: usize,
    batch: Batch<'_>,
    (weights, bias): (&Weights, &[f32]),
    logits: &mut [f32],
    losses: &mut [f64],
) -> Result<f64> {
    let Batch { x, targets } = batch;
    expect("features of x", x.features(), weights.features())?;
    expect("bias", bias.len(), weights.classes())?;
    expect("rows of x", x.rows(), targets.rows())?;
    expect("logits", logits.len(), elements(x.rows(), weights.classes()))?;
    expect("losses", losses.len(), targets.rows())?;
    targets.check(weights.classes())?;
    pass(level, threads, x, (weights, bias), logits, Some((targets, &mut *losses)));
    Ok(sum(losses))
}

fn pass<'a>(
    level: Level,
    threads: usize,
    x: Matrix<'a>,
    (weights, bias): (&'a Weights, &'a [f32]),
    logits: &'a mut [f32],
    losses: Option<(Targets<'a>, &'a mut [f64])>,
) {
    let skips = skips(level, x, weights, Factors::Weights(weights.lines()));
    let plain;
    let weights = if skips || weights.are_plain() {
        weights
    } else {
        plain = weights.reordered(None);
        &plain
    };
    let scale = x.scale();
    match x.values() {
        Values::F32(v, blocks) => {
            let x = x.rows_of(v, blocks.filter(|_| skips));
            parallel::run(level, threads, Pass { x, scale, weights, bias, logits, losses });
        }
        Values::U8(v, blocks) => {
            let x = x.rows_of(v, blocks.filter(|_| skips));
            parallel::run(level, threads, Pass { x, scale, weights, bias, logits, losses });
        }
    }
}

/// Whether a product of the rows with these factors skips zeros: where the weights stand in the order of the rows'
/// index, and there is nothing that a zero would hide.
fn skips(level: Level, x: Matrix<'_>, weights: &Weights, factors: Factors<'_>) -> bool {
    !weights.are_plain() && weights.is_in(x.order()) && level.run(factors)
}

/// Replaces each row of `logits [n, classes]` by its probabilities, `exp(z) / sum of exp(z)`.
///
/// A row with a NaN or a +inf, or all of -inf, becomes NaN; a -inf among finite logits gives 0. A
/// probability that would be subnormal is 0.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0, [`Error::Shape`] where the length is not a whole number of rows.
pub fn softmax(level: Level, logits: &mut [f32], classes: usize) -> Result<()> {
    normalise(level, logits, classes, Form::Probabilities)
}

/// Replaces each row of `logits [n, classes]` by the logarithms of its probabilities,
/// `z - max - ln(sum of exp(z - max))`.
///
/// A row with a NaN or a +inf, or all of -inf, becomes NaN; a -inf among finite logits stays -inf.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(level: Level, logits: &mut [f32], classes: usize) -> Result<()> {
    normalise(level, logits, classes, Form::LogProbabilities)
}

fn normalise(level: Level, logits: &mut [f32], classes: usize, form: Form) -> Result<()> {
    expect_classes(classes)?;
    expect("logits (whole rows)", logits.len(), logits.len() / classes * classes)?;
    level.run(Softmax { logits, classes, form });
    Ok(())
}

/// Cross-entropy and its gradient in one pass: `logits [n, classes]` become `p - y`, the gradient of the
/// summed loss with respect to the logits, and `losses [n]` each row's `-ln p[label]`, in nats. Returns
/// the sum of the losses, added in the order of the rows.
///
/// For a row of target probabilities `t` the loss is `-sum of t[c] * ln p[c]` and the gradient
/// `p * sum(t) - t`; a class whose target is 0 adds nothing, even where its logit is -inf.
/// The losses and gradients of finite logits are finite, for targets whose rows sum to less than `f32::MAX`. A row with a
/// NaN or a +inf, or all of -inf, gives NaN; a label whose logit is -inf gives an infinite loss.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0, [`Error::Shape`] where the lengths disagree, [`Error::Label`]
/// for a label that is not below `classes`. Nothing was written then.
pub fn cross_entropy(
    level: Level,
    targets: Targets<'_>,
    classes: usize,
    logits: &mut [f32],
    losses: &mut [f64],
) -> Result<f64> {
    cross_entropy_threads(level, 1, targets, classes, logits, losses)
}

/// [`cross_entropy`], the rows shared out among threads.
pub(crate) fn cross_entropy_threads(
    level: Level,
    threads: usize,
    targets: Targets<'_>,
    classes: usize,
    logits: &mut [f32],
    losses: &mut [f64],
) -> Result<f64> {
    expect_classes(classes)?;
    expect("logits", logits.len(), elements(targets.rows(), classes))?;
    expect("losses", losses.len(), targets.rows())?;
    targets.check(classes)?;
    parallel::run(level, threads, CrossEntropy { logits, classes, targets, losses: &mut *losses });
    Ok(sum(losses))
}

/// The gradient of the summed loss: overwrites `gradient` with
/// `x^T [features, n] * residual [n, classes]`, and `bias_gradient [classes]` with the sums of the
/// residual's columns. The residual is what [`cross_entropy`] leaves.
///
/// # Errors
/// [`Error::Shape`] where a length does not fit the gradient's shape or the rows of `x`.
pub fn gradient(
    level: Level,
    x: Matrix<'_>,
    residual: &[f32],
    gradient: &mut Weights,
    bias_gradient: &mut [f32],
) -> Result<()> {
    update(level, 1, Rule { alpha: 1.0, keep: false }, x, residual, (gradient, bias_gradient))
}

/// As [`gradient`], but adds to what `gradient` and `bias_gradient` hold.
///
/// # Errors
/// As [`gradient`].
pub fn gradient_accumulate(
    level: Level,
    x: Matrix<'_>,
    residual: &[f32],
    gradient: &mut Weights,
    bias_gradient: &mut [f32],
) -> Result<()> {
    update(level, 1, Rule { alpha: 1.0, keep: true }, x, residual, (gradient, bias_gradient))
}

/// A step of stochastic gradient descent on the summed loss, in one pass over the weights:
/// `weights -= learning_rate * x^T * residual`, `bias -= learning_rate *` the sums of the residual's
/// columns. For the mean loss, divide the learning rate by the number of rows.
///
/// # Errors
/// As [`gradient`].
pub fn sgd_step(
    level: Level,
    x: Matrix<'_>,
    residual: &[f32],
    learning_rate: f32,
    weights: &mut Weights,
    bias: &mut [f32],
) -> Result<()> {
    sgd_step_threads(level, 1, x, residual, learning_rate, (weights, bias))
}

/// [`sgd_step`], the features shared out among threads.
pub(crate) fn sgd_step_threads(
    level: Level,
    threads: usize,
    x: Matrix<'_>,
    residual: &[f32],
    learning_rate: f32,
    parameters: (&mut Weights, &mut [f32]),
) -> Result<()> {
    update(level, threads, Rule { alpha: -learning_rate, keep: true }, x, residual, parameters)
}

/// `A = keep * A + alpha * product`
#[derive(Clone, Copy)]
struct Rule {
    alpha: f32,
    keep: bool,
}

fn update(
    level: Level,
    threads: usize,
    rule: Rule,
    x: Matrix<'_>,
    d: &[f32],
    (weights, bias): (&mut Weights, &mut [f32]),
) -> Result<()> {
    let Rule { alpha, keep } = rule;
    let classes = weights.classes();
    expect("features of x", x.features(), weights.features())?;
    expect("bias", bias.len(), classes)?;
    expect("residual", d.len(), elements(x.rows(), classes))?;
    let scaled = alpha * x.scale();
    let skips = scaled.is_finite() && skips(level, x, weights, Factors::Residual(d));
    if !skips && !weights.are_plain() {
        *weights = weights.reordered(None);
    }
    match x.values() {
        Values::F32(v, blocks) => {
            let x = x.rows_of(v, blocks.filter(|_| skips));
            update_weights(level, threads, Rule { alpha: scaled, keep }, x, d, weights);
        }
        Values::U8(v, blocks) => {
            let x = x.rows_of(v, blocks.filter(|_| skips));
            update_weights(level, threads, Rule { alpha: scaled, keep }, x, d, weights);
        }
    }
    level.run(UpdateBias { d, alpha, keep, bias });
    Ok(())
}

fn update_weights<T: Element>(
    level: Level,
    threads: usize,
    Rule { alpha, keep }: Rule,
    x: Rows<'_, T>,
    d: &[f32],
    weights: &mut Weights,
) {
    let (classes, panel_lines) = (weights.classes(), weights.panel_lines());
    let lanes_are_classes = weights.lanes_are_classes();
    let update = Update { x, d, classes, alpha, keep, lines: weights.lines_mut(), panel_lines, first_panel: 0 };
    if let Some(rows) = x.indexed() {
        parallel::run(level, threads, skip::Update { update, rows });
    } else if lanes_are_classes {
        parallel::run(level, threads, along_classes::Update(update));
    } else {
        parallel::run(level, threads, update);
    }
}

/// Replaces each value by its exponential: at most 2 units in the last place off where that is a normal
/// number, 0 where it would be subnormal, infinity where it is too large for f32, NaN for NaN.
pub fn exp(level: Level, values: &mut [f32]) {
    level.run(Exp(values));
}

/// In the order of the rows.
fn sum(losses: &[f64]) -> f64 {
    losses.iter().fold(0.0, |sum, loss| sum + loss)
}

fn expect(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Shape { what, found, expected }) }
}

fn expect_classes(found: usize) -> Result<()> {
    if found > 0 { Ok(()) } else { Err(Error::Size { what: "classes", found, expected: "at least 1" }) }
}

/// A product that overflows is not the length of any slice.
const fn elements(rows: usize, classes: usize) -> usize {
    rows.saturating_mul(classes)
}
