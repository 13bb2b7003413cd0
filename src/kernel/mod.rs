//! The kernels as safe functions over slices and views: shapes are checked here, once, and below nothing is checked again
//! but the lengths of slices. Each takes the [`Exec`] to run with, or a [`Level`](crate::Level) for one thread.
//!
//! They need neither the model nor the trainer, and allocate nothing but for [`Sweep`], which keeps its buffers.
//!
//! ```
//! use softreg::{Level, Matrix, Parameters, Targets, kernel};
//!
//! let level = Level::best();
//! let x = [1.0, 0.0, 0.0, 1.0]; // two rows of two features
//! let x = Matrix::from_f32(&x, 2)?;
//! let targets = Targets::from_u8(&[0, 2]);
//!
//! let mut parameters = Parameters::zeros(2, 3);
//! let (mut logits, mut losses) = ([0.0; 6], [0.0; 2]);
//! for _ in 0..100 {
//!     kernel::forward(level, x, &parameters, &mut logits)?;
//!     kernel::cross_entropy(level, targets, 3, &mut logits, &mut losses)?; // logits become p - y
//!     kernel::sgd_step(level, x, &logits, 0.5, &mut parameters)?;
//! }
//! assert!(losses.iter().all(|&loss| loss < 0.1));
//! # Ok::<(), softreg::Error>(())
//! ```
//!
//! An element of every result is computed by the same additions in the same order however the rows are cut into calls
//! (forward, softmax, cross-entropy) or the work into threads.

mod block_sparse;
mod class_lanes;
mod descent;
mod exp;
mod feature_lanes;
mod fold;
mod forward;
pub(crate) mod moments;
mod output;
pub(crate) mod plan;
mod prefetch;
mod rule;
mod softmax;
mod split;
mod sweep;
mod update;
mod vector;

use crate::error::{Error, Result, expect};
use crate::exec::Exec;
use crate::matrix::{AnyRows, Batch, FeatureOrder, Matrix, OnRows, Targets};
use crate::parameters::Parameters;
use crate::simd::Element;
pub(crate) use descent::{Adagrad, Adam, CentredRmsProp, Descent, DescentRule, Momentum, RmsProp};
use exp::Exp;
pub(crate) use fold::{Fold, ScaleGradient};
use forward::{Epilogue, Forward};
use output::Panels;
use prefetch::Pass;
use rule::Linear;
pub(crate) use softmax::Form;
pub use softmax::Loss;
use softmax::{CrossEntropy, Softmax, sum};
pub use sweep::Sweep;
use update::{Update, UpdateBias};
use vector::{AllFinite, Bound, Largest, LargestParameter, Mix, SumOfSquares};

/// Logits `[n, classes] = x [n, features] * weights [features, classes] + bias [classes]`.
///
/// # Errors
/// [`Error::Shape`] where a length does not fit the parameters' shape or the rows of `x`.
pub fn forward(exec: impl Into<Exec>, x: Matrix<'_>, parameters: &Parameters, logits: &mut [f32]) -> Result<()> {
    forward_in_order(exec.into(), x, FeatureOrder::Natural, parameters, logits)
}

/// [`forward`] of parameters in either order. In permuted order they are finite.
pub(crate) fn forward_in_order(
    exec: Exec,
    x: Matrix<'_>,
    order: FeatureOrder,
    parameters: &Parameters,
    logits: &mut [f32],
) -> Result<()> {
    expect("features of x", x.features(), parameters.features())?;
    expect("logits", logits.len(), elements(x.rows(), parameters.classes()))?;
    let (scale, epilogue) = (x.scale(), Epilogue::Logits);
    x.on_rows(order, ForwardOn { exec, scale, parameters, logits, pass: Pass::Only, epilogue });
    Ok(())
}

/// [`forward`], and [`softmax`] or [`log_softmax`] of its logits, the rows shared out among threads once for both.
pub(crate) fn forward_softmax(
    exec: Exec,
    x: Matrix<'_>,
    parameters: &Parameters,
    form: Form,
    proba: &mut [f32],
) -> Result<()> {
    expect("features of x", x.features(), parameters.features())?;
    expect("probabilities", proba.len(), elements(x.rows(), parameters.classes()))?;
    let (scale, epilogue) = (x.scale(), Epilogue::Softmax(form));
    let work = ForwardOn { exec, scale, parameters, logits: proba, pass: Pass::Only, epilogue };
    x.on_rows(FeatureOrder::Natural, work);
    Ok(())
}

