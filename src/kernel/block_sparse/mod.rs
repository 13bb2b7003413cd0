//! The two products of block-sparse rows: only the blocks that are not zero are read. `kernel/plan.rs` says for which
//! shapes; the rows' form is `matrix/block_sparse.rs`'.
//!
//! A product with a zero adds nothing to a sum as long as the other factor is finite. The caller guarantees that the
//! parameters and the residual are: 0 * NaN is NaN, and 0 * infinity too.

mod forward;
mod update;

pub(super) use forward::forward;
pub(super) use update::update;
