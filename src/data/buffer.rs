//! The memory that pixels lie in: bytes that are filled once, from the first to the last, turned at most, and only read
//! from then on.
//! What the bytes mean, and where they come from, is said elsewhere.
//!
//! Where the system has them, large ones get huge pages. Each small page costs a fault when it is first written, and
//! MNIST's training images have 11,485; a row picked at random lies in a page whose address is rarely at hand. They save 15 % of the
//! tutorial's 109 ms: 14 ms in loading and 2 ms in training (avx512, one thread). Nothing
//! depends on them: where such memory cannot be had it is a `Vec`.

use alloc::vec::Vec;
use core::ops::Deref;
#[cfg(feature = "mnist")]
use std::io;
#[cfg(all(feature = "mnist", target_os = "linux"))]
use {
    memmap2::{Advice, MmapMut},
    std::{sync::mpsc, thread},
};

/// Bytes of a piece. Large enough that system calls and the decompressor's entry cost nothing, small enough
/// that the part of the buffer that was just cleared is still in L2 when it is written.
#[cfg(feature = "mnist")]
pub(super) const CHUNK: usize = 256 << 10;

/// The size of a huge page, and the least that is worth one. (Where they are larger, as on some aarch64, the system
/// gives small ones.)
#[cfg(all(feature = "mnist", target_os = "linux"))]
const HUGE_PAGE: usize = 2 << 20;

/// The most that is mapped before anything has arrived; more only as it fills. A page that is never written takes no
/// memory, and half as much again as MNIST's training images does not have to move.
#[cfg(all(feature = "mnist", target_os = "linux"))]
const FIRST_MAP: usize = 64 << 20;

/// How many pages may be touched before they are filled: enough not to be waited for.
#[cfg(all(feature = "mnist", target_os = "linux"))]
const TOUCHED: usize = 2;

/// Memory that is filled from its start, piece by piece.
#[cfg(feature = "mnist")]
pub(super) trait Fill: Sized {
    /// Memory of `total` bytes, after `fill` has filled it piece by piece, each of [`CHUNK`] at most. An error of `fill`
    /// ends it. The memory taken is bounded by what is filled.
    fn filled(total: usize, fill: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<Self>;
}

/// Is never more than twice as large as what has arrived (or one chunk).
#[cfg(feature = "mnist")]
impl Fill for Vec<u8> {
    fn filled(total: usize, mut fill: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut data = Self::new();
        while data.len() < total {
            let filled = data.len();
            let cleared = total.min(filled + CHUNK);
            if cleared > data.capacity() {
                let capacity = total.min(cleared.max(2 * filled));
                data.try_reserve_exact(capacity - filled).map_err(|_| io::ErrorKind::OutOfMemory)?;
            }
            data.resize(cleared, 0);
            fill(&mut data[filled..])?;
        }
        Ok(data)
    }
}

/// Bytes in memory of one kind or the other.
pub(crate) enum ByteBuffer {
    /// An allocation like any other.
    Heap(Vec<u8>),
    /// The first `len` bytes of whole pages.
    #[cfg(all(feature = "mnist", target_os = "linux"))]
    Mapped { memory: MmapMut, len: usize },
}

impl From<Vec<u8>> for ByteBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Heap(bytes)
    }
}

impl Deref for ByteBuffer {
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
impl core::ops::DerefMut for ByteBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Self::Mapped { memory, len } => &mut memory[..*len],
        }
    }
}

#[cfg(feature = "mnist")]
impl Fill for ByteBuffer {
    fn filled(total: usize, fill: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if total >= HUGE_PAGE
            && let Ok(memory) = map(total.min(FIRST_MAP))
        {
            return fill_mapped(memory, total, fill);
        }
        Fill::filled(total, fill).map(Self::Heap)
    }
}

/// Fills `memory`, and larger memory once it is full.
#[cfg(all(feature = "mnist", target_os = "linux"))]
fn fill_mapped(
    mut memory: MmapMut,
    total: usize,
    mut fill: impl FnMut(&mut [u8]) -> io::Result<()>,
) -> io::Result<ByteBuffer> {
    let mut filled = 0;
    loop {
        let end = total.min(memory.len());
        fill_touched(&mut memory[filled..end], &mut fill)?;
        filled = end;
        if filled == total {
            return Ok(ByteBuffer::Mapped { memory, len: total });
        }
        let mut larger = map(total.min(2 * filled))?;
        larger[..filled].copy_from_slice(&memory);
        memory = larger;
    }
}

/// Fills whole pages behind a thread that touches them, since the system clears a page when it is first touched: that
/// takes a tenth of the time in which the training images are unpacked.
#[cfg(all(feature = "mnist", target_os = "linux"))]
fn fill_touched(memory: &mut [u8], mut fill: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
    let started = thread::scope(|scope| {
        let (sender, touched) = mpsc::sync_channel(TOUCHED);
        let pages = memory.chunks_mut(HUGE_PAGE);
        let touch = move || {
            for page in pages {
                page[0] = 0;
                if sender.send(page).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().spawn_scoped(scope, touch).ok()?;
        Some(touched.into_iter().try_for_each(|page| page.chunks_mut(CHUNK).try_for_each(&mut fill)))
    });
    started.unwrap_or_else(|| memory.chunks_mut(CHUNK).try_for_each(fill))
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

    fn filled(total: usize) -> ByteBuffer {
        let mut at = 0_usize;
        let fill = |piece: &mut [u8]| {
            assert!((1..=CHUNK).contains(&piece.len()));
            for byte in piece {
                *byte = (at % 251) as u8;
                at += 1;
            }
            Ok(())
        };
        ByteBuffer::filled(total, fill).unwrap()
    }

    #[test]
    fn all_is_filled_in_pages_where_it_is_large() {
        let huge = [HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE - 1, FIRST_MAP, FIRST_MAP + HUGE_PAGE / 2];
        let sizes = [0, 1, HUGE_PAGE - 1].map(|total| (total, false)).into_iter();
        for (total, mapped) in sizes.chain(huge.map(|total| (total, true))) {
            let pages = filled(total);
            assert_eq!((pages.len(), matches!(pages, ByteBuffer::Mapped { .. })), (total, mapped));
            assert!(pages.iter().zip(0..).all(|(&byte, at)| byte == (at % 251_usize) as u8), "{total}");
            assert!(!mapped || pages.as_ptr().addr().is_multiple_of(4096), "{total}");
        }
    }

    #[test]
    fn an_error_ends_it_wherever_it_comes() {
        for last in [0, CHUNK, HUGE_PAGE, 3 * HUGE_PAGE, FIRST_MAP] {
            let mut at = 0;
            let fill = |piece: &mut [u8]| {
                at += piece.len();
                if at > last { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
            };
            let error = ByteBuffer::filled(usize::MAX, fill).err().unwrap();
            assert_eq!((error.kind(), at), (io::ErrorKind::PermissionDenied, last + CHUNK));
        }
    }
}
