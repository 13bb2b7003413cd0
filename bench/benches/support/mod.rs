//! What the bench targets share: the data, the rivals, and the check that every result passes before it is timed.
//! Times nothing itself: `softreg_bench::sampling` does, or criterion. The reference, its budgets and the comparer are the tests' own.
#![allow(dead_code, reason = "each bench target needs some of it")]

pub(crate) mod check;
#[path = "../../../tests/support/compare.rs"]
pub(crate) mod compare;
pub(crate) mod data;
#[path = "../../../tests/support/expect.rs"]
pub(crate) mod expect;
pub(crate) mod lines;
pub(crate) mod products;
#[path = "../../../tests/support/random.rs"]
pub(crate) mod random;
pub(crate) mod rates;
#[path = "../../../tests/support/reference.rs"]
pub(crate) mod reference;
pub(crate) mod rivals;

/// The shape of the job: MNIST's pixels and digits.
pub(crate) const FEATURES: usize = 784;
pub(crate) const CLASSES: usize = 10;

/// Rows of a batch: one request, a small and the tutorial's batch, one that fills the second-level cache, and one
/// that exceeds it whatever its elements.
pub(crate) const BATCHES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// The learning rate on the summed loss. A tenth of the mean, whatever the batch: however often the same batch is
/// trained on, no logit grows so large that an exponential leaves the normal numbers, which would slow the rivals.
pub(crate) fn learning_rate(rows: usize) -> f32 {
    0.1 / rows as f32
}
