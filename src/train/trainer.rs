//! The trainer: a model, an optimizer, and the buffers that a step needs. Where batches come from is `data`; the settings are
//! in `optimizer` and `schedule`.

use super::guard::Guard;
use super::memory::Memory;
use super::optimizer::Optimizer;
use super::scaled::Scaled;
use super::schedule::Schedule;
use super::settings::{Progress, Reduction, Settings};
use super::weights::Weights;
use crate::data::Batches;
use crate::error::{Error, Result};
#[cfg(feature = "safetensors")]
use crate::exec::Exec;
use crate::kernel::{self, Descent, Loss, Sweep, plan};
use crate::matrix::{Batch, FeatureOrder, Matrix};
use crate::memory;
use crate::model::{Scaler, SoftmaxRegression};
use crate::parameters::Parameters;
use alloc::vec::Vec;

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
    weights: Weights,
    scaled: Option<Scaled>,
    settings: Settings,
    progress: Progress,
    /// What the optimizer remembers; from the first step on that is not plain SGD's.
    memory: Option<Memory>,
    guard: Guard,
    workspace: Workspace,
}

/// Buffers, each as large as the largest batch so far asked for.
#[derive(Clone, Debug, Default)]
struct Workspace {
    /// `[n, classes]`: the logits of a step, then `p - y` in their place.
    logits: Vec<f32>,
    /// `[n]`
    losses: Vec<f64>,
    /// For batches that are larger than a cache.
    sweep: Sweep,
    /// The gradient, where a step needs it as a whole.
    gradient: Option<Parameters>,
    /// Whether the last step's labels were of u8.
    labels_of_u8: bool,
    /// What the parameters and the states were before a step that might ruin them.
    backup: Vec<Parameters>,
}

