//! The model: weights, bias, and how it does on rows with targets. Predicting is `predict`'s business; nothing is trained
//! here.

#[cfg(feature = "safetensors")]
pub(crate) mod file;
pub mod metrics;
mod predict;
mod predictor;
mod row;
mod scaler;
#[cfg(feature = "std")]
mod temperature;

#[cfg(feature = "safetensors")]
pub use file::ModelFile;
pub use predict::ClassProbability;
pub use predictor::Predictor;
pub use row::Row;
pub use scaler::Scaler;

use crate::error::{Error, Result};
use crate::exec::{Exec, Level};
use crate::kernel;
use crate::matrix::Batch;
use crate::memory;
use crate::parameters::Parameters;
use alloc::vec::Vec;
use metrics::{ClassificationReport, Evaluation, argmax};
use predict::check_logits;

/// Softmax regression: the probability of class `c` given features `x` is `softmax(x * W + b)[c]`, with
/// `W [features, classes]` and `b [classes]`, all finite.
///
/// A logit is what [`logits_into`](Self::logits_into) gives; everything called `proba` has gone through the softmax
/// already.
#[doc(alias = "logistic regression")]
#[doc(alias = "multinomial")]
#[derive(Debug)]
pub struct SoftmaxRegression {
    parameters: Parameters,
    exec: Exec,
}

/// [`clone_from`](Clone::clone_from) allocates nothing where the shapes are the same: a service that goes on learning
/// publishes its model so.
impl Clone for SoftmaxRegression {
    fn clone(&self) -> Self {
        Self { parameters: self.parameters.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        self.parameters.clone_from(&source.parameters);
        self.exec = source.exec;
    }
}

/// Equal parameters; level and threads are settings and do not count.
impl PartialEq for SoftmaxRegression {
    fn eq(&self, other: &Self) -> bool {
        self.parameters == other.parameters
    }
}

impl SoftmaxRegression {
    /// A model of zeros: every class equally probable.
    ///
    /// # Panics
    /// Where [`try_zeros`](Self::try_zeros) fails: dimensions are the program's own, not data's.
    #[must_use]
    pub fn zeros(features: usize, classes: usize) -> Self {
        Self { parameters: Parameters::zeros(features, classes), exec: Exec::default() }
    }

    /// A model of zeros, for dimensions that come with the data.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Memory`] where there is no memory for their product.
    pub fn try_zeros(features: usize, classes: usize) -> Result<Self> {
        Self::new(Parameters::try_zeros(features, classes)?)
    }

    /// A model of these parameters.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a weight or bias that is infinite or NaN.
    pub fn new(parameters: Parameters) -> Result<Self> {
        parameters.check_finite()?;
        Ok(Self { parameters, exec: Exec::default() })
    }

    /// A model from weights `w [features, classes]` in row-major order and `b [classes]`.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Shape`] where a length does not fit, [`Error::NonFinite`] for a
    /// value that is infinite or NaN, [`Error::Memory`].
    pub fn from_row_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::new(Parameters::from_row_major(w, b, features, classes)?)
    }

