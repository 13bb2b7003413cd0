//! The update over the blocks that are not zero:
//!
//! ```text
//! for each block of rows
//!     for each panel of features
//!         for each tile of V vectors of it x G classes             V * G vectors of accumulators
//!             for each row of the block that is not zero there     V loads of x, G loads of d
//!                 acc[v][g] += x[v] * d[g]                         V * G fused multiply-adds
//!             A[v][g] = keep * A[v][g] + alpha * acc[v][g]
//! ```
//!
//! The index has a bit for each panel of a row; what is wanted is one for each row of a panel, so bits are transposed.
//! An element of A gets the same additions in the same order as where nothing is skipped.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use crate::blocks::{Block, WORD};
use crate::kernel::balanced::balanced;
use crate::kernel::update;
use crate::level::Kernel;
use crate::matrix::IndexedRows;
use crate::parallel::Divide;
use crate::simd::{Element, Simd};
use crate::weights::{Line, PANEL};
use core::ops::Range;

/// The most rows that are walked once for each tile: fewer, and the sums go into A more often.
const MOST_ROWS: usize = 128;

/// The words of bits, a bit a row, that so many rows take.
const WORDS: usize = MOST_ROWS / WORD;

/// The update, done this way.
pub(crate) struct Update<'a, T> {
    pub(crate) update: update::Update<'a, T>,
    /// Its rows in their index.
    pub(crate) rows: IndexedRows<'a, T>,
}

/// Some rows, while one panel after the other is read.
struct Rows<'a, T> {
    d: &'a [f32],
    keep: bool,
    /// Each row's blocks from the panel on.
    rest: [&'a [Block<T>]; MOST_ROWS],
}

impl<T: Element> Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let classes = self.update.classes;
        if self.rows.len() == 0 && !self.update.keep {
            self.update.lines.fill(Line([0.0; PANEL]));
        }
        let before = self.update.first_panel;
        let panels = before..before + self.update.lines.len() / classes;
        for range in balanced(self.rows.len(), update::Update::<T>::ROW_BLOCK) {
            let mut rows = Rows {
                d: &self.update.d[range.start * classes..range.end * classes],
                keep: self.update.keep || range.start > 0,
                rest: [&[]; MOST_ROWS],
            };
            for (rest, position) in rows.rest.iter_mut().zip(range.clone()) {
                *rest = self.rows.blocks_from(position, before);
            }
            for word in panels.start / WORD..panels.end.div_ceil(WORD) {
                let mut bits = [[0; WORD]; WORDS];
                for (bits, position) in bits.iter_mut().flatten().zip(range.clone()) {
                    *bits = self.rows.bits(position)[word];
                }
                for bits in &mut bits[..range.len().div_ceil(WORD)] {
                    transpose(bits);
                }
                for panel in panels.start.max(word * WORD)..panels.end.min((word + 1) * WORD) {
                    let mut not_zero = [0; WORDS];
                    for i in 0..WORDS {
                        not_zero[i] = bits[i][panel % WORD];
                    }
                    if not_zero != [0; WORDS] || !rows.keep {
                        self.panel(simd, panel - before, not_zero, &mut rows);
                    }
                }
            }
        }
    }
}

/// As the update where nothing is skipped.
impl<T: Element> Divide for Update<'_, T> {
    fn len(&self) -> usize {
        self.update.len()
    }

    fn work(&self) -> usize {
        self.update.work()
    }

    fn split_at(self, panel: usize) -> (Self, Self) {
        let (left, right) = self.update.split_at(panel);
        (Self { update: left, ..self }, Self { update: right, ..self })
    }
}

