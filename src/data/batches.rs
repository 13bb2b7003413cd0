//! The order in which batches pick rows. The rows are the dataset's; the random numbers are `random`'s.

use super::dataset::Dataset;
use super::random::SplitMix64;
use crate::kernel::plan;
use crate::matrix::Batch;
use crate::memory;
use alloc::vec::Vec;
use core::fmt;

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
        Self { data, size, shuffle: None, epoch, used: 0, picked }.seed(0)
    }

    /// Starts over with batches shuffled by `seed`.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.restart(Some(SplitMix64::new(seed)))
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
        let next = self.epoch.len().min(self.used + self.size.min(plan::UPDATE_MOST_ROWS));
        self.picked.extend_from_slice(&self.epoch[self.used..next]);
        let Batch { x, targets } = self.data.as_batch();
        Batch { x: x.picked(&self.picked, self.size), targets: targets.picked(&self.picked[..self.size]) }
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
