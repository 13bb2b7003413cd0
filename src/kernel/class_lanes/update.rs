//! `A [features, classes] = rule(A, x^T [features, n] * residual [n, classes])`
//!
//! ```text
//! for each block of rows
//!     for each panel of features                          its columns of x stay in the first-level cache
//!         for each group of N vectors of classes
//!             for each tile of F features x N vectors     F * N vectors of accumulators
//!                 for each row of the block               N loads of the residual, F broadcasts of x
//!                     acc[f][n] += x[f] * residual[n]     F * N fused multiply-adds
//!                 A[f][n] = rule(A[f][n], acc[f][n])
//! ```
//!
//! An element of A gets its additions in the order of the rows, whatever tile it falls in.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::{Group, groups, pack};
use crate::kernel::output::Panels;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::rule::Rule;
use crate::kernel::split::split_evenly;
use crate::layout::{Line, PANEL};
use crate::matrix::Rows;
use crate::simd::{Element, Simd, load_start, store_start};
use core::hint::black_box;
use core::mem::MaybeUninit;

/// The product of dense rows.
#[inline(always)]
pub(in crate::kernel) fn update<S: Simd, T: Element, R: Rule>(
    simd: S,
    x: Rows<'_, T>,
    residual: &[f32],
    panels: Panels<'_, R>,
) {
    let (before, classes) = (panels.features_before(), panels.classes);
    if x.len() == 1 {
        return update_by_row(simd, &x.row(0)[before..], residual, panels);
    }
    let mut packed = [const { MaybeUninit::uninit() }; plan::CLASS_UPDATE_ROWS];
    for rows in split_evenly(x.len(), plan::CLASS_UPDATE_ROWS) {
        // Opaque, or the compiler works the number out anew for every row.
        let count = black_box(rows.len());
        let mut looked_up: [&[T]; plan::CLASS_UPDATE_ROWS] = [&[]; plan::CLASS_UPDATE_ROWS];
        for (to, row) in looked_up[..count].iter_mut().zip(rows.clone()) {
            *to = &x.row(row)[before..];
        }
        let residual = &residual[rows.start * classes..][..count * classes];
        let rule = if rows.start > 0 { panels.rule.for_more() } else { panels.rule };
        for (panel, lines) in panels.lines.chunks_exact_mut(panels.panel_lines).enumerate() {
            let mut x = [&[0.0; PANEL]; plan::CLASS_UPDATE_ROWS];
            for ((to, packed), row) in x.iter_mut().zip(&mut packed).zip(&looked_up[..count]) {
                // Packed, since where they stand the panels of rows whose length is a power of two push each other out
                // of the first-level cache.
                *to = pack(simd, &row[panel * PANEL..], packed.write([0.0; PANEL]));
                if size_of_val(*row) >= plan::CLASS_UPDATE_PREFETCH_BYTES
                    && let Some(soon) = row.get((panel + 1) * PANEL)
                {
                    simd.prefetch(soon);
                }
            }
            let features = PANEL.min(looked_up[0].len() - panel * PANEL);
            for group in groups::<S>(classes) {
                let x = &x[..count];
                let block = Block { x, features, residual, classes, rule, lines: &mut *lines, group };
                plan::on_tiles(simd, group.len.div_ceil(S::LANES), block);
            }
        }
    }
}

/// The product of one row, in the order of the memory. The bits are those of the tiles.
#[inline(always)]
fn update_by_row<S: Simd, T: Element, R: Rule>(simd: S, row: &[T], residual: &[f32], panels: Panels<'_, R>) {
    let (rule, classes) = (panels.rule, panels.classes);
    for (row, lines) in row.chunks(PANEL).zip(panels.lines.chunks_exact_mut(panels.panel_lines)) {
        let mut packed = [0.0; PANEL];
        let x = pack(simd, row, &mut packed);
        for (c, lines) in lines.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
            for part in 0..PANEL / S::LANES {
                let first = c * PANEL + part * S::LANES;
                let residual = &residual[first.min(classes)..classes.min(first + S::LANES)];
                let vector = load_start(simd, residual);
                for (f, Line(line)) in lines[..row.len()].iter_mut().enumerate() {
                    let a = &mut S::arrays_mut(line).0[part];
                    let sum = simd.mul_add(simd.splat(x[f]), vector, simd.splat(0.0));
                    let new = rule.apply(simd, sum, simd.load(a));
                    // What fills the last panel up stays zero even where the sum is not finite.
                    store_start(simd, new, &mut a.as_mut()[..residual.len()]);
                }
            }
        }
    }
}

/// A panel of features in a block of rows by a group of classes.
struct Block<'a, R> {
    /// Filled up with zeros where the panel has fewer features than 16.
    x: &'a [&'a [f32; PANEL]],
    features: usize,
    /// `[rows of the block, classes]`
    residual: &'a [f32],
    classes: usize,
    rule: R,
    /// The panel of A.
    lines: &'a mut [Line],
    group: Group,
}

impl<R: Rule> Tiled for Block<'_, R> {
    const SIZES: TileSizes = plan::CLASS_UPDATE;

    /// F features at a time, by all classes of the group, N vectors of them.
    #[inline(always)]
    fn tiles<S: Simd, const F: usize, const N: usize>(mut self, simd: S) {
        for first in (0..self.features).step_by(F) {
            if self.features == PANEL && self.group.len == N * S::LANES {
                self.tile::<S, F, N, false>(simd, first);
            } else {
                self.tile::<S, F, N, true>(simd, first);
            }
        }
    }
}

impl<R: Rule> Block<'_, R> {
    /// The tile from the panel's feature `first` on. In a partial one the panel or the last vector of classes is not full.
    #[inline(always)]
    fn tile<S: Simd, const F: usize, const N: usize, const PARTIAL: bool>(&mut self, simd: S, first: usize) {
        let (group, parts) = (self.group, PANEL / S::LANES);
        let (panels, _) = self.lines[group.first..].as_chunks_mut::<PANEL>();
        let panels = &mut panels[..N.div_ceil(parts)];
        if self.x.len() >= plan::CLASS_UPDATE_PREFETCH_ROWS {
            for panel in &*panels {
                for line in &panel[first..first + F] {
                    simd.prefetch(line);
                }
            }
        }
        let mut acc = [[simd.splat(0.0); N]; F];
        for (x, residual) in self.x.iter().zip(self.residual.chunks_exact(self.classes)) {
            let residual = &residual[group.first..][..group.len];
            let mut vectors = [simd.splat(0.0); N];
            for n in 0..N {
                vectors[n] = match PARTIAL {
                    true => load_start(simd, &residual[n * S::LANES..]),
                    false => simd.load(&S::arrays(residual).0[n]),
                };
            }
            let x = &x[first..first + F];
            for f in 0..F {
                let x = simd.splat(x[f]);
                for n in 0..N {
                    acc[f][n] = simd.mul_add(x, vectors[n], acc[f][n]);
                }
            }
        }

        // A copy, or the compiler reads the rule anew after every store.
        let rule = self.rule;
        for f in 0..F {
            if PARTIAL && first + f >= self.features {
                break;
            }
            for n in 0..N {
                let a = &mut S::arrays_mut(&mut panels[n / parts][first + f].0).0[n % parts];
                let sum = rule.apply(simd, acc[f][n], simd.load(a));
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