/// Where a step's gradient comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The rows and `p - y`: it is computed with the update.
    Residual,
    /// The sweep has it.
    Sweep,
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

    /// [`step`](Self::step), with the sum of the losses and of the rows' weights.
    pub(super) fn step_of(&mut self, batch: Batch<'_>) -> Result<Loss> {
        let rows = batch.x.rows();
        if rows == 0 {
            return Err(Error::Size { what: "rows of the batch", found: 0, expected: "at least 1" });
        }
        let rate = self.settings.checked_rate(&self.progress)?;
        let order = self.enter_order_of(batch.x)?;
        self.workspace.labels_of_u8 = batch.targets.are_u8();
        let averages = self.settings.average_from.is_some_and(|from| from <= self.progress.steps);
        let plain = self.settings.are_plain() && self.scaled.is_none();
        if averages || !plain {
            self.prepare_memory(order)?;
        }
        let source = source_of(batch.x, order, self.weights.shape().classes());
        let loss = match source {
            Source::Residual => self.loss(batch, order)?,
            Source::Sweep => self.sweep(batch)?,
        };
        let Loss { sum, weight } = loss;
        if weight == 0.0 {
            return Err(Error::NoWeight { rows });
        }
        if !sum.is_finite() {
            return Err(Error::NonFiniteLoss { loss: sum });
        }
        // In f64, where the weights of rows may sum to more than f32 holds.
        let divisor = match self.settings.reduction {
            Reduction::Sum => 1.0,
            Reduction::Mean => weight,
        };
        if plain {
            // What no element of `p - y` of all rows adds up to more than, where that is known.
            let most = if batch.targets.sum_to_their_weights() { weight } else { f64::INFINITY };
            self.step_plainly(batch.x, order, source, (rate / divisor) as f32, most)?;
        } else {
            self.descend(batch.x, order, source, rate, 1.0 / divisor)?;
        }
        if averages {
            // A careful step of plain SGD is made in the natural order.
            let order = self.enter_order_of(batch.x)?;
            self.average(order);
        }
        self.progress.steps = self.progress.steps.saturating_add(1);
        Ok(loss)
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
                memory.enter_order(None, gradient_of(&mut self.workspace.gradient, model)?);
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
            memory.enter_order(None, gradient_of(&mut self.workspace.gradient, model)?);
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

    /// Puts the weights in the order in which the rows gain most, and says which it is.
    fn enter_order_of(&mut self, x: Matrix<'_>) -> Result<FeatureOrder> {
        match self.scaled {
            // An offset makes something else of zeros.
            Some(_) => Ok(FeatureOrder::Natural),
            None => self.weights.enter_order_of(x),
        }
    }

    /// The forward pass and the losses; leaves `p - y` in the logits.
    fn loss(&mut self, batch: Batch<'_>, order: FeatureOrder) -> Result<Loss> {
        let Workspace { logits, losses, .. } = &mut self.workspace;
        let (rows, model) = (batch.x.rows(), self.weights.shape());
        let cells = rows.saturating_mul(model.classes());
        memory::grow(logits, "logits", cells, 0.0)?;
        memory::grow(losses, "losses", rows, 0.0)?;
        let (logits, losses) = (&mut logits[..cells], &mut losses[..rows]);
        kernel::loss(model.exec(), batch, order, parameters_of(&self.scaled, &self.weights, order), logits, losses)
    }

    /// The losses and the gradient in one pass over the rows.
    fn sweep(&mut self, batch: Batch<'_>) -> Result<Loss> {
        let Workspace { logits, losses, sweep, gradient, .. } = &mut self.workspace;
        let (rows, model) = (batch.x.rows(), self.weights.shape());
        let gradient = gradient_of(gradient, model)?;
        memory::grow(losses, "losses", rows, 0.0)?;
        // For a smaller batch, which is not swept, to allocate nothing.
        let most = plan::most_rows_not_swept(batch.x.row_bytes()).min(rows);
        memory::grow(logits, "logits", most.saturating_mul(model.classes()), 0.0)?;
        let (losses, order) = (&mut losses[..rows], FeatureOrder::Natural);
        let parameters = parameters_of(&self.scaled, &self.weights, order);
        sweep.run_in_order(model.exec(), batch, order, parameters, losses, gradient)
    }

    /// A step of plain SGD: fused into the product, where the sweep has not done that.
    fn step_plainly(
        &mut self,
        x: Matrix<'_>,
        order: FeatureOrder,
        source: Source,
        rate: f32,
        weight: f64,
    ) -> Result<()> {
        if self.allows_plainly(x, order, rate, weight) {
            return self.update(x, order, source, rate);
        }
        // If parameters overflow, they are what they were before.
        self.weights.model();
        self.guard.forget();
        self.back_up(FeatureOrder::Natural)?;
        self.update(x, FeatureOrder::Natural, source, rate)?;
        self.restore_unless_finite(FeatureOrder::Natural)
    }

    fn allows_plainly(&mut self, x: Matrix<'_>, order: FeatureOrder, rate: f32, most: f64) -> bool {
        let model = self.weights.shape();
        let largest = match x.largest() {
            Some(largest) => largest,
            // To look through the rows costs less than to be careful where they are few.
            None if x.rows() <= 2 * model.classes() => kernel::bound(model.exec(), x),
            None => return false,
        };
        let bounds = [f64::from(rate), f64::from(x.scale()), most, f64::from(largest)];
        self.guard.allows_plain(bounds, (model.exec(), self.weights.parameters(order)))
    }

    fn update(&mut self, x: Matrix<'_>, order: FeatureOrder, source: Source, rate: f32) -> Result<()> {
        let (exec, classes) = (self.weights.shape().exec(), self.weights.shape().classes());
        let parameters = self.weights.parameters_mut(order);
        match (source, &self.workspace.gradient) {
            (Source::Sweep, Some(gradient)) => {
                Descent::plain(rate).run(exec, gradient, parameters, &mut []);
                Ok(())
            }
            _ => {
                let residual = &self.workspace.logits[..x.rows() * classes];
                kernel::sgd_step_in_order(exec, x, order, residual, rate, parameters)
            }
        }
    }

    /// A step of any optimizer, with the whole gradient. `scale` makes the gradient of the losses' sum that of the loss.
    fn descend(&mut self, x: Matrix<'_>, order: FeatureOrder, source: Source, rate: f64, scale: f64) -> Result<()> {
        let Settings { optimizer, clip_norm, clip_value, .. } = self.settings;
        let (exec, classes) = (self.weights.shape().exec(), self.weights.shape().classes());
        let gradient = gradient_of(&mut self.workspace.gradient, self.weights.shape())?;
        if source == Source::Residual {
            let residual = &self.workspace.logits[..x.rows() * classes];
            kernel::gradient_in_order(exec, x, order, residual, gradient)?;
        }
        if let Some(scaled) = &self.scaled {
            scaled.scale_gradient(exec, gradient);
        }
        let largest = f64::from(kernel::largest_parameter(exec, gradient));
        if !largest.is_finite() {
            return Err(Error::NonFiniteStep);
        }
        let norm = || scale * libm::sqrt(kernel::sum_of_squares(exec, gradient));
        let scale = scale * clip_norm.map_or(1.0, |most| (most / (norm() + 1e-6)).min(1.0));
        let limit = clip_value.unwrap_or(f64::INFINITY);
        let step = optimizer.step(rate, self.progress.steps);
        let descent = step.scaled(scale, limit);

        let now = (exec, self.weights.parameters(order));
        let safe = self.guard.allows(&optimizer, &step, (largest * scale).min(limit), now, states(&self.memory));
        // What the weights stand for may overflow before they do.
        let safe = safe && self.scaled.is_none();
        if !safe {
            // The bounds are of what was before this step.
            self.guard.forget();
            self.back_up(order)?;
        }
        let states = self.memory.as_mut().map_or(&mut [][..], |memory| &mut memory.states);
        if let Some(gradient) = &self.workspace.gradient {
            descent.run(exec, gradient, self.weights.parameters_mut(order), states);
        }
        if safe { Ok(()) } else { self.restore_unless_finite(order) }
    }

    /// Makes what is remembered, where it is not there yet, and puts it in the parameters' order.
    fn prepare_memory(&mut self, order: FeatureOrder) -> Result<()> {
        let model = self.weights.shape();
        let gradient = gradient_of(&mut self.workspace.gradient, model)?;
        let memory = match &mut self.memory {
            Some(memory) => memory,
            none => none.insert(Memory::new(&self.settings.optimizer, model)?),
        };
        memory.enter_order(self.weights.permutation(order), gradient);
        if self.settings.average_from.is_some() && memory.mean.is_none() {
            memory.mean = Some(Parameters::try_zeros(model.features(), model.classes())?);
        }
        Ok(())
    }

    /// Copies what a step changes.
    fn back_up(&mut self, order: FeatureOrder) -> Result<()> {
        let now = core::iter::once(self.weights.parameters(order)).chain(states(&self.memory));
        for (i, now) in now.enumerate() {
            match self.workspace.backup.get_mut(i) {
                Some(backup) => backup.copy_from(now),
                None => self.workspace.backup.push(now.try_clone()?),
            }
        }
        Ok(())
    }

    /// Undoes a step that made something infinite or NaN.
    fn restore_unless_finite(&mut self, order: FeatureOrder) -> Result<()> {
        let exec = self.weights.shape().exec();
        let finite = |now: &Parameters| kernel::all_finite(exec, now);
        let weights = self.weights.parameters(order);
        let stands = self.scaled.as_mut().is_none_or(|scaled| scaled.update(exec, weights));
        if stands && finite(weights) && states(&self.memory).all(finite) {
            return Ok(());
        }
        let states = self.memory.iter_mut().flat_map(|memory| &mut memory.states);
        let now = core::iter::once(self.weights.parameters_mut(order)).chain(states);
        for (now, backup) in now.zip(&self.workspace.backup) {
            now.copy_from(backup);
        }
        if let Some(scaled) = &mut self.scaled {
            scaled.update(exec, self.weights.parameters(order));
        }
        self.guard.forget();
        Err(Error::NonFiniteStep)
    }

    /// Takes the parameters into their mean.
    fn average(&mut self, order: FeatureOrder) {
        if let Some(Memory { mean: Some(mean), .. }) = &mut self.memory {
            self.progress.averaged = self.progress.averaged.saturating_add(1);
            let share = (1.0 / self.progress.averaged as f64) as f32;
            kernel::mix(self.weights.shape().exec(), mean, self.weights.parameters(order), share);
        }
    }
}

/// What the rows are multiplied by.
fn parameters_of<'a>(scaled: &'a Option<Scaled>, weights: &'a Weights, order: FeatureOrder) -> &'a Parameters {
    match scaled {
        Some(scaled) => scaled.model.parameters(),
        None => weights.parameters(order),
    }
}

/// The buffer of a gradient.
fn gradient_of<'a>(gradient: &'a mut Option<Parameters>, model: &SoftmaxRegression) -> Result<&'a mut Parameters> {
    Ok(match gradient {
        Some(gradient) => gradient,
        none => none.insert(Parameters::try_zeros(model.features(), model.classes())?),
    })
}

fn states(memory: &Option<Memory>) -> impl Iterator<Item = &Parameters> + Clone {
    memory.iter().flat_map(|memory| &memory.states)
}

/// A batch that is larger than a cache is swept; block-sparse rows are small.
fn source_of(x: Matrix<'_>, order: FeatureOrder, classes: usize) -> Source {
    let sweeps = order == FeatureOrder::Natural && plan::sweeps_step(x.rows(), x.row_bytes(), x.features(), classes);
    if sweeps { Source::Sweep } else { Source::Residual }
}
