//! What goes in and out beside the crate's own types: rows with a stride, ndarray's arrays, settings and
//! reports in files. Results on rows one
//! after the other are `kernels.rs`'s business.

#[cfg(feature = "ndarray")]
mod arrays;
#[cfg(feature = "serde")]
mod serialized;
mod strided;
