//! `A [features, classes] = rule(A, x^T [features, n] * residual [n, classes])` of block-sparse rows:
//!
//! ```text
//! for each block of rows
//!     for each panel of features
//!         for each tile of V vectors of it x G classes             V * G vectors of accumulators
//!             for each row that is not zero in the panel           V loads of x, G loads of the residual
//!                 acc[v][g] += x[v] * residual[g]                  V * G fused multiply-adds
//!             A[v][g] = rule(A[v][g], acc[v][g])
//! ```
//!
//! A row's bitmap has one bit per panel. The loop needs one bit per row of a panel. The bitmaps are therefore transposed
//! first. A row's blocks lie in the order of the panels: a tile takes the next block of each row that has the panel.
//!
//! One call handles one group of classes and all panels of one bitmap word. A call for each panel took 1.15 times as long
//! (avx2, Zen 3).

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use crate::kernel::feature_lanes::add_products;
use crate::kernel::output::Panels;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::rule::Rule;
use crate::kernel::split::split_evenly;
use crate::matrix::{Block, BlockSparseRows, WORD};
use crate::simd::{Element, Simd};
use core::ops::Range;

/// Words of a set of so many rows, a bit a row.
const WORDS: usize = plan::UPDATE_MOST_ROWS / WORD;

/// The product of block-sparse rows; A is in their permutation.
#[inline(always)]
pub(in crate::kernel) fn update<S: Simd, T: Element, R: Rule>(
    simd: S,
    x: BlockSparseRows<'_, T>,
    residual: &[f32],
    mut panels: Panels<'_, R>,
) {
    let (classes, rule) = (panels.classes, panels.rule);
    let range = panels.first..panels.first + panels.len();
    for rows in split_evenly(x.len(), const { plan::update_rows::<T>() }) {
        if rows.start > 0 {
            panels.rule = rule.for_more();
        }
        let residual = &residual[rows.start * classes..rows.end * classes];
        let mut next: [&[Block<T>]; plan::UPDATE_MOST_ROWS] = [&[]; plan::UPDATE_MOST_ROWS];
        for (next, position) in next.iter_mut().zip(rows.clone()) {
            *next = x.blocks_from(position, range.start);
        }
        for word in range.start / WORD..range.end.div_ceil(WORD) {
            let rows_of_panels = transposed_bitmaps(x, rows.clone(), word);
            let in_word = range.start.max(word * WORD)..range.end.min((word + 1) * WORD);
            let before = next;
            for group in split_evenly(classes, const { plan::BLOCK_SPARSE_UPDATE.most_columns::<S>() }) {
                next = before;
                let work = Word {
                    next: &mut next,
                    rows_of_panels: &rows_of_panels,
                    residual,
                    panels: &mut panels,
                    range: in_word.clone(),
                    first: group.start,
                };
                plan::on_tiles(simd, group.len(), work);
            }
        }
    }
}

/// Word `word` of the bitmaps of up to 128 rows, transposed: for each panel the set of the rows that have it, the rows of
/// one word of the set after those of the other.
#[inline(always)]
fn transposed_bitmaps<T: Element>(x: BlockSparseRows<'_, T>, rows: Range<usize>, word: usize) -> [[u64; WORD]; WORDS] {
    let mut bits = [[0; WORD]; WORDS];
    let words = rows.len().div_ceil(WORD);
    for (bits, position) in bits.iter_mut().flatten().zip(rows) {
        *bits = x.bitmap(position)[word];
    }
    for bits in &mut bits[..words] {
        transpose(bits);
    }
    bits
}

/// The panels of one word of the bitmaps by a group of classes.
struct Word<'a, 'b, 'p, T, R> {
    /// Each row's blocks from the next panel on.
    next: &'a mut [&'b [Block<T>]; plan::UPDATE_MOST_ROWS],
    /// For each panel of the word the set of the rows that have it.
    rows_of_panels: &'a [[u64; WORD]; WORDS],
    /// `[rows of the block, classes]`
    residual: &'a [f32],
    panels: &'a mut Panels<'p, R>,
    /// The panels, counted from the first of all.
    range: Range<usize>,
    /// The group's first class.
    first: usize,
}

impl<T: Element, R: Rule> Tiled for Word<'_, '_, '_, T, R> {
    const SIZES: TileSizes = plan::BLOCK_SPARSE_UPDATE;

    /// A panel, which is V vectors, at a time. One that no row has is left as it is, if the rule allows.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize>(mut self, simd: S) {
        for panel in self.range.clone() {
            let mut rows = [0; WORDS];
            for i in 0..WORDS {
                rows[i] = self.rows_of_panels[i][panel % WORD];
            }
            if rows != [0; WORDS] || !self.panels.rule.keeps() {
                let acc = self.sums::<S, V, G>(simd, rows);
                self.panels.write_sums(simd, [(panel - self.panels.first) * V, self.first], acc);
            }
        }
    }
}

impl<T: Element, R: Rule> Word<'_, '_, '_, T, R> {
    /// The sums of the next block of each row of a set.
    #[inline(always)]
    fn sums<S: Simd, const V: usize, const G: usize>(&mut self, simd: S, rows: [u64; WORDS]) -> [[S::Vector; G]; V] {
        let mut acc = [[simd.splat(0.0); G]; V];
        for (word, bits) in rows.into_iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let row = word * WORD + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let Some((block, after)) = self.next[row].split_first() else { break };
                self.next[row] = after;
                let block = S::arrays(block).0;
                let mut x = [simd.splat(0.0); V];
                for v in 0..V {
                    x[v] = T::load(simd, &block[v]);
                }
                add_products(simd, x, &self.residual[row * self.panels.classes + self.first..], &mut acc);
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
