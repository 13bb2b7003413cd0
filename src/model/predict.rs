//! Predicting: logits, probabilities and classes of many rows. What they are worth is `metrics`' business.

use super::SoftmaxRegression;
use super::metrics::argmax;
use crate::error::{Error, Result};
use crate::kernel::{self, Form};
use crate::matrix::Matrix;
use crate::memory;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

/// Elements of the buffers in which predictions go through many rows, 4 MB: large enough for many threads.
const PIECE: usize = 1 << 20;

impl SoftmaxRegression {
    /// Writes the logits of rows `x [n, features]` into `logits [n, classes]`. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` or `logits` does not fit the model.
    pub fn logits_into(&self, x: Matrix<'_>, logits: &mut [f32]) -> Result<()> {
        kernel::forward(self.exec, x, &self.parameters, logits)
    }

    /// Writes the probabilities of rows `x [n, features]` into `proba [n, classes]`. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` or `proba` does not fit the model.
    pub fn predict_proba_into(&self, x: Matrix<'_>, proba: &mut [f32]) -> Result<()> {
        kernel::forward_softmax(self.exec, x, &self.parameters, Form::Probabilities, proba)
    }

    /// Writes the logarithms of the probabilities of rows `x [n, features]` into `log_proba [n, classes]`: see
    /// [`predict_log_proba`](Self::predict_log_proba). Allocates nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` or `log_proba` does not fit the model.
    pub fn predict_log_proba_into(&self, x: Matrix<'_>, log_proba: &mut [f32]) -> Result<()> {
        kernel::forward_softmax(self.exec, x, &self.parameters, Form::LogProbabilities, log_proba)
    }

    /// The most probable class of each row, `[n]`; ties go to the lowest.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model, [`Error::NonFinite`] for a row with a logit that is infinite or
    /// NaN, as rows with such features have, [`Error::Memory`].
    pub fn predict(&self, x: Matrix<'_>) -> Result<Vec<u32>> {
        let mut classes = memory::with_capacity("predicted classes", x.rows())?;
        self.for_each_row(x, |row, logits| {
            check_logits(row, logits)?;
            classes.push(argmax(logits));
            Ok(())
        })?;
        Ok(classes)
    }

    /// The probabilities, `[n, classes]`. A row whose logits are not finite has NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model, [`Error::Memory`].
    pub fn predict_proba(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut proba = memory::filled("probabilities", x.rows().saturating_mul(self.classes()), 0.0)?;
        self.predict_proba_into(x, &mut proba)?;
        Ok(proba)
    }

    /// The logarithms of the probabilities, `[n, classes]`: finite where the probability itself would round to 0, unless
    /// logits of a row lie further apart than `f32::MAX`.
    ///
    /// # Errors
    /// As [`predict_proba`](Self::predict_proba).
    #[doc(alias = "log_softmax")]
    pub fn predict_log_proba(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut log_proba = memory::filled("probabilities", x.rows().saturating_mul(self.classes()), 0.0)?;
        self.predict_log_proba_into(x, &mut log_proba)?;
        Ok(log_proba)
    }

    /// The `k` most probable classes of each row, `[n, k]`, best first; ties go to the lowest.
    ///
    /// # Errors
    /// [`Error::Size`] where `k` is 0 or more than the classes, and as [`predict`](Self::predict).
    pub fn top_k(&self, x: Matrix<'_>, k: usize) -> Result<Vec<u32>> {
        if k == 0 || k > self.classes() {
            return Err(Error::Size { what: "k", found: k, expected: "1 to the number of classes" });
        }
        let mut top = memory::with_capacity("classes", x.rows().saturating_mul(k))?;
        let mut order: Vec<u32> = memory::with_capacity("classes", self.classes())?;
        self.for_each_row(x, |row, logits| {
            check_logits(row, logits)?;
            let best_first = |&a: &u32, &b: &u32| {
                let (x, y) = (logits[a as usize], logits[b as usize]);
                y.partial_cmp(&x).unwrap_or(Ordering::Equal).then(a.cmp(&b))
            };
            order.clear();
            order.extend(0..logits.len() as u32);
            order.select_nth_unstable_by(k - 1, best_first);
            order[..k].sort_unstable_by(best_first);
            top.extend_from_slice(&order[..k]);
            Ok(())
        })?;
        Ok(top)
    }

    /// Goes through the logits of all rows, a row at a time.
    pub(super) fn for_each_row(&self, x: Matrix<'_>, mut each: impl FnMut(usize, &[f32]) -> Result<()>) -> Result<()> {
        self.for_each_piece(x, |rows, logits| {
            rows.zip(logits.chunks_exact(self.classes())).try_for_each(|(row, logits)| each(row, logits))
        })
    }

    /// Goes through the logits of all rows, some at a time, so that memory is bounded.
    pub(super) fn for_each_piece(
        &self,
        x: Matrix<'_>,
        mut each: impl FnMut(Range<usize>, &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        // A row takes its logits, and a loss of two elements.
        let most = (PIECE / (self.classes().saturating_add(2))).clamp(1, x.rows().max(1));
        let mut logits = memory::filled("logits", most.saturating_mul(self.classes()), 0.0)?;
        for start in (0..x.rows().max(1)).step_by(most) {
            let rows = start..x.rows().min(start + most);
            let logits = &mut logits[..rows.len() * self.classes()];
            self.logits_into(x.part(rows.clone()), logits)?;
            each(rows, logits)?;
        }
        Ok(())
    }
}

/// Checks that a row's logits are finite.
pub(super) fn check_logits(row: usize, logits: &[f32]) -> Result<()> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        Some(column) => Err(Error::NonFinite { what: "logits", row, column, value: logits[column] }),
        None => Ok(()),
    }
}
