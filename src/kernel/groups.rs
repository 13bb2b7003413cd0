//! How the classes are shared out among tiles of compile-time size. No arithmetic here.

use core::ops::Range;

/// Cuts `classes` into the fewest groups of at most `most`, as equal as they can be: 17 classes are 9 and
/// 8, not 12 and 5, so that no tile is much smaller than the registers allow.
#[inline(always)]
pub(super) fn groups(classes: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = classes.div_ceil(most);
    (0..count).map(move |group| group * classes / count..(group + 1) * classes / count)
}

#[cfg(test)]
mod tests {
    use super::groups;
    use alloc::vec::Vec;

    #[test]
    fn groups_cover_every_class_once_and_are_balanced() {
        for classes in 1..200 {
            for most in [1, 5, 6, 12] {
                let all: Vec<_> = groups(classes, most).collect();
                assert!(all.iter().cloned().flatten().eq(0..classes), "{classes} classes, at most {most}: {all:?}");
                let sizes = || all.iter().map(ExactSizeIterator::len);
                assert!(sizes().max() <= Some(most) && sizes().max() <= sizes().min().map(|least| least + 1));
                assert_eq!(all.len(), classes.div_ceil(most));
            }
        }
    }
}
