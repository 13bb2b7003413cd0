//! `A [features, classes] = rule(A, x^T [features, n] * residual [n, classes])`
//!
//! ```text
//! for each block of rows that stays in the second-level cache
//!     for each strip of features whose columns of x stay in the first
//!         for each group of classes
//!             for each tile of V vectors of features x G classes   V * G vectors of accumulators
//!                 for each row of the block                        V loads of x, G loads of the residual
//!                     acc[v][g] += x[v] * residual[g]              V * G fused multiply-adds
//!                 A[v][g] = rule(A[v][g], acc[v][g])
//! ```
//!
//! A step's rule needs no buffer for the gradient. An element of A gets its additions in the order of the rows, whatever
//! tile it falls in; so the panels of A can be shared out among threads without a change of one bit.
//!
//! Rejected: accumulators that start from the weights. They save the last multiply-add, one in a hundred at 100 rows. They
//! need a scaled copy of the residual, and each addition then rounds relative to the weight, not to the sum.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use crate::kernel::output::Panels;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::prefetch::{Ahead, Upcoming};
use crate::kernel::rule::Rule;
use crate::kernel::split::{split_by_size, split_evenly};
use crate::layout::{Line, PANEL};
use crate::matrix::Rows;
use crate::simd::{Column, Columns, Element, Simd, padded};
use core::ops::Range;

/// The product of dense rows.
#[inline(always)]
pub(in crate::kernel) fn update<S: Simd, T: Element, R: Rule>(
    simd: S,
    x: Rows<'_, T>,
    residual: &[f32],
    mut panels: Panels<'_, R>,
    ahead: Ahead,
) {
    if x.len() == 1 && x.features().is_multiple_of(PANEL) {
        return update_by_row(simd, &x.row(0)[panels.features_before()..], residual, panels);
    }
    let (classes, before, rule) = (panels.classes, panels.features_before(), panels.rule);
    let features = panels.features_of(x.features());
    let (whole, rest) = (features / S::LANES, features % S::LANES);
    let mut upcoming = Upcoming::new(
        simd,
        x,
        before..before + features,
        classes.div_ceil(const { plan::UPDATE.most_columns::<S>() }),
        ahead,
    );
    let mut looked_up: [&[T]; plan::UPDATE_MOST_ROWS] = [&[]; plan::UPDATE_MOST_ROWS];
    for rows in split_evenly(x.len(), const { plan::update_rows::<T>() }) {
        for (to, row) in looked_up.iter_mut().zip(rows.clone()) {
            *to = &x.row(row)[before..];
        }
        if rows.start > 0 {
            panels.rule = rule.for_more();
        }
        let residual = &residual[rows.start * classes..rows.end * classes];
        let looked_up = &looked_up[..rows.len()];
        upcoming.enter(simd, rows.clone());
        let mut block = Block { x: Columns::new(looked_up), upcoming: &mut upcoming, residual, panels: &mut panels };
        block.update(simd, 0, 0..whole, S::LANES);
        if rest > 0 {
            let mut tails = [S::array(T::default()); plan::UPDATE_MOST_ROWS];
            let mut filled_up: [&[T]; plan::UPDATE_MOST_ROWS] = [&[]; plan::UPDATE_MOST_ROWS];
            for ((to, tail), row) in filled_up.iter_mut().zip(&mut tails).zip(looked_up) {
                *tail = padded::<S, T>(&row[whole * S::LANES..features], T::default());
                let tail: &S::Array<T> = tail;
                *to = tail.as_ref();
            }
            block.x = Columns::new(&filled_up[..rows.len()]);
            block.update(simd, whole, whole..whole + 1, rest);
        }
    }
}

/// The product of one row of whole panels, in the order of A. The bits are those of the tiles, which for one row of 784
/// features and 10 classes take 2.2 times as long (avx2, Zen 3).
#[inline(always)]
fn update_by_row<S: Simd, T: Element, R: Rule>(simd: S, row: &[T], residual: &[f32], panels: Panels<'_, R>) {
    let rule = panels.rule;
    for (x, lines) in row.as_chunks::<PANEL>().0.iter().zip(panels.lines.chunks_exact_mut(panels.panel_lines)) {
        for part in 0..PANEL / S::LANES {
            let x = T::load(simd, &S::arrays(x).0[part]);
            for (Line(line), &residual) in lines.iter_mut().zip(residual) {
                let a = &mut S::arrays_mut(line).0[part];
                let sum = simd.mul_add(x, simd.splat(residual), simd.splat(0.0));
                simd.store(rule.apply(simd, sum, simd.load(a)), a);
            }
        }
    }
}

/// A block of rows, each looked up once for all tiles.
struct Block<'a, 'b, 'p, 'l, T, R> {
    x: Columns<'a, T>,
    upcoming: &'a mut Upcoming<'b, T>,
    /// `[rows of the block, classes]`
    residual: &'a [f32],
    panels: &'p mut Panels<'l, R>,
}

