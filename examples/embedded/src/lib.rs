//! A model within the program: the file that `softreg train --save model.safetensors` writes, read without `std`. The library
//! needs an allocator; the level is the best one of the target's features.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

use alloc::vec::Vec;
use softreg::{Error, Matrix, Result, SoftmaxRegression};

const FEATURES: usize = 784;
const CLASSES: usize = 10;

/// `softreg train --save model.safetensors`
static MODEL: &[u8] = include_bytes!("model.safetensors");

/// The model. Its file is a header's length, the header, then the bias `[10]` and the weights `[10, 784]` as f32.
///
/// # Errors
/// [`Error::Shape`] for a file of another length.
pub fn model() -> Result<SoftmaxRegression> {
    let header = MODEL.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let values = MODEL.get(8 + header..).unwrap_or_default().as_chunks().0;
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let (found, expected) = (values.len(), CLASSES * (1 + FEATURES));
    let (bias, weights) = values.split_at_checked(CLASSES).ok_or(Error::Shape { what: "model", found, expected })?;
    SoftmaxRegression::from_class_major(weights, bias, FEATURES, CLASSES)
}

/// The digit of a picture, 28 x 28 pixels, white on black.
///
/// # Errors
/// None, but for those of a model that does not fit.
pub fn digit(model: &SoftmaxRegression, pixels: &[u8; FEATURES]) -> Result<u32> {
    Ok(model.predict(Matrix::from_u8(pixels, FEATURES)?)?[0])
}
