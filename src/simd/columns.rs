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

    /// The `V` vectors from `start` on in every row. The token only says how long a vector is.
    #[inline(always)]
    pub(crate) fn vectors<S: Simd, const V: usize>(&self, _simd: S, start: usize) -> Column<'a, T, [S::Array<T>; V]> {
        let len = V * S::LANES;
        assert!(start <= self.width && len <= self.width - start, "the rows are too short");
        assert!(size_of::<[S::Array<T>; V]>() == len * size_of::<T>());
        Column { rows: self.rows, start, values: PhantomData }
    }
}

/// Values at one place of every row, as an array `A`.
#[derive(Clone, Copy)]
pub(crate) struct Column<'a, T, A> {
    rows: &'a [&'a [T]],
    start: usize,
    values: PhantomData<A>,
}

impl<'a, T, A> Column<'a, T, A> {
    /// A row's values.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> &'a A {
        let row = self.rows[row];
        // SAFETY: `vectors` saw that as many values as `A` has follow `start` in the shortest row, which `new` found; `A`
        // is arrays of them, which are aligned as they are.
        unsafe { &*row.as_ptr().wrapping_add(self.start).cast::<A>() }
    }
}
