//! `A [features, classes] = keep * A + alpha * x^T [features, n] * d [n, classes]`, where `keep` is 1 or 0: see
//! `kernel::update`, which is the same with the lanes along the features.
//!
//! ```text
//! for each block of rows
//!     for each panel of features                          its columns of x stay in the first-level cache
//!         for each group of N vectors of classes
//!             for each tile of F features x N vectors     F * N vectors of accumulators
//!                 for each row of the block               N loads of d, F broadcasts of x
//!                     acc[f][n] += x[f] * d[n]            F * N fused multiply-adds
//!                 A[f][n] = keep * A[f][n] + alpha * acc[f][n]
//! ```
//!
//! An element of A gets its additions in the order of the rows, whatever tile it falls in.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::{Group, groups};
use crate::kernel::balanced::balanced;
use crate::kernel::update;
use crate::level::Kernel;
use crate::parallel::Divide;
use crate::simd::{Element, Simd, load_start, store_start};
use crate::weights::{Line, PANEL};
use core::hint::black_box;
use core::mem::MaybeUninit;

/// Rows that are walked once for each tile: the pages of 64 rows of x fit into the first-level TLB, and 64 rows of 1000
/// classes of d, 256 KB, into the second-level cache. With 128 and 256 rows some shapes gain a twentieth and others
/// lose a tenth.
const ROW_BLOCK: usize = 64;

/// With so many rows a tile asks for its lines of A before it goes through them: large weights come from far away, and
/// its end would wait for them. 100 rows of 2048 features and 1000 classes took 1.8 times as long without (Zen 5). With
/// one row there is nothing to wait behind, and asking took a sixth of the time.
const ASKING_ROWS: usize = 8;

/// Rows of so many bytes, a page, are asked for a panel ahead: the hardware does not foresee columns of them.
const ASKING_BYTES: usize = 4096;

/// The update, done this way.
pub(crate) struct Update<'a, T>(pub(crate) update::Update<'a, T>);

impl<T: Element> Divide for Update<'_, T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn work(&self) -> usize {
        self.0.work()
    }

    fn split_at(self, panel: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(panel);
        (Self(left), Self(right))
    }
}

impl<T: Element> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let update::Update { x, d, classes, alpha, keep, lines, panel_lines, first_panel } = self.0;
        if x.len() == 0 && !keep {
            lines.fill(Line([0.0; PANEL]));
        }
        let mut packed = [const { MaybeUninit::uninit() }; ROW_BLOCK];
        for rows in balanced(x.len(), ROW_BLOCK) {
            // Opaque, or the compiler works the number out anew for every row.
            let count = black_box(rows.len());
            let mut looked_up: [&[T]; ROW_BLOCK] = [&[]; ROW_BLOCK];
            for (to, row) in looked_up[..count].iter_mut().zip(rows.clone()) {
                *to = &x.row(row)[first_panel * PANEL..];
            }
            let d = &d[rows.start * classes..][..count * classes];
            let keep = keep || rows.start > 0;
            for (panel, lines) in lines.chunks_exact_mut(panel_lines).enumerate() {
                let mut x = [&[0.0; PANEL]; ROW_BLOCK];
                for ((to, packed), row) in x.iter_mut().zip(&mut packed).zip(&looked_up[..count]) {
                    *to = pack(simd, &row[panel * PANEL..], packed);
                    if size_of_val(*row) >= ASKING_BYTES
                        && let Some(soon) = row.get((panel + 1) * PANEL)
                    {
                        simd.prefetch(soon);
                    }
                }
                let features = PANEL.min(looked_up[0].len() - panel * PANEL);
                let block = Block { x: &x[..count], features, d, classes, alpha, keep };
                for group in groups::<S>(classes) {
                    block.group(simd, lines, group);
                }
            }
        }
    }
}

/// Copies a panel of a row, as f32 and filled up with zeros. Where they stand, the panels of rows whose length is a power
/// of two would push each other out of the first-level cache.
#[inline(always)]
fn pack<'a, S: Simd, T: Element>(simd: S, row: &[T], packed: &'a mut MaybeUninit<[f32; PANEL]>) -> &'a [f32; PANEL] {
    let packed = packed.write([0.0; PANEL]);
    match row.first_chunk::<PANEL>() {
        Some(whole) => {
            for (to, from) in S::arrays_mut(packed).0.iter_mut().zip(S::arrays(whole).0) {
                simd.store(T::load(simd, from), to);
            }
        }
        None => {
            for (to, &from) in packed.iter_mut().zip(row) {
                *to = from.into();
            }
        }
    }
    packed
}

