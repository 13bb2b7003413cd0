//! The memory that pixels lie in: bytes that are filled once, from the first to the last, and only read from then on.
//! What the bytes mean, and where they come from, is said elsewhere.
//!
//! Where the system has them, large ones get huge pages. Each small page costs a fault when it is first written, and
//! MNIST's training images have 11,485; a row picked at random lies in a page whose address is rarely at hand. Of the
//! tutorial's whole process they save 15 %: of its 109 ms 14 in loading and 2 in training (avx512, one thread). Nothing
//! depends on them: where such memory cannot be had it is a `Vec`.

use alloc::vec::Vec;
use core::ops::Deref;
#[cfg(all(feature = "mnist", target_os = "linux"))]
use memmap2::{Advice, MmapMut};
#[cfg(feature = "mnist")]
use {crate::idx::Elements, std::io};

/// The size of a huge page, and the least that is worth one. (Where they are larger, as on some aarch64, the system
/// gives small ones.)
#[cfg(all(feature = "mnist", target_os = "linux"))]
const HUGE_PAGE: usize = 2 << 20;

/// The most that is mapped before anything has arrived; more only as it fills. A page that is never written takes no
/// memory, and half as much again as MNIST's training images does not have to move.
#[cfg(all(feature = "mnist", target_os = "linux"))]
const AHEAD: usize = 64 << 20;

/// Bytes in memory of one kind or the other.
pub(crate) enum Pages {
    /// An allocation like any other.
    Heap(Vec<u8>),
    /// The first `len` bytes of whole pages.
    #[cfg(all(feature = "mnist", target_os = "linux"))]
    Mapped { memory: MmapMut, len: usize },
}

impl From<Vec<u8>> for Pages {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Heap(bytes)
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(all(feature = "mnist", target_os = "linux"))]
            Self::Mapped { memory, len } => &memory[..*len],
        }
    }
}

#[cfg(feature = "mnist")]
impl Elements for Pages {
    fn new(len: usize) -> Self {
        #[cfg(target_os = "linux")]
        if len >= HUGE_PAGE {
            let len = len.min(AHEAD);
            if let Ok(memory) = map(len) {
                return Self::Mapped { memory, len };
            }
        }
        Self::Heap(Vec::new())
    }

    fn room(&mut self, filled: usize, total: usize) -> io::Result<&mut [u8]> {
        match self {
            Self::Heap(bytes) => bytes.room(filled, total),
            #[cfg(target_os = "linux")]
            Self::Mapped { memory, len } => {
                if filled == *len {
                    let larger_len = total.min(2 * filled);
                    let mut larger = map(larger_len)?;
                    larger[..filled].copy_from_slice(&memory[..filled]);
                    (*memory, *len) = (larger, larger_len);
                }
                Ok(&mut memory[filled..*len])
            }
        }
    }
}

/// Whole pages with room for `len` bytes, all zero.
#[cfg(all(feature = "mnist", target_os = "linux"))]
fn map(len: usize) -> io::Result<MmapMut> {
    // The kernel starts at a huge page's boundary only what is as long as huge pages are.
    let memory = MmapMut::map_anon(len.next_multiple_of(HUGE_PAGE))?;
    // Refused where the kernel has no huge pages. The memory is as good, and the pages are small.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

#[cfg(all(test, feature = "mnist", target_os = "linux"))]
mod tests {
    use super::*;

    /// Fills pages as a reader would, at most `piece` bytes at a time.
    fn filled(total: usize, piece: usize) -> Pages {
        let mut pages = Pages::new(total);
        let mut filled = 0;
        while filled < total {
            let room = pages.room(filled, total).unwrap();
            let got = room.len().min(piece);
            room[..got].iter_mut().zip(filled..).for_each(|(byte, at)| *byte = (at % 251) as u8);
            filled += got;
        }
        pages
    }

    fn assert_filled(pages: &[u8], total: usize) {
        assert_eq!(pages.len(), total);
        assert!(pages.iter().zip(0..).all(|(&byte, at)| byte == (at % 251_usize) as u8));
    }

    #[test]
    fn large_bytes_lie_in_pages_of_their_own_and_small_ones_do_not() {
        for (total, mapped) in
            [(0, false), (1, false), (HUGE_PAGE - 1, false), (HUGE_PAGE, true), (HUGE_PAGE + 1, true)]
        {
            let pages = filled(total, 1 << 20);
            assert_filled(&pages, total);
            assert_eq!(matches!(pages, Pages::Mapped { .. }), mapped, "{total}");
            assert!(!mapped || pages.as_ptr().addr().is_multiple_of(4096), "{total}");
        }
    }

    #[test]
    fn no_more_is_mapped_ahead_than_is_said() {
        let mut pages = Pages::new(usize::MAX);
        assert_eq!(pages.room(0, usize::MAX).unwrap().len(), AHEAD);
        assert_eq!(pages.room(AHEAD - 1, usize::MAX).unwrap().len(), 1);
        assert_eq!(pages.room(AHEAD, usize::MAX).unwrap().len(), AHEAD);
    }

    #[test]
    fn what_is_filled_moves_to_larger_memory() {
        let total = AHEAD + HUGE_PAGE / 2;
        assert_filled(&filled(total, usize::MAX), total);
    }
}
