//! Sharing work out among threads: the only file that knows rayon. What a part computes does not depend on how many
//! parts there are; that is the kernels' doing.

use super::Level;
use crate::simd::Kernel;

/// Work that can be cut in two, each part writing its own share of the result.
pub(crate) trait Divide: Kernel<Output = ()> + Send + Sized {
    /// The number of pieces that the work can be cut between.
    fn len(&self) -> usize;
    /// The size of the whole, in multiply-adds or what takes as long.
    fn work(&self) -> usize;
    /// The pieces before and from `middle`.
    fn split_at(self, middle: usize) -> (Self, Self);
}

/// Runs a kernel on up to `threads` threads of the caller's rayon pool; a calling thread of no pool waits for the global
/// one. Work too small to gain from it stays on the calling thread.
pub(crate) fn run<K: Divide>(level: Level, threads: usize, kernel: K) {
    // One thread is not even asked whose it is.
    let threads = if threads < 2 { threads } else { threads.min(kernel.work() / least_work()) };
    divide(level, threads, kernel);
}

/// The least work that is worth a thread of its own, in multiply-adds, to a thread of the pool: it hands work to another
/// that is still looking for some, which it does for a while after its last.
const LEAST_WORK_WITHIN_POOL: usize = 1 << 16;

/// The same to a thread of no pool, which wakes one and sleeps itself, some 10 us in all.
const LEAST_WORK: usize = 1 << 20;

fn least_work() -> usize {
    if within_pool() { LEAST_WORK_WITHIN_POOL } else { LEAST_WORK }
}

#[cfg(feature = "rayon")]
fn within_pool() -> bool {
    rayon::current_thread_index().is_some()
}

#[cfg(not(feature = "rayon"))]
const fn within_pool() -> bool {
    false
}

fn divide<K: Divide>(level: Level, threads: usize, kernel: K) {
    if threads < 2 || kernel.len() < 2 {
        return level.run(kernel);
    }
    let left_threads = threads / 2;
    let middle = (kernel.len() * left_threads / threads).max(1);
    let (left, right) = kernel.split_at(middle);
    join(|| divide(level, left_threads, left), || divide(level, threads - left_threads, right));
}

#[cfg(feature = "rayon")]
fn join(left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    rayon::join(left, right);
}

#[cfg(not(feature = "rayon"))]
fn join(left: impl FnOnce() + Send, right: impl FnOnce() + Send) {
    left();
    right();
}