/// [`forward`] and [`cross_entropy`] on its logits, the rows shared out among threads once for both. In permuted order the
/// parameters are finite.
pub(crate) fn loss(
    exec: Exec,
    Batch { x, targets }: Batch<'_>,
    order: FeatureOrder,
    parameters: &Parameters,
    logits: &mut [f32],
    losses: &mut [f64],
) -> Result<Loss> {
    expect("features of x", x.features(), parameters.features())?;
    expect("rows of x", x.rows(), targets.rows())?;
    expect("logits", logits.len(), elements(x.rows(), parameters.classes()))?;
    expect("losses", losses.len(), targets.rows())?;
    let weight = targets.check(parameters.classes())?;
    let (scale, epilogue) = (x.scale(), Epilogue::CrossEntropy { targets, losses: &mut *losses });
    x.on_rows(order, ForwardOn { exec, scale, parameters, logits, pass: Pass::First, epilogue });
    Ok(Loss { sum: sum(losses), weight })
}

/// The forward pass, on rows of any type.
struct ForwardOn<'a> {
    exec: Exec,
    scale: f32,
    parameters: &'a Parameters,
    logits: &'a mut [f32],
    pass: Pass,
    epilogue: Epilogue<'a>,
}

impl<'a> OnRows<'a> for ForwardOn<'a> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let Self { exec, scale, parameters, logits, pass, epilogue } = self;
        let ahead = pass.ahead(&x);
        exec.run(Forward { x, scale, parameters, logits, ahead, epilogue });
    }
}

/// Replaces each row of `logits [n, classes]` by its probabilities, `exp(z) / sum of exp(z)`.
///
/// A row with a NaN or a +inf, or all of -inf, becomes NaN; a -inf among finite logits gives 0. A
/// probability that would be subnormal is 0.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0, [`Error::PartialRow`] where the length is not a whole number of rows.
pub fn softmax(exec: impl Into<Exec>, logits: &mut [f32], classes: usize) -> Result<()> {
    normalise(exec.into(), logits, classes, Form::Probabilities)
}

/// Replaces each row of `logits [n, classes]` by the logarithms of its probabilities,
/// `z - max - ln(sum of exp(z - max))`.
///
/// A row with a NaN or a +inf, or all of -inf, becomes NaN; a -inf among finite logits stays -inf, and a logit further
/// below the row's largest than `f32::MAX` becomes -inf.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(exec: impl Into<Exec>, logits: &mut [f32], classes: usize) -> Result<()> {
    normalise(exec.into(), logits, classes, Form::LogProbabilities)
}

fn normalise(exec: Exec, logits: &mut [f32], classes: usize, form: Form) -> Result<()> {
    expect_classes(classes)?;
    match logits.len() % classes {
        0 => exec.run(Softmax { logits, classes, form }),
        _ => return Err(Error::PartialRow { what: "logits", found: logits.len(), width: classes }),
    }
    Ok(())
}

/// Cross-entropy and its gradient in one pass: `logits [n, classes]` become `p - y`, the gradient of the summed loss with
/// respect to the logits, and `losses [n]` each row's `-ln p[label]`, in nats. Returns the sum of the losses, added in
/// the order of the rows.
///
/// For a row of target probabilities `t` the loss is `-sum of t[c] * ln p[c]` and the gradient `p * sum(t) - t`; a class
/// whose target is 0 adds nothing, even where its logit is -inf. A row whose targets sum to 0 is ignored: its loss and
/// gradient are 0, whatever its logits.
///
/// The losses of finite logits are finite, and so are the gradients for targets whose rows sum to less than `f32::MAX`. A
/// row with a NaN or a +inf, or all of -inf, gives NaN; a label whose logit is -inf gives an infinite loss.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0, [`Error::Shape`] where the lengths disagree, [`Error::Label`] for a label that is
/// not below `classes`, [`Error::Target`] for a target that is not finite or below 0. Nothing was written then.
pub fn cross_entropy(
    exec: impl Into<Exec>,
    targets: Targets<'_>,
    classes: usize,
    logits: &mut [f32],
    losses: &mut [f64],
) -> Result<f64> {
    expect_classes(classes)?;
    expect("logits", logits.len(), elements(targets.rows(), classes))?;
    expect("losses", losses.len(), targets.rows())?;
    targets.check(classes)?;
    exec.into().run(CrossEntropy { logits, classes, targets, losses: &mut *losses });
    Ok(sum(losses))
}

/// The gradient of the summed loss: overwrites `gradient` with `x^T [features, n] * residual [n, classes]` for the weights
/// and the sums of the residual's columns for the bias. The residual is what [`cross_entropy`] leaves.
///
/// # Errors
/// [`Error::Shape`] where a length does not fit the gradient's shape or the rows of `x`.
pub fn gradient(exec: impl Into<Exec>, x: Matrix<'_>, residual: &[f32], gradient: &mut Parameters) -> Result<()> {
    update(exec.into(), x, FeatureOrder::Natural, residual, Linear::REPLACE, Pass::Only, gradient)
}

/// [`gradient`] after [`loss`] of the same batch, in either order. In permuted order, scale and residual are finite.
pub(crate) fn gradient_in_order(
    exec: Exec,
    x: Matrix<'_>,
    order: FeatureOrder,
    residual: &[f32],
    gradient: &mut Parameters,
) -> Result<()> {
    update(exec, x, order, residual, Linear::REPLACE, Pass::Second, gradient)
}

