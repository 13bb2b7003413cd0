//! The trainer: a model and an optimizer, and what can be asked of them. A step's work is in `step`, the settings are in
//! `settings`, `optimizer` and `schedule`; where batches come from is `data`.

use super::guard::Guard;
use super::memory::Memory;
use super::optimizer::Optimizer;
use super::scaled::Scaled;
use super::schedule::Schedule;
use super::settings::{Progress, Reduction, Settings};
use super::weights::Weights;
use super::workspace::Workspace;
use crate::data::Batches;
use crate::error::{Error, Result};
#[cfg(feature = "safetensors")]
use crate::exec::Exec;
use crate::kernel::Loss;
use crate::matrix::Batch;
use crate::model::{Scaler, SoftmaxRegression};

/// Trains a model, one batch a step.
///
/// ```
/// use softreg::{Batch, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};
///
/// let x = Matrix::from_f32(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// let batch = Batch::new(x, Targets::from_u8(&[0, 1]))?;
/// let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), Sgd::new(1.0)); // or AdamW::new(1e-3), ...
/// let first = trainer.step(batch)?;
/// let second = trainer.step(batch)?;
/// assert!(second < first);
/// # Ok::<(), softreg::Error>(())
/// ```
///
/// A lock that other tasks of a rayon pool take must not be held across a step on several threads: see
/// [`Exec`](crate::Exec).
#[derive(Clone, Debug)]
pub struct Trainer {
    /// Of scaled features, where they are.
    pub(super) weights: Weights,
    pub(super) scaled: Option<Scaled>,
    pub(super) settings: Settings,
    pub(super) progress: Progress,
    /// What the optimizer remembers; from the first step on that is not plain SGD's.
    pub(super) memory: Option<Memory>,
    pub(super) guard: Guard,
    pub(super) workspace: Workspace,
}

impl Trainer {
    /// Starts from a model as it is; its level and threads are the trainer's.
    #[must_use]
    pub fn new(model: SoftmaxRegression, optimizer: impl Into<Optimizer>) -> Self {
        Self {
            weights: Weights::new(model),
            scaled: None,
            settings: Settings::new(optimizer.into()),
            progress: Progress::START,
            memory: None,
            guard: Guard::default(),
            workspace: Workspace::default(),
        }
    }

    /// The same trainer with another reduction of the loss; the mean unless told.
    #[must_use]
    pub const fn reduction(mut self, reduction: Reduction) -> Self {
        self.settings.reduction = reduction;
        self
    }

    /// The same trainer with a learning rate that changes from step to step; constant unless told.
    #[must_use]
    pub const fn schedule(mut self, schedule: Schedule) -> Self {
        self.settings.schedule = schedule;
        self
    }

    /// The same trainer with gradients whose norm, over all weights and biases, is at most this: a longer one is multiplied
    /// by `largest / (norm + 1e-6)`, as in PyTorch. It is that of the loss as it is reduced, before any decay.
    #[must_use]
    pub const fn clip_norm(mut self, largest: f64) -> Self {
        self.settings.clip_norm = Some(largest);
        self
    }

    /// The same trainer with gradients each of whose elements is at most this in magnitude; after
    /// [`clip_norm`](Self::clip_norm), where both are asked for.
    #[must_use]
    pub const fn clip_value(mut self, largest: f64) -> Self {
        self.settings.clip_value = Some(largest);
        self
    }

    /// The same trainer with a mean of the parameters after each step, from that step on, counted from 0 (Polyak, Juditsky:
    /// "Acceleration of stochastic approximation by averaging", 1992): see [`averaged_model`](Self::averaged_model).
    #[must_use]
    pub const fn averaging(mut self, from: u64) -> Self {
        self.settings.average_from = Some(from);
        self
    }

