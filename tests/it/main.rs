//! The library's tests in one program; those that need an allocator of their own are `allocations` and `guard_pages`. What
//! they share is in `support`.

mod data;
mod determinism;
mod file;
mod fit;
mod floors;
mod golden;
mod idx;
mod image_sets;
mod interop;
mod kernels;
mod laws;
mod metrics;
mod mnist;
mod model;
mod non_finite;
mod npy;
mod numerics;
mod optimizers;
mod predictor;
mod reference;
mod resume;
mod row_weights;
mod scaler;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
mod temperature;
mod training;
mod weighting;
mod zeros;