/// As [`gradient`], but adds to what `gradient` holds.
///
/// # Errors
/// As [`gradient`].
pub fn gradient_accumulate(
    exec: impl Into<Exec>,
    x: Matrix<'_>,
    residual: &[f32],
    gradient: &mut Parameters,
) -> Result<()> {
    update(exec.into(), x, FeatureOrder::Natural, residual, Linear::accumulate(1.0), Pass::Only, gradient)
}

/// A step of stochastic gradient descent on the summed loss, in one pass over the weights:
/// `weights -= learning_rate * x^T * residual`, `bias -= learning_rate *` the sums of the residual's columns. For the mean
/// loss, divide the learning rate by the sum of the rows' weights.
///
/// # Errors
/// As [`gradient`].
pub fn sgd_step(
    exec: impl Into<Exec>,
    x: Matrix<'_>,
    residual: &[f32],
    learning_rate: f32,
    parameters: &mut Parameters,
) -> Result<()> {
    update(exec.into(), x, FeatureOrder::Natural, residual, Linear::accumulate(-learning_rate), Pass::Only, parameters)
}

/// [`sgd_step`] after [`loss`] of the same batch, on parameters in either order. In permuted order, learning rate, scale and
/// residual are finite.
pub(crate) fn sgd_step_in_order(
    exec: Exec,
    x: Matrix<'_>,
    order: FeatureOrder,
    residual: &[f32],
    learning_rate: f32,
    parameters: &mut Parameters,
) -> Result<()> {
    update(exec, x, order, residual, Linear::accumulate(-learning_rate), Pass::Second, parameters)
}

fn update(
    exec: Exec,
    x: Matrix<'_>,
    order: FeatureOrder,
    residual: &[f32],
    rule: Linear,
    pass: Pass,
    parameters: &mut Parameters,
) -> Result<()> {
    let classes = parameters.classes();
    expect("features of x", x.features(), parameters.features())?;
    expect("residual", residual.len(), elements(x.rows(), classes))?;
    x.on_rows(order, UpdateOn { exec, residual, rule: rule.scaled(x.scale()), pass, parameters: &mut *parameters });
    let (alpha, rule) = rule.factored();
    exec.run_here(UpdateBias { residual, alpha, rule, bias: parameters.parts_mut().1 });
    Ok(())
}

/// The update of the weights, by rows of any type.
struct UpdateOn<'a> {
    exec: Exec,
    residual: &'a [f32],
    rule: Linear,
    pass: Pass,
    parameters: &'a mut Parameters,
}

impl<'a> OnRows<'a> for UpdateOn<'_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let Self { exec, residual, rule, pass, parameters } = self;
        let ahead = pass.ahead(&x);
        let (lanes, panel_lines, classes) = (parameters.lanes(), parameters.panel_lines(), parameters.classes());
        let panels = Panels { lines: parameters.parts_mut().0, panel_lines, first: 0, classes, rule };
        exec.run(Update { x, residual, lanes, panels, ahead });
    }
}

/// Replaces each value by its exponential: at most 2 units in the last place off where that is a normal number, 0 where
/// it would be subnormal, infinity where it is too large for f32, NaN for NaN.
pub fn exp(exec: impl Into<Exec>, values: &mut [f32]) {
    exec.into().run_here(Exp(values));
}

/// Whether every weight and every bias is finite.
pub(crate) fn all_finite(exec: Exec, parameters: &Parameters) -> bool {
    exec.run_here(AllFinite(parameters))
}

/// A bound of the magnitudes of the stored values of `x`; infinite where one is not finite.
pub(crate) fn bound(exec: Exec, x: Matrix<'_>) -> f32 {
    let mut bound = 0.0;
    x.on_rows(FeatureOrder::Natural, Bound { exec, bound: &mut bound });
    bound
}

/// The largest magnitude among values; infinite where one is not finite.
pub(crate) fn largest(exec: Exec, values: &[f32]) -> f32 {
    exec.run_here(Largest(values))
}

/// The largest magnitude among parameters; infinite where one is not finite.
pub(crate) fn largest_parameter(exec: Exec, parameters: &Parameters) -> f32 {
    exec.run_here(LargestParameter(parameters))
}

/// `mean = mean - share * mean + share * values`, of one shape.
pub(crate) fn mix(exec: Exec, mean: &mut Parameters, values: &Parameters, share: f32) {
    exec.run_here(Mix { mean, values, share });
}

/// The sum of the squares of all weights and biases.
pub(crate) fn sum_of_squares(exec: Exec, parameters: &Parameters) -> f64 {
    exec.run_here(SumOfSquares(parameters))
}

fn expect_classes(found: usize) -> Result<()> {
    if found > 0 { Ok(()) } else { Err(Error::Size { what: "classes", found, expected: "at least 1" }) }
}

/// A product that overflows is not the length of any slice.
const fn elements(rows: usize, classes: usize) -> usize {
    rows.saturating_mul(classes)
}
