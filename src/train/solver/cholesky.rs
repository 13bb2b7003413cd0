//! Cholesky's factor of a symmetric positive definite matrix and its inverse, in blocks, so that nearly all of the
//! arithmetic is a matrix product. The matrices are the preconditioner's.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};

/// Rows and columns of a block. The diagonal blocks, which are not products, then take one part in ten of the time.
const BLOCK: usize = 48;

/// Replaces the lower triangle of `a` by the inverse of its Cholesky factor: `M` with `M^T M = a^-1`. What is above the
/// diagonal becomes 0. Returns whether `a` was positive definite; if not, it holds nothing of use.
pub(super) fn invert_factor(a: &mut Array2<f64>) -> bool {
    let n = a.nrows();
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let (mut diagonal, mut below) = a.slice_mut(s![start.., start..end]).split_at(Axis(0), end - start);
        if !factor(&mut diagonal) {
            return false;
        }
        // below = below * L^-T, a row at a time.
        for mut row in below.rows_mut() {
            for j in 0..row.len() {
                let sum: f64 = (0..j).map(|k| row[k] * diagonal[[j, k]]).sum();
                row[j] = (row[j] - sum) / diagonal[[j, j]];
            }
        }
        // The rest of the lower triangle, a column of blocks at a time, less the product of what is below.
        let (left, mut right) = a.view_mut().split_at(Axis(1), end);
        let below = left.slice(s![end.., start..]);
        for (first, mut columns) in (0..).step_by(BLOCK).zip(right.axis_chunks_iter_mut(Axis(1), BLOCK)) {
            let width = columns.ncols();
            let (rows, transposed) = (below.slice(s![first.., ..]), below.slice(s![first..first + width, ..]));
            general_mat_mul(-1.0, &rows, &transposed.t(), 1.0, &mut columns.slice_mut(s![end + first.., ..]));
        }
    }
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let (above, mut rows) = a.slice_mut(s![..end, ..]).split_at(Axis(0), start);
        let inverse = invert_triangle(rows.slice(s![.., start..end]));
        let product = rows.slice(s![.., ..start]).dot(&above.slice(s![.., ..start]));
        general_mat_mul(-1.0, &inverse, &product, 0.0, &mut rows.slice_mut(s![.., ..start]));
        rows.slice_mut(s![.., start..end]).assign(&inverse);
        rows.slice_mut(s![.., end..]).fill(0.0);
    }
    true
}

/// The factor of a small matrix, in its lower triangle.
fn factor(a: &mut ArrayViewMut2<'_, f64>) -> bool {
    for j in 0..a.ncols() {
        for i in j..a.ncols() {
            let sum: f64 = (0..j).map(|k| a[[i, k]] * a[[j, k]]).sum();
            let rest = a[[i, j]] - sum;
            if i == j {
                // NaN too.
                if !(rest > 0.0 && rest.is_finite()) {
                    return false;
                }
                a[[j, j]] = rest.sqrt();
            } else {
                a[[i, j]] = rest / a[[j, j]];
            }
        }
    }
    true
}

/// The inverse of a small lower triangle.
fn invert_triangle(l: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut inverse = Array2::zeros(l.dim());
    for column in 0..l.ncols() {
        for i in column..l.nrows() {
            let sum: f64 = (column..i).map(|k| l[[i, k]] * inverse[[k, column]]).sum();
            inverse[[i, column]] = (f64::from(u8::from(i == column)) - sum) / l[[i, i]];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix whose condition is some 1e6.
    fn positive(n: usize) -> Array2<f64> {
        let x =
            Array2::from_shape_fn((n + 3, n), |(i, j)| ((i * 31 + j * 17) % 23) as f64 - 11.0 + (i * j) as f64 * 0.01);
        x.t().dot(&x) + Array2::<f64>::eye(n)
    }

    #[test]
    fn the_inverse_factor_inverts() {
        for n in [1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5] {
            let a = positive(n);
            let mut m = a.clone();
            assert!(invert_factor(&mut m), "{n}");
            assert!((0..n).all(|i| (i + 1..n).all(|j| m[[i, j]] == 0.0)), "{n}: not a lower triangle");
            let unit = m.dot(&a).dot(&m.t());
            for ((i, j), &value) in unit.indexed_iter() {
                let expected = f64::from(u8::from(i == j));
                assert!((value - expected).abs() < 1e-7, "{n}: {value} at {i}, {j}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            for place in [0, BLOCK + 2] {
                let mut a = positive(BLOCK + 7);
                a[[place, place]] = bad;
                assert!(!invert_factor(&mut a), "{bad} at {place}");
            }
        }
    }
}
