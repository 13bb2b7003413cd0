//! The forward pass over the blocks that are not zero:
//!
//! ```text
//! for each group of classes
//!     for each row
//!         for each of its blocks                    1 load of x, G loads of W for each vector of it
//!             acc[g] += block * W[g]                G fused multiply-adds
//!         logits[g] = scale * sum of lanes(acc[g]) + b[g]
//! ```
//!
//! One row at a time: two rows share the loads of W, but only in the blocks that neither skips, and each walks through
//! those of the other too.

use crate::blocks::{Block, WORD};
use crate::kernel::balanced::balanced;
use crate::kernel::forward::{self, multiply_panel, panels_of_line};
use crate::level::Kernel;
use crate::matrix::IndexedRows;
use crate::simd::{Element, Simd};
use core::slice;

/// A row's blocks are asked for this many rows before they are read, and its head, which says where they are, twice as
/// many. A row takes 35 ns at avx512, several times less than a memory's latency. With 4, 6 and 12 rows a forward pass and
/// an update of 100 shuffled rows took 1.08, 1.01 and 0.99 times as long (Zen 5).
const AHEAD: usize = 8;

/// The forward pass, done this way.
pub(crate) struct Forward<'a, T> {
    pub(crate) forward: forward::Forward<'a, T>,
    /// Its rows in their index.
    pub(crate) rows: IndexedRows<'a, T>,
}

impl<T: Element> Kernel for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // Four vectors of four lanes make up a block; with 16 registers they leave room for 6 classes.
        let most_classes = if S::REGISTERS >= 32 || S::LANES >= 8 { 12 } else { 6 };
        for classes in balanced(self.forward.weights.classes(), most_classes) {
            let first = classes.start;
            match classes.len() {
                ..=4 => self.rows::<S, 4>(simd, first),
                5 => self.rows::<S, 5>(simd, first),
                6 => self.rows::<S, 6>(simd, first),
                7 => self.rows::<S, 7>(simd, first),
                8 => self.rows::<S, 8>(simd, first),
                9 => self.rows::<S, 9>(simd, first),
                10 => self.rows::<S, 10>(simd, first),
                11 => self.rows::<S, 11>(simd, first),
                _ => self.rows::<S, 12>(simd, first),
            }
        }
    }
}

impl<T: Element> Forward<'_, T> {
    /// All rows, by G classes. The first group asks for the first rows all at once, and for the others while those before
    /// them are in work.
    #[inline(always)]
    fn rows<S: Simd, const G: usize>(&mut self, simd: S, first: usize) {
        if first == 0 {
            for position in 0..(2 * AHEAD).min(self.rows.len()) {
                self.rows.ask_for_head(simd, position);
            }
            for position in 0..AHEAD.min(self.rows.len()) {
                for blocks in self.rows.blocks(position).chunks(panels_of_line::<T>()) {
                    simd.prefetch(&blocks[0]);
                }
            }
        }
        for position in 0..self.rows.len() {
            self.row::<S, G>(simd, position, first);
        }
    }

    #[inline(always)]
    fn row<S: Simd, const G: usize>(&mut self, simd: S, position: usize, first: usize) {
        let mut soon: &[Block<T>] = &[];
        if first == 0 {
            if position + 2 * AHEAD < self.rows.len() {
                self.rows.ask_for_head(simd, position + 2 * AHEAD);
            }
            if position + AHEAD < self.rows.len() {
                soon = self.rows.blocks(position + AHEAD);
            }
        }

        let (lines, classes) = (self.forward.weights.lines(), self.forward.weights.classes());
        let mut acc = [[simd.splat(0.0); G]];
        let mut blocks = self.rows.blocks(position).iter();
        for (word, &bits) in self.rows.bits(position).iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let Some(block) = blocks.next() else { break };
                let panel = word * WORD + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some((line, after)) = soon.split_at_checked(panels_of_line::<T>()) {
                    simd.prefetch(&line[0]);
                    soon = after;
                }
                multiply_panel(simd, &[slice::from_ref(block)], 0, &lines[panel * classes + first..], &mut acc);
            }
        }
        self.forward.write_logits(simd, position, first, acc);
    }
}
