//! Softmax regression (multinomial logistic regression) at the speed of the machine.
//!
//! ```
//! use softreg::{Reduction, Sgd, SoftmaxRegression, Trainer, mnist};
//!
//! # fn main() -> softreg::Result<()> {
//! let data = mnist::read_files(softreg_mnist::FILES, 5_000)?; // or mnist::read_dir("MNIST_data")?
//! // The tutorial's loss is a sum over the batch.
//! let mut trainer = Trainer::new(SoftmaxRegression::zeros(784, 10), Sgd::new(0.01)).reduction(Reduction::Sum);
//! let mut batches = data.train.batches(100).seed(0);
//! for _ in 0..1000 {
//!     trainer.step(batches.next_batch())?; // returns the loss
//! }
//! assert!(trainer.model().accuracy(&data.test)? > 0.9);
//! # Ok(())
//! # }
//! ```
//!
//! Each of these is a line or two more:
#![cfg_attr(
    all(feature = "fit", feature = "safetensors"),
    doc = r#"
```no_run
# use softreg::{AdamW, Batch, Dataset, Lbfgs, Matrix, SoftmaxRegression, Trainer};
# let data = Dataset::from_f32((0..24).map(|i| (i * 7 % 24) as f32).collect(), vec![0, 1, 0, 1, 1, 0], 4, 2)?;
# let model = SoftmaxRegression::zeros(4, 2);
// Another optimizer.
let mut trainer = Trainer::new(model, AdamW::new(1e-3));

// To convergence: fit.model, fit.report.
let fit = Lbfgs::default().l2(1e-4).fit(&data)?;

// A stream, of borrowed rows.
let (rows, labels) = ([0.5, 1.0, 0.0, 0.25], [1u8]);
trainer.step(Batch::new(Matrix::from_f32(&rows, 4)?, &labels)?)?;

// A file, which PyTorch loads too.
fit.model.save("probe.safetensors")?;
let model = SoftmaxRegression::load("probe.safetensors")?;

// A hot loop, without an allocation.
let mut predictor = model.predictor();
let class = predictor.class(&rows)?;
# Ok::<(), softreg::Error>(())
```
"#
)]
//!
//! The floors of the house, from the top, each using only those below it:
//!
//! - [`Run`]: epochs; [`Trainer`]: steps over batches, by an [`Optimizer`] and a [`Schedule`] of its learning rate; with the
//!   feature `fit`, `Lbfgs`: to convergence.
//! - [`Dataset`] and [`Batches`]: rows and their order; [`mnist`] and [`idx`]: the files.
//! - [`SoftmaxRegression`]: the model; [`Predictor`]: its answers for single rows; [`Scaler`]; [`metrics`]; with the feature
//!   `safetensors`, its files.
//! - [`kernel`]: the arithmetic, as safe functions that each take an [`Exec`].
//! - [`Parameters`], [`Matrix`], [`Targets`]: layouts and views.
//! - [`Exec`] and [`Level`]: threads and instruction sets; [`Error`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod bench_internals;
mod data;
mod error;
mod exec;
pub mod kernel;
mod layout;
mod matrix;
mod memory;
mod model;
mod parameters;
#[allow(unsafe_code, reason = "vector instructions, their loads and stores, and the functions that enable them")]
mod simd;
mod train;

#[cfg(feature = "npy")]
pub use data::npy;
pub use data::{Batches, Buffer, Dataset, Position};
#[cfg(feature = "mnist")]
pub use data::{idx, mnist};
pub use error::{Error, Result};
pub use exec::{Exec, Level};
pub use matrix::{Batch, Matrix, Targets};
#[cfg(feature = "safetensors")]
pub use model::ModelFile;
pub use model::{ClassProbability, Predictor, Row, Scaler, SoftmaxRegression, metrics};
pub use parameters::Parameters;
pub use train::{
    Adagrad, Adam, AdamW, EarlyStopping, Epoch, Optimizer, Plateau, Reduction, RmsProp, Run, Schedule, Sgd, Trainer,
};
#[cfg(feature = "fit")]
pub use train::{Fit, Lbfgs, Pass, Path, PathPoint, Report, Scoring, Stop};

/// Runs the README's examples as tests.
#[cfg(all(doctest, feature = "mnist", feature = "safetensors"))]
#[doc = include_str!("../README.md")]
struct Readme;
