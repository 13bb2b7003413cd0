//! The memory that rows lie in: values that are filled once, from the first to the last, and mostly only read from then on.
//! What they mean, and where they come from, is said elsewhere.
//!
//! Where the system has them, large ones get huge pages. Each small page costs a fault when it is first written, and
//! MNIST's training images have 11,485; a row picked at random lies in a page whose address is rarely at hand. For pixels
//! they save 15 % of the tutorial's 109 ms: 14 ms in loading and 2 ms in training (avx512, one thread). For 512 MB of f32 rows
//! they save a third of the time of reading them and a fifth of a step on 100 shuffled rows (avx2). Nothing depends on them:
//! where such memory cannot be had it is a `Vec`.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
#[cfg(any(feature = "mnist", feature = "npy"))]
use std::io;
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
use {
    memmap2::{Advice, MmapMut},
    std::{sync::mpsc, thread},
};

/// Bytes of a piece. Large enough that system calls and the decompressor's entry cost nothing, small enough
/// that the part of the buffer that was just cleared is still in L2 when it is written.
#[cfg(any(feature = "mnist", feature = "npy"))]
pub(super) const CHUNK: usize = 256 << 10;

/// The size of a huge page, and the least that is worth one. (Where they are larger, as on some aarch64, the system
/// gives small ones.)
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
const HUGE_PAGE: usize = 2 << 20;

/// The most that is mapped before anything has arrived; more only as it fills. A page that is never written takes no
/// memory, and half as much again as MNIST's training images does not have to move.
#[cfg(any(feature = "mnist", feature = "npy"))]
const FIRST_MAP: usize = 64 << 20;

/// How many pages may be touched before they are filled: enough not to be waited for.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
const TOUCHED: usize = 2;

/// What a [`Buffer`] holds: plain numbers. All zero bytes are one of them, and any bytes are.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
pub trait Element: bytemuck::Pod + Default {}
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
impl<T: bytemuck::Pod + Default> Element for T {}
/// What a [`Buffer`] holds: plain numbers.
#[cfg(not(all(any(feature = "mnist", feature = "npy"), target_os = "linux")))]
pub trait Element: Copy + Default {}
#[cfg(not(all(any(feature = "mnist", feature = "npy"), target_os = "linux")))]
impl<T: Copy + Default> Element for T {}

/// Memory that is filled from its start, piece by piece.
#[cfg(any(feature = "mnist", feature = "npy"))]
pub(super) trait Fill: Sized {
    type Element: Element;

    /// Memory of `total` values, after `fill` has filled it piece by piece, each of [`CHUNK`] bytes at most. An error of
    /// `fill` ends it. The memory taken is bounded by what is filled.
    fn filled(total: usize, fill: impl FnMut(&mut [Self::Element]) -> io::Result<()>) -> io::Result<Self>;

    /// [`filled`](Self::filled) of so many values that are known to be there, so that all of their memory may be taken.
    #[cfg(feature = "npy")]
    fn filled_whole(total: usize, fill: impl FnMut(&mut [Self::Element]) -> io::Result<()>) -> io::Result<Self> {
        Self::filled(total, fill)
    }
}

/// Is never more than twice as large as what has arrived (or one chunk).
#[cfg(any(feature = "mnist", feature = "npy"))]
impl<T: Element> Fill for Vec<T> {
    type Element = T;

    fn filled(total: usize, mut fill: impl FnMut(&mut [T]) -> io::Result<()>) -> io::Result<Self> {
        let mut data = Self::new();
        while data.len() < total {
            let filled = data.len();
            let cleared = total.min(filled + CHUNK / size_of::<T>());
            if cleared > data.capacity() {
                let capacity = total.min(cleared.max(2 * filled));
                data.try_reserve_exact(capacity - filled).map_err(|_| io::ErrorKind::OutOfMemory)?;
            }
            data.resize(cleared, T::default());
            fill(&mut data[filled..])?;
        }
        Ok(data)
    }
}

/// Numbers in memory of their own, which a [`Dataset`](super::Dataset) takes without a copy: a vector's, or that of the readers
/// of files. These have large arrays lie in huge pages where the system has them (Linux): steps on shuffled rows are up to a
/// fifth faster.
pub struct Buffer<T>(Memory<T>);

enum Memory<T> {
    /// An allocation like any other.
    Heap(Vec<T>),
    /// The first `len` values of whole pages.
    #[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
    Mapped { memory: MmapMut, len: usize },
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Memory::Heap(values))
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Heap(values) => values,
            #[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
            Memory::Mapped { memory, len } => bytemuck::cast_slice(&memory[..len * size_of::<T>()]),
        }
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Memory::Heap(values) => values,
            #[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
            Memory::Mapped { memory, len } => bytemuck::cast_slice_mut(&mut memory[..*len * size_of::<T>()]),
        }
    }
}

/// A vector's memory, whichever the original's is.
impl<T: Element> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl<T: Element + PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(any(feature = "mnist", feature = "npy"))]
impl<T: Element + Send> Fill for Buffer<T> {
    type Element = T;

    fn filled(total: usize, fill: impl FnMut(&mut [T]) -> io::Result<()>) -> io::Result<Self> {
        filled_from(FIRST_MAP, total, fill)
    }

    #[cfg(feature = "npy")]
    fn filled_whole(total: usize, fill: impl FnMut(&mut [T]) -> io::Result<()>) -> io::Result<Self> {
        filled_from(usize::MAX, total, fill)
    }
}

