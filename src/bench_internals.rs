//! What benchmarks need and no user does: the two limits of the machine, as loops over the library's own vector
//! operations that do nothing else, and the products of block-sparse rows, which otherwise only a trainer sees. No promise
//! is made for any of it. `softreg bench` and the package `softreg-bench` take the times and print them.

#![allow(clippy::needless_range_loop, reason = "loops over const bounds, which must unroll")]

use crate::error::Result;
use crate::exec::{Divide, Exec};
use crate::kernel::{self, Loss, Sweep};
use crate::matrix::{Batch, FeatureOrder, Matrix};
use crate::parameters::Parameters;
use crate::simd::{Kernel, Simd};
use core::hint::black_box;

/// Multiply-adds between registers, which touch no memory, on each thread for some milliseconds. Returns the
/// floating-point operations of all of them.
pub fn multiply_adds(exec: Exec) -> usize {
    exec.run(MultiplyAdds { pieces: exec.threads });
    exec.run_here(Flop) * exec.threads
}

/// Reads all values `passes` times over and computes next to nothing; threads take pieces of `piece` values.
pub fn read(exec: Exec, values: &[f32], piece: usize, passes: usize) {
    exec.run(Read { values, passes, piece });
}

/// Parameters in the order of features in which a product with these rows is fastest, which [`forward`] and [`sgd_step`]
/// take them in.
pub struct Ordered {
    parameters: Parameters,
    order: FeatureOrder,
}

impl Ordered {
    /// Reorders parameters, which fit the rows.
    #[must_use]
    pub fn new(natural: Parameters, x: Matrix<'_>) -> Self {
        match x.permutation() {
            Some(permutation) if kernel::plan::uses_block_sparse(natural.features(), natural.classes()) => {
                let mut parameters = natural.clone();
                parameters.permute_from(&natural, permutation);
                Self { parameters, order: FeatureOrder::Permuted }
            }
            _ => Self { parameters: natural, order: FeatureOrder::Natural },
        }
    }
}

/// [`kernel::forward`] of the rows that the parameters were ordered for.
///
/// # Errors
/// As [`kernel::forward`].
pub fn forward(exec: Exec, x: Matrix<'_>, ordered: &Ordered, logits: &mut [f32]) -> Result<()> {
    kernel::forward_in_order(exec, x, ordered.order, &ordered.parameters, logits)
}

/// [`kernel::sgd_step`] by the rows that the parameters were ordered for.
///
/// # Errors
/// As [`kernel::sgd_step`].
pub fn sgd_step(exec: Exec, x: Matrix<'_>, residual: &[f32], learning_rate: f32, ordered: &mut Ordered) -> Result<()> {
    kernel::sgd_step_in_order(exec, x, ordered.order, residual, learning_rate, &mut ordered.parameters)
}

/// [`Sweep::run`] over the rows that the parameters were ordered for; the gradient is ordered alike.
///
/// # Errors
/// As [`Sweep::run`].
pub fn sweep(
    exec: Exec,
    sweep: &mut Sweep,
    batch: Batch<'_>,
    ordered: &Ordered,
    losses: &mut [f64],
    gradient: &mut Ordered,
) -> Result<Loss> {
    sweep.run_in_order(exec, batch, ordered.order, &ordered.parameters, losses, &mut gradient.parameters)
}

/// Independent sums: enough that a multiply-add of 4 cycles, two a cycle, never waits for the one before; and few enough
/// that they and the factors stay in 16 registers.
const SUMS: usize = 12;

/// Multiply-adds on each of them in a piece: some milliseconds.
const ROUNDS: usize = 400_000;

/// Multiply-adds between registers.
struct MultiplyAdds {
    pieces: usize,
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
struct Flop;

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
struct Read<'a> {
    values: &'a [f32],
    passes: usize,
    /// The values are cut between pieces of this many.
    piece: usize,
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
