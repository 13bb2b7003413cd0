//! `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]`
//!
//! ```text
//! for each block of rows that stays in the second-level cache
//!     for each group of classes
//!         for each tile of R rows x G classes               R * G vectors of accumulators
//!             for each vector of features                   R loads of x, G loads of W
//!                 acc[r][g] += x[r] * W[g]                  R * G fused multiply-adds
//!             logits[r][g] = scale * sum of lanes(acc[r][g]) + b[g]
//! ```
//!
//! The price of feature lanes is a sum over the lanes for each logit; done a vector of logits at a time it is small. A
//! logit's additions come in one order whatever tile it falls in, so that a batch cut in two gives the same bits as the
//! whole.
//!
//! Rows that come from memory are prefetched meanwhile: see `prefetch.rs`.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use crate::kernel::output::Logits;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::prefetch::{Ahead, Stretch, Upcoming};
use crate::kernel::split::split_evenly;
use crate::layout::{Line, PANEL};
use crate::matrix::Rows;
use crate::parameters::Parameters;
use crate::simd::{Element, Simd};
use core::ops::Range;

/// The product of dense rows.
#[inline(always)]
pub(in crate::kernel) fn forward<S: Simd, T: Element>(
    simd: S,
    x: Rows<'_, T>,
    parameters: &Parameters,
    mut out: Logits<'_>,
    ahead: Ahead,
) {
    let prefetches = x.are_picked() || plan::prefetches_whole::<T>(parameters.classes());
    let ahead = if prefetches { ahead } else { Ahead::NOTHING };
    let most = const { Block::<'_, '_, '_, T>::SIZES.most_columns::<S>() };
    let groups = parameters.classes().div_ceil(most);
    let mut upcoming = Upcoming::new(simd, x, 0..x.features(), groups, ahead);
    for rows in split_evenly(x.len(), const { plan::forward_rows::<T>() }) {
        upcoming.enter(simd, rows.clone());
        for (group, classes) in split_evenly(parameters.classes(), most).enumerate() {
            let prefetches = upcoming.is_needed(simd);
            let (rows, first, upcoming, out) = (rows.clone(), classes.start, &upcoming, &mut out);
            let block = Block { x, parameters, rows, first, group, upcoming, out };
            if prefetches {
                plan::on_tiles(simd, classes.len(), Prefetching(block));
            } else {
                plan::on_tiles(simd, classes.len(), block);
            }
        }
    }
}

/// A block of rows by a group of classes.
struct Block<'a, 'r, 'o, T> {
    x: Rows<'r, T>,
    parameters: &'a Parameters,
    rows: Range<usize>,
    /// The group's first class.
    first: usize,
    /// The group.
    group: usize,
    upcoming: &'a Upcoming<'r, T>,
    out: &'a mut Logits<'o>,
}

impl<T: Element> Tiled for Block<'_, '_, '_, T> {
    const SIZES: TileSizes = if T::WIDENED { plan::FORWARD_PIXELS } else { plan::FORWARD };

    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const G: usize>(self, simd: S) {
        self.rows::<S, R, G, false>(simd);
    }
}

/// The same, prefetching rows: a function of its own, since a tile of few rows takes a tenth longer in one that does both.
struct Prefetching<W>(W);

impl<T: Element> Tiled for Prefetching<Block<'_, '_, '_, T>> {
    const SIZES: TileSizes = Block::<'_, '_, '_, T>::SIZES;

    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const G: usize>(self, simd: S) {
        self.0.rows::<S, R, G, true>(simd);
    }
}

impl<T: Element> Block<'_, '_, '_, T> {
    /// R rows at a time; what is left over, one at a time.
    #[inline(always)]
    fn rows<S: Simd, const R: usize, const G: usize, const PREFETCH: bool>(mut self, simd: S) {
        let mut row = self.rows.start;
        while row + R <= self.rows.end {
            self.tile::<S, R, G, PREFETCH>(simd, row);
            row += R;
        }
        while row < self.rows.end {
            self.tile::<S, 1, G, PREFETCH>(simd, row);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const G: usize, const PREFETCH: bool>(&mut self, simd: S, row: usize) {
        let (features, classes) = (self.parameters.features(), self.parameters.classes());
        let (lines, first) = (self.parameters.lines(), self.first);
        let full = features / PANEL;

        let mut panels: [&[[T; PANEL]]; R] = [&[]; R];
        let mut tails: [&[T]; R] = [&[]; R];
        for r in 0..R {
            let (head, tail) = self.x.row(row + r).as_chunks();
            panels[r] = &head[..full];
            tails[r] = tail;
        }

        // Where there is nothing to prefetch, the tile prefetches what it reads, which costs less than a branch.
        let mut soon = [Stretch::NOTHING; R];
        if PREFETCH {
            for r in 0..R {
                soon[r] = self.upcoming.share(simd, row + r, self.group, panels[r]);
            }
        }
        let mut acc = [[simd.splat(0.0); G]; R];
        for (p, w) in lines.chunks_exact(classes).take(full).enumerate() {
            if PREFETCH && p.is_multiple_of(const { plan::panels_of_line::<T>() }) {
                for r in 0..R {
                    soon[r].prefetch(simd, p, PANEL);
                }
            }
            multiply_panel::<S, T, R, G>(simd, &panels, p, &w[first..], &mut acc);
        }
        if !features.is_multiple_of(PANEL) {
            multiply_rest::<S, T, R, G>(simd, tails, &lines[full * classes + first..], &mut acc);
        }
        for r in 0..R {
            self.out.write_sums(simd, row + r, first, acc[r]);
        }
    }
}

/// Adds the products of a panel of features to a tile's sums.
#[inline(always)]
pub(in crate::kernel) fn multiply_panel<S: Simd, T: Element, const R: usize, const G: usize>(
    simd: S,
    panels: &[&[[T; PANEL]]; R],
    p: usize,
    w: &[Line],
    acc: &mut [[S::Vector; G]; R],
) {
    let w = &w[..G];
    for part in 0..PANEL / S::LANES {
        let mut x = [simd.splat(0.0); R];
        for r in 0..R {
            x[r] = T::load(simd, &S::arrays(&panels[r][p]).0[part]);
        }
        for g in 0..G {
            let w = simd.load(&S::arrays(&w[g].0).0[part]);
            for r in 0..R {
                acc[r][g] = simd.mul_add(x[r], w, acc[r][g]);
            }
        }
    }
}

/// The same for the features that are left over of whole panels, of each row and of each class.
#[inline(always)]
fn multiply_rest<S: Simd, T: Element, const R: usize, const G: usize>(
    simd: S,
    tails: [&[T]; R],
    w: &[Line],
    acc: &mut [[S::Vector; G]; R],
) {
    let (w, rest) = (&w[..G], tails[0].len());
    for part in 0..rest.div_ceil(S::LANES) {
        let lanes = part * S::LANES..rest.min((part + 1) * S::LANES);
        let mut x = [simd.splat(0.0); R];
        for r in 0..R {
            x[r] = T::load_partial(simd, &tails[r][lanes.clone()]);
        }
        for g in 0..G {
            let w = simd.load(&S::arrays(&w[g].0).0[part]);
            for r in 0..R {
                acc[r][g] = simd.mul_add(x[r], w, acc[r][g]);
            }
        }
    }
}
