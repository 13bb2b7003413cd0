//! The model: weights, bias, and what can be asked of them. Nothing is trained here.

use crate::error::{Error, Result};
use crate::kernel;
use crate::level::Level;
use crate::matrix::{Batch, Matrix, Target};
use crate::metrics::{Evaluation, argmax};
use crate::weights::Weights;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// Softmax regression: the probability of class `c` given features `x` is
/// `softmax(x * W + b)[c]`, with `W [features, classes]` and `b [classes]`.
///
/// A logit is what [`logits_into`](Self::logits_into) gives; everything called `proba` has gone through
/// the softmax already.
#[derive(Clone, Debug)]
pub struct SoftmaxRegression {
    weights: Weights,
    bias: Vec<f32>,
    level: Level,
    threads: usize,
}

/// Equal parameters; level and threads are settings and do not count.
impl PartialEq for SoftmaxRegression {
    fn eq(&self, other: &Self) -> bool {
        self.weights == other.weights && self.bias == other.bias
    }
}

impl SoftmaxRegression {
    /// A model of zeros: every class equally probable.
    ///
    /// # Panics
    /// Where `features` or `classes` is 0, or memory cannot address their product: dimensions are the
    /// program's own, not data's.
    #[must_use]
    pub fn zeros(features: usize, classes: usize) -> Self {
        Self::new(Weights::zeros(features, classes), vec![0.0; classes])
    }

    fn new(weights: Weights, bias: Vec<f32>) -> Self {
        Self { weights, bias, level: Level::best(), threads: 1 }
    }

