//! Softmax regression (multinomial logistic regression) at the speed of the machine.
//!
//! ```
//! use softreg::{Sgd, SoftmaxRegression, Trainer, mnist};
//!
//! # fn main() -> softreg::Result<()> {
//! let data = mnist::read_files(softreg_mnist::FILES, 5_000)?; // or mnist::read_dir("MNIST_data")?
//! let mut trainer = Trainer::new(SoftmaxRegression::zeros(784, 10), Sgd::new(0.01));
//! let mut batches = data.train.batches(100).seed(0);
//! for _ in 0..1000 {
//!     trainer.step(batches.next_batch())?; // returns the loss
//! }
//! assert!(trainer.model().accuracy(&data.test)? > 0.9);
//! # Ok(())
//! # }
//! ```
//!
//! The floors of the house, each using only those below it:
//!
//! - [`Trainer`]: steps over batches; owns the buffers.
//! - [`SoftmaxRegression`]: the model; [`Sgd`]: the update rule; [`metrics`].
//! - [`mnist`] and [`idx`]: the files; [`Dataset`] and [`Batches`]: rows and their order.
//! - [`kernel`]: the arithmetic, as safe functions that each take a [`Level`].
//! - [`Matrix`], [`Targets`], [`Weights`]: views and layouts; [`Level`]: the instruction sets; [`Error`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod blocks;
mod data;
mod error;
#[cfg(feature = "mnist")]
pub mod idx;
pub mod kernel;
#[allow(unsafe_code, reason = "enters functions with more instructions enabled, once they were detected")]
mod level;
mod matrix;
pub mod metrics;
#[cfg(feature = "mnist")]
pub mod mnist;
mod model;
mod optimizer;
mod order;
mod pages;
mod parallel;
#[cfg(feature = "std")]
pub mod roofline;
#[allow(unsafe_code, reason = "vector instructions, their loads and stores")]
mod simd;
mod train;
mod weights;

pub use data::{Batches, Dataset};
pub use error::{Error, Result};
pub use level::Level;
pub use matrix::{Batch, Matrix, Targets};
pub use model::SoftmaxRegression;
pub use optimizer::{Reduction, Sgd};
pub use train::Trainer;
pub use weights::Weights;

/// Runs the README's examples as tests.
#[cfg(all(doctest, feature = "mnist"))]
#[doc = include_str!("../README.md")]
struct Readme;
