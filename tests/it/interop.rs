//! What goes in and out beside the crate's own types: rows with a stride, settings and reports in files. Results on rows one
//! after the other are `kernels.rs`'s business.

mod strided;
