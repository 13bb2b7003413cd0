//! Rows with their labels in memory, and splits that share storage. See `idx` and `mnist` for how bytes become
//! rows, `kernel` for what is computed on them.

use super::buffer::Buffer;
use crate::error::{Error, Result, expect};
use crate::exec::Exec;
use crate::kernel;
use crate::matrix::{Batch, BlockSparse, Matrix, Targets, Values};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Rows of features with one class label each: either pixels and labels of one byte, or `f32` values and `u32` labels.
///
/// A clone and both halves of a split share the storage with their origin; no row is ever copied.
#[derive(Clone)]
pub struct Dataset {
    storage: Arc<Storage>,
    features: usize,
    classes: usize,
    range: Range<usize>,
    /// Of all rows of the storage.
    block_sparse: Option<Arc<AnyBlockSparse>>,
}

/// Whole rows, row-major, as many as labels.
enum Storage {
    U8 {
        pixels: Buffer<u8>,
        labels: Buffer<u8>,
    },
    /// No value is larger in magnitude than `largest`; it is infinite where one is not finite.
    F32 {
        values: Buffer<f32>,
        labels: Vec<u32>,
        largest: f32,
    },
}

/// The block-sparse form of either type.
enum AnyBlockSparse {
    U8(BlockSparse<u8>),
    F32(BlockSparse<f32>),
}

impl Dataset {
    /// Takes pixels `[rows, features]`, row-major, and one label below `classes` for each row. Pixels are read as
    /// `pixel / 255`.
    ///
    /// # Errors
    ///
    /// - [`Error::Size`] if `features` or `classes` is 0, or if one-hot labels would not fit in memory.
    /// - [`Error::Shape`] if there are not `features` pixels for each label.
    /// - [`Error::Label`] if a label is not below `classes`.
    pub fn from_u8(pixels: Vec<u8>, labels: Vec<u8>, features: usize, classes: usize) -> Result<Self> {
        Self::from_buffers(pixels.into(), labels.into(), features, classes)
    }

    /// [`from_u8`](Self::from_u8) of bytes in any buffer.
    pub(crate) fn from_buffers(
        pixels: Buffer<u8>,
        labels: Buffer<u8>,
        features: usize,
        classes: usize,
    ) -> Result<Self> {
        check_shape("pixels", pixels.len(), labels.len(), features, classes)?;
        check_labels(labels.iter().map(|&label| u32::from(label)), classes)?;
        let range = 0..labels.len();
        Ok(Self { storage: Arc::new(Storage::U8 { pixels, labels }), features, classes, range, block_sparse: None })
    }

    /// Takes values `[rows, features]`, row-major, and one label below `classes` for each row.
    ///
    /// # Errors
    ///
    /// Those of [`from_u8`](Self::from_u8).
    pub fn from_f32(values: Vec<f32>, labels: Vec<u32>, features: usize, classes: usize) -> Result<Self> {
        Self::from_buffer(values.into(), labels, features, classes)
    }

    /// [`from_f32`](Self::from_f32) of values in any buffer, such as the readers of files fill.
    ///
    /// # Errors
    ///
    /// Those of [`from_u8`](Self::from_u8).
    pub fn from_buffer(values: Buffer<f32>, labels: Vec<u32>, features: usize, classes: usize) -> Result<Self> {
        check_shape("values", values.len(), labels.len(), features, classes)?;
        check_labels(labels.iter().copied(), classes)?;
        let range = 0..labels.len();
        let largest = kernel::largest(Exec::default(), &values);
        Ok(Self {
            storage: Arc::new(Storage::F32 { values, labels, largest }),
            features,
            classes,
            range,
            block_sparse: None,
        })
    }

    /// How many rows there are; may be 0.
    pub fn rows(&self) -> usize {
        self.range.len()
    }

    /// How many features each row has; at least 1.
    pub fn features(&self) -> usize {
        self.features
    }

