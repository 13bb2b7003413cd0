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

use super::{Group, groups};
use crate::kernel::balanced::balanced;
use crate::kernel::forward;
use crate::level::Kernel;
use crate::simd::{Element, Simd, load_start, padded_values, store_start};
use crate::weights::{Line, PANEL};
use core::ops::Range;

/// Rows that a chunk's weights are read for: 128 rows of a chunk are 64 KB, which the second-level cache holds.
const ROW_BLOCK: usize = 128;

/// Panels of a chunk: 128 features of 48 classes are 24 KB, half of a first-level cache.
const CHUNK: usize = 8;

/// The forward pass, done this way.
pub(crate) struct Forward<'a, T>(pub(crate) forward::Forward<'a, T>);

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let panels = self.0.weights.features().div_ceil(PANEL);
        for rows in balanced(self.0.x.len(), ROW_BLOCK) {
            for chunk in balanced(panels, CHUNK) {
                for group in groups::<S>(self.0.weights.classes()) {
                    self.group(simd, rows.clone(), &chunk, group);
                }
            }
        }
    }
}

impl<T: Element> Forward<'_, T> {
    /// Chooses the tile: R rows, or H where fewer are left, by N vectors of classes.
    #[inline(always)]
    fn group<S: Simd>(&mut self, simd: S, rows: Range<usize>, chunk: &Range<usize>, group: Group) {
        match (S::REGISTERS >= 32, group.len.div_ceil(S::LANES)) {
            (true, 1) => self.tiles::<S, 8, 4, 1>(simd, rows, chunk, group),
            (true, 2) => self.tiles::<S, 8, 4, 2>(simd, rows, chunk, group),
            (true, 3) => self.tiles::<S, 8, 4, 3>(simd, rows, chunk, group),
            (true, _) => self.tiles::<S, 6, 3, 4>(simd, rows, chunk, group),
            (false, 1) => self.tiles::<S, 8, 4, 1>(simd, rows, chunk, group),
            (false, 2) => self.tiles::<S, 6, 3, 2>(simd, rows, chunk, group),
            (false, 3) => self.tiles::<S, 4, 2, 3>(simd, rows, chunk, group),
            (false, _) => self.tiles::<S, 2, 2, 4>(simd, rows, chunk, group),
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const H: usize, const N: usize>(
        &mut self,
        simd: S,
        rows: Range<usize>,
        chunk: &Range<usize>,
        group: Group,
    ) {
        let mut row = rows.start;
        while row + R <= rows.end {
            self.tile::<S, R, N>(simd, row, chunk, group);
            row += R;
        }
        while row + H <= rows.end {
            self.tile::<S, H, N>(simd, row, chunk, group);
            row += H;
        }
        while row < rows.end {
            self.tile::<S, 1, N>(simd, row, chunk, group);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const N: usize>(
        &mut self,
        simd: S,
        row: usize,
        chunk: &Range<usize>,
        group: Group,
    ) {
        let (features, classes) = (self.0.weights.features(), self.0.weights.classes());
        let mut acc = [[simd.splat(0.0); N]; R];
        if chunk.start > 0 {
            for r in 0..R {
                let logits = &self.0.logits[(row + r) * classes..][group.range()];
                for n in 0..N {
                    acc[r][n] = load_start(simd, &logits[n * S::LANES..]);
                }
            }
        }

        let mut x: [&[T]; R] = [&[]; R];
        for r in 0..R {
            x[r] = self.0.x.row(row + r);
        }
        let panel_lines = self.0.weights.panel_lines();
        let panels = self.0.weights.lines().chunks_exact(panel_lines).skip(chunk.start);
        for (p, panel) in chunk.clone().zip(panels) {
            let w = &panel[group.first..];
            let mut scratch = [[0.0; PANEL]; R];
            let mut values: [&[f32; PANEL]; R] = [&[0.0; PANEL]; R];
            for (r, scratch) in scratch.iter_mut().enumerate() {
                values[r] = match x[r][p * PANEL..].first_chunk() {
                    Some(whole) => T::values(simd, whole, scratch),
                    None => padded_values(&x[r][p * PANEL..features], scratch),
                };
            }
            add_products::<S, R, N>(simd, values, w, &mut acc);
        }

        let last = chunk.end * PANEL >= features;
        let scale = simd.splat(self.0.scale);
        for r in 0..R {
            let logits = &mut self.0.logits[(row + r) * classes..][group.range()];
            let bias = &self.0.bias[group.range()];
            for n in 0..N {
                let mut out = acc[r][n];
                if last {
                    out = simd.mul_add(scale, out, load_start(simd, &bias[n * S::LANES..]));
                }
                store_start(simd, out, &mut logits[n * S::LANES..]);
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
    let (blocks, _) = w.as_chunks::<PANEL>();
    let parts = PANEL / S::LANES;
    let blocks = &blocks[..N.div_ceil(parts)];
    for f in 0..PANEL {
        let mut vectors = [simd.splat(0.0); N];
        for n in 0..N {
            vectors[n] = simd.load(&S::arrays(&blocks[n / parts][f].0).0[n % parts]);
        }
        for r in 0..R {
            let x = simd.splat(x[r][f]);
            for n in 0..N {
                acc[r][n] = simd.mul_add(x, vectors[n], acc[r][n]);
            }
        }
    }
}
