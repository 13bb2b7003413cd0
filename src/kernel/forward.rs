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
//! The lanes run along the features, which are many, and not along the classes, which are few: ten
//! classes would leave six of sixteen lanes empty. The price is a sum over the lanes for each logit; done
//! four vectors at a time it is small. A logit's additions come in one order whatever tile it falls in,
//! so that a batch cut in two gives the same bits as the whole.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use super::balanced::balanced;
use crate::level::Kernel;
use crate::matrix::Rows;
use crate::simd::{Element, Simd, load_start, store_start};
use crate::weights::{Line, PANEL, Weights};
use core::ops::Range;

/// Rows that are walked once for each group of classes: 64 rows of 784 f32 are 200 KB, which the
/// second-level cache holds between two walks.
const ROW_BLOCK: usize = 64;

/// Rows are asked for this many rows before they are read, a cache line between two panels: some 0.4 us, several times
/// a memory's latency. Asking for a whole row at once keeps the loads of the current one waiting: a forward pass of 1000
/// rows of f32 took 1.4 times as long, a shuffled step 1.1 times (avx512, Sapphire Rapids). With 8 rows nothing changes.
const AHEAD: usize = 4;

/// With fewer classes the loads of rows take all the time there is, and only rows are asked for that the hardware cannot
/// foresee: 100 rows of 784 f32 and 2 classes took 1.6 times as long.
const ASKING_CLASSES: usize = 4;

/// Bytes between two requests: a cache line, or half of one, where asking twice costs little.
const CACHE_LINE: usize = 64;

/// One run of the kernel. The fields' shapes are checked by who makes one.
pub(crate) struct Forward<'a, T> {
    pub(crate) x: Rows<'a, T>,
    pub(crate) scale: f32,
    pub(crate) weights: &'a Weights,
    pub(crate) bias: &'a [f32],
    pub(crate) logits: &'a mut [f32],
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.ask_for_first(simd);
        let most_classes = if S::REGISTERS >= 32 || T::WIDENED { 12 } else { 6 };
        for rows in balanced(self.x.len(), ROW_BLOCK) {
            for classes in balanced(self.weights.classes(), most_classes) {
                self.group(simd, rows.clone(), classes);
            }
        }
    }
}

