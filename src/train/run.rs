//! A run: epochs of training with a validation split after each, its history, and when it stops. The steps are `trainer`'s.

use super::trainer::Trainer;
use crate::data::Batches;
use crate::error::{Error, Result, expect_setting};
use crate::matrix::Batch;
use crate::model::SoftmaxRegression;
use crate::model::metrics::Evaluation;
use crate::parameters::Parameters;
use alloc::vec::Vec;

/// When a [`Run`] stops early: after `patience` epochs in turn whose validation loss is not below the best one so far by more
/// than `min_delta`. The parameters of the best epoch are kept.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EarlyStopping {
    patience: u32,
    min_delta: f64,
}

impl EarlyStopping {
    /// Stops after so many epochs without a better validation loss, at least 1.
    #[must_use]
    pub const fn new(patience: u32) -> Self {
        Self { patience, min_delta: 0.0 }
    }

    /// By how much a loss must be below the best one to be better, in nats, at least 0; 0 unless told.
    #[must_use]
    pub const fn min_delta(self, min_delta: f64) -> Self {
        Self { min_delta, ..self }
    }

    fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::Size { what: "patience", found: 0, expected: "at least 1" });
        }
        let holds = self.min_delta >= 0.0 && self.min_delta.is_finite();
        expect_setting("min_delta", self.min_delta, holds, "a finite number of at least 0")
    }
}

/// What became of an epoch.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Epoch {
    /// The number of steps so far, all epochs together.
    pub steps: u64,
    /// The learning rate of the step after it.
    pub learning_rate: f64,
    /// The mean loss of the rows, each before its batch's step, in nats.
    pub loss: f64,
    /// Of the validation split, after the epoch.
    pub validation: Option<Evaluation>,
}

/// Training over epochs.
///
/// ```
/// use softreg::{Adam, Dataset, EarlyStopping, Run, SoftmaxRegression, Trainer};
///
/// let data = Dataset::from_f32(vec![0.0, 0.1, 1.0, 0.9, 0.2, 0.8], vec![0, 0, 1, 1, 0, 1], 1, 2)?;
/// let (validation, train) = data.split_at(2)?;
/// let trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Adam::new(0.1));
/// let mut run = Run::new(trainer, train.batches(2)).validation(&validation).early_stopping(EarlyStopping::new(5));
/// run.epochs(100)?;
/// println!("{} epochs, loss {}", run.history().len(), run.history()[0].loss);
/// let model = run.into_model(); // of the epoch with the best validation loss
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run<'a> {
    pub(super) trainer: Trainer,
    pub(super) batches: Batches<'a>,
    validation: Option<Batch<'a>>,
    stopping: Option<EarlyStopping>,
    pub(super) history: Vec<Epoch>,
    pub(super) under_way: UnderWay,
    pub(super) best: Option<Best>,
}

/// The sums of an epoch that is under way.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct UnderWay {
    pub(super) loss: f64,
    pub(super) weight: f64,
}

/// The best epoch so far.
#[derive(Clone, Debug)]
pub(super) struct Best {
    /// Its place in the history.
    pub(super) epoch: usize,
    pub(super) parameters: Parameters,
}

impl<'a> Run<'a> {
    /// A run of a trainer over batches.
    #[must_use]
    pub const fn new(trainer: Trainer, batches: Batches<'a>) -> Self {
        Self {
            trainer,
            batches,
            validation: None,
            stopping: None,
            history: Vec::new(),
            under_way: UnderWay { loss: 0.0, weight: 0.0 },
            best: None,
        }
    }

    /// The same run with rows that are evaluated after each epoch; they are not trained on. A schedule on a plateau sees
    /// their loss, and without them that of the training rows.
    #[must_use]
    pub fn validation(self, rows: impl Into<Batch<'a>>) -> Self {
        Self { validation: Some(rows.into()), ..self }
    }

