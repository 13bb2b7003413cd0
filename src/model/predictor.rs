//! Predicting one row at a time, without an allocation. Rows by the many are `predict`'s business.

use super::SoftmaxRegression;
use super::metrics::argmax;
use super::predict::{ClassProbability, check_k, check_logits, rank};
use super::row::Row;
use crate::error::{Result, expect};
use crate::exec::Exec;
use crate::kernel;
use crate::matrix::Matrix;
use alloc::vec;
use alloc::vec::Vec;

/// What a model says of single rows, for a hot loop: it holds the buffers, and no call allocates. Everything is the same to
/// the last bit as from the model's own methods on the row.
///
/// A row is anything that is a [`Row`]. A model can be shared by threads, each of which has a predictor of its own:
///
/// ```
/// use softreg::SoftmaxRegression;
///
/// let model = SoftmaxRegression::from_row_major(&[1.0, -1.0, -1.0, 1.0], &[0.0, 0.0], 2, 2)?;
/// let mut predictor = model.predictor();
/// let row = vec![3.0, 1.0];
/// assert_eq!(predictor.class(&row)?, 0);
/// assert!(predictor.probabilities(&row)?[0] > 0.98);
///
/// std::thread::scope(|threads| {
///     for _ in 0..2 {
///         threads.spawn(|| {
///             let mut predictor = model.predictor();
///             assert_eq!(predictor.class(&[255, 0]).unwrap(), 0); // pixels
///         });
///     }
/// });
/// # Ok::<(), softreg::Error>(())
/// ```
///
/// # Errors
/// Of every method: [`Error::Shape`](crate::Error::Shape) where the row does not have the model's features, or a matrix
/// not one row; [`Error::NonFinite`](crate::Error::NonFinite) for a row with a logit that is infinite or NaN, as rows with
/// such features have. The next row is none the worse for it.
#[derive(Clone, Debug)]
pub struct Predictor<'m> {
    model: &'m SoftmaxRegression,
    /// The row's logits, and what becomes of them, `[classes]`.
    logits: Vec<f32>,
    /// Classes that are ranked, `[classes]`.
    order: Vec<u32>,
    /// The best of them, with room for all.
    top: Vec<ClassProbability>,
}

impl SoftmaxRegression {
    /// A predictor of single rows, with the buffers of one: 16 bytes a class.
    #[must_use]
    pub fn predictor(&self) -> Predictor<'_> {
        let classes = self.classes();
        Predictor { model: self, logits: vec![0.0; classes], order: vec![0; classes], top: Vec::with_capacity(classes) }
    }
}

impl Predictor<'_> {
    /// The most probable class; ties go to the lowest. As [`SoftmaxRegression::predict`].
    ///
    /// # Errors
    /// See [`Predictor`].
    pub fn class(&mut self, row: &(impl Row + ?Sized)) -> Result<u32> {
        self.forward(row.view())?;
        Ok(argmax(&self.logits))
    }

    /// The logits, `[classes]`, all finite. As [`SoftmaxRegression::logits_into`].
    ///
    /// # Errors
    /// See [`Predictor`].
    pub fn logits(&mut self, row: &(impl Row + ?Sized)) -> Result<&[f32]> {
        self.forward(row.view())?;
        Ok(&self.logits)
    }

    /// The probabilities, `[classes]`. As [`SoftmaxRegression::predict_proba`].
    ///
    /// # Errors
    /// See [`Predictor`].
    pub fn probabilities(&mut self, row: &(impl Row + ?Sized)) -> Result<&[f32]> {
        self.forward(row.view())?;
        self.softmax()
    }

    /// The logarithms of the probabilities, `[classes]`. As [`SoftmaxRegression::predict_log_proba`].
    ///
    /// # Errors
    /// See [`Predictor`].
    #[doc(alias = "log_softmax")]
    pub fn log_probabilities(&mut self, row: &(impl Row + ?Sized)) -> Result<&[f32]> {
        self.forward(row.view())?;
        kernel::log_softmax(self.exec(), &mut self.logits, self.model.classes())?;
        Ok(&self.logits)
    }

    /// The `k` most probable classes with their probabilities, best first; ties go to the lowest. As
    /// [`SoftmaxRegression::top_k_proba`].
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) where `k` is 0 or more than the classes, and see [`Predictor`].
    pub fn top_k(&mut self, row: &(impl Row + ?Sized), k: usize) -> Result<&[ClassProbability]> {
        check_k(k, self.model.classes())?;
        self.forward(row.view())?;
        rank(&self.logits, k, &mut self.order);
        self.softmax()?;
        self.top.clear();
        self.top.extend(self.order[..k].iter().map(|&class| ClassProbability::new(class, &self.logits)));
        Ok(&self.top)
    }

    /// How far the most probable class is ahead: the difference of the two largest probabilities, 0 to 1. Of a model of one
    /// class it is 1.
    ///
    /// # Errors
    /// See [`Predictor`].
    pub fn margin(&mut self, row: &(impl Row + ?Sized)) -> Result<f32> {
        self.forward(row.view())?;
        let two = |(first, second): (f32, f32), &p: &f32| {
            if p > first { (p, first) } else { (first, if p > second { p } else { second }) }
        };
        let (first, second) = self.softmax()?.iter().fold((0.0, 0.0), two);
        Ok(first - second)
    }

    /// Leaves the row's logits, all finite.
    fn forward(&mut self, x: Matrix<'_>) -> Result<()> {
        expect("rows of x", x.rows(), 1)?;
        kernel::forward(self.exec(), x, self.model.parameters(), &mut self.logits)?;
        check_logits(0, &self.logits)
    }

    /// Makes probabilities of the logits.
    fn softmax(&mut self) -> Result<&[f32]> {
        kernel::softmax(self.exec(), &mut self.logits, self.model.classes())?;
        Ok(&self.logits)
    }

    /// One row is one thread's work.
    fn exec(&self) -> Exec {
        self.model.level().into()
    }
}
