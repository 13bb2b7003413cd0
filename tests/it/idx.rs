//! IDX files: what is read, and an error for everything that is wrong with one.

#![cfg(feature = "mnist")]

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use softreg::idx::{self, Idx};
use softreg::{Error, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The system's allocator, noting the largest request of each thread and refusing it more than it may have.
struct Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

// SAFETY: every call is passed to the system's allocator as it came, or refused; the note allocates nothing.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        if MOST.try_with(|most| layout.size() > most.get()).unwrap_or(false) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promises are the system allocator's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `alloc` took the block from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn header(element: u8, dims: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, element, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes
}

fn file(dims: &[u32], data: &[u8]) -> Vec<u8> {
    [&header(0x08, dims), data].concat()
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Idx> {
    idx::read(bytes, "some.idx")
}

#[track_caller]
fn assert_format(result: Result<Idx>, found: &str, expected: &str) {
    match result {
        Err(ref error @ Error::Format { file: ref f, found: ref x, expected: ref y }) => {
            assert_eq!(f, "some.idx");
            assert!(x.contains(found), "found {x:?}, which does not say {found:?}");
            assert!(y.contains(expected), "expected {y:?}, which does not say {expected:?}");
            assert_eq!(error.to_string(), format!("some.idx: found {x}, expected {y}"));
            assert!(!error.to_string().contains('\n'));
        }
        other => panic!("{other:?} is not a format error about {found:?}"),
    }
}

/// A reader that hands out at most `piece` bytes at a time, then fails or ends, and counts.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
    then: Option<io::ErrorKind>,
    interrupts: bool,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupts = !self.interrupts;
        if !self.interrupts {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if let (true, Some(kind)) = (self.rest.is_empty(), self.then) {
            return Err(io::Error::new(kind, "the disk said no"));
        }
        let limit = buffer.len().min(self.piece);
        self.rest.read(&mut buffer[..limit])
    }
}

fn pieces(rest: &[u8], piece: usize, then: Option<io::ErrorKind>) -> Pieces<'_> {
    Pieces { rest, piece, then, interrupts: false }
}

#[test]
fn reads_any_rank_raw_and_gz() {
    for (dims, data) in [
        (vec![3], vec![7, 8, 9]),
        (vec![2, 2, 3], (0..12).collect()),
        (vec![0], vec![]),
        (vec![u32::MAX, u32::MAX, u32::MAX, 0], vec![]), // three that overflow, but nothing of each
        (vec![1; 255], vec![42]),
    ] {
        let bytes = file(&dims, &data);
        let expected = Idx { dims: dims.iter().map(|&dim| dim as usize).collect(), data };
        assert_eq!(read(&bytes).unwrap(), expected);
        assert_eq!(read(&gz(&bytes)).unwrap(), expected);
    }
}

