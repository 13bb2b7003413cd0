//! Borrowed views of the data: feature rows, their targets, and the two as a batch; whole, or with rows picked by index.
//! Shapes are checked here, once. Nothing is copied and nothing is computed.

mod block_sparse;
#[cfg(feature = "ndarray")]
mod from_ndarray;
mod permutation;
mod rows;
mod targets;

pub(crate) use block_sparse::{Block, BlockSparse, BlockSparseView, WORD};
pub(crate) use permutation::Permutation;
use rows::Pick;
pub(crate) use rows::{AnyRows, BlockSparseRows, Rows};
pub(crate) use targets::Target;
pub use targets::{Batch, Targets};

use crate::error::{Error, Result};
use crate::simd::Element;
use alloc::sync::Arc;
use core::ops::Range;

/// A dense matrix `[rows, features]` in row-major order, borrowed; of f32, or of u8 pixels that the kernels widen in
/// registers. Rows may lie a stride apart.
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
    /// From the start of a row to that of the next, in elements; at least the features.
    stride: usize,
    pick: Pick<'a>,
    largest: Option<f32>,
}

/// The element types that a matrix may have; and the same matrices with their block-sparse form beside the dense one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
    BlockSparseF32(&'a [f32], BlockSparseView<'a, f32>),
    BlockSparseU8(&'a [u8], BlockSparseView<'a, u8>),
}

impl Values<'_> {
    /// How many there are, in the dense form.
    const fn len(&self) -> usize {
        match self {
            Self::F32(values) | Self::BlockSparseF32(values, _) => values.len(),
            Self::U8(values) | Self::BlockSparseU8(values, _) => values.len(),
        }
    }

    /// The dense rows' values in a range, as far as there are any: nothing need follow the last row.
    fn dense(self, cells: Range<usize>) -> Self {
        let within = |len: usize| cells.start.min(len)..cells.end.min(len);
        match self {
            Self::F32(values) | Self::BlockSparseF32(values, _) => Self::F32(&values[within(values.len())]),
            Self::U8(values) | Self::BlockSparseU8(values, _) => Self::U8(&values[within(values.len())]),
        }
    }
}

/// The order in which a product goes through the features: that of the weights it is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FeatureOrder {
    /// As the rows have them.
    Natural,
    /// As the block-sparse form has them.
    Permuted,
}

/// Work on rows, whatever type their values have.
pub(crate) trait OnRows<'a> {
    /// Does the work.
    fn run<T: Element>(self, x: AnyRows<'a, T>);
}

impl<'a> Matrix<'a> {
    /// Views f32 values as `[values.len() / features, features]`.
    ///
    /// # Errors
    /// [`Error::Size`] where `features` is 0, [`Error::PartialRow`] where the length is not a whole number of rows.
    pub fn from_f32(values: &'a [f32], features: usize) -> Result<Self> {
        check_rows("matrix values", values.len(), "features", features)?;
        Ok(Self::whole(Values::F32(values), features))
    }

    /// Views pixels as `[values.len() / features, features]`; a pixel reads as `pixel / 255`.
    ///
    /// # Errors
    /// As [`Matrix::from_f32`].
    pub fn from_u8(values: &'a [u8], features: usize) -> Result<Self> {
        Self::from_u8_scaled(values, features, PIXEL_SCALE)
    }

