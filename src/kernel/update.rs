//! `A [features, classes] = keep * A + alpha * x^T [features, n] * d [n, classes]`, where `keep` is 1 or
//! 0: the gradient, overwritten or accumulated, and the SGD step, which is the same with the weights as
//! A and `alpha = -learning_rate`. So a step needs no buffer for the gradient.
//!
//! ```text
//! for each block of rows that stays in the second-level cache
//!     for each strip of features whose columns of x stay in the first
//!         for each group of classes
//!             for each tile of V vectors of features x G classes   V * G vectors of accumulators
//!                 for each row of the block                        V loads of x, G loads of d
//!                     acc[v][g] += x[v] * d[g]                     V * G fused multiply-adds
//!                 A[v][g] = keep * A[v][g] + alpha * acc[v][g]
//! ```
//!
//! An element of A gets its additions in the order of the rows, whatever tile it falls in; so the panels
//! of A can be shared out among threads without a change of one bit.
//!
//! Tried and rejected: accumulators that start as the weights themselves, which saves the last
//! multiply-add (one in a hundred at 100 rows) but needs a scaled copy of d and rounds each addition at
//! the size of the weight instead of the size of the sum.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::balanced::balanced;
use crate::level::Kernel;
use crate::matrix::Rows;
use crate::parallel::Divide;
use crate::simd::{Column, Columns, Element, Simd, load_start};
use crate::weights::{Line, PANEL};
use core::ops::Range;

/// The most rows that are walked once for each tile: fewer, and the sums go into A more often.
const MOST_ROWS: usize = 128;

/// Panels of a strip where the classes need several groups: 64 rows of 2 panels are 8 KB.
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
    /// The panels of A to write.
    pub(crate) lines: &'a mut [Line],
    /// The lines of a panel.
    pub(crate) panel_lines: usize,
    /// The number of A's panels that stand before `lines`.
    pub(crate) first_panel: usize,
}

/// A block of rows, each looked up once for all tiles.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    x: Columns<'a, T>,
    d: &'a [f32],
    keep: bool,
}

impl<T: Element> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.x.len() == 0 && !self.keep {
            self.lines.fill(Line([0.0; PANEL]));
        }
        let features = self.features();
        let before = self.first_panel * PANEL;

        let mut looked_up: [&[T]; MOST_ROWS] = [&[]; MOST_ROWS];
        for rows in balanced(self.x.len(), Self::ROW_BLOCK) {
            for (to, row) in looked_up.iter_mut().zip(rows.clone()) {
                *to = &self.x.row(row)[before..];
            }
            let block = Block {
                x: Columns::new(&looked_up[..rows.len()]),
                d: &self.d[rows.start * self.classes..rows.end * self.classes],
                keep: self.keep || rows.start > 0,
            };
            self.block(simd, &block);
            // What is left over of whole panels and of whole vectors.
            let vectors = features / PANEL * (PANEL / S::LANES)..features / S::LANES;
            for classes in balanced(self.classes, Self::most_classes::<S>()) {
                self.group::<S, false>(simd, &block, vectors.clone(), classes.clone());
                if !features.is_multiple_of(S::LANES) {
                    self.group::<S, true>(simd, &block, vectors.end..vectors.end + 1, classes);
                }
            }
        }
    }
}

impl<T: Element> Divide for Update<'_, T> {
    /// Whole panels: features are shared out, so that no sum depends on how.
    fn len(&self) -> usize {
        self.lines.len() / self.panel_lines
    }

    fn work(&self) -> usize {
        self.lines.len().saturating_mul(PANEL).saturating_mul(self.x.len())
    }

    fn split_at(self, panel: usize) -> (Self, Self) {
        let (left, right) = self.lines.split_at_mut(panel * self.panel_lines);
        let first_panel = self.first_panel + panel;
        (Self { lines: left, ..self }, Self { lines: right, first_panel, ..self })
    }
}