impl<T: Element, R: Rule> Block<'_, '_, '_, '_, T, R> {
    /// All classes of a range of vectors of features. The columns begin with vector `first_column`; the last vector has
    /// `last_lanes` features.
    #[inline(always)]
    fn update<S: Simd>(&mut self, simd: S, first_column: usize, vectors: Range<usize>, last_lanes: usize) {
        let most = const { plan::UPDATE.most_columns::<S>() };
        let strip = if self.panels.classes <= most { vectors.len() } else { plan::UPDATE_STRIP * (PANEL / S::LANES) };
        for (classes, group) in split_by_size(self.panels.classes, most) {
            if !classes.is_empty() && !vectors.is_empty() {
                let prefetches = last_lanes == S::LANES && self.upcoming.is_needed(simd);
                let (block, vectors) = (&mut *self, vectors.clone());
                let strips = Strips { block, first_column, vectors, strip, last_lanes, classes };
                if prefetches {
                    plan::on_tiles(simd, group, Prefetching(strips));
                } else {
                    plan::on_tiles(simd, group, strips);
                }
            }
        }
    }
}

/// Vectors of features, a strip of them at a time, by classes in groups of one size. One function for all of them: one a
/// strip and group took 1.04 times as long with 100 rows, 1.2 times with one (avx2, Zen 3).
struct Strips<'s, 'a, 'b, 'p, 'l, T, R> {
    block: &'s mut Block<'a, 'b, 'p, 'l, T, R>,
    first_column: usize,
    vectors: Range<usize>,
    strip: usize,
    last_lanes: usize,
    classes: Range<usize>,
}

impl<T: Element, R: Rule> Tiled for Strips<'_, '_, '_, '_, '_, T, R> {
    const SIZES: TileSizes = plan::UPDATE;

    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize>(self, simd: S) {
        self.strips::<S, V, G, false>(simd);
    }
}

/// The same, prefetching rows: a function of its own, since a tile of few rows takes a fifth longer in one that does both.
struct Prefetching<W>(W);

impl<T: Element, R: Rule> Tiled for Prefetching<Strips<'_, '_, '_, '_, '_, T, R>> {
    const SIZES: TileSizes = plan::UPDATE;

    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize>(self, simd: S) {
        self.0.strips::<S, V, G, true>(simd);
    }
}

impl<T: Element, R: Rule> Strips<'_, '_, '_, '_, '_, T, R> {
    /// V vectors at a time; what is left over, one at a time.
    #[inline(always)]
    fn strips<S: Simd, const V: usize, const G: usize, const PREFETCH: bool>(self, simd: S) {
        let Self { block, first_column, vectors, strip, last_lanes, classes } = self;
        let Block { x, upcoming, residual, panels } = block;
        let step = upcoming.step(V * S::LANES);
        for start in vectors.clone().step_by(strip) {
            let end = vectors.end.min(start + strip);
            for first in classes.clone().step_by(G) {
                let tile = Tile { x: *x, residual, classes: panels.classes, first };
                let mut vector = start;
                while vector + V <= end && last_lanes == S::LANES {
                    let column = (vector - first_column) * S::LANES;
                    let acc: [[S::Vector; G]; V] = match PREFETCH {
                        false => tile.sums(simd, column),
                        true => tile.sums_prefetching(simd, column, upcoming, step),
                    };
                    panels.write_sums(simd, [vector, first], acc);
                    vector += V;
                }
                while vector < end {
                    let [acc] = tile.sums::<S, 1, G>(simd, (vector - first_column) * S::LANES);
                    if last_lanes == S::LANES {
                        panels.write_sums(simd, [vector, first], [acc]);
                    } else {
                        panels.write_partial(simd, [vector, first], last_lanes, acc);
                    }
                    vector += 1;
                }
            }
        }
    }
}

/// What a tile's sums are made of.
struct Tile<'a, T> {
    x: Columns<'a, T>,
    residual: &'a [f32],
    classes: usize,
    first: usize,
}

impl<T: Element> Tile<'_, T> {
    /// The sums of V vectors of features, whose columns begin at `start`, by G classes.
    #[inline(always)]
    fn sums<S: Simd, const V: usize, const G: usize>(&self, simd: S, start: usize) -> [[S::Vector; G]; V] {
        let column = self.x.vectors(simd, start);
        let mut acc = [[simd.splat(0.0); G]; V];
        for (row, residual) in (0..self.x.rows()).zip(self.residual.chunks_exact(self.classes)) {
            add_products(simd, vectors(simd, column, row), &residual[self.first..], &mut acc);
        }
        acc
    }

    /// The same, prefetching a step for each row.
    #[inline(always)]
    fn sums_prefetching<S: Simd, const V: usize, const G: usize>(
        &self,
        simd: S,
        start: usize,
        upcoming: &mut Upcoming<'_, T>,
        step: usize,
    ) -> [[S::Vector; G]; V] {
        let column = self.x.vectors(simd, start);
        let mut acc = [[simd.splat(0.0); G]; V];
        let mut row = 0;
        while row < column.len() {
            let stretch = upcoming.stretch(simd, column.len() - row, step);
            let part = column.part(row..row + stretch.steps);
            let residual = self.residual[row * self.classes..].chunks_exact(self.classes);
            for (i, residual) in (0..part.len()).zip(residual) {
                stretch.prefetch(simd, i, V * S::LANES);
                add_products(simd, vectors(simd, part, i), &residual[self.first..], &mut acc);
            }
            row += stretch.steps;
        }
        acc
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
pub(in crate::kernel) fn add_products<S: Simd, const V: usize, const G: usize>(
    simd: S,
    x: [S::Vector; V],
    residual: &[f32],
    acc: &mut [[S::Vector; G]; V],
) {
    let residual = &residual[..G];
    for g in 0..G {
        let residual = simd.splat(residual[g]);
        for v in 0..V {
            acc[v][g] = simd.mul_add(x[v], residual, acc[v][g]);
        }
    }
}
