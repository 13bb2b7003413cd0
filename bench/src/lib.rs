//! How the benchmarks of this package, in `benches/`, take their times, and the roofline: the machine's limits, every
//! kernel beside them, the table. What they compare with, the data and the checks are in `benches/support`.
//!
//! The command line has the roofline as `softreg bench`. It is published and this package is not, so that it cannot
//! depend on it: the module lies among its sources and is included here, the one way in which nothing is written twice.

#[path = "../../cli/src/roofline/mod.rs"]
pub mod roofline;

pub use roofline::sampling;
