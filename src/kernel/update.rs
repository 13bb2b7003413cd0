//! `A [features, classes] = keep * A + alpha * x^T [features, n] * d [n, classes]`, where `keep` is 1 or
//! 0: the gradient (overwritten or accumulated), and the SGD step, which is the same with the weights as
//! A and `alpha = -learning_rate`. So the update needs no buffer for the gradient.
//!
//!     for each block of rows that stays in the second-level cache
//!         for each group of classes
//!             for each tile of V vectors of features x G classes      V * G vectors of accumulators
//!                 for each row of the block                           V loads of x, G loads of d
//!                     acc[v][g] += x[v] * d[g]                        V * G fused multiply-adds
//!                 A[v][g] = keep * A[v][g] + alpha * acc[v][g]
//!
//! An element of A gets its additions in the order of the rows, whatever tile it falls in; so the panels
//! of A can be shared out among threads without a change of one bit.

use super::groups::groups;
use crate::level::Kernel;
use crate::matrix::Rows;
use crate::parallel::Divide;
use crate::simd::{Element, Simd};
use crate::weights::{Line, PANEL};
use core::ops::Range;

/// Rows that are walked once for each tile: 128 rows of 784 f32 are 400 KB, which the second-level cache
/// holds between two walks; over 60,000 rows at once the kernel falls to a ninth of its speed.
pub(super) const ROW_BLOCK: usize = 64;

const STRIP: usize = 2;

/// One run of the kernel over whole panels of A. The fields' shapes are checked by who makes one.
pub(crate) struct Update<'a, T> {
    pub(crate) x: Rows<'a, T>,
    /// `[n, classes]`
    pub(crate) d: &'a [f32],
    pub(crate) classes: usize,
    pub(crate) alpha: f32,
    /// Whether what A holds is kept or overwritten.
    pub(crate) keep: bool,
    /// The panels of A to write, each a line a class.
    pub(crate) lines: &'a mut [Line],
    /// The number of A's panels that stand before `lines`.
    pub(crate) first_panel: usize,
}

/// One block of rows, each looked up once for all tiles.
struct Block<'a, T> {
    rows: &'a [&'a [T]],
    d: &'a [f32],
    keep: bool,
}

impl<T: Element> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let most = if S::REGISTERS >= 32 { 12 } else { 6 };
        if self.x.len() == 0 && !self.keep {
            self.lines.fill(Line([0.0; PANEL]));
        }
        let mut rows: [&[T]; ROW_BLOCK] = [&[]; ROW_BLOCK];
        let mut start = 0;
        while start < self.x.len() {
            let end = self.x.len().min(start + ROW_BLOCK);
            for row in start..end {
                rows[row - start] = self.x.row(row);
            }
            let block = Block {
                rows: &rows[..end - start],
                d: &self.d[start * self.classes..end * self.classes],
                keep: self.keep || start > 0,
            };
            let vectors = (self.lines.len() / self.classes * PANEL).div_ceil(S::LANES);
            let strip = if self.classes <= most { vectors } else { STRIP * PANEL / S::LANES };
            for first in (0..vectors).step_by(strip) {
                for group in groups(self.classes, most) {
                    self.group(simd, &block, first..vectors.min(first + strip), group);
                }
            }
            start = end;
        }
    }
}

impl<T: Element> Divide for Update<'_, T> {
    /// Whole panels: features are shared out, so that no sum depends on how.
    fn len(&self) -> usize {
        self.lines.len() / self.classes
    }

    fn work(&self) -> usize {
        self.lines.len() * PANEL * self.x.len()
    }

    fn split_at(self, panel: usize) -> (Self, Self) {
        let (left, right) = self.lines.split_at_mut(panel * self.classes);
        let first_panel = self.first_panel + panel;
        (Self { lines: left, ..self }, Self { lines: right, first_panel, ..self })
    }
}