impl<T: Element> Update<'_, T> {
    /// Rows that are walked once for each tile. 64 rows of 784 f32 are 200 KB, which the second-level cache holds
    /// between two walks, and lie in some 50 pages, which the first-level TLB holds (64 to 96 entries). With 128
    /// rows of f32 AVX2 loses a tenth to the TLB; with 32, AVX-512 loses a twentieth to the tiles' ends. 128 rows of
    /// pixels lie in 25 pages, and gain 2 % at AVX-512 and 4 % at AVX2 over 64.
    pub(super) const ROW_BLOCK: usize = if T::WIDENED { MOST_ROWS } else { 64 };

    /// The number of features that `lines` holds.
    #[inline(always)]
    fn features(&self) -> usize {
        (self.x.features() - self.first_panel * PANEL).min(self.lines.len() / self.panel_lines * PANEL)
    }

    /// The most classes of a tile, where it covers 2 vectors of features or more.
    #[inline(always)]
    const fn most_classes<S: Simd>() -> usize {
        if S::REGISTERS >= 32 { 12 } else { 6 }
    }

    /// All whole panels of a block of rows.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, block: &Block<'_, T>) {
        let panels = self.features() / PANEL;
        let strip = if self.classes <= Self::most_classes::<S>() { panels } else { STRIP };
        for panels in balanced(panels, strip.max(1)) {
            let vectors = panels.start * (PANEL / S::LANES)..panels.end * (PANEL / S::LANES);
            for classes in balanced(self.classes, Self::most_classes::<S>()) {
                self.group::<S, false>(simd, block, vectors.clone(), classes);
            }
        }
    }

    /// Chooses the tile for a group of classes: at least 8 accumulators, in at most three quarters of the
    /// registers. V is a power of two, so that a tile covers whole panels or divides one.
    #[inline(always)]
    fn group<S: Simd, const PARTIAL: bool>(
        &mut self,
        simd: S,
        block: &Block<'_, T>,
        vectors: Range<usize>,
        classes: Range<usize>,
    ) {
        let first = classes.start;
        match (S::REGISTERS >= 32, classes.len()) {
            (true, 1) => self.tiles::<S, 8, 1, PARTIAL>(simd, block, vectors, first),
            (true, 2) => self.tiles::<S, 8, 2, PARTIAL>(simd, block, vectors, first),
            (true, 3) => self.tiles::<S, 4, 3, PARTIAL>(simd, block, vectors, first),
            (true, 4) => self.tiles::<S, 4, 4, PARTIAL>(simd, block, vectors, first),
            (true, 5) => self.tiles::<S, 4, 5, PARTIAL>(simd, block, vectors, first),
            (true, 6) => self.tiles::<S, 2, 6, PARTIAL>(simd, block, vectors, first),
            (true, 7) => self.tiles::<S, 2, 7, PARTIAL>(simd, block, vectors, first),
            (true, 8) => self.tiles::<S, 2, 8, PARTIAL>(simd, block, vectors, first),
            (true, 9) => self.tiles::<S, 2, 9, PARTIAL>(simd, block, vectors, first),
            (true, 10) => self.tiles::<S, 2, 10, PARTIAL>(simd, block, vectors, first),
            (true, 11) => self.tiles::<S, 2, 11, PARTIAL>(simd, block, vectors, first),
            (true, _) => self.tiles::<S, 2, 12, PARTIAL>(simd, block, vectors, first),
            (false, 1) => self.tiles::<S, 8, 1, PARTIAL>(simd, block, vectors, first),
            (false, 2) => self.tiles::<S, 4, 2, PARTIAL>(simd, block, vectors, first),
            (false, 3) => self.tiles::<S, 4, 3, PARTIAL>(simd, block, vectors, first),
            (false, 4) => self.tiles::<S, 2, 4, PARTIAL>(simd, block, vectors, first),
            (false, 5) => self.tiles::<S, 2, 5, PARTIAL>(simd, block, vectors, first),
            (false, _) => self.tiles::<S, 2, 6, PARTIAL>(simd, block, vectors, first),
        }
    }

    /// All vectors of a range, V at a time; what is left over, one at a time. A partial vector comes
    /// alone.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize, const PARTIAL: bool>(
        &mut self,
        simd: S,
        block: &Block<'_, T>,
        vectors: Range<usize>,
        first: usize,
    ) {
        let mut vector = vectors.start;
        while !PARTIAL && vector + V <= vectors.end {
            self.tile::<S, V, G, false>(simd, block, vector, first);
            vector += V;
        }
        while vector < vectors.end {
            self.tile::<S, 1, G, PARTIAL>(simd, block, vector, first);
            vector += 1;
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
        let start = vector * S::LANES;
        let mut acc = [[simd.splat(0.0); G]; V];
        if PARTIAL {
            for (row, d) in (0..block.x.rows()).zip(block.d.chunks_exact(self.classes)) {
                let x = T::load_partial(simd, block.x.rest(row, start));
                let mut xs = [simd.splat(0.0); V];
                xs[0] = x;
                add_products(simd, xs, &d[first..], &mut acc);
            }
        } else {
            let column = block.x.vectors(simd, start);
            for (row, d) in (0..block.x.rows()).zip(block.d.chunks_exact(self.classes)) {
                add_products(simd, vectors(simd, column, row), &d[first..], &mut acc);
            }
        }
        self.write_sums::<S, V, G, PARTIAL>(simd, start, first, block.keep, acc);
    }

    /// `A = keep * A + alpha * sum` of a tile's sums, whose features begin at `start`.
    #[inline(always)]
    pub(super) fn write_sums<S: Simd, const V: usize, const G: usize, const PARTIAL: bool>(
        &mut self,
        simd: S,
        start: usize,
        first: usize,
        keep: bool,
        acc: [[S::Vector; G]; V],
    ) {
        let alpha = simd.splat(self.alpha);
        for v in 0..V {
            let (panel, lane) = ((start + v * S::LANES) / PANEL, (start + v * S::LANES) % PANEL);
            let lines = &mut self.lines[panel * self.classes + first..][..G];
            for g in 0..G {
                let a = &mut S::arrays_mut(&mut lines[g].0).0[lane / S::LANES];
                let sum = if keep { simd.mul_add(alpha, acc[v][g], simd.load(a)) } else { simd.mul(alpha, acc[v][g]) };
                if PARTIAL {
                    // What fills the panel up stays zero even where the sum is not finite.
                    let mut lanes = S::array(0.0);
                    simd.store(sum, &mut lanes);
                    let own = (self.x.features() - self.first_panel * PANEL) % S::LANES;
                    a.as_mut()[..own].copy_from_slice(&lanes.as_ref()[..own]);
                } else {
                    simd.store(sum, a);
                }
            }
        }
    }
}

