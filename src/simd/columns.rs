//! Columns of rows: the same few vectors of features in every row. One length check covers all rows of a tile. A check
//! per row would add a branch per row, and branches compete with multiply-adds for execution ports. See `kernel` for what
//! is computed with the vectors.

use super::Simd;
use core::marker::PhantomData;
use core::ops::Range;

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

    /// The `V` vectors from feature `start` on in every row. The token stands for the length of a vector.
    ///
    /// # Panics
    /// Where a row is too short for them.
    #[inline(always)]
    pub(crate) fn vectors<S: Simd, const V: usize>(&self, _simd: S, start: usize) -> Column<'a, T, [S::Array<T>; V]> {
        let len = V * S::LANES;
        assert!(start <= self.width && len <= self.width - start, "the rows are too short");
        assert!(size_of::<[S::Array<T>; V]>() == len * size_of::<T>());
        Column { rows: self.rows, start, array: PhantomData }
    }
}

/// A column: in every row, an array `A` of values from feature `start` on. Only [`Columns::vectors`] makes one, which has
/// checked that they are there.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a, T, A> {
    rows: &'a [&'a [T]],
    start: usize,
    array: PhantomData<A>,
}

impl<'a, T, A> Column<'a, T, A> {
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Some of the rows.
    #[inline(always)]
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        Self { rows: &self.rows[rows], ..*self }
    }

    /// A row's values.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a A {
        let row = self.rows[row];
        // SAFETY: `vectors` asserted that the shortest row, whose length `new` took, has as many values from `start` on as
        // `A` has, and that `A` is their size; it is nested arrays of `T`, aligned as `T` is.
        unsafe { &*row.as_ptr().wrapping_add(self.start).cast::<A>() }
    }
}
