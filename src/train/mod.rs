//! Training: the trainer, the optimizers' and schedules' settings, and the solver. The arithmetic is in `kernel`, the batches
//! are `data`'s.

mod guard;
mod memory;
mod optimizer;
mod run;
mod scaled;
mod schedule;
mod settings;
#[cfg(feature = "fit")]
mod solver;
#[cfg(feature = "safetensors")]
mod state_file;
mod step;
mod trainer;
mod weights;
mod workspace;

pub use optimizer::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};
pub use run::{EarlyStopping, Epoch, Run};
pub use schedule::{Plateau, Schedule};
pub use settings::Reduction;
#[cfg(feature = "fit")]
pub use solver::{Fit, Lbfgs, Pass, Path, PathPoint, Report, Scoring, Stop};
pub use trainer::Trainer;
