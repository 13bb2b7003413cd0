//! Data in memory and from files: datasets, the batches that pick their rows, and the readers. What is computed on it is
//! the kernels' business.

mod batches;
mod buffer;
mod dataset;
#[cfg(feature = "mnist")]
pub mod idx;
#[cfg(feature = "mnist")]
pub mod mnist;
mod random;

pub use batches::Batches;
pub use dataset::Dataset;
