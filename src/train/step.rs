//! One step of a trainer: the losses, the gradient, and what the optimizer makes of it; either whole or not at all. The
//! arithmetic is `kernel`'s, what is asked of a trainer `trainer`'s.

use super::memory::Memory;
use super::scaled::Scaled;
use super::settings::{Reduction, Settings};
use super::trainer::Trainer;
use super::weights::Weights;
use super::workspace::{Workspace, gradient_of};
use crate::error::{Error, Result};
use crate::kernel::{self, Descent, Loss, plan};
use crate::matrix::{Batch, FeatureOrder, Matrix};
use crate::memory;
use crate::parameters::Parameters;

/// Where a step's gradient comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The rows and `p - y`: it is computed with the update.
    Residual,
    /// The sweep has it.
    Sweep,
}

impl Trainer {
    /// [`step`](Trainer::step), with the sum of the losses and of the rows' weights.
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

fn states(memory: &Option<Memory>) -> impl Iterator<Item = &Parameters> + Clone {
    memory.iter().flat_map(|memory| &memory.states)
}

/// A batch that is larger than a cache is swept; block-sparse rows are small.
fn source_of(x: Matrix<'_>, order: FeatureOrder, classes: usize) -> Source {
    let sweeps = order == FeatureOrder::Natural && plan::sweeps_step(x.rows(), x.row_bytes(), x.features(), classes);
    if sweeps { Source::Sweep } else { Source::Residual }
}