    /// The same run that stops early. It takes [`validation`](Self::validation) rows.
    #[must_use]
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        Self { stopping: Some(stopping), ..self }
    }

    /// Trains until there were so many epochs in all, or the run stops early. Returns how many there were.
    ///
    /// # Errors
    /// As [`epoch`](Self::epoch).
    pub fn epochs(&mut self, epochs: usize) -> Result<usize> {
        while self.history.len() < epochs && !self.has_stopped() {
            self.epoch()?;
        }
        Ok(self.history.len())
    }

    /// An epoch, or what is left of one under way.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn epoch(&mut self) -> Result<Epoch> {
        loop {
            if let Some(epoch) = self.step()? {
                return Ok(epoch);
            }
        }
    }

    /// One step, and after an epoch's last one its end: `None` before it.
    ///
    /// # Errors
    /// As [`Trainer::step`] and [`SoftmaxRegression::evaluate`]; [`Error::Size`] for a dataset or batches without rows,
    /// [`Error::Setting`] and [`Error::Size`] for early stopping out of its range or without validation rows.
    pub fn step(&mut self) -> Result<Option<Epoch>> {
        if let Some(stopping) = &self.stopping {
            stopping.check()?;
            if self.validation.is_none_or(|batch| batch.x.rows() == 0) {
                let expected = "at least 1 for early stopping";
                return Err(Error::Size { what: "validation rows", found: 0, expected });
            }
        }
        if self.batches.batches_per_epoch() == 0 {
            return Err(Error::Size { what: "batches of an epoch", found: 0, expected: "at least 1" });
        }
        if let Some(batch) = self.batches.next_in_epoch() {
            let loss = self.trainer.step_of(batch)?;
            self.under_way.loss += loss.sum;
            self.under_way.weight += loss.weight;
        }
        if self.batches.has_more_in_epoch() { Ok(None) } else { self.end_epoch().map(Some) }
    }

    fn end_epoch(&mut self) -> Result<Epoch> {
        let validation = self.validation.map(|rows| self.trainer.model().evaluate(rows)).transpose()?;
        let loss = self.under_way.loss / self.under_way.weight;
        self.trainer.observe(validation.map_or(loss, |validation| validation.log_loss))?;
        let (steps, learning_rate) = (self.trainer.steps(), self.trainer.learning_rate());
        let epoch = Epoch { steps, learning_rate, loss, validation };
        if self.stopping.is_some() && self.is_best(validation) {
            let parameters = self.trainer.model().parameters().try_clone()?;
            self.best = Some(Best { epoch: self.history.len(), parameters });
        }
        self.batches.end_epoch();
        self.under_way = UnderWay::default();
        self.history.push(epoch);
        Ok(epoch)
    }

    fn is_best(&self, validation: Option<Evaluation>) -> bool {
        let (Some(stopping), Some(now)) = (&self.stopping, validation) else { return false };
        let best = self.best.as_ref().and_then(|best| self.history[best.epoch].validation);
        best.is_none_or(|best| now.log_loss < best.log_loss - stopping.min_delta)
    }

    /// Whether it has stopped early. [`epoch`](Self::epoch) goes on all the same.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        let (Some(stopping), Some(best)) = (&self.stopping, &self.best) else { return false };
        self.history.len() - 1 - best.epoch >= stopping.patience as usize
    }

    /// What became of each epoch.
    #[must_use]
    pub fn history(&self) -> &[Epoch] {
        &self.history
    }

    /// The place in the history of the epoch with the best validation loss; `None` without early stopping.
    #[must_use]
    pub fn best_epoch(&self) -> Option<usize> {
        self.best.as_ref().map(|best| best.epoch)
    }

    /// The trainer.
    pub const fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// The model after the epoch with the best validation loss; without early stopping, after the last step.
    #[must_use]
    pub fn into_model(self) -> SoftmaxRegression {
        let Self { trainer, best, .. } = self;
        let model = trainer.into_model();
        match best {
            Some(Best { parameters, .. }) => model.with_parameters(parameters),
            None => model,
        }
    }
}
