//! L-BFGS: its settings and its loop. The vectors' arithmetic is in the files beside it.

use super::history::{Pairs, dot};
use super::line_search::{LineSearch, Point, Verdict};
use super::objective::{Objective, Scaling, Value};
use super::preconditioner::{Hessian, Preconditioner};
use super::report::{Fit, Pass, Report, Stop};
use crate::error::{Error, Result};
use crate::exec::{Exec, Level};
use crate::kernel::moments::moments;
use crate::matrix::{Batch, Matrix};
use crate::memory;
use crate::model::SoftmaxRegression;
use alloc::vec::Vec;
use core::mem;
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
/// instead of converging is said by its [`Report`], and is no error. The result is the same to the last bit at any number
/// of threads.
///
/// Memory, beside the rows: `2 * memory + 6` vectors of 8 bytes a parameter, the preconditioner's `12 * features^2` bytes
/// and its sample's `4 * features` a row, and the sweep's gradients.
#[derive(Clone, Debug)]
#[doc(alias = "LogisticRegression")]
pub struct Lbfgs {
    l2: f64,
    standardize: bool,
    tolerance: f64,
    loss_tolerance: f64,
    max_passes: usize,
    max_time: Option<Duration>,
    memory: usize,
    exec: Exec,
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
        let moments = moments(self.exec, batch, classes)?;
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

/// What all fits of a batch share.
pub(super) struct Problem<'a> {
    batch: Batch<'a>,
    classes: usize,
    scaling: Scaling,
    /// Whether the objective sees other rows than the batch's.
    is_far: bool,
    objective: Objective<'a>,
    hessian: Hessian,
    /// When the next fit started.
    started: Instant,
}

impl Problem<'_> {
    /// Fits a model from another's weights or from zeros.
    pub(super) fn solve(
        &mut self,
        settings: &Lbfgs,
        model: Option<&SoftmaxRegression>,
        watch: &mut dyn FnMut(&Pass) -> ControlFlow<()>,
    ) -> Result<Fit> {
        let started = mem::replace(&mut self.started, Instant::now());
        let penalty = self.scaling.penalty(settings.l2, settings.standardize)?;
        let preconditioner = self.hessian.preconditioner(&penalty)?;
        self.objective.set_penalty(penalty);
        let v = match model {
            Some(model) => self.scaling.vector(model)?,
            None => {
                let features = self.batch.x.features();
                memory::filled("solver", (features + 1).saturating_mul(self.classes), 0.0)?
            }
        };
        let (v, report) = Solve::new(settings, &mut self.objective, preconditioner, v, started)?.run(watch)?;
        self.started = Instant::now();
        let Exec { level, threads } = settings.exec;
        let model = self.scaling.model(&v, self.classes)?.with_level(level).with_threads(threads);
        let loss_as_rounded = if self.is_far { model.log_loss(self.batch)? } else { report.loss };
        Ok(Fit { model, report: Report { loss_as_rounded, ..report } })
    }
}

/// A fit under way. The vectors are `[features + 1, classes]`.
struct Solve<'a, 's> {
    settings: &'s Lbfgs,
    objective: &'s mut Objective<'a>,
    preconditioner: Preconditioner,
    started: Instant,
    /// Of the preconditioner.
    scale: f64,
    pairs: Pairs,
    v: Vec<f64>,
    gradient: Vec<f64>,
    direction: Vec<f64>,
    trial: Vec<f64>,
    trial_gradient: Vec<f64>,
    scratch: Vec<f64>,
    history: Vec<Pass>,
}

impl<'a, 's> Solve<'a, 's> {
    fn new(
        settings: &'s Lbfgs,
        objective: &'s mut Objective<'a>,
        preconditioner: Preconditioner,
        v: Vec<f64>,
        started: Instant,
    ) -> Result<Self> {
        let vector = || memory::filled("solver", v.len(), 0.0);
        Ok(Self {
            settings,
            objective,
            preconditioner,
            started,
            scale: 1.0,
            pairs: Pairs::new(settings.memory),
            gradient: vector()?,
            direction: vector()?,
            trial: vector()?,
            trial_gradient: vector()?,
            scratch: vector()?,
            v,
            history: Vec::new(),
        })
    }

