//! The order in which batches pick rows. The rows are the dataset's; the random numbers are `random`'s.

use super::dataset::Dataset;
use super::random::SplitMix64;
use crate::error::{Error, Result, expect};
use crate::kernel::plan;
use crate::matrix::{Batch, Targets};
use crate::memory;
use alloc::vec::Vec;
use core::fmt;

/// Batches of rows picked from a dataset: without end by [`next_batch`](Self::next_batch), or an epoch (one pass over all
/// rows) at a time by [`next_in_epoch`](Self::next_in_epoch).
///
/// Each epoch is a new shuffle, the first included, from a generator that the seed alone determines: the same seed gives the
/// same batches on every machine and in every version of this crate.
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
    targets: Targets<'a>,
    size: usize,
    drops_last: bool,
    /// `None`: in file order.
    seed: Option<u64>,
    /// The seed's generator, after the shuffles of the epochs so far.
    generator: SplitMix64,
    /// How many epochs were begun.
    epochs: u64,
    /// Whether the epoch was begun by [`next_in_epoch`](Self::next_in_epoch), and its end was not told yet.
    in_epoch: bool,
    /// One epoch: each row's index once.
    epoch: Vec<usize>,
    /// How many of the epoch's rows have been used.
    used: usize,
    /// The current batch's rows. Has its final capacity from the start.
    picked: Vec<usize>,
}

/// Rows shuffled to come to a position, so that one which is made up does not take for ever; some minutes.
const MOST_SHUFFLED: u64 = 1 << 36;

/// How far batches have come: where [`Batches::go_to`] goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Position {
    /// The seed of the shuffles; `None` for batches in file order.
    pub seed: Option<u64>,
    /// How many epochs were begun.
    pub epochs: u64,
    /// How many rows of the last of them were used.
    pub used: usize,
    /// Whether an epoch of [`next_in_epoch`](Batches::next_in_epoch) is under way.
    pub in_epoch: bool,
}

impl Dataset {
    /// Batches of `size` rows, shuffled with seed 0 unless told otherwise; see [`Batches`].
    pub fn batches(&self, size: usize) -> Batches<'_> {
        Batches::new(self, size)
    }
}

impl<'a> Batches<'a> {
    fn new(data: &'a Dataset, size: usize) -> Self {
        // The sizes may come from a user: memory that cannot be had must not abort the process.
        let epoch = memory::filled("epoch", data.rows(), 0).unwrap_or_default();
        let wanted = if epoch.is_empty() { 0 } else { size };
        let (size, picked) =
            match memory::with_capacity("batch", wanted.saturating_add(wanted.min(plan::UPDATE_MOST_ROWS))) {
                Ok(picked) => (wanted, picked),
                Err(_) => (0, Vec::new()),
            };
        let (targets, generator) = (data.targets(), SplitMix64::new(0));
        let start = Self {
            data,
            targets,
            size,
            drops_last: false,
            seed: None,
            generator,
            epochs: 0,
            in_epoch: false,
            epoch,
            used: 0,
            picked,
        };
        start.seed(0)
    }

