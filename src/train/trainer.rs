//! The trainer: a model, an update rule, and the buffers that a step needs. Where batches come from is `data`.

use super::optimizer::Sgd;
use crate::error::{Error, Result};
use crate::kernel::{self, Loss, Sweep, plan};
use crate::matrix::{Batch, FeatureOrder, Matrix, Permutation};
use crate::memory;
use crate::model::SoftmaxRegression;
use crate::parameters::Parameters;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How the losses of a batch's rows become the one that is minimised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reduction {
    /// Their mean: the sum over the sum of the rows' weights. A step's length does not depend on the batch.
    #[default]
    Mean,
    /// Their sum: a step's length grows with the batch. What the TensorFlow tutorial does.
    Sum,
}

/// Trains a model, one batch a step.
///
/// ```
/// use softreg::{Batch, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};
///
/// let x = Matrix::from_f32(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// let batch = Batch::new(x, Targets::from_u8(&[0, 1]))?;
/// let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), Sgd::new(1.0));
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
    model: SoftmaxRegression,
    sgd: Sgd,
    reduction: Reduction,
    /// `[n, classes]`: the logits of a step, then `p - y` in their place.
    logits: Vec<f32>,
    /// `[n]`
    losses: Vec<f64>,
    /// The gradient of a large batch.
    swept: Option<Swept>,
    permuted: Option<Permuted>,
    /// A bound of the parameters' magnitudes, where one is known.
    bound: Option<f64>,
    /// What the parameters were before a step that might ruin them.
    backup: Option<Parameters>,
}

/// The sweep over a batch that is larger than a cache, and the gradient that it leaves.
#[derive(Clone, Debug)]
struct Swept {
    sweep: Sweep,
    gradient: Parameters,
}

/// Where a step's gradient comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The rows and `p - y`: it is computed with the update.
    Residual,
    /// The sweep has it.
    Sweep,
}

/// The parameters in the permutation of block-sparse rows.
#[derive(Clone, Debug)]
struct Permuted {
    permutation: Arc<Permutation>,
    parameters: Parameters,
    newest: Newest,
}

/// Which of the model and its permuted copy has the last step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newest {
    Both,
    Model,
    Permuted,
}

impl Trainer {
    /// Starts from a model as it is; its level and threads are the trainer's.
    #[must_use]
    pub const fn new(model: SoftmaxRegression, sgd: Sgd) -> Self {
        Self {
            model,
            sgd,
            reduction: Reduction::Mean,
            logits: Vec::new(),
            losses: Vec::new(),
            swept: None,
            permuted: None,
            bound: None,
            backup: None,
        }
    }

    /// The same trainer with another reduction of the loss; the mean unless told.
    #[must_use]
    pub const fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// One step on a batch. Returns the batch's loss before the step, in nats: the mean or the sum over its rows, as the
    /// reduction says.
    ///
    /// Allocates only where the batch has more rows or more bytes than any before it, where its rows come from another dataset than those
    /// before and skip zeros ([`Dataset::skip_zeros`](crate::Dataset::skip_zeros)), or for the first step whose
    /// parameters might overflow.
    ///
    /// # Errors
    /// [`Error::Size`] for an empty batch, [`Error::Shape`], [`Error::Label`] or [`Error::Target`] for one that does not
    /// fit the model, [`Error::NoWeight`] where all rows have weight 0, [`Error::Setting`] for a learning rate that is not
    /// a finite number above 0, [`Error::NonFiniteLoss`] where the loss is NaN or infinite, [`Error::NonFiniteStep`]
    /// where a parameter would become so, [`Error::Memory`]. The model is then as it was.
    pub fn step(&mut self, batch: Batch<'_>) -> Result<f64> {
        let rows = batch.x.rows();
        if rows == 0 {
            return Err(Error::Size { what: "rows of the batch", found: 0, expected: "at least 1" });
        }
        self.sgd.check()?;
        let order = self.enter_order_of(batch.x)?;
        let source = source_of(batch.x, order, self.model.classes());
        let Loss { sum, weight } = match source {
            Source::Residual => self.loss(batch, order)?,
            Source::Sweep => self.sweep(batch)?,
        };
        if weight == 0.0 {
            return Err(Error::NoWeight { rows });
        }
        if !sum.is_finite() {
            return Err(Error::NonFiniteLoss { loss: sum });
        }
        let (loss, rate) = match self.reduction {
            Reduction::Sum => (sum, self.sgd.learning_rate()),
            // In f64, where the weights of rows may sum to more than f32 holds.
            Reduction::Mean => (sum / weight, (f64::from(self.sgd.learning_rate()) / weight) as f32),
        };
        if self.is_safe(batch.x, rate, weight) {
            self.update(batch.x, order, source, rate)?;
        } else {
            self.update_carefully(batch.x, source, rate)?;
        }
        Ok(loss)
    }

