//! One row of features, in the forms that a [`Predictor`](super::Predictor) takes. Nothing is computed here.

use crate::matrix::{Matrix, Values};
use alloc::vec::Vec;

/// One row of features, `[features]`: f32 values, or u8 pixels that read as `pixel / 255`, each as a slice, a vector or an
/// array; or a [`Matrix`] of one row, such as one with another scale.
pub trait Row: View {}

/// What makes a [`Row`] one. Out of reach, so that rows are what this crate says they are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not one row of features",
    note = "a row is a slice, a vector or an array of f32 or u8, or a `Matrix` of one row"
)]
pub trait View {
    /// The row as a matrix; of a matrix, itself.
    fn view(&self) -> Matrix<'_>;
}

impl<T: View + ?Sized> Row for T {}

impl View for [f32] {
    fn view(&self) -> Matrix<'_> {
        Matrix::row(Values::F32(self))
    }
}

impl View for [u8] {
    fn view(&self) -> Matrix<'_> {
        Matrix::row(Values::U8(self))
    }
}

impl<T, const N: usize> View for [T; N]
where
    [T]: View,
{
    fn view(&self) -> Matrix<'_> {
        self.as_slice().view()
    }
}

impl<T> View for Vec<T>
where
    [T]: View,
{
    fn view(&self) -> Matrix<'_> {
        self.as_slice().view()
    }
}

impl View for Matrix<'_> {
    fn view(&self) -> Matrix<'_> {
        *self
    }
}

impl<T: View + ?Sized> View for &T {
    fn view(&self) -> Matrix<'_> {
        (**self).view()
    }
}
