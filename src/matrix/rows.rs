//! Ranges of rows with the element type known: what the kernels read. See `Matrix` for where
//! they come from.

use super::block_sparse::{Block, BlockSparseView, WORD};
use crate::error::{Error, Result};
use core::ops::Range;

/// Which rows, in which order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pick<'a> {
    Whole {
        rows: usize,
    },
    /// The first `rows` of an order; the others are read next.
    Rows {
        order: &'a [usize],
        rows: usize,
    },
}

impl<'a> Pick<'a> {
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Whole { rows } | Self::Rows { rows, .. } => rows,
        }
    }

    /// The rows, and those that are read next.
    const fn known(self) -> usize {
        match self {
            Self::Whole { rows } => rows,
            Self::Rows { order, .. } => order.len(),
        }
    }

    #[inline(always)]
    pub(super) fn get(self, position: usize) -> usize {
        match self {
            Self::Whole { .. } => position,
            Self::Rows { order, .. } => order[position],
        }
    }

    /// The number of rows of a whole pick.
    pub(super) fn whole(self) -> Result<usize> {
        match self {
            Self::Whole { rows } => Ok(rows),
            Self::Rows { .. } => Err(Error::Size {
                what: "selections on one view",
                found: 2,
                expected: "1: select from the whole matrix",
            }),
        }
    }

    /// Replaces a whole pick by rows, each of which must exist.
    pub(super) fn select(self, rows: &'a [usize]) -> Result<Self> {
        let available = self.whole()?;
        match rows.iter().position(|&row| row >= available) {
            Some(position) => Err(Error::RowIndex { position, index: rows[position], rows: available }),
            None => Ok(Self::Rows { order: rows, rows: rows.len() }),
        }
    }
}

/// A range of rows of either form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnyRows<'a, T> {
    Dense(Rows<'a, T>),
    BlockSparse(BlockSparseRows<'a, T>),
}

impl<T: Copy> AnyRows<'_, T> {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.len(),
            Self::BlockSparse(rows) => rows.len(),
        }
    }

    /// Those of the range and those known to follow.
    pub(crate) const fn known(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.known(),
            Self::BlockSparse(rows) => rows.known(),
        }
    }

    pub(crate) const fn features(&self) -> usize {
        match self {
            Self::Dense(rows) => rows.features(),
            Self::BlockSparse(rows) => rows.features(),
        }
    }

    /// The bytes of a row.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.features() * size_of::<T>()
    }

    /// Some of the rows.
    pub(crate) const fn part(self, rows: Range<usize>) -> Self {
        self.split_at(rows.end).0.split_at(rows.start).1
    }

    /// The rows before and from `position`.
    pub(crate) const fn split_at(self, position: usize) -> (Self, Self) {
        match self {
            Self::Dense(rows) => {
                let (left, right) = rows.split_at(position);
                (Self::Dense(left), Self::Dense(right))
            }
            Self::BlockSparse(rows) => {
                let (left, right) = rows.split_at(position);
                (Self::BlockSparse(left), Self::BlockSparse(right))
            }
        }
    }
}

/// A range of a matrix's dense rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a, T> {
    values: &'a [T],
    features: usize,
    stride: usize,
    pick: Pick<'a>,
    start: usize,
    end: usize,
}

impl<'a, T: Copy> Rows<'a, T> {
    pub(super) const fn new(values: &'a [T], features: usize, stride: usize, pick: Pick<'a>) -> Self {
        Self { values, features, stride, pick, start: 0, end: pick.len() }
    }

    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    pub(crate) const fn features(&self) -> usize {
        self.features
    }

    /// From the start of a row to that of the next in memory, in elements.
    #[inline(always)]
    pub(crate) const fn stride(&self) -> usize {
        self.stride
    }

    /// The row at this position of the range, or of those that follow.
    #[inline(always)]
    pub(crate) fn row(&self, position: usize) -> &'a [T] {
        let start = self.pick.get(self.start + position) * self.stride;
        &self.values[start..start + self.features]
    }

    /// Those of the range and those known to follow.
    #[inline(always)]
    pub(crate) const fn known(&self) -> usize {
        self.pick.known() - self.start
    }

    /// Whether the rows are picked, and do not follow each other in memory.
    #[inline(always)]
    pub(crate) const fn are_picked(&self) -> bool {
        matches!(self.pick, Pick::Rows { .. })
    }

    /// The rows before and from `position`.
    pub(crate) const fn split_at(self, position: usize) -> (Self, Self) {
        let middle = self.start + position;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }
}

/// A range of a matrix's rows in their block-sparse form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSparseRows<'a, T> {
    blocks: BlockSparseView<'a, T>,
    features: usize,
    pick: Pick<'a>,
    start: usize,
    end: usize,
}

impl<'a, T: Copy> BlockSparseRows<'a, T> {
    pub(super) const fn new(blocks: BlockSparseView<'a, T>, features: usize, pick: Pick<'a>) -> Self {
        Self { blocks, features, pick, start: 0, end: pick.len() }
    }

    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    pub(crate) const fn features(&self) -> usize {
        self.features
    }

    /// Those of the range and those known to follow.
    #[inline(always)]
    pub(crate) const fn known(&self) -> usize {
        self.pick.known() - self.start
    }

    /// The bitmap of the row at this position of the range: a bit for each panel.
    #[inline(always)]
    pub(crate) fn bitmap(&self, position: usize) -> &'a [u64] {
        self.blocks.bitmap(self.pick.get(self.start + position))
    }

    /// The blocks of the row at this position of the range, one for each bit that is set.
    #[inline(always)]
    pub(crate) fn blocks(&self, position: usize) -> &'a [Block<T>] {
        self.blocks.blocks(self.pick.get(self.start + position))
    }

    /// Those from a panel on.
    #[inline(always)]
    pub(crate) fn blocks_from(&self, position: usize, panel: usize) -> &'a [Block<T>] {
        let bitmap = self.bitmap(position);
        let (words, bit) = (panel / WORD, panel % WORD);
        let mut before = (bitmap[words] & ((1 << bit) - 1)).count_ones();
        for word in &bitmap[..words] {
            before += word.count_ones();
        }
        &self.blocks(position)[before as usize..]
    }

    /// The first word of the head of the row at this position: what to prefetch before its bitmap and blocks are read.
    #[inline(always)]
    pub(crate) fn head(&self, position: usize) -> &'a u64 {
        self.blocks.head(self.pick.get(self.start + position))
    }

    /// The rows before and from `position`.
    pub(crate) const fn split_at(self, position: usize) -> (Self, Self) {
        let middle = self.start + position;
        (Self { end: middle, ..self }, Self { start: middle, ..self })
    }
}