    /// The model as trained so far.
    pub fn model(&mut self) -> &SoftmaxRegression {
        self.bring_model_up_to_date();
        &self.model
    }

    /// Gives the model back.
    #[must_use]
    pub fn into_model(mut self) -> SoftmaxRegression {
        self.bring_model_up_to_date();
        self.model
    }

    /// The forward pass and the losses; leaves `p - y` in the logits.
    fn loss(&mut self, batch: Batch<'_>, order: FeatureOrder) -> Result<Loss> {
        let (rows, classes) = (batch.x.rows(), self.model.classes());
        let cells = rows.saturating_mul(classes);
        memory::grow(&mut self.logits, "logits", cells, 0.0)?;
        memory::grow(&mut self.losses, "losses", rows, 0.0)?;
        let parameters = match (&self.permuted, order) {
            (Some(permuted), FeatureOrder::Permuted) => &permuted.parameters,
            _ => self.model.parameters(),
        };
        let (logits, losses) = (&mut self.logits[..cells], &mut self.losses[..rows]);
        kernel::loss(self.model.exec(), batch, order, parameters, logits, losses)
    }

    /// The losses and the gradient in one pass over the rows.
    fn sweep(&mut self, batch: Batch<'_>) -> Result<Loss> {
        let (model, exec) = (&self.model, self.model.exec());
        let Swept { sweep, gradient } = match &mut self.swept {
            Some(swept) => swept,
            none => none.insert(Swept {
                sweep: Sweep::new(),
                gradient: Parameters::try_zeros(model.features(), model.classes())?,
            }),
        };
        let rows = batch.x.rows();
        memory::grow(&mut self.losses, "losses", rows, 0.0)?;
        // For a smaller batch, which is not swept, to allocate nothing.
        let most = plan::most_rows_not_swept(batch.x.row_bytes()).min(rows);
        memory::grow(&mut self.logits, "logits", most.saturating_mul(model.classes()), 0.0)?;
        let losses = &mut self.losses[..rows];
        sweep.run_in_order(exec, batch, FeatureOrder::Natural, model.parameters(), losses, gradient)
    }

    /// Whether no parameter can overflow in a step: a row's `p - y` is at most its weight, and a gradient at most the sum
    /// of the weights times the largest feature.
    fn is_safe(&mut self, x: Matrix<'_>, rate: f32, weight: f64) -> bool {
        // Half of what f32 holds leaves room for every rounding.
        const LIMIT: f64 = f32::MAX as f64 / 2.0;
        let exec = self.model.exec();
        let largest = match x.largest() {
            Some(largest) => largest,
            // To look through the rows costs less than to be careful where they are few.
            None if x.rows() <= 2 * self.model.classes() => kernel::bound(exec, x),
            None => return false,
        };
        let alpha = f64::from(rate) * f64::from(x.scale()).abs().max(1.0);
        let gradient = weight * f64::from(largest).max(1.0);
        let parameters = &self.model;
        let bound = *self.bound.get_or_insert_with(|| largest_parameter(parameters));
        let next = bound + alpha * gradient;
        let safe = alpha < LIMIT && gradient < LIMIT && next < LIMIT;
        if safe {
            self.bound = Some(next);
        }
        safe
    }

