//! The two limits, as kernels that do nothing else: multiply-adds that touch no memory, reads that compute next to
//! nothing. How their times are taken is `rounds`.

#![allow(clippy::needless_range_loop, reason = "loops over const bounds, which must unroll")]

use crate::level::Kernel;
use crate::parallel::Divide;
use crate::simd::Simd;
use core::hint::black_box;

/// Independent sums: enough that a multiply-add of 4 cycles, two a cycle, never waits for the one before; and few enough
/// that they and the factors stay in 16 registers.
const SUMS: usize = 12;

/// Multiply-adds on each of them in a piece: some milliseconds.
const ROUNDS: usize = 400_000;

/// Multiply-adds between registers.
pub(super) struct MultiplyAdds {
    pub(super) pieces: usize,
}

impl Kernel for MultiplyAdds {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (factor, addend) = (simd.splat(black_box(0.5)), simd.splat(black_box(1.0)));
        for _ in 0..self.pieces {
            // Sums that start alike would be computed once.
            let mut sums = [factor; SUMS];
            for i in 0..SUMS {
                sums[i] = simd.splat(black_box(i as f32));
            }
            for _ in 0..ROUNDS {
                for i in 0..SUMS {
                    sums[i] = simd.mul_add(sums[i], factor, addend);
                }
            }
            keep(simd, sums);
        }
    }
}

/// The floating-point operations of a piece of [`MultiplyAdds`].
pub(super) struct Flop;

impl Kernel for Flop {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> usize {
        2 * SUMS * ROUNDS * S::LANES
    }
}

impl Divide for MultiplyAdds {
    fn len(&self) -> usize {
        self.pieces
    }

    fn work(&self) -> usize {
        usize::MAX
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        (Self { pieces: middle }, Self { pieces: self.pieces - middle })
    }
}

/// Reads all values, `passes` times over.
pub(super) struct Read<'a> {
    pub(super) values: &'a [f32],
    pub(super) passes: usize,
    /// The values are cut between pieces of this many.
    pub(super) piece: usize,
}

/// Vectors read between two turns of the loop.
const UNROLLED: usize = 8;

impl Kernel for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut sums = [simd.splat(0.0); SUMS];
        for _ in 0..self.passes {
            for vectors in S::arrays(black_box(self.values)).0.chunks_exact(UNROLLED) {
                for i in 0..UNROLLED {
                    sums[i] = simd.add(sums[i], simd.load(&vectors[i]));
                }
            }
        }
        keep(simd, sums);
    }
}

impl Divide for Read<'_> {
    fn len(&self) -> usize {
        self.values.len() / self.piece
    }

    fn work(&self) -> usize {
        usize::MAX
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.values.split_at(middle * self.piece);
        (Self { values: left, ..self }, Self { values: right, ..self })
    }
}

/// Makes the compiler believe that the sums are wanted.
#[inline(always)]
fn keep<S: Simd>(simd: S, sums: [S::Vector; SUMS]) {
    let mut sum = simd.splat(0.0);
    for i in 0..SUMS {
        sum = simd.add(sum, sums[i]);
    }
    let mut lanes = S::array(0.0);
    simd.store(sum, &mut lanes);
    black_box(lanes[0]);
}
