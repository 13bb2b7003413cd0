//! Memory that starts at a cache line, whoever asks for it. Where rows start shows in times, and a dataset takes its
//! rows in a `Vec`, which starts where the allocator says.

use std::alloc::{GlobalAlloc, Layout, System};

/// In bytes.
pub(crate) const CACHE_LINE: usize = 64;

/// The system's allocator.
pub(crate) struct CacheLines;

// SAFETY: the system's allocator is one, and gives at least the alignment that was asked for.
unsafe impl GlobalAlloc for CacheLines {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is the caller's, who promises that it is not 0.
        unsafe { System.alloc(at_line(layout)) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller promises the same layout as for `alloc`, of which the same becomes here.
        unsafe { System.dealloc(start, at_line(layout)) }
    }
}

fn at_line(layout: Layout) -> Layout {
    layout.align_to(CACHE_LINE).unwrap_or(layout)
}
