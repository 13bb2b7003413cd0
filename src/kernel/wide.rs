//! The gradient and the step where there are very many classes, by matrixmultiply: it packs both operands
//! into blocks that stay in the caches, which pays once the weights themselves no longer do. Pixels and
//! picked rows, which it cannot read, are gathered here first.
//!
//! Speed over that of the kernels written here, f32, 784 features, one Zen 4 core (where
//! matrixmultiply uses AVX-512):
//!
//! | classes | rows | over `avx512` | over `avx2` |
//! | ------: | ---: | ------------: | ----------: |
//! |    1000 |   32 |          0.76 |        0.79 |
//! |    1000 | 1000 |          0.95 |        1.09 |
//! |    2000 | 1000 |          1.00 |        1.46 |
//! |    4000 |  300 |          0.91 |        1.83 |
//! |    4000 | 1000 |          1.39 |        2.33 |
//!
//! Tried and rejected: the same for the forward pass, which gains a fifth at 4000 classes and 1000 rows
//! but loses up to half at fewer rows. The choice would have to depend on the rows, and a row's logits
//! would then depend on the batch it came in.
//!
//! matrixmultiply chooses its instructions itself: here the level decides nothing, and one level's results
//! may differ by rounding between CPUs.
//!
//! This is the only kernel that allocates: the gathered rows, the sums, and matrixmultiply's own blocks.

use super::balanced::balanced;
use super::update::Update;
use crate::level::Kernel;
use crate::matrix::Rows;
use crate::parallel::Divide;
use crate::simd::{Element, Simd};
use crate::weights::PANEL;
use alloc::vec;
use alloc::vec::Vec;

/// Rows, and classes, of one product: the gathered rows and the sums are 3 MB each at 784 features, and grow
/// with them.
const BLOCK: usize = 1024;

/// The update, done by matrixmultiply.
pub(super) struct Wide<'a, T>(pub(super) Update<'a, T>);

/// Whether [`Wide`] is the faster way. Asked once, before work is shared out among threads, so that the
/// answer does not depend on them.
pub(super) const fn pays(rows: usize, classes: usize) -> bool {
    rows >= 512 && classes >= 2048
}

impl<T: Element> Divide for Wide<'_, T> {
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

impl<T: Element> Kernel for Wide<'_, T> {
    type Output = ();

    fn run<S: Simd>(self, _simd: S) {
        let features = self.0.features();
        let Update { x, d, classes, alpha, keep, lines, first_panel } = self.0;
        let before = first_panel * PANEL;
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
                        // What fills the last panel up stays zero.
                        for (a, &sum) in line.0.iter_mut().zip(&sums[p * PANEL..features]) {
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
