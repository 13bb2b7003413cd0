//! L-BFGS: its settings, and what is checked and computed once before a fit. The loop is `solve.rs`'s.

use super::objective::Objective;
use super::preconditioner::Hessian;
use super::report::{Fit, Pass};
use super::scaling::Scaling;
use super::solve::Problem;
use crate::error::{Error, Result};
use crate::exec::{Exec, Level};
use crate::kernel::moments::moments;
use crate::matrix::{Batch, Matrix};
use crate::model::SoftmaxRegression;
use core::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Fits a model to convergence: minimises the weighted mean of the rows' cross-entropy, plus `l2 / 2 * |W|^2`, the bias
/// free.
///
/// ```
/// use softreg::{Dataset, Lbfgs};
///
/// let x = vec![0.1, 5.0, 0.4, 7.0, 0.9, 6.0, 0.8, 4.0];
/// let data = Dataset::from_f32(x, vec![0, 0, 1, 1], 2, 2)?;
/// let fit = Lbfgs::default().l2(0.01).fit(&data)?;
/// assert!(fit.report.stopped.converged());
/// assert_eq!(fit.model.predict(data.x())?, [0, 0, 1, 1]);
/// # Ok::<(), softreg::Error>(())
/// ```
///
/// No setting depends on the scale of the features, and none has to be tried out but `l2`. That a fit ends by a limit
/// instead of converging is said by its [`Report`](crate::Report), and is no error. The result is the same to the last bit at any number
/// of threads.
///
/// Memory, beside the rows: `2 * memory + 6` vectors of 8 bytes a parameter, the preconditioner's `16 * features^2` bytes,
/// its sample's `4 * features` bytes for each of at most 2048 rows, and the sweep's gradients; a copy of the rows in f32
/// where a feature lies more than a thousand deviations from 0.
///
/// With the feature `serde`, level and threads are left out: what is read has the best level and one thread.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[doc(alias = "LogisticRegression")]
pub struct Lbfgs {
    pub(super) l2: f64,
    pub(super) standardize: bool,
    pub(super) tolerance: f64,
    pub(super) loss_tolerance: f64,
    pub(super) max_passes: usize,
    pub(super) max_time: Option<Duration>,
    pub(super) memory: usize,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) exec: Exec,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Self {
            l2: 1e-4,
            standardize: false,
            tolerance: 1e-7,
            loss_tolerance: 1e-7,
            max_passes: 1000,
            max_time: None,
            memory: 10,
            exec: Exec::default(),
        }
    }
}

impl Lbfgs {
    /// The strength of the penalty, at least 0; 1e-4 unless told. scikit-learn's `C` is `1 / (l2 * rows)`.
    #[must_use]
    pub const fn l2(self, l2: f64) -> Self {
        Self { l2, ..self }
    }

    /// Whether the penalty is on the weights of the features standardised, each to mean 0 and variance 1 over the rows,
    /// instead of as they are. The model takes the features as they are in either case. Not unless told.
    #[must_use]
    pub const fn standardize(self, standardize: bool) -> Self {
        Self { standardize, ..self }
    }

    /// Converged once the gradient's length is at most this share of the first; 1e-7 unless told, 0 never.
    #[must_use]
    pub const fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// Converged once five steps together lower the objective by no more than this share of it; 1e-7 unless told, 0 never.
    #[must_use]
    pub const fn loss_tolerance(self, loss_tolerance: f64) -> Self {
        Self { loss_tolerance, ..self }
    }

    /// The most passes over the rows, at least 1; 1000 unless told.
    #[must_use]
    #[doc(alias = "max_iter")]
    pub const fn max_passes(self, max_passes: usize) -> Self {
        Self { max_passes, ..self }
    }

    /// The most time; the pass during which it runs out is the last.
    #[must_use]
    pub const fn max_time(self, max_time: Duration) -> Self {
        Self { max_time: Some(max_time), ..self }
    }

