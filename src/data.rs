//! Rows with their labels in memory: datasets, splits that share storage, and the order in which batches pick rows.
//! How bytes become rows is `idx`'s and `mnist`'s business; what is computed on a batch is the kernels'.

use crate::blocks::Blocks;
use crate::error::{Error, Result};
use crate::matrix::{Batch, Matrix, Targets, Values};
use crate::pages::Pages;
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
    index: Option<Arc<Index>>,
}

/// Whole rows, row-major, as many as labels.
enum Storage {
    U8 { pixels: Pages, labels: Pages },
    F32 { values: Vec<f32>, labels: Vec<u32> },
}

/// The blocks of all rows of a storage.
enum Index {
    U8(Blocks<u8>),
    F32(Blocks<f32>),
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
        Self::from_pages(pixels.into(), labels.into(), features, classes)
    }

    /// [`from_u8`](Self::from_u8) of bytes in any memory.
    pub(crate) fn from_pages(pixels: Pages, labels: Pages, features: usize, classes: usize) -> Result<Self> {
        check_shape("pixels", pixels.len(), labels.len(), features, classes)?;
        check_labels(labels.iter().map(|&label| u32::from(label)), classes)?;
        let range = 0..labels.len();
        Ok(Self { storage: Arc::new(Storage::U8 { pixels, labels }), features, classes, range, index: None })
    }

    /// Takes values `[rows, features]`, row-major, and one label below `classes` for each row.
    ///
    /// # Errors
    ///
    /// Those of [`from_u8`](Self::from_u8).
    pub fn from_f32(values: Vec<f32>, labels: Vec<u32>, features: usize, classes: usize) -> Result<Self> {
        check_shape("values", values.len(), labels.len(), features, classes)?;
        check_labels(labels.iter().copied(), classes)?;
        let range = 0..labels.len();
        Ok(Self { storage: Arc::new(Storage::F32 { values, labels }), features, classes, range, index: None })
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
        let values = match (&*self.storage, self.index.as_deref()) {
            (Storage::U8 { pixels, .. }, Some(Index::U8(blocks))) => {
                Values::U8(&pixels[cells], Some(blocks.rows_from(self.range.start)))
            }
            (Storage::F32 { values, .. }, Some(Index::F32(blocks))) => {
                Values::F32(&values[cells], Some(blocks.rows_from(self.range.start)))
            }
            (Storage::U8 { pixels, .. }, _) => Values::U8(&pixels[cells], None),
            (Storage::F32 { values, .. }, _) => Values::F32(&values[cells], None),
        };
        Matrix::whole(values, self.features)
    }

    /// The same rows with an index of what is not zero in them, for a [`Trainer`](crate::Trainer) to skip the rest. The
    /// index puts features together that are zero in the same rows, and holds each row's blocks of 16 that are not all
    /// zero. It takes a pass over the rows, some 0.5 us for one of MNIST's, and memory for a copy of those blocks.
    ///
    /// Where fewer than two fifths of the blocks are zero it would not pay, and there is none.
    ///
    /// The sums over features come in another order than without an index, so that results may differ in their last
    /// bits. From 8 classes on blocks are skipped; with fewer, and with few features, all is read as ever.
    #[must_use]
    pub fn skip_zeros(self) -> Self {
        let index = match &*self.storage {
            Storage::U8 { pixels, .. } => Blocks::find(&pixels[..], self.features).map(Index::U8),
            Storage::F32 { values, .. } => Blocks::find(values, self.features).map(Index::F32),
        };
        Self { index: index.map(Arc::new), ..self }
    }

    /// Whether there is an index of what is not zero.
    pub fn skips_zeros(&self) -> bool {
        self.index.is_some()
    }

    /// The labels, one for each row.
    pub fn targets(&self) -> Targets<'_> {
        match &*self.storage {
            Storage::U8 { labels, .. } => Targets::from_u8(&labels[self.range.clone()]),
            Storage::F32 { labels, .. } => Targets::from_u32(&labels[self.range.clone()]),
        }
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

    /// Batches of `size` rows, shuffled with seed 0 unless told otherwise; see [`Batches`].
    pub fn batches(&self, size: usize) -> Batches<'_> {
        Batches::new(self, size)
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
    let expected = rows.saturating_mul(features);
    if found != expected {
        return Err(Error::Shape { what, found, expected });
    }
    Ok(())
}

fn check_labels(labels: impl Iterator<Item = u32>, classes: usize) -> Result<()> {
    match labels.enumerate().find(|&(_, label)| label as usize >= classes) {
        Some((row, label)) => Err(Error::Label { row, label, classes }),
        None => Ok(()),
    }
}