    /// The same trainer, which learns as if the rows were scaled: `(x[j] - offset[j]) * scale[j]`, such as
    /// [`Scaler::standard`] makes it. Badly scaled features cost no steps then, and decay and clipping see the weights of
    /// scaled features. The rows stay as they are, pixels too, and none is copied; [`model`](Self::model) stays the model of
    /// the rows as they are.
    ///
    /// # Errors
    /// [`Error::Shape`] where the scaler has other features than the model, [`Error::NonFinite`] where f32 cannot hold the
    /// model's weights in scaled coordinates, [`Error::Memory`].
    pub fn scaled_by(self, scaler: Scaler) -> Result<Self> {
        let Self { weights, scaled, settings, progress, memory, guard, workspace } = self;
        let model = scaled.map_or_else(|| weights.into_model(), |scaled| scaled.model);
        let weights = scaler.unfold(&model)?;
        let scaled = Some(Scaled::new(scaler, &weights)?);
        Ok(Self { weights: Weights::new(weights), scaled, settings, progress, memory, guard, workspace })
    }

    /// Another learning rate from the next step on, which checks it. A schedule multiplies it as it did the old one.
    pub const fn set_learning_rate(&mut self, learning_rate: f64) {
        *self.settings.optimizer.learning_rate_mut() = learning_rate;
    }