    /// Views bytes as `[values.len() / features, features]`; a byte reads as `byte * scale`.
    ///
    /// ```
    /// use softreg::Matrix;
    ///
    /// let counts = Matrix::from_u8_scaled(&[3, 0, 7, 1], 2, 1.0)?; // values 0.0 to 255.0
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Matrix::from_f32`].
    pub fn from_u8_scaled(values: &'a [u8], features: usize, scale: f32) -> Result<Self> {
        check_rows("matrix values", values.len(), "features", features)?;
        Ok(Self { scale, ..Self::whole(Values::U8(values), features) })
    }

    /// Views f32 values as `[n, features]`, whose row `i` is `values[i * stride..][..features]`: as many rows as there are.
    /// What lies between them is not read, and the last needs nothing after it.
    ///
    /// ```
    /// use softreg::Matrix;
    ///
    /// let table = [1.0, 0.1, 0.2, 0.0, 0.3, 0.4]; // two lines: a label and two features
    /// let x = Matrix::from_f32_strided(&table[1..], 2, 3)?;
    /// assert_eq!((x.rows(), x.features()), (2, 2));
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Size`] where `features` is 0 or `stride` is less than `features`, [`Error::Shape`] where the last row is cut
    /// short.
    pub fn from_f32_strided(values: &'a [f32], features: usize, stride: usize) -> Result<Self> {
        let rows = strided_rows(values.len(), features, stride)?;
        Ok(Self { stride, pick: Pick::Whole { rows }, ..Self::whole(Values::F32(values), features) })
    }

    /// As [`from_f32_strided`](Self::from_f32_strided), of pixels; a pixel reads as `pixel / 255`, and with
    /// [`with_scale(255.0)`](Self::with_scale) as its byte.
    ///
    /// # Errors
    /// As [`from_f32_strided`](Self::from_f32_strided).
    pub fn from_u8_strided(values: &'a [u8], features: usize, stride: usize) -> Result<Self> {
        let rows = strided_rows(values.len(), features, stride)?;
        Ok(Self { stride, pick: Pick::Whole { rows }, ..Self::whole(Values::U8(values), features) })
    }

    /// As the public constructors; the caller guarantees the shape.
    pub(crate) const fn whole(values: Values<'a>, features: usize) -> Self {
        Self::of_rows(values.len() / features, values, features)
    }

    /// One row, of as many features as there are values.
    pub(crate) const fn row(values: Values<'a>) -> Self {
        Self::of_rows(1, values, values.len())
    }

    const fn of_rows(rows: usize, values: Values<'a>, features: usize) -> Self {
        let (scale, largest) = match values {
            Values::F32(_) | Values::BlockSparseF32(..) => (1.0, None),
            Values::U8(_) | Values::BlockSparseU8(..) => (PIXEL_SCALE, Some(u8::MAX as f32)),
        };
        Self { values, scale, features, stride: features, pick: Pick::Whole { rows }, largest }
    }

    /// The same matrix, none of whose values, as they are stored, is larger in magnitude; the caller guarantees it.
    pub(crate) const fn with_largest(self, largest: f32) -> Self {
        Self { largest: Some(largest), ..self }
    }

    /// As [`select`](Self::select) on a whole matrix, of the first `rows` of `order`. Those after them are read next, and
    /// prefetched meanwhile. The caller guarantees the indices.
    pub(crate) const fn picked(self, order: &'a [usize], rows: usize) -> Self {
        Self { pick: Pick::Rows { order, rows }, ..self }
    }

    /// The same matrix multiplied by `scale`: pixel 255 of [`from_u8`](Self::from_u8) reads `scale`. The scale is applied
    /// to sums, not to values: it costs nothing per value.
    #[must_use]
    pub const fn with_scale(self, scale: f32) -> Self {
        Self { scale: self.scale * scale, ..self }
    }

    /// The rows at these indices, in this order, repeats allowed. Nothing is copied.
    ///
    /// # Errors
    /// [`Error::RowIndex`] for an index that is not below [`rows`](Self::rows); [`Error::Size`] where the rows of this
    /// view were selected before.
    pub fn select(self, rows: &'a [usize]) -> Result<Self> {
        Ok(Self { pick: self.pick.select(rows)?, ..self })
    }

    /// Some of the features of the same rows. Nothing is copied.
    ///
    /// ```
    /// use softreg::Matrix;
    ///
    /// let table = [1.0, 0.1, 0.2, 0.0, 0.3, 0.4]; // two lines: a label and two features
    /// let x = Matrix::from_f32(&table, 3)?.columns(1..3)?;
    /// assert_eq!((x.rows(), x.features()), (2, 2));
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Size`] where the range is empty or ends after the last feature.
    pub fn columns(self, features: Range<usize>) -> Result<Self> {
        if features.is_empty() {
            return Err(Error::Size { what: "features", found: 0, expected: "at least 1" });
        }
        if features.end > self.features {
            let expected = "at most the number of features";
            return Err(Error::Size { what: "end of the columns", found: features.end, expected });
        }
        Ok(Self { values: self.values.dense(features.start..usize::MAX), features: features.len(), ..self })
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

    /// The bytes of a dense row.
    pub(crate) const fn row_bytes(&self) -> usize {
        match self.values {
            Values::F32(_) | Values::BlockSparseF32(..) => self.features * size_of::<f32>(),
            Values::U8(_) | Values::BlockSparseU8(..) => self.features,
        }
    }

    /// Some of this view's rows, without the block-sparse form.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        match self.pick {
            Pick::Rows { order, .. } => self.picked(&order[rows.start..], rows.len()),
            Pick::Whole { .. } => {
                let values = self.values.dense(rows.start * self.stride..rows.end * self.stride);
                Self { values, pick: Pick::Whole { rows: rows.len() }, ..*self }
            }
        }
    }

    /// The first value that is not finite, of a matrix that has one.
    pub(crate) fn first_not_finite(&self) -> Option<Error> {
        let mut found = None;
        self.on_rows(FeatureOrder::Natural, FirstNotFinite(&mut found));
        found
    }

    /// What the stored values are multiplied by.
    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// A bound of the magnitudes of the stored values, where one is known.
    pub(crate) const fn largest(&self) -> Option<f32> {
        self.largest
    }

    /// The permutation of the block-sparse form, where there is one.
    pub(crate) const fn permutation(&self) -> Option<&'a Arc<Permutation>> {
        match &self.values {
            Values::BlockSparseF32(_, blocks) => Some(blocks.permutation()),
            Values::BlockSparseU8(_, blocks) => Some(blocks.permutation()),
            Values::F32(_) | Values::U8(_) => None,
        }
    }

    /// Does work on this view's rows, with their features in `order`; without a block-sparse form they have only the
    /// natural one.
    pub(crate) fn on_rows(&self, order: FeatureOrder, work: impl OnRows<'a>) {
        let Self { features, stride, pick, .. } = *self;
        match (self.values, order) {
            (Values::BlockSparseF32(_, blocks), FeatureOrder::Permuted) => {
                work.run(AnyRows::BlockSparse(BlockSparseRows::new(blocks, features, pick)));
            }
            (Values::BlockSparseU8(_, blocks), FeatureOrder::Permuted) => {
                work.run(AnyRows::BlockSparse(BlockSparseRows::new(blocks, features, pick)));
            }
            (Values::F32(values) | Values::BlockSparseF32(values, _), _) => {
                work.run(AnyRows::Dense(Rows::new(values, features, stride, pick)));
            }
            (Values::U8(values) | Values::BlockSparseU8(values, _), _) => {
                work.run(AnyRows::Dense(Rows::new(values, features, stride, pick)));
            }
        }
    }
}

/// Looks for a value that is not finite.
struct FirstNotFinite<'f>(&'f mut Option<Error>);

impl<'a> OnRows<'a> for FirstNotFinite<'_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let AnyRows::Dense(x) = x else { return };
        *self.0 = (0..x.len()).find_map(|row| {
            let values = || x.row(row).iter().map(|&value| value.into());
            let (column, value) = values().enumerate().find(|(_, value): &(usize, f32)| !value.is_finite())?;
            Some(Error::NonFinite { what: "features", row, column, value })
        });
    }
}

/// What a pixel is multiplied by.
const PIXEL_SCALE: f32 = 1.0 / 255.0;

/// Checks that values are whole rows of `width`.
fn check_rows(what: &'static str, found: usize, dimension: &'static str, width: usize) -> Result<()> {
    match found.checked_rem(width) {
        None => Err(Error::Size { what: dimension, found: 0, expected: "at least 1" }),
        Some(0) => Ok(()),
        Some(_) => Err(Error::PartialRow { what, found, width }),
    }
}

/// Checks that values are rows of `features`, `stride` apart, and returns how many.
fn strided_rows(found: usize, features: usize, stride: usize) -> Result<usize> {
    if features == 0 {
        return Err(Error::Size { what: "features", found: 0, expected: "at least 1" });
    }
    if stride < features {
        return Err(Error::Size { what: "stride", found: stride, expected: "at least the number of features" });
    }
    match found % stride {
        0 => Ok(found / stride),
        last if last >= features => Ok(found / stride + 1),
        last => Err(Error::Shape { what: "the last row", found: last, expected: features }),
    }
}
