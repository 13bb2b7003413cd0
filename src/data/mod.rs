//! Data in memory and from files: datasets, the batches that pick their rows, and the readers. See `kernel` for what
//! is computed on it.

mod batches;
mod buffer;
mod dataset;
#[cfg(feature = "mnist")]
pub mod idx;
#[cfg(feature = "mnist")]
pub mod mnist;
#[cfg(feature = "npy")]
pub mod npy;
mod random;
#[cfg(any(feature = "mnist", feature = "npy"))]
mod read;

pub use batches::{Batches, Position};
pub use buffer::Buffer;
pub use dataset::Dataset;
