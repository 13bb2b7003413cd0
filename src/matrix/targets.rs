//! What rows should be classified as, and batches of rows with their targets. See `kernel/softmax.rs` for
//! losses.

use super::rows::Pick;
use super::{Matrix, check_rows};
use crate::error::{Error, Result, expect};
use crate::memory;
use alloc::vec::Vec;
use core::ops::Range;

/// What a batch's rows should be classified as, borrowed: a label a row, or a probability for each class.
///
/// A row's target is `t[c]`: 1 for its label and 0 for the others, or its probabilities. Label smoothing by `e` makes
/// it `(1 - e) * t[c] + e / classes * sum of t`; then it is multiplied by the row's weight and by the class's. The row's
/// loss is `-sum over c of t[c] * ln p[c]`, and it counts as a row of weight `sum of t` without the smoothing, in sums and
/// in means: a label's row by its own weight times its class's, as in PyTorch's `CrossEntropyLoss`. All of them go together:
///
/// ```
/// use softreg::Targets;
///
/// let labels = [0u8, 2, 1, 9];
/// let targets = Targets::from_u8(&labels)
///     .with_row_weights(&[1.0, 0.5, 1.0, 1.0])?
///     .with_class_weights(&[1.0, 1.0, 4.0])
///     .with_label_smoothing(0.1)?
///     .with_ignored_label(9);
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    kind: TargetKind<'a>,
    weighting: Option<Weighting<'a>>,
    /// How many classes the labels are of, where that is known.
    classes: Option<usize>,
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

/// What targets are multiplied by and mixed with.
#[derive(Clone, Copy, Debug, Default)]
struct Weighting<'a> {
    /// One for each row of the whole targets.
    rows: Option<&'a [f32]>,
    classes: Option<&'a [f32]>,
    smoothing: f32,
    ignored: Option<u32>,
}

/// One row's target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target<'a> {
    /// `t[label]` is the weight, all others are 0.
    Label { label: u32, weight: f64 },
    /// Any of them may be more than 0.
    Shares(Shares<'a>),
}

/// A row's target in several classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shares<'a> {
    base: Base<'a>,
    /// What the base is multiplied by, and what is added to it, before the class's weight.
    factor: f64,
    offset: f64,
    class_weights: Option<&'a [f32]>,
    /// The sum of the base, each by its class's weight, times the row's.
    weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Base<'a> {
    Label(u32),
    Probabilities(&'a [f32]),
}

impl Target<'_> {
    /// What the row counts as in sums and means: the sum of its targets without smoothing.
    pub(crate) fn weight(self) -> f64 {
        match self {
            Self::Label { weight, .. } | Self::Shares(Shares { weight, .. }) => weight,
        }
    }

    /// The sum of its targets.
    pub(crate) fn sum(self, classes: usize) -> f64 {
        match self {
            Self::Label { weight, .. } => weight,
            Self::Shares(shares) => (0..classes).map(|class| shares.of(class)).sum(),
        }
    }

    /// The row's own class: its label, or its most probable class, the lowest of several.
    pub(crate) fn class(self) -> u32 {
        match self {
            Self::Label { label, .. } | Self::Shares(Shares { base: Base::Label(label), .. }) => label,
            Self::Shares(Shares { base: Base::Probabilities(t), .. }) => {
                let best = |best: usize, class: usize| if t[class] > t[best] { class } else { best };
                (0..t.len()).fold(0, best) as u32
            }
        }
    }
}

