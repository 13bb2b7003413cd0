//! ndarray's arrays as matrices and targets: borrowed where they lie in row-major order, refused elsewhere. Nothing is
//! copied here; ndarray's own `as_standard_layout` does that where it must.
//!
//! A view of some columns is refused too, though rows may have a stride: another view of the same array may write between
//! its rows, so that no slice may span them. The whole array and [`Matrix::columns`] see the same features.

use super::{Matrix, Targets};
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// The elements, where they follow each other.
fn row_major<'a, T>(what: &'static str, array: ArrayView2<'a, T>) -> Result<&'a [T]> {
    let layout = || {
        let strides = array.strides();
        Error::Layout { what, strides: [strides[0], strides[1]], columns: array.ncols() }
    };
    array.to_slice().ok_or_else(layout)
}

/// The same of a vector.
fn contiguous<'a, T>(what: &'static str, array: ArrayView1<'a, T>) -> Result<&'a [T]> {
    let layout = || Error::Layout { what, strides: [array.strides()[0], 1], columns: 1 };
    array.to_slice().ok_or_else(layout)
}

/// Rows of features `[n, features]` in row-major order, without a copy.
///
/// ```
/// use ndarray::{Array2, array};
/// use softreg::{Matrix, SoftmaxRegression};
///
/// let x = array![[0.0, 1.0, 7.0], [1.0, 0.0, 8.0]];
/// let model = SoftmaxRegression::zeros(2, 4);
/// let features = Matrix::try_from(&x)?.columns(0..2)?; // of the whole array: a view of some columns has gaps
/// let proba = model.predict_proba(features)?;
/// let proba = Array2::from_shape_vec((2, 4), proba).expect("a row of probabilities for each row");
/// assert_eq!(proba[[1, 3]], 0.25);
///
/// let turned = x.t(); // column-major
/// assert!(Matrix::try_from(turned).is_err());
/// let copy = turned.as_standard_layout();
/// assert_eq!(Matrix::try_from(copy.view())?.rows(), 3);
/// # Ok::<(), softreg::Error>(())
/// ```
///
/// # Errors
/// [`Error::Layout`] where the elements do not follow each other in row-major order, [`Error::Size`] where there are no
/// features.
impl<'a> TryFrom<ArrayView2<'a, f32>> for Matrix<'a> {
    type Error = Error;

    fn try_from(array: ArrayView2<'a, f32>) -> Result<Self> {
        Self::from_f32(row_major("matrix values", array)?, array.ncols())
    }
}

/// Pixels `[n, features]` in row-major order, without a copy; a pixel reads as `pixel / 255`, and with
/// [`with_scale(255.0)`](Matrix::with_scale) as its byte.
///
/// # Errors
/// As for f32.
impl<'a> TryFrom<ArrayView2<'a, u8>> for Matrix<'a> {
    type Error = Error;

    fn try_from(array: ArrayView2<'a, u8>) -> Result<Self> {
        Self::from_u8(row_major("matrix values", array)?, array.ncols())
    }
}

/// Class labels, one a row, without a copy.
///
/// # Errors
/// [`Error::Layout`] where they do not follow each other.
impl<'a> TryFrom<ArrayView1<'a, u8>> for Targets<'a> {
    type Error = Error;

    fn try_from(labels: ArrayView1<'a, u8>) -> Result<Self> {
        Ok(Self::from_u8(contiguous("labels", labels)?))
    }
}

/// Class labels, one a row, without a copy.
///
/// # Errors
/// [`Error::Layout`] where they do not follow each other.
impl<'a> TryFrom<ArrayView1<'a, u32>> for Targets<'a> {
    type Error = Error;

    fn try_from(labels: ArrayView1<'a, u32>) -> Result<Self> {
        Ok(Self::from_u32(contiguous("labels", labels)?))
    }
}

/// A probability for each class `[n, classes]` in row-major order, without a copy: see
/// [`from_probabilities`](Targets::from_probabilities).
///
/// # Errors
/// [`Error::Layout`] where the elements do not follow each other in row-major order, [`Error::Size`] where there are no
/// classes.
impl<'a> TryFrom<ArrayView2<'a, f32>> for Targets<'a> {
    type Error = Error;

    fn try_from(probabilities: ArrayView2<'a, f32>) -> Result<Self> {
        Self::from_probabilities(row_major("target probabilities", probabilities)?, probabilities.ncols())
    }
}

macro_rules! from_owned {
    ($($array:ty => $to:ident)+) => {$(
        /// As of its view.
        impl<'a> TryFrom<&'a $array> for $to<'a> {
            type Error = Error;

            fn try_from(array: &'a $array) -> Result<Self> {
                array.view().try_into()
            }
        }
    )+};
}
from_owned! {
    Array2<f32> => Matrix
    Array2<u8> => Matrix
    Array1<u8> => Targets
    Array1<u32> => Targets
}
