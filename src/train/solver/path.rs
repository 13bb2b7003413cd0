//! A path over strengths of the penalty, and the best of them on other rows. A fit is `lbfgs.rs`'s.

use super::lbfgs::Lbfgs;
use super::report::{Fit, Pass};
use crate::error::{Error, Result};
use crate::matrix::Batch;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// Strengths in a row that score worse than the best so far, after which weaker ones are not tried.
const PATIENCE: usize = 2;

/// What is best on the validation rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Scoring {
    /// The least log loss.
    #[default]
    LogLoss,
    /// The highest accuracy; of equals the least log loss.
    Accuracy,
}

/// The fits of a path, strongest penalty first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Path {
    /// At least one.
    pub points: Vec<PathPoint>,
    /// Which of them is best.
    pub best: usize,
}

/// One strength of a path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PathPoint {
    /// The strength of the penalty.
    pub l2: f64,
    /// The fit to the training rows.
    pub fit: Fit,
    /// The validation rows' mean loss, in nats.
    pub log_loss: f64,
    /// The share of the validation rows that got their own class.
    pub accuracy: f64,
}

impl Path {
    /// The best point.
    #[must_use]
    pub fn best(&self) -> &PathPoint {
        &self.points[self.best]
    }
}

impl Lbfgs {
    /// Fits a model for each strength of the penalty, the strongest first and each from the last one's weights, and scores
    /// it on the validation rows. Ends after two in a row that score worse than the best before them. What the rows' fits
    /// have in common is computed once.
    ///
    /// ```
    /// use softreg::{Dataset, Lbfgs, Scoring};
    ///
    /// let x = vec![0.1, 5.0, 0.4, 7.0, 0.9, 6.0, 0.8, 4.0, 0.2, 6.0, 0.7, 5.0];
    /// let data = Dataset::from_f32(x, vec![0, 0, 1, 1, 0, 1], 2, 2)?;
    /// let (train, validation) = data.split_at(4)?;
    /// let path = Lbfgs::default().path(&[1.0, 0.1, 0.01], &train, &validation, Scoring::LogLoss)?;
    /// let fit = Lbfgs::default().l2(path.best().l2).fit_from(&path.best().fit.model, &data)?;
    /// # assert!(fit.report.stopped.converged());
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Size`] where there are no strengths or no validation rows, and as [`fit`](Self::fit) and
    /// [`evaluate`](crate::SoftmaxRegression::evaluate).
    pub fn path<'a>(
        &self,
        l2: &[f64],
        train: impl Into<Batch<'a>>,
        validation: impl Into<Batch<'a>>,
        scoring: Scoring,
    ) -> Result<Path> {
        self.path_with(l2, train, validation, scoring, |_, _| ControlFlow::Continue(()))
    }

    /// As [`path`](Self::path), and tells each strength and pass to `watch`, which may end that strength's fit.
    ///
    /// # Errors
    /// As [`path`](Self::path).
    pub fn path_with<'a>(
        &self,
        l2: &[f64],
        train: impl Into<Batch<'a>>,
        validation: impl Into<Batch<'a>>,
        scoring: Scoring,
        mut watch: impl FnMut(f64, &Pass) -> ControlFlow<()>,
    ) -> Result<Path> {
        let validation = validation.into();
        for (what, found) in [("strengths", l2.len()), ("validation rows", validation.x.rows())] {
            if found == 0 {
                return Err(Error::Size { what, found, expected: "at least 1" });
            }
        }
        let mut strengths = l2.to_vec();
        strengths.sort_unstable_by(|a, b| b.total_cmp(a));
        // Of a strength that is none, before any is fitted.
        strengths.iter().try_for_each(|&l2| self.clone().l2(l2).check())?;
        self.prepare(None, train.into(), |mut problem| {
            let mut path = Path { points: Vec::new(), best: 0 };
            for l2 in strengths {
                let model = path.points.last().map(|point: &PathPoint| &point.fit.model);
                let fit = problem.solve(&self.clone().l2(l2), model, &mut |pass| watch(l2, pass))?;
                let evaluation = fit.model.evaluate(validation)?;
                let (log_loss, accuracy) = (evaluation.log_loss, evaluation.accuracy());
                path.points.push(PathPoint { l2, fit, log_loss, accuracy });
                let (best, last) = (path.best(), path.points.len() - 1);
                let better = match scoring {
                    Scoring::LogLoss => log_loss < best.log_loss,
                    Scoring::Accuracy => (accuracy, -log_loss) > (best.accuracy, -best.log_loss),
                };
                if better {
                    path.best = last;
                } else if last - path.best >= PATIENCE {
                    break;
                }
            }
            Ok(path)
        })
    }
}
