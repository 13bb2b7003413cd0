//! When blocks of zeros may be skipped. A product with a zero adds nothing to a sum, not even to its last bit, as long
//! as the other factor is finite: 0 * NaN is NaN, and 0 * infinity too. So the other factors are looked through first,
//! which takes a small part of the time of what follows, and where one is not finite nothing is skipped.

use crate::matrix::Rows;
use crate::simd::Simd;
use crate::weights::Line;

/// The fewest rows for which looking through the weights pays: it takes as long as two rows' product with them.
const FEWEST_ROWS: usize = 16;

/// The fewest classes: with fewer the tiles that skip, one row or one vector wide, have too few sums to hide the latency
/// of a multiply-add.
const FEWEST_CLASSES: usize = 8;

/// Whether zero blocks may be skipped in products of these rows with the weights, and should.
#[inline(always)]
pub(super) fn skips_in_weights<S: Simd, T>(simd: S, x: &Rows<'_, T>, weights: &[Line], classes: usize) -> bool {
    if !pays(x, classes) {
        return false;
    }
    let mut sums = [simd.splat(0.0); SUMS];
    for line in weights {
        add_products_with_zero(simd, &line.0, &mut sums);
    }
    all_zero(simd, sums)
}

/// Whether zero blocks may be skipped in products of these rows with the residual, and should.
#[inline(always)]
pub(super) fn skips_in_residual<S: Simd, T>(simd: S, x: &Rows<'_, T>, d: &[f32], classes: usize) -> bool {
    if !pays(x, classes) {
        return false;
    }
    let mut sums = [simd.splat(0.0); SUMS];
    add_products_with_zero(simd, d, &mut sums);
    all_zero(simd, sums)
}

#[inline(always)]
fn pays<T>(x: &Rows<'_, T>, classes: usize) -> bool {
    x.has_zeros() && x.len() >= FEWEST_ROWS && classes >= FEWEST_CLASSES
}

/// Independent sums, so that none waits for another.
const SUMS: usize = 4;

/// `0 * v` is 0 for finite `v` and NaN for all others.
#[inline(always)]
fn add_products_with_zero<S: Simd>(simd: S, values: &[f32], sums: &mut [S::Vector; SUMS]) {
    let zero = simd.splat(0.0);
    let (arrays, rest) = S::arrays(values);
    for arrays in arrays.chunks(SUMS) {
        for (array, sum) in arrays.iter().zip(&mut *sums) {
            *sum = simd.mul_add(simd.load(array), zero, *sum);
        }
    }
    sums[0] = simd.mul_add(simd.load_partial(rest), zero, sums[0]);
}

#[inline(always)]
fn all_zero<S: Simd>(simd: S, sums: [S::Vector; SUMS]) -> bool {
    let mut sum = sums[0];
    for &other in &sums[1..] {
        sum = simd.add(sum, other);
    }
    let mut lanes = S::array(0.0);
    simd.store(sum, &mut lanes);
    lanes.as_ref().iter().all(|&lane| lane == 0.0)
}
