//! What the fuzz targets share: the memory they use, IDX files as bytes, and numbers made from the fuzzer's bytes. The
//! properties are in the targets.

pub mod idx;
pub mod memory;
pub mod numbers;