    /// A model from weights `w [features, classes]` in row-major order and `b [classes]`.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Shape`] where a length does not fit.
    pub fn from_row_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::checked(Weights::from_row_major(w, features, classes)?, b)
    }

    /// A model from weights `w [classes, features]` in row-major order, as PyTorch's `nn.Linear` holds
    /// them, and `b [classes]`.
    ///
    /// # Errors
    /// As [`from_row_major`](Self::from_row_major).
    pub fn from_class_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::checked(Weights::from_class_major(w, features, classes)?, b)
    }

    fn checked(weights: Weights, b: &[f32]) -> Result<Self> {
        if b.len() != weights.classes() {
            return Err(Error::Shape { what: "bias", found: b.len(), expected: weights.classes() });
        }
        Ok(Self::new(weights, b.to_vec()))
    }

    /// The weights as `[features, classes]` in row-major order.
    #[must_use]
    pub fn to_row_major(&self) -> Vec<f32> {
        self.weights.to_row_major()
    }

    /// The weights as `[classes, features]` in row-major order, as PyTorch's `nn.Linear` holds them.
    #[must_use]
    pub fn to_class_major(&self) -> Vec<f32> {
        self.weights.to_class_major()
    }

    /// The bias, `[classes]`.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The weights in the kernels' layout.
    #[must_use]
    pub const fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The number of features.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.weights.features()
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.weights.classes()
    }

    /// The level that the kernels run at.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// The same model at another level; [`Level::best`] unless told.
    #[must_use]
    pub fn with_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// How many threads large work is shared out among.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// The same model with another number of threads; 1 unless told, and 0 counts as 1. They are the
    /// caller's rayon pool's; work too small to gain from them stays on the calling thread. The results
    /// are the same to the last bit at any number.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }

    /// The same model with its weights in the usual layout.
    pub(crate) fn plain(self) -> Self {
        if self.weights.are_plain() { self } else { Self { weights: self.weights.reordered(None), ..self } }
    }

    pub(crate) fn parameters_mut(&mut self) -> (&mut Weights, &mut [f32]) {
        (&mut self.weights, &mut self.bias)
    }

    /// Writes the logits of rows `x [n, features]` into `logits [n, classes]`. Allocates nothing, but in a model lent by
    /// a trainer on rows that skip zeros: see [`Trainer::model`](crate::Trainer::model).
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` or `logits` does not fit the model.
    pub fn logits_into(&self, x: Matrix<'_>, logits: &mut [f32]) -> Result<()> {
        kernel::forward_threads(self.level, self.threads, x, &self.weights, &self.bias, logits)
    }

    /// Writes the probabilities of rows `x [n, features]` into `proba [n, classes]`. Allocates as
    /// [`logits_into`](Self::logits_into).
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` or `proba` does not fit the model.
    pub fn predict_proba_into(&self, x: Matrix<'_>, proba: &mut [f32]) -> Result<()> {
        self.logits_into(x, proba)?;
        kernel::softmax(self.level, proba, self.classes())
    }

    /// The most probable class of each row, `[n]`; ties go to the lowest.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model.
    pub fn predict(&self, x: Matrix<'_>) -> Result<Vec<u32>> {
        Ok(self.logits(x)?.chunks_exact(self.classes()).map(argmax).collect())
    }

    /// The probabilities, `[n, classes]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model.
    pub fn predict_proba(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut proba = self.logits(x)?;
        kernel::softmax(self.level, &mut proba, self.classes())?;
        Ok(proba)
    }

    /// The logarithms of the probabilities, `[n, classes]`: finite where the probability itself would
    /// round to 0.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model.
    pub fn log_proba(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut proba = self.logits(x)?;
        kernel::log_softmax(self.level, &mut proba, self.classes())?;
        Ok(proba)
    }

    /// The `k` most probable classes of each row, `[n, k]`, best first; ties go to the lowest.
    ///
    /// # Errors
    /// [`Error::Size`] where `k` is 0 or more than the classes, [`Error::Shape`] where `x` does not fit
    /// the model.
    pub fn top_k(&self, x: Matrix<'_>, k: usize) -> Result<Vec<u32>> {
        if k == 0 || k > self.classes() {
            return Err(Error::Size { what: "k", found: k, expected: "1 to the number of classes" });
        }
        let mut top = Vec::with_capacity(x.rows() * k);
        let mut order: Vec<u32> = Vec::new();
        for row in self.logits(x)?.chunks_exact(self.classes()) {
            order.clear();
            order.extend(0..self.classes() as u32);
            // NaN comes last, as in `predict`; -0.0 and 0.0 tie. The sort is stable: ties keep the lowest first.
            order.sort_by(|&a, &b| {
                let (a, b) = (row[a as usize], row[b as usize]);
                let nan_last = a.is_nan().cmp(&b.is_nan());
                nan_last.then(b.partial_cmp(&a).unwrap_or(Ordering::Equal))
            });
            top.extend_from_slice(&order[..k]);
        }
        Ok(top)
    }

    /// The share of rows that get their own class, 0 to 1.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn accuracy<'a>(&self, data: impl Into<Batch<'a>>) -> Result<f64> {
        Ok(self.evaluate(data)?.accuracy())
    }

    /// The mean cross-entropy of a row, in nats.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn log_loss<'a>(&self, data: impl Into<Batch<'a>>) -> Result<f64> {
        Ok(self.evaluate(data)?.log_loss)
    }

    /// Accuracy and log loss in one pass.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Label`] where the data does not fit the model.
    pub fn evaluate<'a>(&self, data: impl Into<Batch<'a>>) -> Result<Evaluation> {
        let Batch { x, targets } = data.into();
        let Batch { x, targets } = Batch::new(x, targets)?;
        let (rows, classes) = (x.rows(), self.classes());
        let mut logits = self.logits(x)?;
        let mut losses = vec![0.0; rows];
        targets.check(classes)?;
        let right = |(row, logits): (usize, &[f32])| {
            argmax(logits)
                == match targets.get(row) {
                    Target::Label(label) => label,
                    Target::Probabilities(t) => argmax(t),
                }
        };
        let correct = logits.chunks_exact(classes).enumerate().filter(|&row| right(row)).count();
        let sum = kernel::cross_entropy_threads(self.level, self.threads, targets, classes, &mut logits, &mut losses)?;
        Ok(Evaluation { rows, correct, log_loss: sum / rows as f64 })
    }

    fn logits(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; x.rows() * self.classes()];
        self.logits_into(x, &mut logits)?;
        Ok(logits)
    }
}
