//! Prefetching rows while a product computes with others.
//!
//! - In the order of the memory: the lines of a row one after the other, and the rows in turn, whatever way the product
//!   goes through its own. An update walks a column of 64 rows for each tile, and prefetching the next block's columns in
//!   that order took 1.8 times as long.
//! - At an even pace: a core waits for some twenty lines at a time, and with more its loads from the caches wait too.
//! - The addresses of several rows at once. Picked and long rows lie in pages of their own. To translate one takes up to
//!   300 ns (in a virtual machine), and no later instruction retires meanwhile; several are translated together. Reading
//!   100 random rows of 784 f32, with arithmetic that takes 68 us, took 79 us so, 105 us without; with huge pages 73 and 82.
//!
//! Rejected:
//!
//! - a whole row at once, which keeps the loads of the current one waiting: a forward pass of 1000 rows of f32 took 1.4
//!   times as long, a shuffled step 1.1 times (avx512, Sapphire Rapids);
//! - a cursor that is asked for what is due every 16 rows: it costs hot batches a tenth to a third, for the registers that
//!   it takes from the tile (avx2, Zen 3).

use crate::layout::PANEL;
use crate::matrix::{AnyRows, Rows};
use crate::simd::{Element, Simd};
use core::ops::Range;
use core::ptr;

/// Which rows a product prefetches.
#[derive(Clone, Copy)]
pub(super) enum Ahead {
    /// In each block those of its own next block: its rows come from memory.
    NextBlock,
    /// In all blocks together the rows at these positions.
    Rows { start: usize, end: usize },
}

impl Ahead {
    /// None.
    pub(super) const NOTHING: Self = Self::Rows { start: 0, end: 0 };

    /// What the two parts of a product prefetch that is cut at a row.
    pub(super) fn split_at(self, rows: usize, middle: usize) -> (Self, Self) {
        match self {
            Self::NextBlock => (self, self),
            Self::Rows { start, end } => {
                let between = start + (end - start) * middle / rows.max(1);
                let rest = Self::Rows { start: between.saturating_sub(middle), end: end.saturating_sub(middle) };
                (Self::Rows { start, end: between }, rest)
            }
        }
    }
}

/// Which pass over its rows a product is.
#[derive(Clone, Copy)]
pub(super) enum Pass {
    /// The only one, as far as is known.
    Only,
    /// The first of a step's two, the forward pass.
    First,
    /// The second, the update.
    Second,
}

impl Pass {
    /// What the pass prefetches. Where as many rows are known to follow as the batch has, each pass of a step prefetches a
    /// half of them; the batch's own were prefetched in the step before.
    pub(super) fn ahead<T: Copy>(self, x: &AnyRows<'_, T>) -> Ahead {
        let (own, known) = (x.len(), x.known());
        let middle = own + (known - own) / 2;
        match self {
            Self::First if known >= 2 * own => Ahead::Rows { start: own, end: middle },
            Self::Second if known >= 2 * own => Ahead::Rows { start: middle, end: known },
            _ => Ahead::NextBlock,
        }
    }
}

/// Rows whose addresses are translated together.
const TRANSLATED: usize = 8;

/// The least bytes from row to row with which rows are long: a page has few of them.
const LONG_ROW: usize = 1024;

/// In bytes.
const CACHE_LINE: usize = 64;

/// Rows that are being prefetched.
pub(super) struct Upcoming<'a, T> {
    x: Rows<'a, T>,
    features: Range<usize>,
    ahead: Ahead,
    /// Those not begun.
    rows: Range<usize>,
    /// What is left of the one begun.
    rest: &'a [T],
    /// The rows that are computed with meanwhile.
    own: Range<usize>,
    /// How often the product passes over them.
    passes: usize,
    /// Rows prefetched while so many are computed with, each pass counted.
    pace: (usize, usize),
}

/// A part of a row, prefetched a step in each iteration of a tile.
#[derive(Clone, Copy)]
pub(super) struct Stretch<T> {
    start: *const T,
    /// Features.
    step: usize,
    /// The number of steps.
    pub(super) steps: usize,
}

impl<'a, T: Element> Upcoming<'a, T> {
    /// Some features of rows, in a product that passes over `x` so many times.
    #[inline(always)]
    pub(super) fn new<S: Simd>(simd: S, x: Rows<'a, T>, features: Range<usize>, passes: usize, ahead: Ahead) -> Self {
        let rows = match ahead {
            Ahead::NextBlock => 0..x.len(),
            Ahead::Rows { start, end } => start..end.min(x.known()),
        };
        let (own, pace) = (0..x.len(), (rows.len(), x.len() * passes));
        let upcoming = Self { x, features, ahead, rows, rest: &[], own, passes, pace };
        upcoming.translate(simd, upcoming.rows.start);
        upcoming
    }

