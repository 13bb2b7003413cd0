//! The trainer: a model, an update rule, and the buffers that a step needs. Where batches come from is
//! `data`.

use crate::error::{Error, Result};
use crate::kernel;
use crate::matrix::Batch;
use crate::model::SoftmaxRegression;
use crate::optimizer::Sgd;
use alloc::vec::Vec;

/// Trains a model, one batch a step.
///
/// ```
/// use softreg::{Batch, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};
///
/// let x = Matrix::from_f32(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// let batch = Batch::new(x, Targets::from_u8(&[0, 1]))?;
/// let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), Sgd::new(0.5));
/// let first = trainer.step(batch)?;
/// let second = trainer.step(batch)?;
/// assert!(second < first);
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer {
    model: SoftmaxRegression,
    sgd: Sgd,
    /// `[n, classes]`: the logits of a step, then `p - y` in their place.
    logits: Vec<f32>,
    /// `[n]`
    losses: Vec<f64>,
}

impl Trainer {
    /// Starts from a model as it is; its level and threads are the trainer's.
    #[must_use]
    pub const fn new(model: SoftmaxRegression, sgd: Sgd) -> Self {
        Self { model, sgd, logits: Vec::new(), losses: Vec::new() }
    }

    /// One step on a batch. Returns the batch's loss before the step, in nats: the sum or the mean over its
    /// rows, as the reduction says.
    ///
    /// Allocates only where the batch is larger than any before it, or where its rows have an index
    /// ([`Dataset::skip_zeros`](crate::Dataset::skip_zeros)) and those before had none or another.
    ///
    /// # Errors
    /// [`Error::Size`] for an empty batch, [`Error::Shape`] or [`Error::Label`] for one that does not fit
    /// the model, [`Error::Setting`] for a learning rate that is not a finite number above 0,
    /// [`Error::NonFiniteLoss`] where the loss is NaN or infinite. The model is then as it was.
    pub fn step(&mut self, batch: Batch<'_>) -> Result<f64> {
        let (rows, classes) = (batch.x.rows(), self.model.classes());
        if rows == 0 {
            return Err(Error::Size { what: "rows of the batch", found: 0, expected: "at least 1" });
        }
        let rate = self.sgd.rate_on_sum(rows)?;
        let (level, threads) = (self.model.level(), self.model.threads());
        if self.losses.len() < rows {
            self.logits.resize(rows * classes, 0.0);
            self.losses.resize(rows, 0.0);
        }
        let (logits, losses) = (&mut self.logits[..rows * classes], &mut self.losses[..rows]);

        let (weights, bias) = self.model.parameters_mut();
        weights.put_in_order_of(batch.x);
        let sum = kernel::loss_threads(level, threads, batch, (weights, bias), logits, losses)?;
        if !sum.is_finite() {
            return Err(Error::NonFiniteLoss { loss: sum });
        }
        kernel::sgd_step_threads(level, threads, batch.x, logits, rate, (weights, bias))?;
        Ok(self.sgd.reduce(sum, rows))
    }

    /// The model as trained so far. While steps skip zeros its weights lie in the order of the rows' index: the model
    /// skips in the same dataset, its clones and its splits, and for rows of others copies its weights anew for each
    /// call. [`into_model`](Self::into_model) gives it back in the usual layout.
    #[must_use]
    pub const fn model(&self) -> &SoftmaxRegression {
        &self.model
    }

    /// Gives the model back.
    #[must_use]
    pub fn into_model(self) -> SoftmaxRegression {
        self.model.plain()
    }
}
