//! Training: the trainer and the update rules' settings. The arithmetic is in `kernel`, the batches are `data`'s.

mod optimizer;
#[cfg(feature = "fit")]
mod solver;
mod trainer;

pub use optimizer::Sgd;
#[cfg(feature = "fit")]
pub use solver::{Fit, Lbfgs, Pass, Path, PathPoint, Report, Scoring, Stop};
pub use trainer::{Reduction, Trainer};
