//! Slices that start off alignment, between sentinels that show a write outside them.

use std::ops::{Deref, DerefMut};

/// Long enough for the widest vector store to land in.
const MARGIN: usize = 16;

/// A slice of `T`, one to three elements off the allocation's alignment.
pub(crate) struct Guarded<T> {
    all: Vec<T>,
    start: usize,
    sentinel: T,
}

impl<T: Copy + PartialEq> Guarded<T> {
    /// `values` behind `MARGIN + 1 + offset % 3` sentinels and before `MARGIN` of them.
    pub(crate) fn new(values: &[T], offset: usize, sentinel: T) -> Self {
        let start = MARGIN + 1 + offset % 3;
        let mut all = vec![sentinel; start];
        all.extend_from_slice(values);
        all.extend([sentinel; MARGIN]);
        Self { all, start, sentinel }
    }

    /// Whether every sentinel is as it was.
    pub(crate) fn intact(&self) -> Result<(), String> {
        let (before, after) = (&self.all[..self.start], &self.all[self.all.len() - MARGIN..]);
        if before.iter().chain(after).all(|value| *value == self.sentinel) {
            Ok(())
        } else {
            Err("wrote outside its slice".into())
        }
    }
}

impl<T> Guarded<T> {
    /// The element at `at`, counted from the slice's start, which may lie in either margin.
    pub(crate) fn beyond(&mut self, at: isize) -> &mut T {
        let start = self.start;
        &mut self.all[start.checked_add_signed(at).expect("within the margin")]
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all[self.start..self.all.len() - MARGIN]
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let end = self.all.len() - MARGIN;
        &mut self.all[self.start..end]
    }
}

/// Unwritten f32 output: NaN, so that an element that was never written fails every comparison.
pub(crate) fn unwritten(len: usize, offset: usize) -> Guarded<f32> {
    Guarded::new(&vec![f32::NAN; len], offset, SENTINEL)
}

/// A number that no kernel makes from the tests' data.
pub(crate) const SENTINEL: f32 = -1.234_567_9e33;
