//! OpenBLAS through its CBLAS: the system's library, which the feature `openblas` links. Where a product has one row or
//! one inner element it is the call of BLAS' second level: `sgemv` for one row's logits, `sger` for its update.
//!
//! Its integers are those of C, as in every package but the ones named `openblas64`.

use super::{Product, View, expect_sizes};
use std::ffi::{CStr, c_char, c_int};

/// The library at hand and the kernels it chose, in its own words.
pub(crate) fn config() -> String {
    // SAFETY: without arguments.
    let config = unsafe { openblas_get_config() };
    // SAFETY: a string that lives as long as the library.
    unsafe { CStr::from_ptr(config) }.to_string_lossy().into_owned()
}

pub(crate) struct OpenBlas;

impl Product for OpenBlas {
    const NAME: &'static str = "OpenBLAS";

    fn use_one_thread() {
        // SAFETY: any number will do.
        unsafe { openblas_set_num_threads(1) };
    }

    #[rustfmt::skip]
    fn add(alpha: f32, a: View<&[f32]>, b: View<&[f32]>, c: View<&mut [f32]>) {
        expect_sizes(&a, &b, &c);
        assert!(c.column_stride == 1, "a row-major result");
        let (m, n, k) = (int(c.rows), int(c.columns), int(a.columns));
        let (a_row, a_column, b_column, c_row) =
            (int(a.row_stride), int(a.column_stride), int(b.column_stride), int(c.row_stride));
        let ((a_form, a_lead), (b_form, b_lead)) = (form(&a), form(&b));
        let (a, b, c) = (a.values.as_ptr(), b.values.as_ptr(), c.values.as_mut_ptr());
        match (m, k) {
            // Row times matrix is the transpose times the row as a column.
            (1, _) => {
                let (form, rows, columns) = if b_form == PLAIN { (TRANSPOSED, k, n) } else { (PLAIN, n, k) };
                // SAFETY: a view's sizes and strides reach exactly its values, and the sizes fit each other.
                unsafe { cblas_sgemv(ROW_MAJOR, form, rows, columns, alpha, b, b_lead, a, a_column, 1.0, c, 1) }
            }
            // SAFETY: likewise.
            (_, 1) => unsafe { cblas_sger(ROW_MAJOR, m, n, alpha, a, a_row, b, b_column, c, c_row) },
            // SAFETY: likewise.
            _ => unsafe {
                cblas_sgemm(ROW_MAJOR, a_form, b_form, m, n, k, alpha, a, a_lead, b, b_lead, 1.0, c, c_row)
            },
        }
    }
}

/// Whether the values are the matrix, row-major, or its transpose, and from where to where a row of them is.
fn form(view: &View<&[f32]>) -> (c_int, c_int) {
    match view.column_stride {
        1 => (PLAIN, int(view.row_stride)),
        _ => (TRANSPOSED, int(view.column_stride)),
    }
}

fn int(size: impl TryInto<c_int>) -> c_int {
    size.try_into().ok().expect("sizes that BLAS can count")
}

const ROW_MAJOR: c_int = 101;
const PLAIN: c_int = 111;
const TRANSPOSED: c_int = 112;

// SAFETY: the signatures are those of its cblas.h, with integers of C.
#[rustfmt::skip]
#[link(name = "openblas")]
unsafe extern "C" {
    fn cblas_sgemm(
        order: c_int, a_form: c_int, b_form: c_int, m: c_int, n: c_int, k: c_int, alpha: f32,
        a: *const f32, a_lead: c_int, b: *const f32, b_lead: c_int, beta: f32, c: *mut f32, c_lead: c_int,
    );
    fn cblas_sgemv(
        order: c_int, form: c_int, rows: c_int, columns: c_int, alpha: f32, matrix: *const f32, lead: c_int,
        x: *const f32, x_step: c_int, beta: f32, y: *mut f32, y_step: c_int,
    );
    fn cblas_sger(
        order: c_int, rows: c_int, columns: c_int, alpha: f32,
        x: *const f32, x_step: c_int, y: *const f32, y_step: c_int, matrix: *mut f32, lead: c_int,
    );
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_config() -> *const c_char;
}
