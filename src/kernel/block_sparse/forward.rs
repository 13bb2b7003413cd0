//! `logits [n, classes] = scale * (x [n, features] * W [features, classes]) + b [classes]` of block-sparse rows:
//!
//! ```text
//! for each group of classes
//!     for each row
//!         for each of its blocks                    1 load of x, G loads of W for each vector of it
//!             acc[g] += block * W[g]                G fused multiply-adds
//!         logits[g] = scale * sum of lanes(acc[g]) + b[g]
//! ```
//!
//! A tile is one row. A tile of two would share loads of W only where both rows have a block, and each row would visit the
//! other's blocks too.
//!
//! The first group of classes prefetches. A row's blocks are found through its head only. Heads are therefore prefetched
//! twice as far ahead as blocks.

use crate::kernel::feature_lanes::multiply_panel;
use crate::kernel::output::Logits;
use crate::kernel::plan::{self, TileSizes, Tiled};
use crate::kernel::split::split_evenly;
use crate::matrix::{Block, BlockSparseRows, WORD};
use crate::parameters::Parameters;
use crate::simd::{Element, Simd};
use core::slice;

/// The product of block-sparse rows; the weights are in their permutation.
#[inline(always)]
pub(in crate::kernel) fn forward<S: Simd, T: Element>(
    simd: S,
    x: BlockSparseRows<'_, T>,
    parameters: &Parameters,
    mut out: Logits<'_>,
) {
    prefetch_first(simd, x);
    for classes in split_evenly(parameters.classes(), const { plan::BLOCK_SPARSE_FORWARD.most_columns::<S>() }) {
        let group = Group { x, parameters, first: classes.start, out: &mut out };
        plan::on_tiles(simd, classes.len(), group);
    }
}

/// Prefetches the heads and blocks of the rows that no row does.
#[inline(always)]
fn prefetch_first<S: Simd, T: Element>(simd: S, x: BlockSparseRows<'_, T>) {
    for position in 0..(2 * plan::BLOCK_SPARSE_PREFETCH_ROWS).min(x.len()) {
        simd.prefetch(x.head(position));
    }
    for position in 0..plan::BLOCK_SPARSE_PREFETCH_ROWS.min(x.len()) {
        for blocks in x.blocks(position).chunks(const { plan::panels_of_line::<T>() }) {
            simd.prefetch(&blocks[0]);
        }
    }
}

/// All rows by a group of classes.
struct Group<'a, 'o, T> {
    x: BlockSparseRows<'a, T>,
    parameters: &'a Parameters,
    /// The group's first class.
    first: usize,
    out: &'a mut Logits<'o>,
}

impl<T: Element> Tiled for Group<'_, '_, T> {
    const SIZES: TileSizes = plan::BLOCK_SPARSE_FORWARD;

    /// One row at a time.
    #[inline(always)]
    fn tiles<S: Simd, const ONE: usize, const G: usize>(mut self, simd: S) {
        for position in 0..self.x.len() {
            self.row::<S, G>(simd, position);
        }
    }
}

impl<T: Element> Group<'_, '_, T> {
    #[inline(always)]
    fn row<S: Simd, const G: usize>(&mut self, simd: S, position: usize) {
        let (lines, classes) = (self.parameters.lines(), self.parameters.classes());
        let mut soon = self.prefetch_head(simd, position);
        let mut acc = [[simd.splat(0.0); G]];
        let mut blocks = self.x.blocks(position).iter();
        for (word, &bits) in self.x.bitmap(position).iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                let Some(block) = blocks.next() else { break };
                let panel = word * WORD + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // A cache line of a later row for each block of this one.
                if let Some((line, after)) = soon.split_at_checked(const { plan::panels_of_line::<T>() }) {
                    simd.prefetch(&line[0]);
                    soon = after;
                }
                multiply_panel(simd, &[slice::from_ref(block)], 0, &lines[panel * classes + self.first..], &mut acc);
            }
        }
        let [acc] = acc;
        self.out.write_sums(simd, position, self.first, acc);
    }

    /// Prefetches the head of a later row, and returns the blocks to prefetch meanwhile; none in later groups.
    #[inline(always)]
    fn prefetch_head<S: Simd>(&self, simd: S, position: usize) -> &[Block<T>] {
        if self.first > 0 {
            return &[];
        }
        if position + 2 * plan::BLOCK_SPARSE_PREFETCH_ROWS < self.x.len() {
            simd.prefetch(self.x.head(position + 2 * plan::BLOCK_SPARSE_PREFETCH_ROWS));
        }
        if position + plan::BLOCK_SPARSE_PREFETCH_ROWS < self.x.len() {
            self.x.blocks(position + plan::BLOCK_SPARSE_PREFETCH_ROWS)
        } else {
            &[]
        }
    }
}
