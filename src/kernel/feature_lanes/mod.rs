//! The two products with the lanes along the features, for the tall and skinny shapes that this crate is made for: ten
//! classes would leave six of sixteen lanes empty, 784 features leave none. `kernel/plan.rs` says which shapes these are.

mod forward;
mod update;

pub(super) use forward::{forward, multiply_panel};
pub(super) use update::{add_products, update};
