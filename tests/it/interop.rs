//! What goes in and out beside the crate's own types: rows with a stride, ndarray's arrays. Results on rows one
//! after the other are `kernels.rs`'s business.

#[cfg(feature = "ndarray")]
mod arrays;
mod strided;
