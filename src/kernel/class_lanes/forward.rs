//! `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]`
//!
//! ```text
//! for each block of rows
//!     for each chunk of panels of features
//!         for each group of N vectors of classes           its weights stay in the first-level cache
//!             for each tile of R rows x N vectors          R * N vectors of accumulators
//!                 for each feature of the chunk            N loads of W, R broadcasts of x
//!                     acc[r][n] += x[r] * W[n]             R * N fused multiply-adds
//!                 logits[r][n] = acc[r][n], or scale * acc[r][n] + b[n] after the last chunk
//! ```
//!
//! A logit's additions come in the order of the features, whatever tile and chunk they fall in: between chunks the
//! logits hold the sums.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::{Group, groups, pack};
use crate::kernel::output::Logits;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::split::split_evenly;
use crate::layout::{Line, PANEL};
use crate::matrix::Rows;
use crate::parameters::Parameters;
use crate::simd::{Element, Simd, load_start, store_start};
use core::ops::Range;

/// The product of dense rows.
#[inline(always)]
pub(in crate::kernel) fn forward<S: Simd, T: Element>(
    simd: S,
    x: Rows<'_, T>,
    parameters: &Parameters,
    mut out: Logits<'_>,
) {
    if x.len() == 1 {
        return forward_of_row(simd, x.row(0), parameters, out);
    }
    let panels = parameters.features().div_ceil(PANEL);
    for rows in split_evenly(x.len(), plan::CLASS_FORWARD_ROWS) {
        for chunk in split_evenly(panels, plan::CLASS_FORWARD_CHUNK) {
            for group in groups::<S>(parameters.classes()) {
                let (rows, chunk, out) = (rows.clone(), chunk.clone(), &mut out);
                let columns = group.len.div_ceil(S::LANES);
                plan::on_tiles(simd, columns, Block { x, parameters, rows, chunk, group, out });
            }
        }
    }
}

/// The product of one row, in the order of the memory: it takes the time in which the weights are read. The additions are
/// those of the tiles, which jump from panel to panel and took twice as long with 4096 features and 1000 classes.
#[inline(always)]
fn forward_of_row<S: Simd, T: Element>(simd: S, row: &[T], parameters: &Parameters, mut out: Logits<'_>) {
    let classes = parameters.classes();
    for (p, lines) in parameters.lines().chunks_exact(parameters.panel_lines()).enumerate() {
        let mut packed = [0.0; PANEL];
        let x = pack(simd, &row[p * PANEL..row.len().min((p + 1) * PANEL)], &mut packed);
        let last = (p + 1) * PANEL >= row.len();
        for (c, lines) in lines.as_chunks::<PANEL>().0.iter().enumerate() {
            for part in 0..PANEL / S::LANES {
                let first = c * PANEL + part * S::LANES;
                let own = first.min(classes)..classes.min(first + S::LANES);
                let mut sum = if p == 0 { simd.splat(0.0) } else { load_start(simd, out.row(0, own.clone())) };
                for f in 0..PANEL {
                    sum = simd.mul_add(simd.splat(x[f]), simd.load(&S::arrays(&lines[f].0).0[part]), sum);
                }
                let sum = if last { out.finish(simd, own.start, own.len(), sum) } else { sum };
                store_start(simd, sum, out.row(0, own));
            }
        }
    }
}

/// A block of rows by a chunk of panels by a group of classes.
struct Block<'a, 'o, T> {
    x: Rows<'a, T>,
    parameters: &'a Parameters,
    rows: Range<usize>,
    chunk: Range<usize>,
    group: Group,
    out: &'a mut Logits<'o>,
}

impl<T: Element> Tiled for Block<'_, '_, T> {
    const SIZES: TileSizes = plan::CLASS_FORWARD;

    /// R rows at a time; half as many where fewer are left; then one at a time.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const N: usize>(mut self, simd: S) {
        let mut row = self.rows.start;
        while row + R <= self.rows.end {
            self.tile::<S, R, N>(simd, row);
            row += R;
        }
        while R == 8 && row + 4 <= self.rows.end {
            self.tile::<S, 4, N>(simd, row);
            row += 4;
        }
        while R == 6 && row + 3 <= self.rows.end {
            self.tile::<S, 3, N>(simd, row);
            row += 3;
        }
        while R == 4 && row + 2 <= self.rows.end {
            self.tile::<S, 2, N>(simd, row);
            row += 2;
        }
        while row < self.rows.end {
            self.tile::<S, 1, N>(simd, row);
            row += 1;
        }
    }
}

impl<T: Element> Block<'_, '_, T> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const N: usize>(&mut self, simd: S, row: usize) {
        let (features, group) = (self.parameters.features(), self.group);
        let mut acc = [[simd.splat(0.0); N]; R];
        if self.chunk.start > 0 {
            for r in 0..R {
                let sums = self.out.row(row + r, group.range());
                for n in 0..N {
                    acc[r][n] = load_start(simd, &sums[n * S::LANES..]);
                }
            }
        }

        let mut x: [&[T]; R] = [&[]; R];
        for r in 0..R {
            x[r] = self.x.row(row + r);
        }
        let panels = self.parameters.lines().chunks_exact(self.parameters.panel_lines()).skip(self.chunk.start);
        for (p, panel) in self.chunk.clone().zip(panels) {
            let mut packed = [[0.0; PANEL]; R];
            let mut values: [&[f32; PANEL]; R] = [&[0.0; PANEL]; R];
            for (r, packed) in packed.iter_mut().enumerate() {
                let row = &x[r][p * PANEL..features.min((p + 1) * PANEL)];
                // A whole panel of f32 is read where it stands.
                values[r] = match T::as_f32(row).and_then(<[f32]>::first_chunk) {
                    Some(whole) => whole,
                    None => pack(simd, row, packed),
                };
            }
            add_products::<S, R, N>(simd, values, &panel[group.first..], &mut acc);
        }

        let last = self.chunk.end * PANEL >= features;
        for r in 0..R {
            for n in 0..N {
                let (class, len) = (group.first + n * S::LANES, group.len - n * S::LANES);
                let sum = if last { self.out.finish(simd, class, len, acc[r][n]) } else { acc[r][n] };
                store_start(simd, sum, self.out.row(row + r, class..class + len));
            }
        }
    }
}

/// Adds the products of a panel of features to a tile's sums. The weights of a vector of classes are PANEL lines, one a
/// feature.
#[inline(always)]
fn add_products<S: Simd, const R: usize, const N: usize>(
    simd: S,
    x: [&[f32; PANEL]; R],
    w: &[Line],
    acc: &mut [[S::Vector; N]; R],
) {
    let (panels, _) = w.as_chunks::<PANEL>();
    let parts = PANEL / S::LANES;
    let panels = &panels[..N.div_ceil(parts)];
    for f in 0..PANEL {
        if R <= plan::CLASS_FORWARD_PREFETCH_MOST_ROWS {
            // The next group's weights follow this one's in the panel.
            for panel in panels {
                simd.prefetch(panel.as_ptr().wrapping_add(panels.len() * PANEL + f));
            }
        }
        let mut vectors = [simd.splat(0.0); N];
        for n in 0..N {
            vectors[n] = simd.load(&S::arrays(&panels[n / parts][f].0).0[n % parts]);
        }
        for r in 0..R {
            let x = simd.splat(x[r][f]);
            for n in 0..N {
                acc[r][n] = simd.mul_add(x, vectors[n], acc[r][n]);
            }
        }
    }
}