    /// The number of curvature pairs, at least 1; 10 unless told.
    #[must_use]
    pub const fn memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }

    /// The level to run at, which is the model's too; the best unless told.
    #[must_use]
    pub const fn level(self, level: Level) -> Self {
        Self { exec: Exec { level, ..self.exec }, ..self }
    }

    /// The number of threads, which is the model's too; 1 unless told.
    #[must_use]
    pub const fn threads(self, threads: usize) -> Self {
        Self { exec: Exec { threads, ..self.exec }, ..self }
    }

    /// Fits a model from weights of zeros.
    ///
    /// # Errors
    /// [`Error::Size`] where there are no rows or classes, [`Error::Shape`], [`Error::Label`], [`Error::Target`] or
    /// [`Error::Weight`] for targets that do not fit, [`Error::NoWeight`] where all rows have weight 0,
    /// [`Error::NonFinite`] for a feature that is not finite, [`Error::Setting`] for a setting out of its range,
    /// [`Error::Memory`].
    pub fn fit<'a>(&self, data: impl Into<Batch<'a>>) -> Result<Fit> {
        self.run(None, data.into(), &mut |_| ControlFlow::Continue(()))
    }

    /// Fits a model from another's weights, whose shape it takes.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::Shape`] where the model does not fit the data.
    pub fn fit_from<'a>(&self, model: &SoftmaxRegression, data: impl Into<Batch<'a>>) -> Result<Fit> {
        self.run(Some(model), data.into(), &mut |_| ControlFlow::Continue(()))
    }

    /// Fits a model from another's weights or from zeros, and tells each pass to `watch`, which may end the fit.
    ///
    /// # Errors
    /// As [`fit_from`](Self::fit_from).
    pub fn fit_with<'a>(
        &self,
        model: Option<&SoftmaxRegression>,
        data: impl Into<Batch<'a>>,
        mut watch: impl FnMut(&Pass) -> ControlFlow<()>,
    ) -> Result<Fit> {
        self.run(model, data.into(), &mut watch)
    }

    fn run(
        &self,
        model: Option<&SoftmaxRegression>,
        batch: Batch<'_>,
        watch: &mut dyn FnMut(&Pass) -> ControlFlow<()>,
    ) -> Result<Fit> {
        self.prepare(model.map(SoftmaxRegression::classes), batch, |mut problem| problem.solve(self, model, watch))
    }

    /// Does work on what all fits of a batch share.
    pub(super) fn prepare<R>(
        &self,
        classes: Option<usize>,
        batch: Batch<'_>,
        work: impl FnOnce(Problem<'_>) -> Result<R>,
    ) -> Result<R> {
        let started = Instant::now();
        self.check()?;
        let Batch { x, targets } = Batch::new(batch.x, batch.targets)?;
        if x.rows() == 0 {
            return Err(Error::Size { what: "rows", found: 0, expected: "at least 1" });
        }
        let classes = classes.unwrap_or_else(|| targets.classes());
        if targets.check(classes)? == 0.0 {
            return Err(Error::NoWeight { rows: x.rows() });
        }
        let moments = moments(self.exec, x, Some((targets, classes)))?;
        if moments.variance.iter().any(|variance| !variance.is_finite()) {
            let scale = Error::Setting { name: "scale of x", found: x.scale().into(), expected: "a finite number" };
            return Err(x.first_not_finite().unwrap_or(scale));
        }
        let scaling = Scaling::new(moments);
        // Coordinates that f32 cannot compute from the rows as they are, are computed once.
        let z = if scaling.is_far() { Some(scaling.apply(x)?) } else { None };
        let (rows, of_rows) = match &z {
            Some(z) => (Batch::new(Matrix::from_f32(z, x.features())?, targets)?, scaling.identity()?),
            None => (batch, scaling.clone()),
        };
        let objective = Objective::new(self.exec, rows, classes, of_rows)?;
        let hessian = Hessian::new(&objective)?;
        work(Problem { batch, classes, scaling, is_far: z.is_some(), objective, hessian, started })
    }

    /// Checks the settings.
    pub(super) fn check(&self) -> Result<()> {
        let at_least_0 = [("l2", self.l2), ("tolerance", self.tolerance), ("loss tolerance", self.loss_tolerance)];
        for (name, found) in at_least_0 {
            if !(found.is_finite() && found >= 0.0) {
                return Err(Error::Setting { name, found, expected: "a finite number of at least 0" });
            }
        }
        for (name, found) in [("max passes", self.max_passes), ("memory", self.memory)] {
            if found == 0 {
                return Err(Error::Setting { name, found: 0.0, expected: "at least 1" });
            }
        }
        Ok(())
    }
}
