//! The two products of rows that have an index of their blocks, in which only the blocks that are not zero are read.
//! When that may be done is said here; the index is in `blocks`, and what it pays for in `docs/PERFORMANCE.md`.
//!
//! A product with a zero adds nothing to a sum as long as the other factor is finite: 0 * NaN is NaN, and 0 * infinity
//! too. So the other factors are looked through first, which takes as long as two rows' product with them, and where one
//! is not finite nothing is skipped.

#![allow(clippy::needless_range_loop, reason = "loops over a const number of sums, which must unroll")]

mod forward;
mod update;

pub(super) use forward::Forward;
pub(super) use update::Update;

use crate::level::Kernel;
use crate::simd::Simd;
use crate::weights::Line;

/// The fewest classes with which blocks are skipped: with fewer, a tile one row or one vector wide has too few sums to
/// hide the latency of a multiply-add.
pub(crate) const FEWEST_CLASSES: usize = 8;

/// What rows are multiplied with. Run, it says whether all of it is finite.
pub(super) enum Factors<'a> {
    Weights(&'a [Line]),
    Residual(&'a [f32]),
}

impl Kernel for Factors<'_> {
    type Output = bool;

    /// `0 * v` is 0 for finite `v` and NaN for all others.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let zero = simd.splat(0.0);
        let mut sums = [zero; SUMS];
        match self {
            Self::Weights(lines) => {
                let (lines, rest) = lines.as_chunks::<SUMS>();
                for lines in lines {
                    for i in 0..SUMS {
                        for array in S::arrays(&lines[i].0).0 {
                            sums[i] = simd.mul_add(simd.load(array), zero, sums[i]);
                        }
                    }
                }
                for line in rest {
                    for array in S::arrays(&line.0).0 {
                        sums[0] = simd.mul_add(simd.load(array), zero, sums[0]);
                    }
                }
            }
            Self::Residual(d) => {
                let (arrays, rest) = S::arrays(d);
                let (arrays, last) = arrays.as_chunks::<SUMS>();
                for arrays in arrays {
                    for i in 0..SUMS {
                        sums[i] = simd.mul_add(simd.load(&arrays[i]), zero, sums[i]);
                    }
                }
                for array in last {
                    sums[0] = simd.mul_add(simd.load(array), zero, sums[0]);
                }
                sums[0] = simd.mul_add(simd.load_partial(rest), zero, sums[0]);
            }
        }
        let mut lanes = S::array(0.0);
        let mut sum = sums[0];
        for i in 1..SUMS {
            sum = simd.add(sum, sums[i]);
        }
        simd.store(sum, &mut lanes);
        lanes.as_ref().iter().all(|&lane| lane == 0.0)
    }
}

/// Independent sums, so that none waits for another: two multiply-adds a cycle take four cycles each.
const SUMS: usize = 8;
