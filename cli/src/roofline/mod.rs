//! The kernels' times beside what the machine gives, measured in one run: the multiply-adds of a level's registers,
//! the bytes read from each part of the memory, and how near every kernel comes to the one of the two that binds it.
//! `softreg bench` and `cargo bench --bench roofline` print it. Comparisons with other crates are in the package
//! `softreg-bench`, which includes this module: a published program cannot depend on a package that is not.

#![allow(unreachable_pub, reason = "softreg-bench exports this module, the program does not")]

mod cases;
pub mod sampling;
mod table;

use sampling::Sampling;
use softreg::{Dataset, Exec, Level, Result};
use std::time::Duration;

/// What one level reaches on a number of threads, and what it could reach. Displayed, it is a table.
#[derive(Clone, Debug)]
pub struct Roofline {
    /// The level.
    pub level: Level,
    /// The threads that the work was shared out among.
    pub threads: usize,
    /// Multiply-adds between registers on all the threads, each counted as two FLOP, in 10^9 a second.
    pub peak_gflops: f64,
    /// What the threads read together, from the fastest part of the memory to the slowest.
    pub read: [Bandwidth; 4],
    /// Every kernel, alone and in whole steps.
    pub results: Vec<Measurement>,
}

/// How fast a part of the memory is read.
#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    /// `"l1"`, `"l2"`, `"l3"` or `"memory"`, by the size of what was read.
    pub name: &'static str,
    /// The bytes that each thread reads again and again.
    pub bytes: usize,
    /// 10^9 bytes a second.
    pub gbps: f64,
}

/// One kernel's time, and what it makes of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// What was measured.
    pub name: &'static str,
    /// The rows of a batch.
    pub rows: usize,
    /// The time of one batch, the best of many.
    pub microseconds: f64,
    /// 10^9 floating-point operations a second. Blocks of zeros that were skipped count as if they had been computed.
    pub gflops: f64,
    /// `gflops` over [`Roofline::peak_gflops`].
    pub fraction_of_peak: f64,
    /// 10^9 bytes a second of what has to be read at least: each row and each weight once.
    pub gbps: f64,
    /// Which of the machine's limits binds a kernel that does this many operations on this many bytes.
    pub limit: Limit,
    /// The time that the limit allows over the time that was taken.
    pub fraction_of_limit: f64,
}

/// What can bind a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The multiply-adds.
    Flop,
    /// The bytes, from the part of the memory that the rows and weights fit into.
    Bytes,
}

/// How carefully times are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Everything takes turns in many samples of milliseconds, and each one's best counts: what else the machine does
    /// lengthens some samples and leaves the best alone. Ten seconds to thirty.
    Best,
    /// Everything runs once: enough to see that it runs.
    Once,
}

impl Time {
    const fn sampling(self) -> Sampling {
        match self {
            Self::Best => Sampling { length: Duration::from_millis(1), fewest: 60, time: Duration::ZERO },
            Self::Once => Sampling::ONCE,
        }
    }
}

/// Measures the limits and every kernel on the rows of data whose values are pixels, as MNIST's are. Takes 256 MiB of
/// memory a thread.
///
/// Threads are the caller's rayon pool's, as everywhere in the library.
///
/// # Errors
/// [`Error::Size`](softreg::Error::Size) where the data has fewer than 1000 rows, `threads` is 0 or the system refuses
/// the memory that they take.
pub fn measure(level: Level, threads: usize, data: &Dataset, time: Time) -> Result<Roofline> {
    let job = || cases::measure(Exec { level, threads }, data, time.sampling());
    // All of it within the pool, so that no kernel has to enter it.
    if threads > 1 { rayon::join(job, || ()).0 } else { job() }
}

#[cfg(test)]
mod tests {
    use super::{Time, measure};
    use softreg::{Dataset, Error, Level};

    #[test]
    fn too_few_rows_no_threads_or_too_many_are_refused() {
        for (rows, threads, expected) in [(999, 1, 999), (1000, 0, 0), (1000, usize::MAX, usize::MAX)] {
            let data = Dataset::from_u8(vec![128; rows], vec![1; rows], 1, 2).expect("one feature, two classes");
            let found = measure(Level::best(), threads, &data, Time::Once);
            assert!(
                matches!(found, Err(Error::Size { found, .. }) if found == expected),
                "{rows} rows, {threads} threads: {found:?}"
            );
        }
    }
}
