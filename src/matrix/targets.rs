//! What rows should be classified as, and batches of rows with their targets. See `kernel/softmax.rs` for
//! losses.

use super::rows::Pick;
use super::{Matrix, check_rows};
use crate::error::{Error, Result, expect};
use core::ops::Range;

/// What a batch's rows should be classified as, borrowed: a label a row, or a probability for each class.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    kind: TargetKind<'a>,
    pick: Pick<'a>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug)]
enum TargetKind<'a> {
    U8(&'a [u8]),
    U32(&'a [u32]),
    Probabilities { values: &'a [f32], classes: usize },
}

/// One row's target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target<'a> {
    Label(u32),
    Probabilities(&'a [f32]),
}

impl Target<'_> {
    /// What the row counts as in sums and means: 1, or the sum of its probabilities.
    pub(crate) fn weight(self) -> f64 {
        match self {
            Self::Label(_) => 1.0,
            Self::Probabilities(t) => t.iter().copied().map(f64::from).sum(),
        }
    }
}

impl<'a> Targets<'a> {
    /// Class labels, one a row.
    #[must_use]
    pub const fn from_u8(labels: &'a [u8]) -> Self {
        Self::new(TargetKind::U8(labels), labels.len())
    }

    /// Class labels, one a row.
    #[must_use]
    pub const fn from_u32(labels: &'a [u32]) -> Self {
        Self::new(TargetKind::U32(labels), labels.len())
    }

    /// A probability for each class, `[values.len() / classes, classes]` in row-major order: one-hot or soft labels,
    /// finite and at least 0. A row that sums to `s` counts as a row of weight `s`, in sums and in means; one that sums
    /// to 0 is ignored.
    ///
    /// # Errors
    /// [`Error::Size`] where `classes` is 0, [`Error::PartialRow`] where the length is not a whole number of rows. The
    /// values are checked where they are used: [`Error::Target`].
    pub fn from_probabilities(values: &'a [f32], classes: usize) -> Result<Self> {
        check_rows("target probabilities", values.len(), "classes", classes)?;
        Ok(Self::new(TargetKind::Probabilities { values, classes }, values.len() / classes))
    }

    const fn new(kind: TargetKind<'a>, rows: usize) -> Self {
        Self { kind, pick: Pick::Whole { rows }, start: 0, end: rows }
    }

    /// The targets at these indices, in this order, repeats allowed. Nothing is copied.
    ///
    /// # Errors
    /// As [`Matrix::select`].
    pub fn select(self, rows: &'a [usize]) -> Result<Self> {
        Ok(Self { pick: self.pick.select(rows)?, start: 0, end: rows.len(), ..self })
    }

    /// As [`select`](Self::select) on whole targets; the caller guarantees the indices.
    pub(crate) const fn picked(self, rows: &'a [usize]) -> Self {
        Self { pick: Pick::Rows { order: rows, rows: rows.len() }, start: 0, end: rows.len(), ..self }
    }

    /// The number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.end - self.start
    }

    /// The target at this position.
    #[inline(always)]
    pub(crate) fn get(&self, position: usize) -> Target<'a> {
        let row = self.pick.get(self.start + position);
        match self.kind {
            TargetKind::U8(labels) => Target::Label(u32::from(labels[row])),
            TargetKind::U32(labels) => Target::Label(labels[row]),
            TargetKind::Probabilities { values, classes } => {
                Target::Probabilities(&values[row * classes..(row + 1) * classes])
            }
        }
    }

    /// The targets before and from `position`.
    pub(crate) const fn split_at(self, position: usize) -> (Self, Self) {
        let middle = self.start + position;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }

    /// The targets in a range of positions.
    pub(crate) const fn part(self, rows: Range<usize>) -> Self {
        Self { start: self.start + rows.start, end: self.start + rows.end, ..self }
    }

    /// Checks every target against the number of classes, and returns the sum of the rows' weights.
    pub(crate) fn check(&self, classes: usize) -> Result<f64> {
        if let TargetKind::Probabilities { classes: found, .. } = self.kind {
            expect("classes of the targets", found, classes)?;
        }
        let mut soft_weight = 0.0;
        for row in 0..self.rows() {
            match self.get(row) {
                Target::Label(label) if label as usize >= classes => return Err(Error::Label { row, label, classes }),
                Target::Label(_) => {}
                Target::Probabilities(t) => {
                    check_probabilities(row, t)?;
                    soft_weight += self.get(row).weight();
                }
            }
        }
        match self.kind {
            TargetKind::Probabilities { .. } => Ok(soft_weight),
            TargetKind::U8(_) | TargetKind::U32(_) => Ok(self.rows() as f64),
        }
    }
}

fn check_probabilities(row: usize, t: &[f32]) -> Result<()> {
    let valid = |t: f32| (0.0..f32::INFINITY).contains(&t);
    // Without an early end the loop runs on vectors.
    if t.iter().fold(true, |all, &t| all & valid(t)) {
        return Ok(());
    }
    let class = t.iter().take_while(|&&t| valid(t)).count();
    Err(Error::Target { row, class, value: t[class] })
}

/// Class labels, one a row.
impl<'a> From<&'a [u8]> for Targets<'a> {
    fn from(labels: &'a [u8]) -> Self {
        Self::from_u8(labels)
    }
}

/// Class labels, one a row.
impl<'a> From<&'a [u32]> for Targets<'a> {
    fn from(labels: &'a [u32]) -> Self {
        Self::from_u32(labels)
    }
}

/// Rows with their targets: what a step trains on.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The features, `[n, features]`.
    pub x: Matrix<'a>,
    /// The targets, `n` of them.
    pub targets: Targets<'a>,
}

impl<'a> Batch<'a> {
    /// Puts rows and targets together: `Targets`, or a slice of u8 or u32 labels.
    ///
    /// # Errors
    /// [`Error::Shape`] where their numbers of rows differ.
    pub fn new(x: Matrix<'a>, targets: impl Into<Targets<'a>>) -> Result<Self> {
        let targets = targets.into();
        expect("targets", targets.rows(), x.rows())?;
        Ok(Self { x, targets })
    }
}