    fn run(mut self, watch: &mut dyn FnMut(&Pass) -> ControlFlow<()>) -> Result<(Vec<f64>, Report)> {
        self.trial.copy_from_slice(&self.v);
        let (mut value, mut stopped) = self.pass(watch)?;
        if !value.objective.is_finite() {
            return Err(Error::NonFiniteLoss { loss: value.objective });
        }
        mem::swap(&mut self.gradient, &mut self.trial_gradient);
        let first_norm = self.norm();
        let mut objectives = Vec::from([value.objective]);
        let stopped = loop {
            if self.norm() <= self.settings.tolerance * first_norm {
                break Stop::Gradient;
            }
            if let [.., before, _, _, _, _, last] = objectives[..]
                && before - last <= self.settings.loss_tolerance * last
            {
                break Stop::Loss;
            }
            if let Some(stopped) = stopped {
                break stopped;
            }
            let slope = self.direct()?;
            let (next, limit) = match self.search(value, slope, watch)? {
                Some(found) => found,
                None => break Stop::Precision,
            };
            self.pairs.push([&self.v, &self.trial], [&self.gradient, &self.trial_gradient]);
            mem::swap(&mut self.v, &mut self.trial);
            mem::swap(&mut self.gradient, &mut self.trial_gradient);
            (value, stopped) = (next, limit);
            objectives.push(value.objective);
        };
        let report = Report {
            stopped,
            passes: self.history.len(),
            iterations: objectives.len() - 1,
            loss: value.loss,
            loss_as_rounded: value.loss,
            objective: value.objective,
            gradient_norm: self.norm(),
            seconds: self.started.elapsed().as_secs_f64(),
            history: self.history,
        };
        Ok((self.v, report))
    }

    fn norm(&self) -> f64 {
        dot(&self.gradient, &self.gradient).sqrt()
    }

    /// Makes a direction of descent, and returns the slope along it.
    fn direct(&mut self) -> Result<f64> {
        let Self { preconditioner, settings, scale, pairs, gradient, direction, scratch, .. } = self;
        // The newest pair tells how far the curvature is from the preconditioner's, which is that at weights of zero. Half
        // of its logarithm is taken over: all of it takes 106 passes for 98 to within 1e-5 on MNIST.
        if let Some((y, curvature)) = pairs.newest() {
            preconditioner.apply(settings.exec, y, scratch)?;
            *scale = (*scale * curvature / dot(y, scratch)).sqrt();
        }
        pairs.direction(gradient, direction, scratch, |from, to| {
            preconditioner.apply(settings.exec, from, to)?;
            to.iter_mut().for_each(|to| *to *= *scale);
            Ok(())
        })?;
        let slope = dot(gradient, direction);
        if slope < 0.0 && slope.is_finite() {
            return Ok(slope);
        }
        // Rounding has made the pairs contradict each other.
        pairs.clear();
        *scale = 1.0;
        direction.iter_mut().zip(&*gradient).for_each(|(d, g)| *d = -g);
        Ok(-dot(gradient, gradient))
    }

    /// A sweep over the rows at the trial vector. Says which limit it has met.
    fn pass(&mut self, watch: &mut dyn FnMut(&Pass) -> ControlFlow<()>) -> Result<(Value, Option<Stop>)> {
        let value = self.objective.evaluate(&self.trial, &mut self.trial_gradient)?;
        let gradient_norm = dot(&self.trial_gradient, &self.trial_gradient).sqrt();
        let elapsed = self.started.elapsed();
        let Value { loss, objective } = value;
        let pass =
            Pass { pass: self.history.len() + 1, loss, objective, gradient_norm, seconds: elapsed.as_secs_f64() };
        self.history.push(pass);
        let stopped = if watch(&pass).is_break() {
            Some(Stop::Caller)
        } else if self.settings.max_time.is_some_and(|most| elapsed >= most) {
            Some(Stop::Time)
        } else if self.history.len() >= self.settings.max_passes {
            Some(Stop::Passes)
        } else {
            None
        };
        Ok((value, stopped))
    }

    /// Searches along the direction, and leaves what it takes in the trial vector and its gradient.
    fn search(
        &mut self,
        from: Value,
        slope: f64,
        watch: &mut dyn FnMut(&Pass) -> ControlFlow<()>,
    ) -> Result<Option<(Value, Option<Stop>)>> {
        let mut search = LineSearch::new(from.objective, slope);
        let mut step = 1.0;
        loop {
            for ((trial, v), d) in self.trial.iter_mut().zip(&self.v).zip(&self.direction) {
                *trial = v + step * d;
            }
            let (value, stopped) = self.pass(watch)?;
            let slope = dot(&self.trial_gradient, &self.direction);
            let verdict = search.judge(Point { step, value: value.objective, slope });
            match (verdict, stopped) {
                (Verdict::Accept, stopped) => return Ok(Some((value, stopped))),
                (_, Some(stopped)) if value.objective < from.objective => return Ok(Some((value, Some(stopped)))),
                (_, Some(stopped)) => {
                    self.trial.copy_from_slice(&self.v);
                    self.trial_gradient.copy_from_slice(&self.gradient);
                    return Ok(Some((from, Some(stopped))));
                }
                (Verdict::Try(next), None) => step = next,
                (Verdict::GiveUp, None) => return Ok(None),
            }
        }
    }
}