#[test]
fn what_is_wrong_with_the_content_is_said_raw_and_gz() {
    let trailing_after_none = file(&[0, u32::MAX, u32::MAX, u32::MAX], b"x");
    for (bytes, found, expected) in [
        (vec![], "an empty file", "an IDX file"),
        (vec![0], "the end of the file after 1 bytes", "an IDX file"),
        (vec![0, 0, 8], "the end of the file after 3 bytes", "an IDX file"),
        (vec![0x1f], r#"starts with "\x1f""#, "IDX file of unsigned bytes"),
        (b"<!DOCTYPE html>".to_vec(), r#"starts with "<!DO""#, r#"starts with "\x00\x00\x08""#),
        (vec![0, 1, 8, 1, 0, 0, 0, 0], r#"starts with "\x00\x01\x08\x01""#, "IDX file of unsigned bytes"),
        (header(0x0d, &[1]), "type 0x0d (32-bit floats)", "0x08 (unsigned bytes)"),
        (header(0x09, &[1]), "type 0x09 (signed bytes)", "0x08 (unsigned bytes)"),
        (header(0x42, &[1]), "type 0x42 (not an IDX type)", "0x08 (unsigned bytes)"),
        (header(0x08, &[]), "rank 0", "a rank of 1 to 255"),
        (header(0x08, &[9, 9, 9])[..15].to_vec(), "cut short after 15 bytes", "16 bytes, as its rank of 3 says"),
        (header(0x08, &[9])[..4].to_vec(), "cut short after 4 bytes", "8 bytes, as its rank of 1 says"),
        (file(&[2, 3], b""), "0 elements, then the end", "6 elements; the file is cut short"),
        (file(&[2, 3], b"12345"), "5 elements, then the end", "6 elements; the file is cut short"),
        (file(&[2, 3], b"1234567"), "more data after the last of its 6 elements", "its dimensions 2 x 3 say"),
        (trailing_after_none, "more data after the last of its 0 elements", "to end there"),
        (file(&[(1 << 30) + 1], b"x"), "dimensions 1073741825", "at most 1073741824 elements"),
        // 2^64: 0, were it not checked for overflow.
        (file(&[1 << 16; 4], b""), "65536 x 65536 x 65536 x 65536", "at most 1073741824 elements"),
        (file(&[u32::MAX; 3], b"x"), "4294967295 x 4294967295 x 4294967295", "at most 1073741824 elements"),
        (file(&[u32::MAX; 255], b"x"), "x 4294967295 and 247 more", "at most 1073741824 elements"),
    ] {
        assert_format(read(&bytes), found, expected);
        assert_format(read(&gz(&bytes)), found, expected);
    }
}

#[test]
fn a_cut_file_is_an_error_wherever_it_is_cut() {
    let raw = file(&[2, 2], b"abcd");
    for bytes in [&raw, &gz(&raw)] {
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Err(Error::Format { .. })), "cut after {end} of {}", bytes.len());
        }
    }
}

#[test]
fn damaged_gz_is_noticed() {
    let whole = gz(&file(&[2, 2], b"abcd"));
    let checksum = whole.len() - 8;
    for damaged in [checksum, checksum + 4] {
        let mut bytes = whole.clone();
        bytes[damaged] ^= 1;
        assert_format(read(&bytes), "a damaged or truncated gzip stream (", "a complete gzip file; get this one again");
    }
    assert_format(read(&whole[..whole.len() - 1]), "damaged or truncated gzip", "a complete gzip file");
    assert_format(read(&[&whole[..], b"garbage"].concat()), "damaged or truncated gzip", "a complete gzip file");
    assert_format(read(&[0x1f, 0x8b]), "damaged or truncated gzip", "a complete gzip file");
    assert_format(read(&gz(&whole)), r#"starts with "\x1f\x8b\x08\x00""#, "IDX file");
}

/// A flipped bit may hit what carries no data, such as the time stamp; it may never change what is read.
#[test]
fn no_flipped_bit_of_a_gz_changes_the_data() {
    let content = file(&[4, 8], b"it is not the same bits over and");
    let (whole, expected) = (gz(&content), read(&content).unwrap());
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match read(&bytes) {
            Ok(found) => assert_eq!(found, expected, "bit {bit}"),
            // Whatever the damaged content looks like, the damage is what is wrong with the file.
            Err(error) => assert!(error.to_string().contains("gzip stream"), "bit {bit}: {error}"),
        }
    }
}

/// The content of each is wrong on its own account, and so is what the checksum says: the stream is what to mend first.
#[test]
fn a_damaged_gz_is_said_before_what_its_content_looks_like() {
    for content in [
        file(&[2, 2], b"abcde"),
        file(&[2, 2], &[0; 1 << 20]),
        file(&[u32::MAX; 3], b"x"),
        header(0x0d, &[1]),
        b"<!DOCTYPE html>".to_vec(),
    ] {
        let whole = gz(&content);
        assert!(!read(&whole).unwrap_err().to_string().contains("gzip stream"), "{content:?}");
        let mut bad = whole.clone();
        let checksum = bad.len() - 8;
        bad[checksum] ^= 1;
        assert_format(read(&bad), "a damaged or truncated gzip stream (", "get this one again");
        assert_format(read(&whole[..whole.len() - 1]), "a damaged or truncated gzip stream (", "get this one again");
        assert_format(read(&[&whole[..], b"more"].concat()), "a damaged or truncated gzip stream (", "again");
    }
}