    /// How many classes the labels tell apart; at least 1.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The rows as a matrix `[rows, features]`; pixels read as `pixel / 255`.
    pub fn x(&self) -> Matrix<'_> {
        let cells = self.range.start * self.features..self.range.end * self.features;
        let first = self.range.start;
        match (&*self.storage, self.block_sparse.as_deref()) {
            (Storage::U8 { pixels, .. }, Some(AnyBlockSparse::U8(blocks))) => {
                Matrix::whole(Values::BlockSparseU8(&pixels[cells], blocks.rows_from(first)), self.features)
            }
            (Storage::F32 { values, largest, .. }, Some(AnyBlockSparse::F32(blocks))) => {
                let values = Values::BlockSparseF32(&values[cells], blocks.rows_from(first));
                Matrix::whole(values, self.features).with_largest(*largest)
            }
            (Storage::U8 { pixels, .. }, _) => Matrix::whole(Values::U8(&pixels[cells]), self.features),
            (Storage::F32 { values, largest, .. }, _) => {
                Matrix::whole(Values::F32(&values[cells]), self.features).with_largest(*largest)
            }
        }
    }

    /// The same rows with their block-sparse form beside them, for a [`Trainer`](crate::Trainer) to skip the zeros. The
    /// form puts features together that are zero in the same rows, and holds a bitmap a row and its blocks of 16 that are
    /// not all zero. It takes a pass over the rows, some 0.5 us for one of MNIST's, and memory for a copy of those
    /// blocks.
    ///
    /// Where fewer than two fifths of the blocks are zero it would not pay, and where there is no memory for it it is
    /// done without: [`skips_zeros`](Self::skips_zeros) tells.
    ///
    /// The sums over features come in another order than without it, so that results may differ in their last bits.
    /// From 8 classes on blocks are skipped; with fewer, and with few features, all is read as ever.
    #[must_use]
    pub fn skip_zeros(self) -> Self {
        let block_sparse = match &*self.storage {
            Storage::U8 { pixels, .. } => BlockSparse::build(pixels, self.features).map(|b| b.map(AnyBlockSparse::U8)),
            Storage::F32 { values, .. } => {
                BlockSparse::build(values, self.features).map(|b| b.map(AnyBlockSparse::F32))
            }
        };
        Self { block_sparse: block_sparse.ok().flatten().map(Arc::new), ..self }
    }

    /// Whether there is a block-sparse form.
    pub fn skips_zeros(&self) -> bool {
        self.block_sparse.is_some()
    }

    /// A copy of the labels, `[rows]`.
    pub fn labels(&self) -> Vec<u32> {
        match &*self.storage {
            Storage::U8 { labels, .. } => labels[self.range.clone()].iter().map(|&label| label.into()).collect(),
            Storage::F32 { labels, .. } => labels[self.range.clone()].to_vec(),
        }
    }

    /// The labels as targets, one for each row.
    pub fn targets(&self) -> Targets<'_> {
        let targets = match &*self.storage {
            Storage::U8 { labels, .. } => Targets::from_u8(&labels[self.range.clone()]),
            Storage::F32 { labels, .. } => Targets::from_u32(&labels[self.range.clone()]),
        };
        targets.with_classes(self.classes)
    }

    /// All rows with their labels as one batch.
    pub fn as_batch(&self) -> Batch<'_> {
        Batch { x: self.x(), targets: self.targets() }
    }

    /// The first `rows` rows and the rest. Nothing is copied: both share this dataset's storage.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if there are fewer than `rows` rows.
    pub fn split_at(&self, rows: usize) -> Result<(Self, Self)> {
        if rows > self.rows() {
            return Err(Error::Size { what: "rows before the split", found: rows, expected: "at most all rows" });
        }
        let middle = self.range.start + rows;
        let first = Self { range: self.range.start..middle, ..self.clone() };
        let rest = Self { range: middle..self.range.end, ..self.clone() };
        Ok((first, rest))
    }

    /// A copy of the rows as `f32`, `[rows, features]`; pixels as the `f32` nearest to `pixel / 255`.
    pub fn to_f32(&self) -> Vec<f32> {
        let cells = self.range.start * self.features..self.range.end * self.features;
        match &*self.storage {
            Storage::U8 { pixels, .. } => pixels[cells].iter().map(|&pixel| f32::from(pixel) / 255.0).collect(),
            Storage::F32 { values, .. } => values[cells].to_vec(),
        }
    }

    /// The labels as `[rows, classes]`: 1 at each row's label, 0 elsewhere.
    pub fn one_hot(&self) -> Vec<f32> {
        let mut hot = vec![0.0; self.rows() * self.classes];
        let rows = hot.chunks_exact_mut(self.classes);
        match &*self.storage {
            Storage::U8 { labels, .. } => {
                rows.zip(&labels[self.range.clone()]).for_each(|(row, &label)| row[usize::from(label)] = 1.0);
            }
            Storage::F32 { labels, .. } => {
                rows.zip(&labels[self.range.clone()]).for_each(|(row, &label)| row[label as usize] = 1.0);
            }
        }
        hot
    }
}

impl<'a> From<&'a Dataset> for Batch<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        dataset.as_batch()
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match &*self.storage {
            Storage::U8 { .. } => "u8",
            Storage::F32 { .. } => "f32",
        };
        f.debug_struct("Dataset")
            .field("element", &element)
            .field("rows", &self.rows())
            .field("features", &self.features)
            .field("classes", &self.classes)
            .finish()
    }
}

fn check_shape(what: &'static str, found: usize, rows: usize, features: usize, classes: usize) -> Result<()> {
    if features == 0 {
        return Err(Error::Size { what: "features", found: 0, expected: "at least 1" });
    }
    if classes == 0 {
        return Err(Error::Size { what: "classes", found: 0, expected: "at least 1" });
    }
    let one_hot_bytes = rows.max(1).checked_mul(classes).and_then(|cells| cells.checked_mul(size_of::<f32>()));
    if one_hot_bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
        return Err(Error::Size {
            what: "classes",
            found: classes,
            expected: "few enough for one-hot labels in memory",
        });
    }
    // A product that overflows is not the length of anything.
    expect(what, found, rows.saturating_mul(features))
}

fn check_labels(labels: impl Iterator<Item = u32>, classes: usize) -> Result<()> {
    match labels.enumerate().find(|&(_, label)| label as usize >= classes) {
        Some((row, label)) => Err(Error::Label { row, label, classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_and_splits_share_their_storage() {
        let data = Dataset::from_u8(vec![1; 12], vec![0; 6], 2, 1).unwrap();
        let (first, rest) = data.clone().split_at(4).unwrap();
        assert!(Arc::ptr_eq(&data.storage, &first.storage) && Arc::ptr_eq(&data.storage, &rest.storage));
    }
}
