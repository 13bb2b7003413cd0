//! How work is run: at which level, on how many threads. What is computed is in `kernel`.

mod level;
mod threads;

pub use level::Level;
pub(crate) use threads::Divide;

use crate::simd::Kernel;

/// The level that kernels run at, and the threads that large work is shared out among. A [`Level`] alone stands for one
/// thread.
///
/// The threads are those of the rayon pool that the caller is in, or of the global one; without the feature `rayon`
/// there is one. Work too small to gain from more stays on the calling thread. The results are the same to the last bit
/// at any number.
///
/// ```
/// use softreg::{Exec, Level};
///
/// let exec = Exec { threads: 2, ..Exec::default() };
/// assert_eq!(exec.level, Level::best());
/// assert_eq!(Exec::from(Level::best()).threads, 1);
/// ```
///
/// # Locks
/// A rayon thread that waits for another's share takes other work of the pool meanwhile. So a lock that is held while
/// work is shared out must not be one that other tasks of the same pool take: the waiting thread may run such a task,
/// and would wait for itself. Within parallel loops use one thread, and let the loop share out the work:
///
/// ```
/// # #[cfg(feature = "rayon")] {
/// use rayon::prelude::*;
/// use softreg::{Batch, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};
/// use std::sync::Mutex;
///
/// let model = SoftmaxRegression::zeros(2, 2).with_threads(1); // and not 2, since the loop below is parallel
/// let trainer = Mutex::new(Trainer::new(model, Sgd::new(0.1)));
/// (0..1000).into_par_iter().for_each(|_| {
///     let x = Matrix::from_f32(&[0.0, 1.0, 1.0, 0.0], 2).unwrap();
///     let batch = Batch::new(x, Targets::from_u8(&[0, 1])).unwrap();
///     trainer.lock().unwrap().step(batch).unwrap();
/// });
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exec {
    /// The instruction set.
    pub level: Level,
    /// The most threads; 0 counts as 1.
    pub threads: usize,
}

impl Exec {
    /// Runs a kernel on the threads, as many as it is worth.
    pub(crate) fn run<K: Divide>(self, kernel: K) {
        threads::run(self.level, self.threads, kernel);
    }

    /// Runs a kernel on the calling thread.
    pub(crate) fn run_here<K: Kernel>(self, kernel: K) -> K::Output {
        self.level.run(kernel)
    }
}

impl Default for Exec {
    /// The best level, one thread.
    fn default() -> Self {
        Level::default().into()
    }
}

impl From<Level> for Exec {
    fn from(level: Level) -> Self {
        Self { level, threads: 1 }
    }
}
