//! Cutting a length into equal pieces of bounded size: rows into cache blocks, classes into tiles.

use core::ops::Range;

/// Cuts `0..len` into the fewest ranges of at most `most`, as equal as they can be: 17 classes are 9 and
/// 8, not 12 and 5, so that no tile is much smaller than the registers allow.
#[inline(always)]
pub(super) fn split_evenly(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    split_into(len, len.div_ceil(most))
}

/// Cuts `0..len` into so many ranges, as equal as they can be.
#[inline(always)]
pub(super) fn split_into(len: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let (size, longer) = (len / count.max(1), len % count.max(1));
    let start = move |piece: usize| piece * size + piece.min(longer);
    (0..count).map(move |piece| start(piece)..start(piece + 1))
}

/// The same pieces, those of one size together: the range that they cover, which may be empty, and their size.
#[inline(always)]
pub(super) fn split_by_size(len: usize, most: usize) -> [(Range<usize>, usize); 2] {
    let count = len.div_ceil(most);
    let (size, longer) = (len / count.max(1), len % count.max(1));
    let middle = longer * (size + 1);
    [(0..middle, size + 1), (middle..len, size)]
}

#[cfg(test)]
mod tests {
    use super::{split_by_size, split_evenly};
    use alloc::vec::Vec;

    #[test]
    fn pieces_cover_the_length_once_and_are_even() {
        for len in 1..200 {
            for most in [1, 5, 6, 12] {
                let pieces: Vec<_> = split_evenly(len, most).collect();
                assert!(pieces.iter().cloned().flatten().eq(0..len), "{len}, at most {most}: {pieces:?}");
                let sizes = || pieces.iter().map(ExactSizeIterator::len);
                assert!(sizes().max() <= Some(most) && sizes().max() <= sizes().min().map(|least| least + 1));
                assert_eq!(pieces.len(), len.div_ceil(most));
                let by_size = split_by_size(len, most).into_iter().flat_map(|(range, size)| {
                    let end = range.end;
                    range.step_by(size).map(move |start| start..end.min(start + size))
                });
                assert!(by_size.eq(pieces.iter().cloned()), "{len}, at most {most}");
            }
        }
        assert_eq!(split_evenly(0, 6).count(), 0);
        assert_eq!(split_evenly(usize::MAX, 1 << 40).last().map(|piece| piece.end), Some(usize::MAX));
    }
}
