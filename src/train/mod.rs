//! Training: the trainer and the update rules' settings. The arithmetic is in `kernel`, the batches are `data`'s.

mod optimizer;
mod trainer;

pub use optimizer::Sgd;
pub use trainer::{Reduction, Trainer};
