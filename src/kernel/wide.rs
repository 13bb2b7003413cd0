//! The two products where there are very many classes, by matrixmultiply: it packs both operands into
//! blocks that stay in the caches, which pays once the weights themselves no longer do. What is packed
//! here is only what matrixmultiply cannot read: panels of weights, pixels, picked rows.
//!
//! Speed over that of the kernels written here, f32, 784 features, forward and step, one Zen 4 core
//! (where matrixmultiply uses AVX-512):
//!
//! | classes | rows | over `avx512` | over `avx2` |
//! | ------: | ---: | ------------: | ----------: |
//! |    1000 |   32 |    0.54, 0.76 |  0.62, 0.79 |
//! |    1000 | 1000 |    0.85, 0.95 |  0.85, 1.09 |
//! |    2000 | 1000 |    1.03, 1.00 |  0.94, 1.46 |
//! |    4000 |  300 |    0.79, 0.91 |  1.06, 1.83 |
//! |    4000 | 1000 |    1.21, 1.39 |  1.43, 2.33 |
//!
//! These are the only functions below the models that allocate: the packed blocks, up to 8 MB, and
//! matrixmultiply's own.

use super::balanced::balanced;
use super::forward::Forward;
use super::update::Update;
use crate::level::Kernel;
use crate::matrix::Rows;
use crate::parallel::Divide;
use crate::simd::{Element, Simd};
use crate::weights::PANEL;
use alloc::vec;
use alloc::vec::Vec;

/// Rows, and classes, of one product: a packed block of either is 3 MB at 784 features.
const BLOCK: usize = 1024;

/// A kernel done by matrixmultiply.
pub(super) struct Wide<K>(pub(super) K);

/// Whether [`Wide`] is the faster way. Asked once, before work is shared out among threads, so that the
/// answer does not depend on them.
pub(super) const fn pays(rows: usize, classes: usize) -> bool {
    rows >= 512 && classes >= 2048
}

impl<K: Divide> Divide for Wide<K>
where
    Self: Kernel<Output = ()>,
{
    fn len(&self) -> usize {
        self.0.len()
    }

    fn work(&self) -> usize {
        self.0.work()
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(middle);
        (Self(left), Self(right))
    }
}

impl<T: Element> Kernel for Wide<Forward<'_, T>> {
    type Output = ();

    fn run<S: Simd>(self, _simd: S) {
        let Forward { x, scale, weights, bias, logits } = self.0;
        let (features, classes) = (weights.features(), weights.classes());
        for row in logits.chunks_exact_mut(classes) {
            row.copy_from_slice(bias);
        }
        let stride = features.next_multiple_of(PANEL);
        let mut w = vec![0.0; classes.min(BLOCK) * stride];
        let mut dense = Vec::new();
        for columns in balanced(classes, BLOCK) {
            for (p, panel) in weights.lines().chunks_exact(classes).enumerate() {
                for (to, line) in w.chunks_exact_mut(stride).zip(&panel[columns.clone()]) {
                    to[p * PANEL..][..PANEL].copy_from_slice(&line.0);
                }
            }
            for rows in balanced(x.len(), BLOCK) {
                gather(&x.split_at(rows.start).1.split_at(rows.len()).0, 0, features, &mut dense);
                product(
                    scale,
                    Operand { values: &dense, rows: rows.len(), columns: features, strides: (features, 1) },
                    Operand { values: &w, rows: features, columns: columns.len(), strides: (1, stride) },
                    1.0,
                    &mut logits[rows.start * classes + columns.start..],
                    classes,
                );
            }
        }
    }
}

impl<T: Element> Kernel for Wide<Update<'_, T>> {
    type Output = ();

    fn run<S: Simd>(self, _simd: S) {
        let Update { x, d, classes, alpha, keep, lines, first_panel } = self.0;
        let before = first_panel * PANEL;
        let features = (x.features() - before).min(lines.len() / classes * PANEL);
        let stride = features.next_multiple_of(PANEL);
        let mut sums = vec![0.0; classes.min(BLOCK) * stride];
        let mut dense = Vec::new();
        for rows in balanced(x.len(), BLOCK) {
            let keep = keep || rows.start > 0;
            gather(&x.split_at(rows.start).1.split_at(rows.len()).0, before, features, &mut dense);
            for columns in balanced(classes, BLOCK) {
                let d = &d[rows.start * classes + columns.start..];
                product(
                    1.0,
                    Operand { values: d, rows: columns.len(), columns: rows.len(), strides: (1, classes) },
                    Operand { values: &dense, rows: rows.len(), columns: features, strides: (features, 1) },
                    0.0,
                    &mut sums,
                    stride,
                );
                for (p, panel) in lines.chunks_exact_mut(classes).enumerate() {
                    for (line, sums) in panel[columns.clone()].iter_mut().zip(sums.chunks_exact(stride)) {
                        for (a, &sum) in line.0.iter_mut().zip(&sums[p * PANEL..]) {
                            *a = if keep { *a + alpha * sum } else { alpha * sum };
                        }
                    }
                }
            }
        }
    }
}

/// Writes columns `first..first + features` of the rows into `dense [rows, features]`, as f32.
fn gather<T: Element>(x: &Rows<'_, T>, first: usize, features: usize, dense: &mut Vec<f32>) {
    dense.clear();
    for row in 0..x.len() {
        dense.extend(x.row(row)[first..first + features].iter().map(|&value| value.into()));
    }
}

/// A matrix in memory: element `(i, j)` stands at `i * strides.0 + j * strides.1`.
struct Operand<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    strides: (usize, usize),
}

/// `c = alpha * a * b + beta * c`, with `c` of `stride` elements a row.
fn product(alpha: f32, a: Operand<'_>, b: Operand<'_>, beta: f32, c: &mut [f32], stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows);
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let last = |rows: usize, columns: usize, (row, column): (usize, usize)| (rows - 1) * row + (columns - 1) * column;
    assert!(last(m, k, a.strides) < a.values.len());
    assert!(last(k, n, b.strides) < b.values.len());
    assert!(n <= stride && last(m, n, (stride, 1)) < c.len());
    // SAFETY: the last element of each matrix was just seen to lie within its slice, and with it every
    // other; rows of c do not overlap, since `n <= stride`.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            alpha,
            a.values.as_ptr(),
            a.strides.0 as isize,
            a.strides.1 as isize,
            b.values.as_ptr(),
            b.strides.0 as isize,
            b.strides.1 as isize,
            beta,
            c.as_mut_ptr(),
            stride as isize,
            1,
        );
    }
}
