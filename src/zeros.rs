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
        Self { bits, words }
    }

    /// The share of the blocks that are all zero, 0 to 1; 0 where there is no block.
    pub(crate) fn share(&self, rows: usize, features: usize) -> f64 {
        let blocks = rows * blocks(features);
        let others: usize = self.bits.iter().map(|word| word.count_ones() as usize).sum();
        if blocks == 0 { 0.0 } else { 1.0 - others as f64 / blocks as f64 }
    }

    /// The bits of all rows.
    pub(crate) fn view(&self) -> ZerosView<'_> {
        ZerosView { bits: &self.bits, words: self.words }
    }
}

/// The bits of some rows, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZerosView<'a> {
    bits: &'a [u64],
    words: usize,
}

impl<'a> ZerosView<'a> {
    /// The bits of a range of the rows.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        Self { bits: &self.bits[rows.start * self.words..rows.end * self.words], ..self }
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
        let places = [(0, 0, 1.0), (0, 15, -0.0), (1, 65 * BLOCK + 7, f32::NAN), (2, 66 * BLOCK, 1.0)];
        for (row, feature, value) in places {
            values[row * features + feature] = value;
        }
        let zeros = Zeros::find(&values, features);
        assert_eq!(zeros.view().row(0), [1, 0]);
        assert_eq!(zeros.view().row(1), [0, 1 << 1]);
        assert_eq!(zeros.view().rows(2..3).row(0), [0, 0], "the rest of a row has no bit");
        assert_eq!(zeros.share(3, features), 1.0 - 2.0 / 198.0);
        assert_eq!(Zeros::find(&[1_u8; 45], 15).share(3, 15), 0.0);
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
