//! Models as other programs' files: pure functions from a model to bytes. Reading the model and writing the bytes is
//! `commands/export.rs`'s business.

pub(crate) mod npz;
pub(crate) mod onnx;

/// Values as little-endian bytes.
fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
