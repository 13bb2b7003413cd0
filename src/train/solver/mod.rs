//! The solver: L-BFGS on the objective of all rows, preconditioned, to convergence. Steps over batches are the trainer's.
//!
//! ```text
//! scale the coordinates by the features' moments; factor the Gram matrix of a sample of rows
//! while no limit is met
//!     direction = -(inverse Hessian of the last curvature pairs, from the preconditioner on) * gradient
//!     line search along it, a sweep over the rows a trial
//!     keep the pair of step and gradient's change
//! ```
//!
//! One sweep gives the loss and the gradient. The solver's own vectors are f64: near the optimum steps are smaller than
//! f32 can tell from 0, and their sums over iterations are not.

mod cholesky;
mod history;
mod lbfgs;
mod line_search;
mod objective;
mod path;
mod preconditioner;
mod report;
mod scaling;
mod solve;

pub use lbfgs::Lbfgs;
pub use path::{Path, PathPoint, Scoring};
pub use report::{Fit, Pass, Report, Stop};