    /// Starts over with batches shuffled by `seed`.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.restart(Some(seed));
        self
    }

    /// Starts over with batches in the order of the rows, every epoch alike.
    #[must_use]
    pub fn in_file_order(mut self) -> Self {
        self.restart(None);
        self
    }

    /// The same batches with other targets for the dataset's rows, such as its own with weights:
    ///
    /// ```
    /// # use softreg::Dataset;
    /// let data = Dataset::from_u8(vec![10, 20, 30], vec![0, 1, 1], 1, 2)?;
    /// let batches = data.batches(2).targets(data.targets().with_class_weights(&[2.0, 1.0]))?;
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where there are not as many as rows, [`Error::Size`](crate::Error::Size) where
    /// their rows were selected before.
    pub fn targets(self, targets: Targets<'a>) -> Result<Self> {
        expect("targets", targets.rows(), self.data.rows())?;
        targets.select(&[])?; // Batches select from the whole.
        Ok(Self { targets, ..self })
    }

    /// Whether [`next_in_epoch`](Self::next_in_epoch) leaves out rows at the end of an epoch that do not fill a batch; not
    /// unless told.
    #[must_use]
    pub fn drop_last(self, drops_last: bool) -> Self {
        Self { drops_last, ..self }
    }

    /// How many batches [`next_in_epoch`](Self::next_in_epoch) makes of an epoch.
    #[must_use]
    pub fn batches_per_epoch(&self) -> usize {
        match (self.size, self.drops_last) {
            (0, _) => 0,
            (size, true) => self.epoch.len() / size,
            (size, false) => self.epoch.len().div_ceil(size),
        }
    }

    /// How far these batches have come.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position { seed: self.seed, epochs: self.epochs, used: self.used, in_epoch: self.in_epoch }
    }

    /// Goes on where batches of this dataset, of any size, had come: the same batches follow. Takes as long as their
    /// shuffles did.
    ///
    /// # Errors
    /// [`Error::Size`](crate::Error::Size) where more rows were used than there are, or more than 2^36 would be shuffled.
    pub fn go_to(&mut self, position: Position) -> Result<()> {
        let Position { seed, epochs, used, in_epoch } = position;
        if used > self.epoch.len() {
            let expected = "at most the dataset's rows: is it another dataset?";
            return Err(Error::Size { what: "rows used of an epoch", found: used, expected });
        }
        if seed.is_some() && epochs.saturating_mul(self.epoch.len() as u64) > MOST_SHUFFLED {
            let expected = "at most 2^36 rows in all epochs";
            return Err(Error::Size { what: "epochs of a position", found: epochs as usize, expected });
        }
        self.restart(seed);
        match seed {
            Some(_) => (0..epochs).for_each(|_| self.begin_epoch()),
            None => self.epochs = epochs,
        }
        (self.used, self.in_epoch) = (used, in_epoch);
        Ok(())
    }

    fn restart(&mut self, seed: Option<u64>) {
        self.seed = seed;
        self.generator = SplitMix64::new(seed.unwrap_or_default());
        // An earlier shuffle must not show in the new one: the seed alone decides.
        self.epoch.iter_mut().enumerate().for_each(|(row, slot)| *slot = row);
        self.used = self.epoch.len();
        (self.epochs, self.in_epoch) = (0, false);
    }

    fn begin_epoch(&mut self) {
        (self.used, self.epochs) = (0, self.epochs.saturating_add(1));
        if self.seed.is_some() {
            self.generator.shuffle(&mut self.epoch);
        }
    }

    /// The next batch. It has exactly the size asked for: where an epoch ends within it, it goes on with the next one, so that
    /// every row is seen once before any is seen again. Nothing is allocated and no row is copied.
    ///
    /// It is empty if the dataset is empty, if the size asked for is 0, or if that many row indices do not fit in
    /// memory.
    pub fn next_batch(&mut self) -> Batch<'_> {
        self.picked.clear();
        while self.picked.len() < self.size {
            if self.used == self.epoch.len() {
                self.begin_epoch();
            }
            self.pick(self.size - self.picked.len());
        }
        self.batch(self.size)
    }

    /// The next batch of an epoch; `None` at its end, and the next call begins another one. The last batch has the rows that
    /// are left, unless they are [dropped](Self::drop_last). After [`next_batch`](Self::next_batch) it begins an epoch of its
    /// own. Nothing is allocated and no row is copied.
    ///
    /// ```
    /// # use softreg::Dataset;
    /// let data = Dataset::from_u8(vec![10, 20, 30], vec![0, 1, 2], 1, 3)?;
    /// let mut batches = data.batches(2);
    /// let sizes = [(); 3].map(|()| batches.next_in_epoch().map(|batch| batch.x.rows()));
    /// assert_eq!(sizes, [Some(2), Some(1), None]);
    /// # Ok::<(), softreg::Error>(())
    /// ```
    pub fn next_in_epoch(&mut self) -> Option<Batch<'_>> {
        if !self.in_epoch {
            self.begin_epoch();
            self.in_epoch = true;
        }
        if !self.has_more_in_epoch() {
            self.end_epoch();
            return None;
        }
        let size = self.size.min(self.epoch.len() - self.used);
        self.picked.clear();
        self.pick(size);
        Some(self.batch(size))
    }

    /// Whether [`next_in_epoch`](Self::next_in_epoch) has another batch of the epoch under way.
    pub(crate) fn has_more_in_epoch(&self) -> bool {
        let left = self.epoch.len() - self.used;
        self.in_epoch && left.min(self.size) > 0 && (left >= self.size || !self.drops_last)
    }

    /// Ends an epoch of [`next_in_epoch`](Self::next_in_epoch).
    pub(crate) fn end_epoch(&mut self) {
        (self.used, self.in_epoch) = (self.epoch.len(), false);
    }

    /// Picks the next rows of the epoch, as many as it has.
    fn pick(&mut self, rows: usize) {
        let end = self.epoch.len().min(self.used + rows);
        self.picked.extend_from_slice(&self.epoch[self.used..end]);
        self.used = end;
    }

    /// The first rows picked; those read next are known to the kernels too.
    fn batch(&mut self, rows: usize) -> Batch<'_> {
        let next = self.epoch.len().min(self.used + self.size.min(plan::UPDATE_MOST_ROWS));
        self.picked.extend_from_slice(&self.epoch[self.used..next]);
        Batch { x: self.data.x().picked(&self.picked, rows), targets: self.targets.picked(&self.picked[..rows]) }
    }
}

impl fmt::Debug for Batches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("data", self.data)
            .field("size", &self.size)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

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
}