    /// The learning rate of the next step: as it was given, times what the schedule makes of it.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        self.settings.learning_rate(&self.progress)
    }

    /// The optimizer.
    #[must_use]
    pub const fn optimizer(&self) -> &Optimizer {
        &self.settings.optimizer
    }

    /// The number of steps so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.progress.steps
    }

    /// One step on a batch. Returns the batch's loss before the step, in nats: the mean or the sum over its rows, as the
    /// reduction says.
    ///
    /// Allocates only where the batch has more rows or more bytes than any before it, where its rows come from another
    /// dataset than those before and skip zeros ([`Dataset::skip_zeros`](crate::Dataset::skip_zeros)), or for the first step
    /// of an optimizer that remembers something or whose parameters might overflow.
    ///
    /// # Errors
    /// [`Error::Size`] for an empty batch, [`Error::Shape`], [`Error::Label`] or [`Error::Target`] for one that does not
    /// fit the model, [`Error::NoWeight`] where all rows have weight 0, [`Error::Setting`] for a setting of the optimizer,
    /// the schedule or the clipping that is out of its range, or a learning rate that the schedule has brought to 0,
    /// [`Error::NonFiniteLoss`] where the loss is NaN or infinite, [`Error::NonFiniteStep`] where a parameter or what the
    /// optimizer remembers would become so, [`Error::Memory`]. Model and optimizer are then as they were.
    pub fn step(&mut self, batch: Batch<'_>) -> Result<f64> {
        let Loss { sum, weight } = self.step_of(batch)?;
        Ok(match self.settings.reduction {
            Reduction::Sum => sum,
            Reduction::Mean => sum / weight,
        })
    }

    /// An epoch: a step on each batch that [`Batches::next_in_epoch`] has, or that are left of one under way. Returns the
    /// mean loss of its rows, each before its batch's step, in nats; NaN where there are none.
    ///
    /// # Errors
    /// As [`step`](Self::step); the steps before it were done.
    pub fn epoch(&mut self, batches: &mut Batches<'_>) -> Result<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        while let Some(batch) = batches.next_in_epoch() {
            let loss = self.step_of(batch)?;
            sum += loss.sum;
            weight += loss.weight;
        }
        Ok(sum / weight)
    }

    /// The model as trained so far.
    pub fn model(&mut self) -> &SoftmaxRegression {
        match &self.scaled {
            Some(scaled) => &scaled.model,
            None => self.weights.model(),
        }
    }

    /// Gives the model back.
    #[must_use]
    pub fn into_model(self) -> SoftmaxRegression {
        match self.scaled {
            Some(scaled) => scaled.model,
            None => self.weights.into_model(),
        }
    }

    /// The model of the parameters' mean over the steps that [`averaging`](Self::averaging) asks for; `None` before the
    /// first of them.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn averaged_model(&mut self) -> Result<Option<SoftmaxRegression>> {
        let averaged = self.progress.averaged;
        let (model, memory) = self.in_natural_order()?;
        let mean = memory.and_then(|memory| memory.mean.as_ref()).filter(|_| averaged > 0);
        let Some(mean) = mean else { return Ok(None) };
        let mean = SoftmaxRegression::new(mean.clone())?.with_level(model.level()).with_threads(model.threads());
        Ok(Some(match &self.scaled {
            Some(scaled) => scaled.scaler.fold(&mean)?,
            None => mean,
        }))
    }

    /// Tells a schedule on a plateau a loss, such as that of a validation split after an epoch; others pass over it.
    ///
    /// # Errors
    /// [`Error::NonFiniteLoss`] for a loss that is NaN or infinite; it does not count.
    pub fn observe(&mut self, loss: f64) -> Result<()> {
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { loss });
        }
        if let Some(plateau) = self.settings.schedule.plateau() {
            self.progress.plateau.observe(plateau, loss);
        }
        Ok(())
    }

    /// A class more, after those there are: its weights and bias are 0, what the optimizer remembers of it is as before the
    /// first step. The model's other parameters and what is remembered of them stay as they are.
    ///
    /// # Errors
    /// [`Error::Size`] where the last step's labels were of u8, which have no name for a 257th class, [`Error::Memory`]; the
    /// trainer is then as it was.
    pub fn add_class(&mut self) -> Result<()> {
        let model = self.weights.model();
        if self.workspace.labels_of_u8 && model.classes() > usize::from(u8::MAX) {
            let expected = "at most 256; step on labels of u32 first";
            return Err(Error::Size { what: "classes with labels of u8", found: model.classes() + 1, expected });
        }
        let exec = model.exec();
        let wider = SoftmaxRegression::new(model.parameters().with_class(0.0)?)?;
        let memory = match &mut self.memory {
            Some(memory) => {
                memory.enter_order(None, self.workspace.gradient(model)?);
                Some(memory.with_class(&self.settings.optimizer)?)
            }
            None => None,
        };
        let wider = wider.with_level(exec.level).with_threads(exec.threads);
        let scaled = self.scaled.as_ref().map(|scaled| Scaled::new(scaled.scaler.clone(), &wider)).transpose()?;
        (self.weights, self.scaled) = (Weights::new(wider), scaled);
        self.memory = memory;
        self.guard.forget();
        self.workspace = Workspace::default();
        Ok(())
    }

    /// The number of features and of classes.
    #[cfg(feature = "safetensors")]
    pub(super) const fn shape(&self) -> (usize, usize) {
        (self.weights.shape().features(), self.weights.shape().classes())
    }

    #[cfg(feature = "safetensors")]
    pub(super) const fn exec(&self) -> Exec {
        self.weights.shape().exec()
    }

    /// The same trainer at another level and on other threads.
    #[cfg(feature = "safetensors")]
    pub(super) fn with_exec(self, exec: Exec) -> Self {
        let at = |model: SoftmaxRegression| model.with_level(exec.level).with_threads(exec.threads);
        let scaled = self.scaled.map(|scaled| Scaled { model: at(scaled.model), ..scaled });
        Self { weights: Weights::new(at(self.weights.into_model())), scaled, ..self }
    }

    #[cfg(feature = "safetensors")]
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    #[cfg(feature = "safetensors")]
    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The scaling, where there is one.
    #[cfg(feature = "safetensors")]
    pub(super) fn scaler(&self) -> Option<&Scaler> {
        self.scaled.as_ref().map(|scaled| &scaled.scaler)
    }

    /// The weights, of scaled features where they are, and what is remembered, the features in their natural order.
    pub(super) fn in_natural_order(&mut self) -> Result<(&SoftmaxRegression, Option<&Memory>)> {
        let model = self.weights.model();
        if let Some(memory) = &mut self.memory {
            memory.enter_order(None, self.workspace.gradient(model)?);
        }
        Ok((model, self.memory.as_ref()))
    }

    /// A trainer that goes on.
    #[cfg(feature = "safetensors")]
    pub(super) fn restored(
        weights: SoftmaxRegression,
        scaler: Option<Scaler>,
        settings: Settings,
        progress: Progress,
        memory: Option<Memory>,
    ) -> Result<Self> {
        let scaled = scaler.map(|scaler| Scaled::new(scaler, &weights)).transpose()?;
        Ok(Self { scaled, settings, progress, memory, ..Self::new(weights, settings.optimizer) })
    }
}