/// Memory of `total` values with at most `first` bytes mapped before anything has arrived.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
fn filled_from<T: Element + Send>(
    first: usize,
    total: usize,
    fill: impl FnMut(&mut [T]) -> io::Result<()>,
) -> io::Result<Buffer<T>> {
    if let Some(bytes) = total.checked_mul(size_of::<T>()).filter(|&bytes| bytes >= HUGE_PAGE)
        && let Ok(memory) = map(bytes.min(first))
    {
        return fill_mapped(memory, total, fill);
    }
    Vec::filled(total, fill).map(Buffer::from)
}

#[cfg(all(any(feature = "mnist", feature = "npy"), not(target_os = "linux")))]
fn filled_from<T: Element>(
    _first: usize,
    total: usize,
    fill: impl FnMut(&mut [T]) -> io::Result<()>,
) -> io::Result<Buffer<T>> {
    Vec::filled(total, fill).map(Buffer::from)
}

/// Fills `memory`, and larger memory once it is full.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
fn fill_mapped<T: Element + Send>(
    mut memory: MmapMut,
    total: usize,
    mut fill: impl FnMut(&mut [T]) -> io::Result<()>,
) -> io::Result<Buffer<T>> {
    let bytes = total * size_of::<T>();
    let mut filled = 0;
    loop {
        let end = bytes.min(memory.len());
        fill_touched(&mut memory[filled..end], &mut fill)?;
        filled = end;
        if filled == bytes {
            return Ok(Buffer(Memory::Mapped { memory, len: total }));
        }
        let mut larger = map(bytes.min(2 * filled))?;
        larger[..filled].copy_from_slice(&memory);
        memory = larger;
    }
}

/// Fills whole pages behind a thread that touches them, since the system clears a page when it is first touched: that
/// takes a tenth of the time in which the training images are unpacked.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
fn fill_touched<T: Element + Send>(
    memory: &mut [u8],
    mut fill: impl FnMut(&mut [T]) -> io::Result<()>,
) -> io::Result<()> {
    let mut fill =
        |page: &mut [u8]| bytemuck::cast_slice_mut(page).chunks_mut(CHUNK / size_of::<T>()).try_for_each(&mut fill);
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
        Some(touched.into_iter().try_for_each(&mut fill))
    });
    started.unwrap_or_else(|| memory.chunks_mut(HUGE_PAGE).try_for_each(fill))
}

/// Whole pages with room for `len` bytes, all zero.
#[cfg(all(any(feature = "mnist", feature = "npy"), target_os = "linux"))]
fn map(len: usize) -> io::Result<MmapMut> {
    // The kernel starts at a huge page's boundary only what is as long as huge pages are.
    let memory = MmapMut::map_anon(len.next_multiple_of(HUGE_PAGE))?;
    // Refused where the kernel has no huge pages. The memory is as good, and the pages are small.
    let _ = memory.advise(Advice::HugePage);
    Ok(memory)
}

#[cfg(all(test, any(feature = "mnist", feature = "npy"), target_os = "linux"))]
mod tests {
    use super::*;

    fn filled(total: usize) -> Buffer<u8> {
        let mut at = 0_usize;
        let fill = |piece: &mut [u8]| {
            assert!((1..=CHUNK).contains(&piece.len()));
            for byte in piece {
                *byte = (at % 251) as u8;
                at += 1;
            }
            Ok(())
        };
        Buffer::filled(total, fill).unwrap()
    }

    #[test]
    fn all_is_filled_in_pages_where_it_is_large() {
        let huge = [HUGE_PAGE, HUGE_PAGE + 1, 5 * HUGE_PAGE - 1, FIRST_MAP, FIRST_MAP + HUGE_PAGE / 2];
        let sizes = [0, 1, HUGE_PAGE - 1].map(|total| (total, false)).into_iter();
        for (total, mapped) in sizes.chain(huge.map(|total| (total, true))) {
            let pages = filled(total);
            assert_eq!((pages.len(), matches!(pages.0, Memory::Mapped { .. })), (total, mapped));
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
            let error = Buffer::<u8>::filled(usize::MAX, fill).err().unwrap();
            assert_eq!((error.kind(), at), (io::ErrorKind::PermissionDenied, last + CHUNK));
        }
    }

    #[test]
    fn values_of_several_bytes_fill_whole_pages_too() {
        for total in [1_usize, HUGE_PAGE / 4 - 1, HUGE_PAGE / 4, FIRST_MAP / 4 + 12_345] {
            for whole in [false, true] {
                let mut next = 0_usize;
                let fill = |piece: &mut [f32]| {
                    assert!((1..=CHUNK / 4).contains(&piece.len()) && piece.iter().all(|&value| value == 0.0));
                    for value in piece {
                        *value = (next % 1009) as f32;
                        next += 1;
                    }
                    Ok(())
                };
                let first = if whole { usize::MAX } else { FIRST_MAP };
                let mut values = filled_from(first, total, fill).unwrap();
                assert_eq!((values.len(), matches!(values.0, Memory::Mapped { .. })), (total, 4 * total >= HUGE_PAGE));
                assert!(values.iter().zip(0..).all(|(&value, at)| value == (at % 1009_usize) as f32), "{total}");
                values[total - 1] = -1.0;
                assert_eq!((values.clone() == values, values.last()), (true, Some(&-1.0)));
            }
        }
    }
}