impl<T: Element> Update<'_, T> {
    /// Chooses the tile: one vector of 16, or two vectors of features by as many classes as there are registers for.
    #[inline(always)]
    fn panel<S: Simd>(&mut self, simd: S, panel: usize, not_zero: [u64; WORDS], rows: &mut Rows<'_, T>) {
        let most_classes = if S::REGISTERS >= 32 { 12 } else { 6 };
        for classes in balanced(self.update.classes, most_classes) {
            match (S::LANES == PANEL, classes.len()) {
                (true, ..=4) => self.parts::<S, 1, 4>(simd, panel, classes, not_zero, rows),
                (true, 5) => self.parts::<S, 1, 5>(simd, panel, classes, not_zero, rows),
                (true, 6) => self.parts::<S, 1, 6>(simd, panel, classes, not_zero, rows),
                (true, 7) => self.parts::<S, 1, 7>(simd, panel, classes, not_zero, rows),
                (true, 8) => self.parts::<S, 1, 8>(simd, panel, classes, not_zero, rows),
                (true, 9) => self.parts::<S, 1, 9>(simd, panel, classes, not_zero, rows),
                (true, 10) => self.parts::<S, 1, 10>(simd, panel, classes, not_zero, rows),
                (true, 11) => self.parts::<S, 1, 11>(simd, panel, classes, not_zero, rows),
                (true, _) => self.parts::<S, 1, 12>(simd, panel, classes, not_zero, rows),
                (false, ..=4) => self.parts::<S, 2, 4>(simd, panel, classes, not_zero, rows),
                (false, 5) => self.parts::<S, 2, 5>(simd, panel, classes, not_zero, rows),
                (false, 6) => self.parts::<S, 2, 6>(simd, panel, classes, not_zero, rows),
                (false, 7) => self.parts::<S, 2, 7>(simd, panel, classes, not_zero, rows),
                (false, 8) => self.parts::<S, 2, 8>(simd, panel, classes, not_zero, rows),
                (false, 9) => self.parts::<S, 2, 9>(simd, panel, classes, not_zero, rows),
                (false, 10) => self.parts::<S, 2, 10>(simd, panel, classes, not_zero, rows),
                (false, 11) => self.parts::<S, 2, 11>(simd, panel, classes, not_zero, rows),
                (false, _) => self.parts::<S, 2, 12>(simd, panel, classes, not_zero, rows),
            }
        }
    }

    /// A panel V vectors at a time. The last tile takes the panel's blocks off the rows.
    #[inline(always)]
    fn parts<S: Simd, const V: usize, const G: usize>(
        &mut self,
        simd: S,
        panel: usize,
        classes: Range<usize>,
        not_zero: [u64; WORDS],
        rows: &mut Rows<'_, T>,
    ) {
        let vectors = PANEL / S::LANES;
        for part in (0..vectors).step_by(V) {
            let last = part + V == vectors && classes.end == self.update.classes;
            let acc = self.tile::<S, V, G>(simd, part, classes.start, not_zero, rows, last);
            let start = panel * PANEL + part * S::LANES;
            self.update.write_sums::<S, V, G, false>(simd, start, classes.start, rows.keep, acc);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const V: usize, const G: usize>(
        &self,
        simd: S,
        part: usize,
        first: usize,
        not_zero: [u64; WORDS],
        rows: &mut Rows<'_, T>,
        last: bool,
    ) -> [[S::Vector; G]; V] {
        let mut acc = [[simd.splat(0.0); G]; V];
        for (word, bits) in not_zero.into_iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let row = word * WORD + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let rest = &mut rows.rest[row];
                let Some((block, after)) = rest.split_first() else { break };
                if last {
                    *rest = after;
                }
                let block = S::arrays(block).0;
                let mut x = [simd.splat(0.0); V];
                for v in 0..V {
                    x[v] = T::load(simd, &block[part + v]);
                }
                update::add_products(simd, x, &rows.d[row * self.update.classes + first..], &mut acc);
            }
        }
        acc
    }
}

/// Transposes 64 rows of 64 bits: bit `r` of word `b` was bit `b` of word `r`. Each of six rounds swaps the two squares
/// off the diagonal of every square of twice their size.
#[inline(always)]
fn transpose(words: &mut [u64; WORD]) {
    let mut size = WORD / 2;
    let mut low = u64::MAX >> size;
    while size > 0 {
        for first in 0..WORD / 2 {
            let i = first / size * 2 * size + first % size;
            let swapped = ((words[i] >> size) ^ words[i + size]) & low;
            words[i] ^= swapped << size;
            words[i + size] ^= swapped;
        }
        size /= 2;
        low ^= low << size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_bits_change_places() {
        let mut words = core::array::from_fn(|row| (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let before = words;
        transpose(&mut words);
        for (panel, word) in words.iter().enumerate() {
            for (row, before) in before.iter().enumerate() {
                assert_eq!(word >> row & 1, before >> panel & 1);
            }
        }
    }
}