    /// Goes on to a block of the product's rows.
    #[inline(always)]
    pub(super) fn enter<S: Simd>(&mut self, simd: S, block: Range<usize>) {
        if matches!(self.ahead, Ahead::NextBlock) {
            self.rows = block.end..self.x.len().min(block.end + block.len());
            self.rest = &[];
            self.pace.0 = self.x.len();
            self.translate(simd, block.end);
            self.own = block;
        }
    }

    /// Whether there is something to prefetch, and a way.
    #[inline(always)]
    pub(super) fn is_needed<S: Simd>(&self, _simd: S) -> bool {
        S::PREFETCHES && !(self.rest.is_empty() && self.rows.is_empty())
    }

    /// Features to prefetch in an iteration that computes with so many.
    #[inline(always)]
    pub(super) fn step(&self, features: usize) -> usize {
        (features * self.pace.0).div_ceil(self.pace.1.max(1)).max(1)
    }

    /// What to prefetch while the product computes with its own row at this position, whose panels are given, a panel in
    /// each iteration: in each pass its share of a row.
    #[inline(always)]
    pub(super) fn share<S: Simd>(&self, simd: S, position: usize, pass: usize, panels: &[[T; PANEL]]) -> Stretch<T> {
        let (own_start, step) = (panels.as_ptr().cast::<T>(), PANEL.div_ceil(self.passes));
        let first = pass * panels.len() * step;
        if let (Ahead::NextBlock, false) = (self.ahead, self.x.are_picked()) {
            // Also past the last row, which costs less than to ask.
            let distance = self.own.len() * self.x.stride();
            return Stretch { start: own_start.wrapping_add(distance + first), step, steps: panels.len() };
        }
        let (offset, own, rows) = (position - self.own.start, self.own.len(), self.rows.len());
        let (this, next) =
            if own == rows { (offset, offset + 1) } else { (offset * rows / own, (offset + 1) * rows / own) };
        if this == next {
            return Stretch { start: own_start, step: PANEL, steps: panels.len() };
        }
        if this.is_multiple_of(TRANSLATED) {
            self.translate(simd, self.rows.start + this + TRANSLATED);
        }
        let start = self.x.row(self.rows.start + this).as_ptr();
        Stretch { start: start.wrapping_add(first), step, steps: panels.len() }
    }

    /// What to prefetch in up to `most` iterations.
    #[inline(always)]
    pub(super) fn stretch<S: Simd>(&mut self, simd: S, most: usize, step: usize) -> Stretch<T> {
        if self.rest.is_empty() {
            let Some(row) = self.rows.next() else {
                // This value stands in for it, which costs less than a branch.
                return Stretch { start: ptr::from_ref(self).cast(), step: 0, steps: most };
            };
            self.rest = &self.x.row(row)[self.features.clone()];
            if row.is_multiple_of(TRANSLATED) {
                self.translate(simd, row + TRANSLATED);
            }
        }
        let steps = most.min(self.rest.len().div_ceil(step));
        let start = self.rest.as_ptr();
        self.rest = self.rest.get(steps * step..).unwrap_or_default();
        Stretch { start, step, steps }
    }

    /// Prefetches the first and the last line of some rows, where each lies in other pages than the one before.
    #[inline(always)]
    fn translate<S: Simd>(&self, simd: S, first: usize) {
        if self.x.are_picked() || self.x.stride() >= const { LONG_ROW / size_of::<T>() } {
            for row in first..self.rows.end.min(first + 2 * TRANSLATED) {
                let row = self.x.row(row)[self.features.clone()].as_ptr_range();
                simd.prefetch(row.start);
                simd.prefetch(row.end.wrapping_sub(1));
            }
        }
    }
}

impl<T> Stretch<T> {
    /// None.
    pub(super) const NOTHING: Self = Self { start: ptr::null(), step: 0, steps: 0 };

    /// Prefetches a step in an iteration that computes with so many `features`, a constant.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd>(&self, simd: S, iteration: usize, features: usize) {
        let line = const { CACHE_LINE / size_of::<T>() };
        let start = self.start.wrapping_add(iteration * self.step);
        simd.prefetch(start);
        if features > line && self.step > line {
            for more in 1..features.div_ceil(line) {
                simd.prefetch(start.wrapping_add(more * line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ahead;

    #[test]
    fn parts_of_a_product_prefetch_all_rows_once() {
        let positions = |ahead, first: usize| match ahead {
            Ahead::Rows { start, end } => first + start..first + end,
            Ahead::NextBlock => panic!("positions were given"),
        };
        for (rows, middle) in [(100, 50), (100, 33), (7, 1), (1, 1), (1, 0)] {
            let (left, right) = Ahead::Rows { start: rows, end: rows + 90 }.split_at(rows, middle);
            let (left, right) = (positions(left, 0), positions(right, middle));
            assert_eq!((left.start, left.end, right.end), (rows, right.start, rows + 90), "{rows}, {middle}");
        }
    }
}