/// A panel of features in a block of rows.
struct Block<'a> {
    /// Filled up with zeros where the panel has fewer features than 16.
    x: &'a [&'a [f32; PANEL]],
    features: usize,
    /// `[rows, classes]`
    d: &'a [f32],
    classes: usize,
    alpha: f32,
    keep: bool,
}

impl Block<'_> {
    /// Chooses the tile: F features, which divide a panel, by N vectors of classes.
    #[inline(always)]
    fn group<S: Simd>(&self, simd: S, lines: &mut [Line], group: Group) {
        match (S::REGISTERS >= 32, group.len.div_ceil(S::LANES)) {
            (true, 1) => self.tiles::<S, 16, 1>(simd, lines, group),
            (true, 2) => self.tiles::<S, 8, 2>(simd, lines, group),
            (true, 3) => self.tiles::<S, 8, 3>(simd, lines, group),
            (true, _) => self.tiles::<S, 4, 4>(simd, lines, group),
            (false, 1) => self.tiles::<S, 8, 1>(simd, lines, group),
            (false, 2) => self.tiles::<S, 4, 2>(simd, lines, group),
            (false, 3) => self.tiles::<S, 4, 3>(simd, lines, group),
            (false, _) => self.tiles::<S, 2, 4>(simd, lines, group),
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const F: usize, const N: usize>(&self, simd: S, lines: &mut [Line], group: Group) {
        for first in (0..self.features).step_by(F) {
            if self.features == PANEL && group.len == N * S::LANES {
                self.tile::<S, F, N, false>(simd, first, lines, group);
            } else {
                self.tile::<S, F, N, true>(simd, first, lines, group);
            }
        }
    }

    /// The tile from the panel's feature `first` on. In a partial one the panel or the last vector of classes is not full.
    #[inline(always)]
    fn tile<S: Simd, const F: usize, const N: usize, const PARTIAL: bool>(
        &self,
        simd: S,
        first: usize,
        lines: &mut [Line],
        group: Group,
    ) {
        let parts = PANEL / S::LANES;
        if self.x.len() >= ASKING_ROWS {
            for block in &lines[group.first..].as_chunks::<PANEL>().0[..N.div_ceil(parts)] {
                for line in &block[first..first + F] {
                    simd.prefetch(line);
                }
            }
        }
        let mut acc = [[simd.splat(0.0); N]; F];
        for (x, d) in self.x.iter().zip(self.d.chunks_exact(self.classes)) {
            let d = &d[group.first..][..group.len];
            let mut vectors = [simd.splat(0.0); N];
            for n in 0..N {
                vectors[n] = if PARTIAL { load_start(simd, &d[n * S::LANES..]) } else { simd.load(&S::arrays(d).0[n]) };
            }
            let x = &x[first..first + F];
            for f in 0..F {
                let x = simd.splat(x[f]);
                for n in 0..N {
                    acc[f][n] = simd.mul_add(x, vectors[n], acc[f][n]);
                }
            }
        }

        let alpha = simd.splat(self.alpha);
        let (blocks, _) = lines[group.first..].as_chunks_mut::<PANEL>();
        let blocks = &mut blocks[..N.div_ceil(parts)];
        for f in 0..F {
            if PARTIAL && first + f >= self.features {
                break;
            }
            for n in 0..N {
                let a = &mut S::arrays_mut(&mut blocks[n / parts][first + f].0).0[n % parts];
                let sum =
                    if self.keep { simd.mul_add(alpha, acc[f][n], simd.load(a)) } else { simd.mul(alpha, acc[f][n]) };
                if PARTIAL {
                    // What fills the last panel up stays zero even where the sum is not finite.
                    let own = S::LANES.min(group.len - n * S::LANES);
                    store_start(simd, sum, &mut a.as_mut()[..own]);
                } else {
                    simd.store(sum, a);
                }
            }
        }
    }
}
