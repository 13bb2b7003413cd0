//! Borrowed views of the data: feature rows, their targets, and the two as a batch; whole, or with rows
//! picked by index. Shapes are checked here, once. Nothing is copied and nothing is computed.

use crate::blocks::{Block, BlocksView, WORD};
use crate::error::{Error, Result};
use crate::order::FeatureOrder;
use crate::simd::Simd;
use alloc::sync::Arc;

/// A dense matrix `[rows, features]` in row-major order, borrowed; of f32, or of u8 pixels that the
/// kernels widen in registers.
///
/// ```
/// use softreg::Matrix;
///
/// let pixels = [0, 255, 51, 102];
/// let x = Matrix::from_u8(&pixels, 2)?; // two rows, values 0.0 to 1.0
/// let last_first = x.select(&[1, 0])?; // nothing is copied
/// assert_eq!((last_first.rows(), last_first.features()), (2, 2));
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: Values<'a>,
    scale: f32,
    features: usize,
    pick: Pick<'a>,
}

/// The element types that a matrix may have, each with the index of its blocks that are not zero, where there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    F32(&'a [f32], Option<BlocksView<'a, f32>>),
    U8(&'a [u8], Option<BlocksView<'a, u8>>),
}

/// Which rows, in which order.
#[derive(Clone, Copy, Debug)]
enum Pick<'a> {
    Whole { rows: usize },
    Rows(&'a [usize]),
}

impl<'a> Pick<'a> {
    const fn len(self) -> usize {
        match self {
            Self::Whole { rows } => rows,
            Self::Rows(rows) => rows.len(),
        }
    }

    #[inline(always)]
    fn get(self, position: usize) -> usize {
        match self {
            Self::Whole { .. } => position,
            Self::Rows(rows) => rows[position],
        }
    }

    /// Replaces a whole pick by rows, each of which must exist.
    fn select(self, rows: &'a [usize]) -> Result<Self> {
        let Self::Whole { rows: available } = self else {
            return Err(Error::Size {
                what: "selections on one view",
                found: 2,
                expected: "1: select from the whole matrix",
            });
        };
        match rows.iter().position(|&row| row >= available) {
            Some(position) => Err(Error::RowIndex { position, index: rows[position], rows: available }),
            None => Ok(Self::Rows(rows)),
        }
    }
}

impl<'a> Matrix<'a> {
    /// Views f32 values as `[values.len() / features, features]`.
    ///
    /// # Errors
    /// [`Error::Size`] where `features` is 0, [`Error::Shape`] where the length is not a whole number of
    /// rows.
    pub fn from_f32(values: &'a [f32], features: usize) -> Result<Self> {
        check_rows("matrix values", values.len(), "features", features)?;
        Ok(Self::whole(Values::F32(values, None), features))
    }

    /// Views pixels as `[values.len() / features, features]`; a pixel reads as `pixel / 255`.
    ///
    /// # Errors
    /// As [`Matrix::from_f32`].
    pub fn from_u8(values: &'a [u8], features: usize) -> Result<Self> {
        check_rows("matrix values", values.len(), "features", features)?;
        Ok(Self::whole(Values::U8(values, None), features))
    }

    /// As the public constructors, by a caller that made sure of the shape.
    pub(crate) const fn whole(values: Values<'a>, features: usize) -> Self {
        let (len, scale) = match values {
            Values::F32(values, _) => (values.len(), 1.0),
            Values::U8(values, _) => (values.len(), 1.0 / 255.0),
        };
        Self { values, scale, features, pick: Pick::Whole { rows: len / features } }
    }

    /// As [`select`](Self::select) on a whole matrix, by a caller that made sure of the indices.
    pub(crate) const fn picked(self, rows: &'a [usize]) -> Self {
        Self { pick: Pick::Rows(rows), ..self }
    }

    /// The same values, each read as `value * scale`. The scale is applied to sums, not to values: it
    /// costs nothing per value.
    #[must_use]
    pub const fn with_scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// The rows at these indices, in this order, repeats allowed. Nothing is copied.
    ///
    /// # Errors
    /// [`Error::RowIndex`] for an index that is not below [`rows`](Self::rows); [`Error::Size`] where
    /// the rows of this view were selected before.
    pub fn select(self, rows: &'a [usize]) -> Result<Self> {
        Ok(Self { pick: self.pick.select(rows)?, ..self })
    }

    /// The number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.pick.len()
    }

    /// The number of features: the length of a row.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.features
    }

    pub(crate) const fn values(&self) -> Values<'a> {
        self.values
    }

    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// The order of the features in the index, where there is one.
    pub(crate) const fn order(&self) -> Option<&'a Arc<FeatureOrder>> {
        match &self.values {
            Values::F32(_, Some(blocks)) => Some(blocks.order()),
            Values::U8(_, Some(blocks)) => Some(blocks.order()),
            _ => None,
        }
    }

    /// This view's rows over its values, whose type the caller has seen, with or without their index.
    pub(crate) const fn rows_of<T>(&self, values: &'a [T], blocks: Option<BlocksView<'a, T>>) -> Rows<'a, T> {
        let Self { features, pick, .. } = *self;
        Rows { values, features, pick, blocks, start: 0, end: pick.len() }
    }
}