    /// A model from weights `w [classes, features]` in row-major order, as PyTorch's `nn.Linear` holds them, and
    /// `b [classes]`.
    ///
    /// # Errors
    /// As [`from_row_major`](Self::from_row_major).
    pub fn from_class_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::new(Parameters::from_class_major(w, b, features, classes)?)
    }

    /// The weights as `[features, classes]` in row-major order.
    #[must_use]
    pub fn to_row_major(&self) -> Vec<f32> {
        self.parameters.to_row_major()
    }

    /// The weights as `[classes, features]` in row-major order, as PyTorch's `nn.Linear` holds them.
    #[must_use]
    pub fn to_class_major(&self) -> Vec<f32> {
        self.parameters.to_class_major()
    }

    /// The bias, `[classes]`.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        self.parameters.bias()
    }

    /// Weights and bias as the kernels take them.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The number of features.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.parameters.features()
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.parameters.classes()
    }

    /// The level and the threads that the kernels run with.
    #[must_use]
    pub const fn exec(&self) -> Exec {
        self.exec
    }

    /// The level that the kernels run at.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.exec.level
    }

    /// The same model at another level; [`Level::best`] unless told.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.exec.level = level;
        self
    }

    /// How many threads large work is shared out among.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.exec.threads
    }

    /// The same model with another number of threads; 1 unless told, and 0 counts as 1. They are the caller's rayon
    /// pool's; work too small to gain from them stays on the calling thread. The results are the same to the last bit at
    /// any number. Within parallel loops, and under a lock that they take, leave it at 1: see [`Exec`].
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.exec.threads = threads.max(1);
        self
    }

    /// The same model with parameters that are finite and of its shape.
    pub(crate) fn with_parameters(self, parameters: Parameters) -> Self {
        Self { parameters, ..self }
    }

    /// The same model with weights and bias, and so its logits, divided by `temperature`, finite and above 0: above 1 it is
    /// less sure of itself. The classes stay, but for rounding. [`temperature`](Self::temperature), with the feature `std`,
    /// finds the one that fits.
    ///
    /// # Errors
    /// [`Error::Setting`] for another temperature, [`Error::NonFinite`] where a weight or bias becomes infinite.
    pub fn with_temperature(mut self, temperature: f64) -> Result<Self> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            let expected = "a finite number above 0";
            return Err(Error::Setting { name: "temperature", found: temperature, expected });
        }
        let (lines, bias) = self.parameters.parts_mut();
        for value in lines.iter_mut().flat_map(|line| &mut line.0).chain(bias) {
            *value = (f64::from(*value) / temperature) as f32;
        }
        self.parameters.check_finite()?;
        Ok(self)
    }

    pub(crate) const fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The share of the rows' weight that gets its own class, 0 to 1; of the rows, where targets are labels.
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
    #[doc(alias = "cross entropy")]
    pub fn log_loss<'a>(&self, data: impl Into<Batch<'a>>) -> Result<f64> {
        Ok(self.evaluate(data)?.log_loss)
    }

    /// Accuracy and log loss in one pass, each row by its weight: see
    /// [`Targets::from_probabilities`](crate::Targets::from_probabilities).
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Label`] or [`Error::Target`] where the data does not fit the model, [`Error::NoWeight`]
    /// where there are rows and all have weight 0, [`Error::NonFinite`] for a row of any weight with a logit that is
    /// infinite or NaN, [`Error::Memory`].
    pub fn evaluate<'a>(&self, data: impl Into<Batch<'a>>) -> Result<Evaluation> {
        let Batch { x, targets } = data.into();
        let Batch { x, targets } = Batch::new(x, targets)?;
        let weight = targets.check(self.classes())?;
        if weight == 0.0 && x.rows() > 0 {
            return Err(Error::NoWeight { rows: x.rows() });
        }
        let (mut counted, mut correct, mut correct_weight, mut sum) = (0, 0, 0.0, 0.0);
        let mut losses = Vec::new();
        self.for_each_piece(x, |rows, logits| {
            for (row, logits) in rows.clone().zip(logits.chunks_exact(self.classes())) {
                let target = targets.get(row, self.classes());
                let weight = target.weight();
                if weight == 0.0 {
                    continue;
                }
                check_logits(row, logits)?;
                counted += 1;
                if argmax(logits) == target.class() {
                    correct += 1;
                    correct_weight += weight;
                }
            }
            memory::grow(&mut losses, "losses", rows.len(), 0.0)?;
            let losses = &mut losses[..rows.len()];
            kernel::cross_entropy(self.exec, targets.part(rows), self.classes(), logits, losses)?;
            sum = losses.iter().fold(sum, |sum, loss| sum + loss);
            Ok(())
        })?;
        Ok(Evaluation { rows: counted, correct, weight, correct_weight, log_loss: sum / weight })
    }

    /// How each class fares: precision, recall, f1 and support. Every row counts once, whatever its weight, but for rows of
    /// weight 0, which are ignored.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    #[doc(alias = "classification_report")]
    pub fn report<'a>(&self, data: impl Into<Batch<'a>>) -> Result<ClassificationReport> {
        let Batch { x, targets } = data.into();
        let Batch { x, targets } = Batch::new(x, targets)?;
        if targets.check(self.classes())? == 0.0 && x.rows() > 0 {
            return Err(Error::NoWeight { rows: x.rows() });
        }
        let mut truth = memory::with_capacity("true classes", x.rows())?;
        let mut predicted = memory::with_capacity("predicted classes", x.rows())?;
        self.for_each_row(x, |row, logits| {
            check_logits(row, logits)?;
            let target = targets.get(row, self.classes());
            if target.weight() > 0.0 {
                truth.push(target.class());
                predicted.push(argmax(logits));
            }
            Ok(())
        })?;
        ClassificationReport::new(&truth, &predicted, self.classes())
    }
}
