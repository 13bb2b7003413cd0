//! Vectors whose length the caller's data or settings decide: memory that cannot be had is an error, not an abort.

use crate::error::{Error, Result};
use alloc::vec::Vec;

/// An empty vector with room for `len` values. `what` stands for it in the error.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn with_capacity<T>(what: &'static str, len: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    reserve(&mut vec, what, len)?;
    Ok(vec)
}

/// `len` equal values.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn filled<T: Clone>(what: &'static str, len: usize, value: T) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    grow(&mut vec, what, len, value)?;
    Ok(vec)
}

/// Fills a vector up to `len` values where it has fewer.
///
/// # Errors
/// [`Error::Memory`]; the vector is then as it was.
pub(crate) fn grow<T: Clone>(vec: &mut Vec<T>, what: &'static str, len: usize, value: T) -> Result<()> {
    if vec.len() < len {
        reserve(vec, what, len)?;
        vec.resize(len, value);
    }
    Ok(())
}

fn reserve<T>(vec: &mut Vec<T>, what: &'static str, len: usize) -> Result<()> {
    let bytes = len.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(len.saturating_sub(vec.len())).map_err(|_| Error::Memory { what, bytes })
}