/// A row's vectors of a column.
#[inline(always)]
fn vectors<S: Simd, T: Element, const V: usize>(
    simd: S,
    column: Column<'_, T, [S::Array<T>; V]>,
    row: usize,
) -> [S::Vector; V] {
    let arrays = column.row(row);
    let mut x = [simd.splat(0.0); V];
    for v in 0..V {
        x[v] = T::load(simd, &arrays[v]);
    }
    x
}

/// Adds the products of a row's features with its residual to a tile's sums.
#[inline(always)]
pub(super) fn add_products<S: Simd, const V: usize, const G: usize>(
    simd: S,
    x: [S::Vector; V],
    d: &[f32],
    acc: &mut [[S::Vector; G]; V],
) {
    let d = &d[..G];
    for g in 0..G {
        let d = simd.splat(d[g]);
        for v in 0..V {
            acc[v][g] = simd.mul_add(x[v], d, acc[v][g]);
        }
    }
}

/// Independent sums of a column, so that an addition need not wait for the one before.
const BIAS_SUMS: usize = 4;

/// The same for the bias, which is the weight of a feature that is always 1:
/// `bias [classes] = keep * bias + alpha *` the sums of the columns of `d [n, classes]`.
pub(super) struct UpdateBias<'a> {
    pub(super) d: &'a [f32],
    pub(super) alpha: f32,
    pub(super) keep: bool,
    pub(super) bias: &'a mut [f32],
}

impl Kernel for UpdateBias<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let classes = self.bias.len();
        for (chunk, bias) in self.bias.chunks_mut(S::LANES).enumerate() {
            let first = chunk * S::LANES;
            let mut acc = [simd.splat(0.0); BIAS_SUMS];
            for rows in self.d.chunks(BIAS_SUMS * classes) {
                for (acc, d) in acc.iter_mut().zip(rows.chunks_exact(classes)) {
                    let d = &d[first..first + bias.len()];
                    *acc = simd.add(*acc, load_start(simd, d));
                }
            }
            let mut sums = S::array(0.0);
            simd.store(simd.add(simd.add(acc[0], acc[1]), simd.add(acc[2], acc[3])), &mut sums);
            for (bias, &sum) in bias.iter_mut().zip(sums.as_ref()) {
                *bias = self.alpha * sum + if self.keep { *bias } else { 0.0 };
            }
        }
    }
}
