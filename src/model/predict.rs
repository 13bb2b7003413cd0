//! Predicting: logits, probabilities and classes of many rows. What they are worth is `metrics`' business.

use super::SoftmaxRegression;
use super::metrics::argmax;
use crate::error::{Error, Result, expect};
use crate::kernel::{self, Form};
use crate::matrix::Matrix;
use crate::memory;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Range;

/// Elements of the buffers in which predictions go through many rows, 4 MB: large enough for many threads.
const PIECE: usize = 1 << 20;

/// A class and how probable it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ClassProbability {
    /// The class, from 0.
    pub class: u32,
    /// Its probability, 0 to 1.
    pub probability: f32,
}

impl ClassProbability {
    /// A class, of a row whose probabilities are given.
    pub(super) fn new(class: u32, proba: &[f32]) -> Self {
        Self { class, probability: proba[class as usize] }
    }
}

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
    /// As [`predict_into`](Self::predict_into), for `x`.
    pub fn predict(&self, x: Matrix<'_>) -> Result<Vec<u32>> {
        let mut classes = memory::filled("predicted classes", x.rows(), 0)?;
        self.predict_into(x, &mut classes)?;
        Ok(classes)
    }

    /// Writes the most probable class of each row of `x [n, features]` into `classes [n]`; ties go to the lowest. Takes up to
    /// 4 MB for logits meanwhile; for rows that come one by one see [`predictor`](Self::predictor).
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` does not fit the model or `classes` the rows, [`Error::NonFinite`] for a row with a logit
    /// that is infinite or NaN, as rows with such features have, [`Error::Memory`]. A part of
    /// `classes` may be written by then.
    pub fn predict_into(&self, x: Matrix<'_>, classes: &mut [u32]) -> Result<()> {
        expect("predicted classes", classes.len(), x.rows())?;
        self.for_each_row(x, |row, logits| {
            check_logits(row, logits)?;
            classes[row] = argmax(logits);
            Ok(())
        })
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
    /// As [`top_k_into`](Self::top_k_into), for `x` and `k`.
    pub fn top_k(&self, x: Matrix<'_>, k: usize) -> Result<Vec<u32>> {
        check_k(k, self.classes())?;
        let mut top = memory::filled("classes", x.rows().saturating_mul(k), 0)?;
        self.top_k_into(x, k, &mut top)?;
        Ok(top)
    }

    /// Writes the `k` most probable classes of each row of `x [n, features]` into `top [n, k]`, best first; ties go to the
    /// lowest. Takes memory as [`predict_into`](Self::predict_into).
    ///
    /// # Errors
    /// [`Error::Size`] where `k` is 0 or more than the classes, [`Error::Shape`] where `x` does not fit the model or `top`
    /// the rows, and as [`predict_into`](Self::predict_into).
    pub fn top_k_into(&self, x: Matrix<'_>, k: usize, top: &mut [u32]) -> Result<()> {
        check_k(k, self.classes())?;
        expect("classes", top.len(), x.rows().saturating_mul(k))?;
        let mut order: Vec<u32> = memory::filled("classes", self.classes(), 0)?;
        self.for_each_row(x, |row, logits| {
            check_logits(row, logits)?;
            top[row * k..][..k].copy_from_slice(rank(logits, k, &mut order));
            Ok(())
        })
    }

    /// The `k` most probable classes of each row with their probabilities, `[n, k]`, best first; ties go to the lowest.
    ///
    /// # Errors
    /// As [`top_k`](Self::top_k).
    pub fn top_k_proba(&self, x: Matrix<'_>, k: usize) -> Result<Vec<ClassProbability>> {
        check_k(k, self.classes())?;
        let none = ClassProbability { class: 0, probability: 0.0 };
        let mut top = memory::filled("classes", x.rows().saturating_mul(k), none)?;
        self.top_k_proba_into(x, k, &mut top)?;
        Ok(top)
    }

    /// Writes the `k` most probable classes of each row of `x [n, features]` with their probabilities into `top [n, k]`, best
    /// first; ties go to the lowest. Takes memory as [`predict_into`](Self::predict_into).
    ///
    /// # Errors
    /// As [`top_k_into`](Self::top_k_into).
    pub fn top_k_proba_into(&self, x: Matrix<'_>, k: usize, top: &mut [ClassProbability]) -> Result<()> {
        check_k(k, self.classes())?;
        expect("classes", top.len(), x.rows().saturating_mul(k))?;
        let mut order: Vec<u32> = memory::filled("classes", self.classes(), 0)?;
        self.for_each_piece(x, |rows, logits| {
            let top = &mut top[rows.start * k..rows.end * k];
            for ((row, logits), top) in rows.zip(logits.chunks_exact(self.classes())).zip(top.chunks_exact_mut(k)) {
                check_logits(row, logits)?;
                let ranked = rank(logits, k, &mut order);
                top.iter_mut().zip(ranked).for_each(|(top, &class)| top.class = class);
            }
            kernel::softmax(self.exec, logits, self.classes())?;
            for (proba, top) in logits.chunks_exact(self.classes()).zip(top.chunks_exact_mut(k)) {
                top.iter_mut().for_each(|top| *top = ClassProbability::new(top.class, proba));
            }
            Ok(())
        })
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
    // Without an early end the loop runs on vectors.
    if logits.iter().fold(true, |all, logit| all & logit.is_finite()) {
        return Ok(());
    }
    let column = logits.iter().take_while(|logit| logit.is_finite()).count();
    Err(Error::NonFinite { what: "logits", row, column, value: logits[column] })
}

/// Checks how many of the best classes are asked for.
pub(super) const fn check_k(k: usize, classes: usize) -> Result<()> {
    if k > 0 && k <= classes {
        return Ok(());
    }
    Err(Error::Size { what: "k", found: k, expected: "1 to the number of classes" })
}

/// The most classes that are ranked as they come: most logits are below all of them, and cost a comparison. For more, the
/// insertions take longer than a selection.
const FEW: usize = 16;

/// The classes of a row's `k` largest logits, best first; ties go to the lowest. Logits tell classes apart whose
/// probabilities are the same number. `order [classes]` is scratch.
pub(super) fn rank<'o>(logits: &[f32], k: usize, order: &'o mut [u32]) -> &'o [u32] {
    if k <= FEW {
        rank_few(logits, &mut order[..k]);
    } else {
        let best_first = |&a: &u32, &b: &u32| {
            let (x, y) = (logits[a as usize], logits[b as usize]);
            y.partial_cmp(&x).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        };
        order.iter_mut().zip(0..).for_each(|(place, class)| *place = class);
        order.select_nth_unstable_by(k - 1, best_first);
        order[..k].sort_unstable_by(best_first);
    }
    &order[..k]
}

/// The same for as many classes as `best` has room for, at least one.
fn rank_few(logits: &[f32], best: &mut [u32]) {
    let mut ranked = 0;
    for (class, &logit) in logits.iter().enumerate() {
        // Its equals came before, and stay before.
        let is_better = |&other: &u32| logit > logits[other as usize];
        if ranked == best.len() {
            if !is_better(&best[ranked - 1]) {
                continue;
            }
        } else {
            ranked += 1;
        }
        let mut place = ranked - 1;
        while place > 0 && is_better(&best[place - 1]) {
            best[place] = best[place - 1];
            place -= 1;
        }
        best[place] = class as u32;
    }
}