/// A reader that fails after the content has been refused does not hide why it was.
#[test]
fn a_readers_failure_after_bad_content_does_not_hide_it() {
    let whole = gz(&file(&[2, 2], &[0; 1 << 20]));
    let reader = pieces(&whole[..whole.len() - 1], 100, Some(io::ErrorKind::PermissionDenied));
    assert_format(idx::read(reader, "some.idx"), "more data after the last of its 4 elements", "2 x 2");
}

#[test]
fn several_gz_members_are_one_file() {
    let content = file(&[2, 3], b"abcdef");
    let expected = read(&content).unwrap();
    for middle in 0..=content.len() {
        let (first, second) = content.split_at(middle);
        assert_eq!(read(&[gz(first), gz(&[]), gz(second)].concat()).unwrap(), expected, "split at {middle}");
    }
}

#[test]
fn slow_and_interrupted_readers_change_nothing() {
    let content = file(&[3, 100_000], &b"many bytes, uneven pieces. ".repeat(12_000)[..300_000]);
    let expected = read(&content).unwrap();
    for bytes in [&content, &gz(&content)] {
        for piece in [1, 2, 3, 1021, usize::MAX] {
            assert_eq!(idx::read(pieces(bytes, piece, None), "some.idx").unwrap(), expected, "pieces of {piece}");
        }
    }
}

#[test]
fn the_readers_own_error_is_passed_on_from_every_place() {
    let content = file(&[2, 3], b"abcdef");
    for bytes in [&content, &gz(&content)] {
        for end in 0..=bytes.len() {
            let reader = pieces(&bytes[..end], usize::MAX, Some(io::ErrorKind::PermissionDenied));
            let error = idx::read(reader, "some.idx").unwrap_err();
            assert_eq!(error.to_string(), "some.idx: the disk said no", "after {end} bytes");
            let Error::Io { file, source } = error else { panic!("{error:?}") };
            assert_eq!((file.as_str(), source.kind()), ("some.idx", io::ErrorKind::PermissionDenied));
        }
    }
}

#[test]
fn a_header_alone_allocates_nothing() {
    const CHUNK: usize = 256 << 10;
    for (arrived, bound) in [(10, CHUNK), (CHUNK + 1, 2 * (CHUNK + 1)), (1 << 20, 2 << 20)] {
        let raw = file(&[1 << 30], &vec![1; arrived]);
        for bytes in [&raw, &gz(&raw)] {
            LARGEST.set(0);
            let result = read(bytes);
            let largest = LARGEST.get();
            assert_format(result, &format!("{arrived} elements, then the end"), "1073741824 elements");
            assert!(largest <= bound, "{largest} bytes allocated at once for {arrived} that arrived");
        }
    }
}

#[test]
fn memory_that_is_not_to_be_had_is_an_error_of_its_own() {
    let raw = file(&[1 << 20], &vec![1; 1 << 20]);
    for (bytes, most) in [(&raw, 1 << 19), (&gz(&raw), 1 << 19), (&gz(&raw), 1 << 17), (&gz(&raw), 1 << 14)] {
        MOST.set(most);
        let result = read(bytes);
        MOST.set(usize::MAX);
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::OutOfMemory), "{error:?}");
        assert_eq!(error.to_string(), "some.idx: out of memory");
    }
}

#[test]
fn the_buffer_is_no_larger_than_the_data() {
    let content = file(&[700, 1000], &vec![3; 700_000]);
    for bytes in [&content, &gz(&content)] {
        assert_eq!(read(bytes).unwrap().data.capacity(), 700_000);
    }
}

/// Counts what is pulled from a reader.
struct Counting<'a, R>(R, &'a mut usize);

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read(buffer)?;
        *self.1 += got;
        Ok(got)
    }
}

#[test]
fn an_endless_raw_file_is_left_after_one_byte_too_many() {
    let start = file(&[2, 2], b"abcd");
    let mut pulled = 0;
    let reader = Counting(start.chain(io::repeat(0)), &mut pulled);
    assert_format(idx::read(reader, "some.idx"), "more data after the last of its 4 elements", "2 x 2");
    assert_eq!(pulled, start.len() + 1);
}

