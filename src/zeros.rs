//! Which blocks of 8 features are all zero in which row: what lets the kernels skip them. When they do, and when it pays,
//! is said in `kernel/skip.rs`; the bits are found here and nothing is computed with them.

use crate::weights::PANEL;
use alloc::vec::Vec;
use core::ops::Range;

/// Features of a block. Of MNIST's pixels 60 % lie in blocks of 8 that are all zero and 42 % in blocks of 16. Vectors of
/// 16 skip two blocks at once or none, those of 4 go by twos.
pub(crate) const BLOCK: usize = 8;

/// Bits of a word: each is a block of a row, or a row of a block.
pub(crate) const WORD: usize = u64::BITS as usize;

/// For each row a bit for each block of its whole panels, set where a feature of the block is not 0. What is left over
/// at the end of a row has no bit.
#[derive(Debug)]
pub(crate) struct Zeros {
    bits: Vec<u64>,
    /// Words of a row.
    words: usize,
    shares: Shares,
}

/// How much of some rows can be skipped: the share of what is all zero, 0 to 1; 0 where there is nothing.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Shares {
    /// Of the blocks.
    pub(crate) blocks: f64,
    /// Of the panels, which are two blocks.
    pub(crate) panels: f64,
}

/// The first of each two blocks.
const EVEN: u64 = u64::MAX / 3;

/// The blocks of a panel that has one: a bit for the first of each two, set where either is.
#[inline(always)]
pub(crate) const fn panels(blocks: u64) -> u64 {
    (blocks | blocks >> 1) & EVEN
}

/// The blocks of a row that have a bit.
const fn blocks(features: usize) -> usize {
    features / PANEL * (PANEL / BLOCK)
}

impl Zeros {
    /// Looks through `values [rows, features]`.
    pub(crate) fn find<T: Copy + PartialEq + Default>(values: &[T], features: usize) -> Self {
        let blocks = blocks(features);
        let words = blocks.div_ceil(WORD);
        let mut bits = Vec::with_capacity(values.len() / features * words);
        for row in values.chunks_exact(features) {
            for blocks in row.as_chunks::<BLOCK>().0[..blocks].chunks(WORD) {
                let mut word = 0;
                for (block, values) in blocks.iter().enumerate() {
                    word |= u64::from(*values != [T::default(); BLOCK]) << block;
                }
                bits.push(word);
            }
        }
        let all = (values.len() / features * blocks).max(1) as f64;
        let (mut with_value, mut panels_with_value) = (0, 0);
        for &word in &bits {
            with_value += u64::from(word.count_ones());
            panels_with_value += u64::from(panels(word).count_ones());
        }
        let share = |others: u64, all: f64| if bits.is_empty() { 0.0 } else { 1.0 - others as f64 / all };
        let shares = Shares { blocks: share(with_value, all), panels: share(panels_with_value, all / 2.0) };
        Self { bits, words, shares }
    }

    pub(crate) const fn shares(&self) -> Shares {
        self.shares
    }

    /// The bits of all rows.
    pub(crate) fn view(&self) -> ZerosView<'_> {
        ZerosView { bits: &self.bits, words: self.words, shares: self.shares }
    }
}

/// The bits of some rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZerosView<'a> {
    bits: &'a [u64],
    words: usize,
    /// Of all rows, of which these are some.
    shares: Shares,
}

impl<'a> ZerosView<'a> {
    /// The bits of a range of the rows.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        Self { bits: &self.bits[rows.start * self.words..rows.end * self.words], ..self }
    }

    pub(crate) const fn shares(self) -> Shares {
        self.shares
    }

    /// A row's words, a bit a block.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> &'a [u64] {
        &self.bits[row * self.words..(row + 1) * self.words]
    }
}

/// Transposes 64 rows of 64 bits: bit `r` of word `b` was bit `b` of word `r`. Each of six rounds swaps the two squares
/// off the diagonal of every square of twice their size.
#[inline(always)]
pub(crate) fn transpose(words: &mut [u64; WORD]) {
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
    fn a_bit_is_set_where_a_block_has_a_value() {
        let features = 33 * PANEL + 9;
        let mut values = alloc::vec![0.0_f32; 3 * features];
        let places = [(0, 0, 1.0), (0, 9, 2.0), (0, 23, -0.0), (1, 65 * BLOCK + 7, f32::NAN), (2, 66 * BLOCK, 1.0)];
        for (row, feature, value) in places {
            values[row * features + feature] = value;
        }
        let zeros = Zeros::find(&values, features);
        assert_eq!(zeros.view().row(0), [3, 0]);
        assert_eq!(zeros.view().row(1), [0, 1 << 1]);
        assert_eq!(zeros.view().rows(2..3).row(0), [0, 0], "the rest of a row has no bit");
        assert_eq!(zeros.shares(), Shares { blocks: 1.0 - 3.0 / 198.0, panels: 1.0 - 2.0 / 99.0 });
        assert_eq!(Zeros::find(&[1_u8; 45], 15).shares(), Shares { blocks: 0.0, panels: 0.0 });
    }

    #[test]
    fn transposed_bits_change_places() {
        let mut words = core::array::from_fn(|row| (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let before = words;
        transpose(&mut words);
        for (block, word) in words.iter().enumerate() {
            for (row, before) in before.iter().enumerate() {
                assert_eq!(word >> row & 1, before >> block & 1);
            }
        }
    }
}