/// Checks that values are whole rows of `width`.
fn check_rows(what: &'static str, len: usize, dimension: &'static str, width: usize) -> Result<()> {
    if width == 0 {
        return Err(Error::Size { what: dimension, found: 0, expected: "at least 1" });
    }
    match len % width {
        0 => Ok(()),
        rest => Err(Error::Shape { what, found: len, expected: len - rest }),
    }
}

/// A range of a matrix's rows with the element type known: what the kernels read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, T> {
    values: &'a [T],
    features: usize,
    pick: Pick<'a>,
    blocks: Option<BlocksView<'a, T>>,
    start: usize,
    end: usize,
}

impl<'a, T: Copy> Rows<'a, T> {
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    pub(crate) const fn features(&self) -> usize {
        self.features
    }

    /// The row at this position of the range.
    #[inline(always)]
    pub(crate) fn row(&self, position: usize) -> &'a [T] {
        let start = self.pick.get(self.start + position) * self.features;
        &self.values[start..start + self.features]
    }

    /// The same rows in their index, where there is one.
    #[inline(always)]
    pub(crate) fn indexed(&self) -> Option<IndexedRows<'a, T>> {
        let Self { pick, blocks, start, end, .. } = *self;
        blocks.map(|blocks| IndexedRows { blocks, pick, start, end })
    }

    /// Whether the rows are picked, and do not follow each other in memory.
    #[inline(always)]
    pub(crate) const fn are_picked(&self) -> bool {
        matches!(self.pick, Pick::Rows(_))
    }

    /// The row at this position if the range has one.
    #[inline(always)]
    pub(crate) fn get(&self, position: usize) -> Option<&'a [T]> {
        if position < self.len() { Some(self.row(position)) } else { None }
    }

    /// The rows before and from `position`.
    pub(crate) const fn split_at(self, position: usize) -> (Self, Self) {
        let middle = self.start + position;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }
}

/// A range of a matrix's rows as their index has them: the blocks that are not all zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedRows<'a, T> {
    blocks: BlocksView<'a, T>,
    pick: Pick<'a>,
    start: usize,
    end: usize,
}

impl<'a, T: Copy> IndexedRows<'a, T> {
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// The bits of the row at this position of the range, one a panel.
    #[inline(always)]
    pub(crate) fn bits(&self, position: usize) -> &'a [u64] {
        self.blocks.bits(self.pick.get(self.start + position))
    }

    /// The blocks of the row at this position of the range, one for each bit that is set.
    #[inline(always)]
    pub(crate) fn blocks(&self, position: usize) -> &'a [Block<T>] {
        self.blocks.blocks(self.pick.get(self.start + position))
    }

    /// Those from a panel on.
    #[inline(always)]
    pub(crate) fn blocks_from(&self, position: usize, panel: usize) -> &'a [Block<T>] {
        let bits = self.bits(position);
        let (words, bit) = (panel / WORD, panel % WORD);
        let mut before = (bits[words] & ((1 << bit) - 1)).count_ones();
        for word in &bits[..words] {
            before += word.count_ones();
        }
        &self.blocks(position)[before as usize..]
    }

    /// Asks for what says which and where the blocks of the row at this position are.
    #[inline(always)]
    pub(crate) fn ask_for_head<S: Simd>(&self, simd: S, position: usize) {
        self.blocks.ask_for_head(simd, self.pick.get(self.start + position));
    }
}

/// What a batch's rows should be classified as, borrowed: a label a row, or a probability for each
/// class.
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

    /// A probability for each class, `[values.len() / classes, classes]` in row-major order: one-hot or
    /// soft labels. A row that sums to `s` counts as a row of weight `s`.
    ///
    /// # Errors
    /// [`Error::Size`] where `classes` is 0, [`Error::Shape`] where the length is not a whole number of
    /// rows.
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

    /// As [`select`](Self::select) on whole targets, by a caller that made sure of the indices.
    pub(crate) const fn picked(self, rows: &'a [usize]) -> Self {
        Self { pick: Pick::Rows(rows), start: 0, end: rows.len(), ..self }
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

    /// Checks that every target is one of `classes`.
    pub(crate) fn check(&self, classes: usize) -> Result<()> {
        if let TargetKind::Probabilities { classes: found, .. } = self.kind {
            return match found == classes {
                true => Ok(()),
                false => Err(Error::Shape { what: "classes of the targets", found, expected: classes }),
            };
        }
        for row in 0..self.rows() {
            match self.get(row) {
                Target::Label(label) if label as usize >= classes => {
                    return Err(Error::Label { row, label, classes });
                }
                _ => {}
            }
        }
        Ok(())
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
    /// Puts rows and targets together.
    ///
    /// # Errors
    /// [`Error::Shape`] where their numbers of rows differ.
    pub const fn new(x: Matrix<'a>, targets: Targets<'a>) -> Result<Self> {
        if x.rows() != targets.rows() {
            return Err(Error::Shape { what: "targets", found: targets.rows(), expected: x.rows() });
        }
        Ok(Self { x, targets })
    }
}