/// Batches of rows picked from a dataset, without end: [`next_batch`](Self::next_batch) always has one.
///
/// A batch has exactly the size asked for. Where an epoch (one pass over all rows) ends within a batch, the batch goes
/// on with the next epoch, so that every row is seen once before any is seen again. Each epoch is a new shuffle, the
/// first included, from a generator that the seed alone determines: the same seed gives the same batches on every
/// machine and in every version of this crate.
///
/// ```
/// # use softreg::Dataset;
/// let data = Dataset::from_u8(vec![10, 20, 30], vec![0, 1, 2], 1, 3)?;
/// let mut batches = data.batches(2).seed(7);
/// assert_eq!(batches.next_batch().x.rows(), 2);
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone)]
pub struct Batches<'a> {
    data: &'a Dataset,
    size: usize,
    /// `None`: in file order.
    shuffle: Option<SplitMix64>,
    /// One epoch: each row's index once.
    epoch: Vec<usize>,
    /// How many of the epoch's rows have been used.
    used: usize,
    /// The current batch's rows. Has its final capacity from the start.
    picked: Vec<usize>,
}

impl<'a> Batches<'a> {
    fn new(data: &'a Dataset, size: usize) -> Self {
        let mut picked = Vec::new();
        // The size may come from a user: one that cannot be had must not abort the process.
        let possible = data.rows() > 0 && picked.try_reserve_exact(size).is_ok();
        let size = if possible { size } else { 0 };
        Self { data, size, shuffle: None, epoch: (0..data.rows()).collect(), used: 0, picked }.seed(0)
    }

    /// Starts over with batches shuffled by `seed`.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.restart(Some(SplitMix64 { state: seed }))
    }

    /// Starts over with batches in the order of the rows, every epoch alike.
    #[must_use]
    pub fn in_file_order(self) -> Self {
        self.restart(None)
    }

    fn restart(mut self, shuffle: Option<SplitMix64>) -> Self {
        self.shuffle = shuffle;
        // An earlier shuffle must not show in the new one: the seed alone decides.
        self.epoch.iter_mut().enumerate().for_each(|(row, slot)| *slot = row);
        self.used = self.epoch.len();
        self
    }

    /// The next batch. Nothing is allocated and no row is copied.
    ///
    /// It is empty if the dataset is empty, if the size asked for is 0, or if that many row indices do not fit in
    /// memory.
    pub fn next_batch(&mut self) -> Batch<'_> {
        self.picked.clear();
        while self.picked.len() < self.size {
            if self.used == self.epoch.len() {
                self.used = 0;
                if let Some(generator) = &mut self.shuffle {
                    generator.shuffle(&mut self.epoch);
                }
            }
            let wanted = self.size - self.picked.len();
            let end = self.epoch.len().min(self.used + wanted);
            self.picked.extend_from_slice(&self.epoch[self.used..end]);
            self.used = end;
        }
        let Batch { x, targets } = self.data.as_batch();
        Batch { x: x.picked(&self.picked), targets: targets.picked(&self.picked) }
    }
}

impl fmt::Debug for Batches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("data", self.data)
            .field("size", &self.size)
            .field("shuffled", &self.shuffle.is_some())
            .finish_non_exhaustive()
    }
}

/// The generator behind the shuffles: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014). It is written here because its values are a promise: a seed must give the same batches in
/// every version, which a library of generators does not promise.
#[derive(Clone)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not 0), each equally likely: the high half of a product with a 64-bit draw, and
    /// draws that would favour some numbers are rejected (Lemire: "Fast random integer generation in an interval",
    /// ACM TOMACS 2019).
    fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.next()) * u128::from(bound);
        if (product as u64) < bound {
            let biased = bound.wrapping_neg() % bound;
            while (product as u64) < biased {
                product = u128::from(self.next()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Fisher and Yates's shuffle, from the last place down: every order equally likely, as far as 64 bits of state go.
    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
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

    #[test]
    fn batches_keep_their_buffers() {
        let data = Dataset::from_u8(vec![1; 10], vec![0; 10], 1, 1).unwrap();
        let mut batches = data.batches(23);
        let buffers = |batches: &Batches<'_>| {
            let Batches { epoch, picked, .. } = batches;
            [(epoch.as_ptr(), epoch.capacity()), (picked.as_ptr(), picked.capacity())]
        };
        let before = buffers(&batches);
        for _ in 0..20 {
            assert_eq!(batches.next_batch().x.rows(), 23);
            assert_eq!(buffers(&batches), before);
        }
    }

    #[test]
    fn generator_gives_the_published_values() {
        let mut generator = SplitMix64 { state: 1_234_567 };
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|_| generator.next()), published);
    }

    /// With a bound of 3/4 of the range a draw without rejection hits the lower half of each pair twice as often.
    #[test]
    fn bounded_draws_are_unbiased() {
        let mut generator = SplitMix64 { state: 1 };
        let bound = 3 << 62;
        let draws = 30_000;
        let thirds = (0..draws).map(|_| generator.below(bound)).fold([0_i32; 3], |mut thirds, draw| {
            assert!(draw < bound);
            thirds[(draw % 3) as usize] += 1;
            thirds
        });
        // Five standard deviations of a count of 30,000 draws at 1/3.
        assert!(thirds.iter().all(|count| (count - draws / 3).abs() < 410), "{thirds:?}");
    }
}