/// A gzip stream of stored blocks that never ends; it unpacks to `start` and then zeros.
struct EndlessGz {
    pending: Vec<u8>,
}

impl EndlessGz {
    fn new(start: &[u8]) -> Self {
        let mut pending = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        pending.extend(Self::block(start));
        Self { pending }
    }

    fn block(content: &[u8]) -> Vec<u8> {
        let len = content.len() as u16;
        [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), content].concat()
    }
}

impl Read for EndlessGz {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pending.is_empty() {
            self.pending = Self::block(&[0; 1000]);
        }
        let got = self.pending.as_slice().read(buffer)?;
        self.pending.drain(..got);
        Ok(got)
    }
}

/// It is left once it has shown that it is not merely damaged, and nothing of it is kept.
#[test]
fn a_bomb_is_left() {
    let mut pulled = 0;
    LARGEST.set(0);
    let reader = Counting(EndlessGz::new(&file(&[2, 2], b"abcd")), &mut pulled);
    let result = idx::read(reader, "some.idx");
    let largest = LARGEST.get();
    assert_format(result, "more data after the last of its 4 elements", "2 x 2");
    assert!(pulled < 300 << 20, "{pulled} bytes pulled");
    assert!(largest <= 256 << 10, "{largest} bytes allocated at once");

    // 64 MB in 64 KB.
    let bomb = gz(&file(&[2, 2], &vec![0; 64 << 20]));
    LARGEST.set(0);
    let result = read(&bomb);
    let largest = LARGEST.get();
    assert_format(result, "more data after the last of its 4 elements", "2 x 2");
    assert!(largest <= 256 << 10, "{largest} bytes allocated at once");
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn read_file_names_the_path() {
    let path = scratch("idx-read-file");
    let content = file(&[2, 2], b"abcd");
    std::fs::write(&path, &content).unwrap();
    assert_eq!(idx::read_file(&path).unwrap(), read(&content).unwrap());

    std::fs::write(&path, &content[..13]).unwrap();
    let message = idx::read_file(&path).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "{}: found 1 elements, then the end of the file, expected 4 elements; the file is cut short, get it again",
            path.display()
        )
    );

    let missing = scratch("idx-no-such-file");
    let error = idx::read_file(&missing).unwrap_err();
    let Error::Io { file, source } = error else { panic!("{error:?}") };
    assert_eq!((file, source.kind()), (missing.display().to_string(), io::ErrorKind::NotFound));
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        (dims, data) in prop::collection::vec(0_u32..7, 1..5).prop_flat_map(|dims| {
            let len = dims.iter().product::<u32>() as usize;
            (Just(dims), prop::collection::vec(any::<u8>(), len))
        }),
        piece in 1_usize..50,
    ) {
        let bytes = file(&dims, &data);
        let expected = Idx { dims: dims.iter().map(|&dim| dim as usize).collect(), data };
        prop_assert_eq!(&read(&bytes).unwrap(), &expected);
        prop_assert_eq!(&idx::read(pieces(&bytes, piece, None), "").unwrap(), &expected);
        prop_assert_eq!(&idx::read(pieces(&gz(&bytes), piece, None), "").unwrap(), &expected);
    }

    /// What is accepted is what the header says and the bytes behind it hold, no more and no less; the rest is an error.
    #[test]
    fn only_what_is_there_is_read(
        dims in prop::collection::vec(0_u32..4, 0..4),
        data in prop::collection::vec(any::<u8>(), 0..28),
    ) {
        let bytes = file(&dims, &data);
        let whole = !dims.is_empty() && dims.iter().product::<u32>() as usize == data.len();
        for result in [read(&bytes), read(&gz(&bytes))] {
            prop_assert_eq!(result.is_ok(), whole, "{:?}", result);
            prop_assert!(result.is_err() || result.unwrap().data == data);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(gzip in any::<bool>(), mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let start: &[u8] = if gzip { &[0x1f, 0x8b, 8, 0] } else { &[0, 0, 8] };
        bytes.splice(..start.len().min(bytes.len()), start.iter().copied());
        let _ = read(&bytes);
    }
}
