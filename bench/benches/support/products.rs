//! Other libraries' matrix products behind one trait: dense f32 matrices and their transposes, on one thread. What is
//! composed of them is in `rivals`.

#[cfg(feature = "openblas")]
pub(crate) mod openblas;

/// A library's matrix product.
pub(crate) trait Product {
    /// The library.
    const NAME: &'static str;

    /// Must have been called before the first product, which else may run on all cores.
    fn use_one_thread() {}

    /// `c [m, n] += alpha * a [m, k] * b [k, n]`
    fn add(alpha: f32, a: View<&[f32]>, b: View<&[f32]>, c: View<&mut [f32]>);
}

/// A dense matrix or its transpose.
pub(crate) struct View<T> {
    values: T,
    rows: usize,
    columns: usize,
    row_stride: isize,
    column_stride: isize,
}

impl<T: AsRef<[f32]>> View<T> {
    /// Whole rows of `columns` values.
    pub(crate) fn row_major(values: T, columns: usize) -> Self {
        let (rows, rest) = (values.as_ref().len() / columns, values.as_ref().len() % columns);
        assert!(rest == 0, "whole rows");
        Self { values, rows, columns, row_stride: columns as isize, column_stride: 1 }
    }

    pub(crate) fn transposed(self) -> Self {
        let Self { values, rows, columns, row_stride, column_stride } = self;
        Self { values, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

fn expect_sizes(a: &View<&[f32]>, b: &View<&[f32]>, c: &View<&mut [f32]>) {
    assert!(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns, "sizes that make a product");
}

pub(crate) struct MatrixMultiply;

impl Product for MatrixMultiply {
    const NAME: &'static str = "matrixmultiply";

    #[rustfmt::skip]
    fn add(alpha: f32, a: View<&[f32]>, b: View<&[f32]>, c: View<&mut [f32]>) {
        expect_sizes(&a, &b, &c);
        // SAFETY: a view's sizes and strides reach exactly its values, and the sizes fit each other.
        unsafe {
            matrixmultiply::sgemm(
                a.rows, a.columns, b.columns, alpha,
                a.values.as_ptr(), a.row_stride, a.column_stride,
                b.values.as_ptr(), b.row_stride, b.column_stride, 1.0,
                c.values.as_mut_ptr(), c.row_stride, c.column_stride,
            );
        }
    }
}

pub(crate) struct Gemm;

impl Product for Gemm {
    const NAME: &'static str = "gemm";

    /// Its own alpha is the factor of what c holds, and a column's stride stands before a row's.
    #[rustfmt::skip]
    fn add(alpha: f32, a: View<&[f32]>, b: View<&[f32]>, c: View<&mut [f32]>) {
        expect_sizes(&a, &b, &c);
        // SAFETY: a view's sizes and strides reach exactly its values, and the sizes fit each other.
        unsafe {
            gemm::gemm(
                a.rows, b.columns, a.columns,
                c.values.as_mut_ptr(), c.column_stride, c.row_stride, true,
                a.values.as_ptr(), a.column_stride, a.row_stride,
                b.values.as_ptr(), b.column_stride, b.row_stride,
                1.0, alpha, false, false, false, gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(feature = "faer")]
pub(crate) struct Faer;

#[cfg(feature = "faer")]
impl Product for Faer {
    const NAME: &'static str = "faer";

    fn add(alpha: f32, a: View<&[f32]>, b: View<&[f32]>, c: View<&mut [f32]>) {
        use faer::linalg::matmul::matmul;
        use faer::{Accum, MatMut, MatRef, Par};
        let read = |view: View<_>| match view.column_stride {
            1 => MatRef::from_row_major_slice(view.values, view.rows, view.columns),
            _ => MatRef::from_column_major_slice(view.values, view.rows, view.columns),
        };
        let c = match c.column_stride {
            1 => MatMut::from_row_major_slice_mut(c.values, c.rows, c.columns),
            _ => MatMut::from_column_major_slice_mut(c.values, c.rows, c.columns),
        };
        matmul(c, Accum::Add, read(a), read(b), alpha, Par::Seq);
    }
}