    fn update(&mut self, x: Matrix<'_>, order: FeatureOrder, source: Source, rate: f32) -> Result<()> {
        let (exec, classes) = (self.model.exec(), self.model.classes());
        let parameters = match (&mut self.permuted, order) {
            (Some(permuted), FeatureOrder::Permuted) => {
                permuted.newest = Newest::Permuted;
                &mut permuted.parameters
            }
            (permuted, _) => {
                permuted.iter_mut().for_each(|permuted| permuted.newest = Newest::Model);
                self.model.parameters_mut()
            }
        };
        match (source, &self.swept) {
            (Source::Sweep, Some(Swept { gradient, .. })) => {
                kernel::apply_gradient(exec, gradient, rate, parameters);
                Ok(())
            }
            _ => kernel::sgd_step_in_order(exec, x, order, &self.logits[..x.rows() * classes], rate, parameters),
        }
    }

    /// A step that may make parameters overflow: if it does, they are what they were before.
    fn update_carefully(&mut self, x: Matrix<'_>, source: Source, rate: f32) -> Result<()> {
        self.bring_model_up_to_date();
        self.bound = None;
        let mut before = match self.backup.take() {
            Some(backup) => backup,
            None => Parameters::try_zeros(self.model.features(), self.model.classes())?,
        };
        before.copy_from(self.model.parameters());
        self.update(x, FeatureOrder::Natural, source, rate)?;
        let finite = kernel::all_finite(self.model.exec(), self.model.parameters());
        if !finite {
            self.model.parameters_mut().copy_from(&before);
        }
        self.backup = Some(before);
        if finite { Ok(()) } else { Err(Error::NonFiniteStep) }
    }

    /// Puts the parameters in the order in which the rows gain most, and says which it is.
    fn enter_order_of(&mut self, x: Matrix<'_>) -> Result<FeatureOrder> {
        let (features, classes) = (self.model.features(), self.model.classes());
        let gains = x.features() == features && plan::uses_block_sparse(features, classes);
        let Some(permutation) = x.permutation().filter(|_| gains) else {
            self.bring_model_up_to_date();
            return Ok(FeatureOrder::Natural);
        };
        let known = self.permuted.as_ref().is_some_and(|permuted| Arc::ptr_eq(&permuted.permutation, permutation));
        if !known {
            self.bring_model_up_to_date();
            let parameters = Parameters::try_zeros(features, classes)?;
            let permutation = Arc::clone(permutation);
            self.permuted = Some(Permuted { permutation, parameters, newest: Newest::Model });
        }
        if let Some(Permuted { permutation, parameters, newest }) = &mut self.permuted
            && *newest == Newest::Model
        {
            parameters.permute_from(self.model.parameters(), permutation);
            *newest = Newest::Both;
        }
        Ok(FeatureOrder::Permuted)
    }

    fn bring_model_up_to_date(&mut self) {
        if let Some(Permuted { permutation, parameters, newest }) = &mut self.permuted
            && *newest == Newest::Permuted
        {
            self.model.parameters_mut().restore_from(parameters, permutation);
            *newest = Newest::Both;
        }
    }
}

/// A batch that is larger than a cache is swept; block-sparse rows are small.
fn source_of(x: Matrix<'_>, order: FeatureOrder, classes: usize) -> Source {
    let sweeps = order == FeatureOrder::Natural && plan::sweeps_step(x.rows(), x.row_bytes(), x.features(), classes);
    if sweeps { Source::Sweep } else { Source::Residual }
}

/// The largest magnitude among a model's parameters, which are finite.
fn largest_parameter(model: &SoftmaxRegression) -> f64 {
    let parameters = model.parameters();
    f64::from(kernel::largest_parameter(model.exec(), parameters))
}
