//! Reading rows downwards, some vectors of features at a time, with one check for all rows in place of one a row: a
//! check is a branch, and branches take the multiply-adds' ports. What is done with the vectors is the kernels'
//! business.

use super::Simd;
use core::marker::PhantomData;

/// Some rows, each of at least `width` values.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a, T> {
    rows: &'a [&'a [T]],
    width: usize,
}

impl<'a, T: Copy> Columns<'a, T> {
    /// Takes all that every row has.
    #[inline(always)]
    pub(crate) fn new(rows: &'a [&'a [T]]) -> Self {
        let mut width = usize::MAX;
        for row in rows {
            width = width.min(row.len());
        }
        Self { rows, width }
    }

    #[inline(always)]
    pub(crate) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// All from `start` on in one row.
    #[inline(always)]
    pub(crate) fn rest(&self, row: usize, start: usize) -> &'a [T] {
        &self.rows[row][start..]
    }

    /// The `V` vectors from `start` on in every row. The token only says how long a vector is.
    #[inline(always)]
    pub(crate) fn column<S: Simd, const V: usize>(&self, _simd: S, start: usize) -> Column<'a, S, T, V> {
        assert!(start <= self.width && V * S::LANES <= self.width - start, "the rows are too short");
        Column { rows: self.rows, start, vectors: PhantomData }
    }
}

/// `V` vectors at one place of every row.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a, S, T, const V: usize> {
    rows: &'a [&'a [T]],
    start: usize,
    vectors: PhantomData<S>,
}

impl<'a, S: Simd, T: Copy, const V: usize> Column<'a, S, T, V> {
    /// A row's vectors.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a [S::Array<T>; V] {
        let row = self.rows[row];
        debug_assert!(self.start + V * S::LANES <= row.len());
        // SAFETY: `column` saw that `V * LANES` values follow `start` in the shortest row, which `new` found; an
        // array is `LANES` values and no more, so that `V` of them are those values.
        unsafe { &*row.as_ptr().add(self.start).cast::<[S::Array<T>; V]>() }
    }
}
