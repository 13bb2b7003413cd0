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
//! A bitmap has a bit for each panel of a row; the loop needs one for each row of a panel, so that bitmaps are transposed.
//! Each row's blocks are taken in the order of the panels: after a panel, those rows that have it go on to their next
//! block.

#![allow(clippy::needless_range_loop, reason = "loops over a tile's const bounds, which must unroll")]

use crate::kernel::feature_lanes::{add_products, row_block};
use crate::kernel::output::Panels;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::rule::Rule;
use crate::kernel::split::split_evenly;
use crate::layout::PANEL;
use crate::matrix::{Block, BlockSparseRows, WORD};
use crate::simd::{Element, Simd};
use core::ops::Range;

/// The most rows that are walked once for each tile: fewer, and the sums go into A more often.
const MOST_ROWS: usize = 128;

/// Words of a set of so many rows, a bit a row.
const WORDS: usize = MOST_ROWS / WORD;

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
    for rows in split_evenly(x.len(), const { row_block::<T>() }) {
        if rows.start > 0 {
            panels.rule = rule.for_more();
        }
        let residual = &residual[rows.start * classes..rows.end * classes];
        let mut next: [&[Block<T>]; MOST_ROWS] = [&[]; MOST_ROWS];
        for (next, position) in next.iter_mut().zip(rows.clone()) {
            *next = x.blocks_from(position, range.start);
        }
        for word in range.start / WORD..range.end.div_ceil(WORD) {
            let bits = transposed_bitmaps(x, rows.clone(), word);
            for panel in range.start.max(word * WORD)..range.end.min((word + 1) * WORD) {
                let occupied = core::array::from_fn(|i| bits[i][panel % WORD]);
                if occupied == [0; WORDS] && panels.rule.keeps() {
                    continue;
                }
                let panel = panel - range.start;
                for group in split_evenly(classes, const { plan::BLOCK_SPARSE_UPDATE.most_columns::<S>() }) {
                    let (next, panels, first) = (&next, &mut panels, group.start);
                    plan::on_tiles(simd, group.len(), Tile { next, occupied, residual, panels, panel, first });
                }
                take_blocks(&mut next, occupied);
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

/// Goes on to the next block in the rows of a set.
#[inline(always)]
fn take_blocks<T>(next: &mut [&[Block<T>]; MOST_ROWS], rows: [u64; WORDS]) {
    for (word, bits) in rows.into_iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            let blocks = &mut next[word * WORD + bits.trailing_zeros() as usize];
            bits &= bits - 1;
            *blocks = &blocks[1.min(blocks.len())..];
        }
    }
}

/// A panel by a group of classes.
struct Tile<'a, 'p, T, R> {
    /// Each row's blocks from the panel on.
    next: &'a [&'a [Block<T>]; MOST_ROWS],
    /// The set of the rows that have the panel.
    occupied: [u64; WORDS],
    /// `[rows of the block, classes]`
    residual: &'a [f32],
    panels: &'a mut Panels<'p, R>,
    panel: usize,
    /// The group's first class.
    first: usize,
}

impl<T: Element, R: Rule> Tiled for Tile<'_, '_, T, R> {
    const SIZES: TileSizes = plan::BLOCK_SPARSE_UPDATE;

    /// V vectors of the panel at a time.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize, const G: usize>(self, simd: S) {
        for part in (0..PANEL / S::LANES).step_by(V) {
            let mut acc = [[simd.splat(0.0); G]; V];
            for (word, bits) in self.occupied.into_iter().enumerate() {
                let mut bits = bits;
                while bits != 0 {
                    let row = word * WORD + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let Some(block) = self.next[row].first() else { break };
                    let block = S::arrays(block).0;
                    let mut x = [simd.splat(0.0); V];
                    for v in 0..V {
                        x[v] = T::load(simd, &block[part + v]);
                    }
                    add_products(simd, x, &self.residual[row * self.panels.classes + self.first..], &mut acc);
                }
            }
            let vector = self.panel * (PANEL / S::LANES) + part;
            self.panels.write_sums(simd, [vector, self.first], S::LANES, acc);
        }
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