impl<T: Element> Update<'_, T> {
    /// Chooses the tile for a group of classes, by the same rule as the forward kernel's; V is a whole
    /// number of panels, or a divisor of one, so that a tile never straddles two panels unevenly.
    #[inline(always)]
    fn group<S: Simd>(&mut self, simd: S, block: &Block<'_, T>, strip: Range<usize>, classes: Range<usize>) {
        let first = classes.start;
        match (S::LANES, classes.len()) {
            (16, 1) => self.tiles::<S, 8, 1>(simd, block, strip, first),
            (16, 2) => self.tiles::<S, 8, 2>(simd, block, strip, first),
            (16, 3) => self.tiles::<S, 4, 3>(simd, block, strip, first),
            (16, 4) => self.tiles::<S, 4, 4>(simd, block, strip, first),
            (16, 5) => self.tiles::<S, 4, 5>(simd, block, strip, first),
            (16, 6) => self.tiles::<S, 2, 6>(simd, block, strip, first),
            (16, 7) => self.tiles::<S, 2, 7>(simd, block, strip, first),
            (16, 8) => self.tiles::<S, 2, 8>(simd, block, strip, first),
            (16, 9) => self.tiles::<S, 2, 9>(simd, block, strip, first),
            (16, 10) => self.tiles::<S, 2, 10>(simd, block, strip, first),
            (16, 11) => self.tiles::<S, 2, 11>(simd, block, strip, first),
            (16, _) => self.tiles::<S, 2, 12>(simd, block, strip, first),
            (_, 1) => self.tiles::<S, 8, 1>(simd, block, strip, first),
            (_, 2) => self.tiles::<S, 4, 2>(simd, block, strip, first),
            (_, 3) => self.tiles::<S, 4, 3>(simd, block, strip, first),
            (_, 4) => self.tiles::<S, 2, 4>(simd, block, strip, first),
            (_, 5) => self.tiles::<S, 2, 5>(simd, block, strip, first),
            (_, _) => self.tiles::<S, 2, 6>(simd, block, strip, first),
        }
    }

    /// All features, V vectors at a time; then what is left of whole vectors, one at a time; then the
    /// last, partial one.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize>(
        &mut self,
        simd: S,
        block: &Block<'_, T>,
        strip: Range<usize>,
        first: usize,
    ) {
        let features = self.x.features() - self.first_panel * PANEL;
        let features = features.min(self.lines.len() / self.classes * PANEL);
        let full = strip.end.min(features / S::LANES);
        let mut vector = strip.start;
        while vector + V <= full {
            self.tile::<S, V, G, false>(simd, block, vector, first);
            vector += V;
        }
        while vector < full {
            self.tile::<S, 1, G, false>(simd, block, vector, first);
            vector += 1;
        }
        if vector < strip.end && features % S::LANES > 0 && vector == features / S::LANES {
            self.tile::<S, 1, G, true>(simd, block, vector, first);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const V: usize, const G: usize, const PARTIAL: bool>(
        &mut self,
        simd: S,
        block: &Block<'_, T>,
        vector: usize,
        first: usize,
    ) {
        let start = self.first_panel * PANEL + vector * S::LANES;
        let mut acc = [[simd.splat(0.0); G]; V];
        for (row, d) in block.rows.iter().zip(block.d.chunks_exact(self.classes)) {
            let mut x = [simd.splat(0.0); V];
            if PARTIAL {
                x[0] = T::load_partial(simd, &row[start..]);
            } else {
                let row = S::arrays(&row[start..start + V * S::LANES]).0;
                for v in 0..V {
                    x[v] = T::load(simd, &row[v]);
                }
            }
            let d = &d[first..first + G];
            for g in 0..G {
                let d = simd.splat(d[g]);
                for v in 0..V {
                    acc[v][g] = simd.mul_add(x[v], d, acc[v][g]);
                }
            }
        }
        let alpha = simd.splat(self.alpha);
        for v in 0..V {
            let panel = (vector + v) * S::LANES / PANEL;
            let part = (vector + v) * S::LANES % PANEL / S::LANES;
            let lines = &mut self.lines[panel * self.classes + first..][..G];
            for g in 0..G {
                let a = &mut S::arrays_mut(&mut lines[g].0).0[part];
                let new =
                    if block.keep { simd.mul_add(alpha, acc[v][g], simd.load(a)) } else { simd.mul(alpha, acc[v][g]) };
                simd.store(new, a);
            }
        }
    }
}