impl<T: Element> Forward<'_, T> {
    /// Asks for the picked rows that no tile asks for: those after the first, up to the first that the first tile asks for.
    #[inline(always)]
    fn ask_for_first<S: Simd>(&self, simd: S) {
        if self.x.are_picked() {
            for position in 1..AHEAD.min(self.x.len()) {
                for line in self.x.row(position).as_chunks::<PANEL>().0.chunks(panels_of_line::<T>()) {
                    simd.prefetch(&line[0]);
                }
            }
        }
    }

    /// Chooses the tile for a group of classes. With 32 registers up to 24 hold accumulators, with 16 up
    /// to 12; some 8 are needed to hide the latency of a multiply-add (4 cycles, two a cycle). Among the
    /// tiles that fit, those with the fewest loads a multiply-add. Pixels are widened anew for each group
    /// of classes, which costs more than loads: with 16 registers, ten classes of u8 at AVX2 run at 0.79 of
    /// the peak as 1 x 10, and at 0.52 as 2 x 5 twice.
    #[inline(always)]
    fn group<S: Simd>(&mut self, simd: S, rows: Range<usize>, classes: Range<usize>) {
        let first = classes.start;
        match (S::REGISTERS >= 32, classes.len()) {
            (true, 1) => self.tiles::<S, 8, 1>(simd, rows, first),
            (true, 2) => self.tiles::<S, 8, 2>(simd, rows, first),
            (true, 3) => self.tiles::<S, 6, 3>(simd, rows, first),
            (true, 4) => self.tiles::<S, 6, 4>(simd, rows, first),
            (true, 5) => self.tiles::<S, 4, 5>(simd, rows, first),
            (true, 6) => self.tiles::<S, 4, 6>(simd, rows, first),
            (true, 7) => self.tiles::<S, 3, 7>(simd, rows, first),
            (true, 8) => self.tiles::<S, 3, 8>(simd, rows, first),
            (true, 9) => self.tiles::<S, 2, 9>(simd, rows, first),
            (true, 10) => self.tiles::<S, 2, 10>(simd, rows, first),
            (true, 11) => self.tiles::<S, 2, 11>(simd, rows, first),
            (true, _) => self.tiles::<S, 2, 12>(simd, rows, first),
            (false, 1) => self.tiles::<S, 8, 1>(simd, rows, first),
            (false, 2) => self.tiles::<S, 4, 2>(simd, rows, first),
            (false, 3) => self.tiles::<S, 4, 3>(simd, rows, first),
            (false, 4) => self.tiles::<S, 3, 4>(simd, rows, first),
            (false, 5) => self.tiles::<S, 2, 5>(simd, rows, first),
            (false, 6) => self.tiles::<S, 2, 6>(simd, rows, first),
            (false, 7) => self.tiles::<S, 1, 7>(simd, rows, first),
            (false, 8) => self.tiles::<S, 1, 8>(simd, rows, first),
            (false, 9) => self.tiles::<S, 1, 9>(simd, rows, first),
            (false, 10) => self.tiles::<S, 1, 10>(simd, rows, first),
            (false, 11) => self.tiles::<S, 1, 11>(simd, rows, first),
            (false, _) => self.tiles::<S, 1, 12>(simd, rows, first),
        }
    }

    /// All rows of a range, R at a time; what is left over, one at a time.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const G: usize>(&mut self, simd: S, rows: Range<usize>, first: usize) {
        let mut row = rows.start;
        while row + R <= rows.end {
            self.tile::<S, R, G>(simd, row, first);
            row += R;
        }
        while row < rows.end {
            self.tile::<S, 1, G>(simd, row, first);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const G: usize>(&mut self, simd: S, row: usize, first: usize) {
        let (features, classes) = (self.weights.features(), self.weights.classes());
        let lines = self.weights.lines();
        let full = features / PANEL;

        let mut panels: [&[[T; PANEL]]; R] = [&[]; R];
        let mut tails: [&[T]; R] = [&[]; R];
        for r in 0..R {
            let (head, tail) = self.x.row(row + r).as_chunks();
            panels[r] = &head[..full];
            tails[r] = tail;
        }

        // The first group of classes asks for all. Where there is nothing to ask for, it asks for what it has: with many
        // classes that costs less than a branch.
        let asks = G >= ASKING_CLASSES || self.x.are_picked();
        let mut soon = panels;
        if asks && first == 0 {
            for r in 0..R {
                let position = row + r + AHEAD.max(R);
                if let Some(row) = self.x.get(position) {
                    soon[r] = &row.as_chunks().0[..full];
                }
            }
        }

        let mut acc = [[simd.splat(0.0); G]; R];
        for (p, w) in lines.chunks_exact(classes).take(full).enumerate() {
            if asks && p.is_multiple_of(panels_of_line::<T>()) {
                for r in 0..R {
                    simd.prefetch(&soon[r][p]);
                }
            }
            multiply_panel::<S, T, R, G>(simd, &panels, p, &w[first..], &mut acc);
        }
        if !features.is_multiple_of(PANEL) {
            multiply_rest::<S, T, R, G>(simd, tails, &lines[full * classes + first..], &mut acc);
        }
        self.write_logits(simd, row, first, acc);
    }

    /// `scale * sum + bias` of a tile's sums.
    #[inline(always)]
    pub(super) fn write_logits<S: Simd, const R: usize, const G: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        acc: [[S::Vector; G]; R],
    ) {
        let scale = simd.splat(self.scale);
        let bias = &self.bias[first..][..G];
        for r in 0..R {
            let logits = &mut self.logits[(row + r) * self.weights.classes() + first..][..G];
            for chunk in 0..G.div_ceil(S::LANES) {
                let lanes = chunk * S::LANES..G.min((chunk + 1) * S::LANES);
                let mut sums = S::array(simd.splat(0.0));
                for g in lanes.clone() {
                    sums[g % S::LANES] = acc[r][g];
                }
                let bias = load_start(simd, &bias[lanes.clone()]);
                store_start(simd, simd.mul_add(scale, simd.sum_lanes(sums), bias), &mut logits[lanes]);
            }
        }
    }
}

/// The panels that a cache line holds, or the first of them.
#[inline(always)]
pub(super) const fn panels_of_line<T>() -> usize {
    CACHE_LINE / size_of::<[T; PANEL]>()
}

/// Adds the products of a panel of features to a tile's sums.
#[inline(always)]
pub(super) fn multiply_panel<S: Simd, T: Element, const R: usize, const G: usize>(
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