impl Shares<'_> {
    /// The target of a class.
    #[inline(always)]
    pub(crate) fn of(&self, class: usize) -> f64 {
        let t = match self.base {
            Base::Label(label) => f64::from(u8::from(label as usize == class)),
            Base::Probabilities(t) => f64::from(t[class]),
        };
        let weight = self.class_weights.map_or(1.0, |weights| f64::from(weights[class]));
        (t * self.factor + self.offset) * weight
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
        let targets = Self::new(TargetKind::Probabilities { values, classes }, values.len() / classes);
        Ok(targets.with_classes(classes))
    }

    const fn new(kind: TargetKind<'a>, rows: usize) -> Self {
        Self { kind, weighting: None, classes: None, pick: Pick::Whole { rows }, start: 0, end: rows }
    }

    /// The same targets, known to be of so many classes: a class may be without rows. Those of a
    /// [`Dataset`](crate::Dataset) and those from probabilities are known to be.
    #[must_use]
    pub const fn with_classes(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    /// How many classes these are targets of: what is known of them, or one more than the largest label that is not
    /// ignored; 0 where there is none.
    #[must_use]
    pub fn classes(&self) -> usize {
        let ignored = self.weighting.and_then(|weighting| weighting.ignored);
        let labels = |row| match self.kind {
            TargetKind::U8(labels) => u32::from(labels[row]),
            TargetKind::U32(labels) => labels[row],
            TargetKind::Probabilities { .. } => 0,
        };
        let largest = || {
            let labels = (0..self.rows()).map(|position| labels(self.pick.get(self.start + position)));
            labels.filter(|&label| ignored != Some(label)).max()
        };
        self.classes.unwrap_or_else(|| largest().map_or(0, |label| label as usize + 1))
    }

    /// The same targets, each row multiplied by its weight, finite and at least 0: weight 2 is the row twice, and a row of
    /// weight 0 is ignored. scikit-learn's `sample_weight`. The values are checked where they are used:
    /// [`Error::Weight`].
    ///
    /// # Errors
    /// [`Error::Shape`] where there is not one for each row, [`Error::Size`] where rows were selected before.
    #[doc(alias = "sample_weight")]
    pub fn with_row_weights(self, weights: &'a [f32]) -> Result<Self> {
        let whole = self.pick.whole()?;
        expect("row weights", weights.len(), whole)?;
        Ok(self.weighted(Weighting { rows: Some(weights), ..self.weighting.unwrap_or_default() }))
    }

    /// The same targets, those of each class multiplied by its weight, finite and at least 0. Values and number are checked
    /// where they are used: [`Error::Weight`], [`Error::Shape`]. See [`balanced_class_weights`](Self::balanced_class_weights).
    #[must_use]
    #[doc(alias = "class_weight")]
    pub fn with_class_weights(self, weights: &'a [f32]) -> Self {
        self.weighted(Weighting { classes: Some(weights), ..self.weighting.unwrap_or_default() })
    }

    /// The same targets, a share of each spread over all classes alike.
    ///
    /// # Errors
    /// [`Error::Setting`] where the share is not from 0 to 1.
    pub fn with_label_smoothing(self, smoothing: f32) -> Result<Self> {
        if !(0.0..=1.0).contains(&smoothing) {
            let found = f64::from(smoothing);
            return Err(Error::Setting { name: "label smoothing", found, expected: "a number from 0 to 1" });
        }
        Ok(self.weighted(Weighting { smoothing, ..self.weighting.unwrap_or_default() }))
    }

    /// The same targets, without the rows of this label, which need not be one of a class.
    #[must_use]
    #[doc(alias = "ignore_index")]
    pub fn with_ignored_label(self, label: u32) -> Self {
        self.weighted(Weighting { ignored: Some(label), ..self.weighting.unwrap_or_default() })
    }

    const fn weighted(self, weighting: Weighting<'a>) -> Self {
        Self { weighting: Some(weighting), ..self }
    }

    /// The class weights that make all classes count alike, `[classes]`: `weight / (classes * weight of the class)`,
    /// where a row counts by its weight. scikit-learn's `balanced`. A class without rows gets 0, and leaves the others as
    /// they are without it.
    ///
    /// # Errors
    /// [`Error::Label`], [`Error::Target`] or [`Error::Weight`] for a target that does not fit, [`Error::NoWeight`] where
    /// no row has a weight, [`Error::Memory`].
    pub fn balanced_class_weights(&self, classes: usize) -> Result<Vec<f32>> {
        let total = self.check(classes)?;
        if total == 0.0 {
            return Err(Error::NoWeight { rows: self.rows() });
        }
        let mut sums = memory::filled("class weights", classes, 0.0)?;
        for row in 0..self.rows() {
            match self.get(row, classes) {
                Target::Label { label, weight } => sums[label as usize % classes] += weight,
                Target::Shares(shares) => {
                    sums.iter_mut().enumerate().for_each(|(class, sum)| *sum += shares.of(class));
                }
            }
        }
        let present = sums.iter().filter(|&&sum: &&f64| sum > 0.0).count() as f64;
        let weight = |&sum: &f64| if sum > 0.0 { (total / (present * sum)) as f32 } else { 0.0 };
        Ok(sums.iter().map(weight).collect())
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

    /// The target at this position, of so many classes.
    #[inline(always)]
    pub(crate) fn get(&self, position: usize, classes: usize) -> Target<'a> {
        let row = self.pick.get(self.start + position);
        let base = match self.kind {
            TargetKind::U8(labels) => Base::Label(u32::from(labels[row])),
            TargetKind::U32(labels) => Base::Label(labels[row]),
            TargetKind::Probabilities { values, classes } => {
                Base::Probabilities(&values[row * classes..(row + 1) * classes])
            }
        };
        match (base, self.weighting) {
            (Base::Label(label), None) => Target::Label { label, weight: 1.0 },
            (base, weighting) => weighting.unwrap_or_default().target(row, base, classes),
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

    /// Whether they are labels of u8.
    pub(crate) const fn are_u8(&self) -> bool {
        matches!(self.kind, TargetKind::U8(_))
    }

    /// Whether no row's targets sum to more than its weight.
    pub(crate) fn sum_to_their_weights(&self) -> bool {
        self.weighting.is_none_or(|weighting| weighting.smoothing == 0.0 || weighting.classes.is_none())
    }

    /// Checks every target against the number of classes, and returns the sum of the rows' weights.
    pub(crate) fn check(&self, classes: usize) -> Result<f64> {
        if let TargetKind::Probabilities { classes: found, .. } = self.kind {
            expect("classes of the targets", found, classes)?;
        }
        let plain = self.weighting.is_none() && !matches!(self.kind, TargetKind::Probabilities { .. });
        let weighting = self.weighting.unwrap_or_default();
        weighting.check_classes(classes)?;
        let mut sum = 0.0;
        for position in 0..self.rows() {
            let row = self.pick.get(self.start + position);
            match self.kind {
                TargetKind::U8(labels) => weighting.check_label(position, u32::from(labels[row]), classes)?,
                TargetKind::U32(labels) => weighting.check_label(position, labels[row], classes)?,
                TargetKind::Probabilities { values, .. } => {
                    check_probabilities(position, &values[row * classes..(row + 1) * classes])?;
                }
            }
            if let Some(value) = weighting.rows.map(|weights| weights[row]).filter(|&value| !is_weight(value)) {
                return Err(Error::Weight { of: "row", index: position, value });
            }
            if !plain {
                sum += self.get(position, classes).weight();
            }
        }
        Ok(if plain { self.rows() as f64 } else { sum })
    }
}

impl<'a> Weighting<'a> {
    /// A row's target.
    fn target(self, row: usize, base: Base<'a>, classes: usize) -> Target<'a> {
        let row_weight = self.rows.map_or(1.0, |weights| f64::from(weights[row]));
        let sum = match base {
            Base::Label(label) if self.ignored == Some(label) => return Target::Label { label: 0, weight: 0.0 },
            Base::Label(label) if self.smoothing == 0.0 => {
                let class_weight = self.classes.map_or(1.0, |weights| f64::from(weights[label as usize]));
                return Target::Label { label, weight: row_weight * class_weight };
            }
            Base::Label(_) => 1.0,
            Base::Probabilities(t) => t.iter().copied().map(f64::from).sum(),
        };
        let class_weight = |class: usize| self.classes.map_or(1.0, |weights| f64::from(weights[class]));
        let weight = match base {
            Base::Label(label) => row_weight * class_weight(label as usize),
            Base::Probabilities(t) => {
                let terms = t.iter().enumerate().map(|(class, &t)| f64::from(t) * class_weight(class));
                row_weight * terms.sum::<f64>()
            }
        };
        let smoothing = f64::from(self.smoothing);
        let (factor, offset) = (row_weight * (1.0 - smoothing), row_weight * smoothing * sum / classes as f64);
        Target::Shares(Shares { base, factor, offset, class_weights: self.classes, weight })
    }

    fn check_classes(self, classes: usize) -> Result<()> {
        let Some(weights) = self.classes else { return Ok(()) };
        expect("class weights", weights.len(), classes)?;
        match weights.iter().position(|&value| !is_weight(value)) {
            Some(index) => Err(Error::Weight { of: "class", index, value: weights[index] }),
            None => Ok(()),
        }
    }

    #[inline(always)]
    fn check_label(self, row: usize, label: u32, classes: usize) -> Result<()> {
        if (label as usize) < classes || self.ignored == Some(label) {
            return Ok(());
        }
        Err(Error::Label { row, label, classes })
    }
}

/// Whether a number may be a weight or a target: finite and at least 0.
#[inline(always)]
fn is_weight(value: f32) -> bool {
    (0.0..f32::INFINITY).contains(&value)
}

fn check_probabilities(row: usize, t: &[f32]) -> Result<()> {
    // Without an early end the loop runs on vectors.
    if t.iter().fold(true, |all, &t| all & is_weight(t)) {
        return Ok(());
    }
    let class = t.iter().take_while(|&&t| is_weight(t)).count();
    Err(Error::Target { row, class, value: t[class] })
}

/// Class labels, one a row.
/// Labels in a vector or an array.
macro_rules! from_labels {
    ($($element:ident)+) => {$(
        impl<'a> From<&'a Vec<$element>> for Targets<'a> {
            fn from(labels: &'a Vec<$element>) -> Self {
                labels.as_slice().into()
            }
        }

        impl<'a, const N: usize> From<&'a [$element; N]> for Targets<'a> {
            fn from(labels: &'a [$element; N]) -> Self {
                labels.as_slice().into()
            }
        }
    )+};
}
from_labels!(u8 u32);

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
