//! Reads IDX files of unsigned bytes, and of labels of any integers, raw or gzip-compressed, from anything that can be
//! read. What the numbers mean (images, which file belongs to which), see `mnist`.
//!
//! The format: two zero bytes, one byte for the element type (8: unsigned bytes), one byte for the rank, then each
//! dimension as a big-endian `u32`, then the elements, big-endian, the last dimension varying fastest.
//!
//! A file is not trusted. The header's dimensions bound what is read, they never cause an allocation by themselves:
//! the buffer grows with the bytes that have arrived, and only addresses are taken ahead of them. Nothing after the last
//! element is kept, so a small file that unpacks to a huge one takes no more memory than what its header announces, and
//! the header may not announce more than [`MAX_BYTES`].
//!
//! A damaged gzip stream may unpack to anything, and its checksum stands at its end. When the content is
//! refused, the reader therefore unpacks up to 256 MiB more. If that finds damage, the error reports the damage: the user
//! can get the file again.

use super::buffer::{CHUNK, Fill};
use super::read::fill;
use crate::error::{Error, Result};
use crate::memory;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// The most elements, each one byte, that a file may hold: 1 GiB, 22 times MNIST's training images.
pub const MAX_BYTES: usize = 1 << 30;

/// The element types of images, with their sizes in bytes.
const BYTES: &[(u8, usize)] = &[(0x08, 1)];
/// Those of labels: unsigned and signed bytes, 16-bit and 32-bit integers.
const INTEGERS: &[(u8, usize)] = &[(0x08, 1), (0x09, 1), (0x0b, 2), (0x0c, 4)];

/// The first two bytes of every gzip member. An IDX file starts with two zeros, so content alone tells them apart.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The most bytes that are unpacked, and thrown away, to see whether refused content comes from a damaged stream: more
/// than MNIST and the sets like it have, and a fraction of a second.
const MOST_DISCARDED: u64 = 256 << 20;

/// More than the decompressor's own state takes.
const DECOMPRESSOR: usize = 128 << 10;

/// An array of unsigned bytes of any rank.
#[derive(Clone, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions, outermost first; as many as the rank, at least one.
    pub dims: Vec<usize>,
    /// The elements, row-major: as many as the product of `dims`.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Idx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idx").field("dims", &self.dims).finish_non_exhaustive()
    }
}

/// Reads one whole IDX file of unsigned bytes from `reader`, which is raw or gzip-compressed (one member or several);
/// its content tells which. `name` stands for the file in errors.
///
/// The reader is read to its end, so that a gzip stream's checksum is checked and nothing is left over. No buffering
/// is needed around it: it is read in large pieces.
///
/// # Errors
///
/// - [`Error::Io`] if the reader fails, with the reader's own error, or if there is not memory enough.
/// - [`Error::Format`] if the content is not IDX, is not of unsigned bytes, is cut short, goes on after its last
///   element, holds more than [`MAX_BYTES`], or is a damaged gzip stream.
pub fn read(reader: impl Read, name: &str) -> Result<Idx> {
    read_to(reader, name).map(|(dims, data)| Idx { dims, data })
}

/// Reads labels, one a row: an IDX file of rank 1 whose elements are bytes or integers of 16 or 32 bits, or one of rank 2
/// of 32-bit integers with the label first in each row, as QMNIST's are.
///
/// # Errors
///
/// Those of [`read`], with these types and ranks.
pub fn read_labels(reader: impl Read, name: &str) -> Result<Vec<i32>> {
    let labels = read_label_elements(reader, name)?;
    let mut values = memory::with_capacity("labels", labels.len())?;
    values.extend(labels.iter());
    Ok(values)
}

/// Labels as their file has them.
pub(super) struct LabelElements {
    bytes: Vec<u8>,
    is_signed: bool,
    /// Bytes of a label.
    size: usize,
    /// Bytes of a row.
    row: usize,
}

impl LabelElements {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.row
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i32> {
        self.bytes.chunks_exact(self.row).map(|row| match row[..self.size] {
            [byte] if self.is_signed => i32::from(byte as i8),
            [byte] => i32::from(byte),
            [a, b] => i32::from(i16::from_be_bytes([a, b])),
            [a, b, c, d, ..] => i32::from_be_bytes([a, b, c, d]),
            // No type has these sizes.
            [] | [_, _, _] => 0,
        })
    }

    /// The labels as bytes, where that is what they are.
    pub(super) fn into_bytes(self) -> std::result::Result<Vec<u8>, Self> {
        if (self.is_signed, self.row) == (false, 1) { Ok(self.bytes) } else { Err(self) }
    }
}

/// [`read_labels`] as the file has them.
pub(super) fn read_label_elements(reader: impl Read, name: &str) -> Result<LabelElements> {
    let Content { element, size, dims, data: bytes } = read_types::<Vec<u8>>(reader, name, INTEGERS)?;
    let columns = match dims[..] {
        [_] => 1,
        [_, columns] if size == 4 && columns > 0 => columns,
        _ => return Err(wrong_rank(name, &dims, "labels, rank 1: how many")),
    };
    Ok(LabelElements { bytes, is_signed: element != 0x08, size, row: size * columns })
}

/// The error of a file that has another number of dimensions than it should.
pub(super) fn wrong_rank(name: &str, dims: &[usize], expected: &str) -> Error {
    let kind = match dims.len() {
        1 => "as a file of labels has",
        3 => "as a file of images has",
        _ => "as neither images nor labels have",
    };
    format_error(name, format!("rank {} ({}), {kind}", dims.len(), show(dims)), expected)
}

/// [`read`] to memory of any kind: the dimensions and the elements.
pub(super) fn read_to<E: Fill<Element = u8>>(reader: impl Read, name: &str) -> Result<(Vec<usize>, E)> {
    read_types(reader, name, BYTES).map(|content| (content.dims, content.data))
}

/// What a file holds.
struct Content<E> {
    element: u8,
    /// Bytes of an element.
    size: usize,
    dims: Vec<usize>,
    /// The bytes of the elements.
    data: E,
}

/// Reads a file of one of these element types.
fn read_types<E: Fill<Element = u8>>(reader: impl Read, name: &str, types: &[(u8, usize)]) -> Result<Content<E>> {
    let mut source = Source { reader, failed: false };
    let mut start = [0; GZIP.len()];
    let got = fill(&mut source, &mut start).map_err(|error| io_error(name, error))?;
    match &start[..got] {
        start if start == GZIP => read_gzip(start, &mut source, name, types),
        // An IDX file has neither of the two bytes.
        [0x1f, _] | [_, 0x8b] => Err(damaged(name, "its first two bytes are not those of gzip")),
        start => parse(&mut start.chain(source), name, types),
    }
}

/// [`parse`] of a gzip stream whose first bytes have been taken from its source already. Where the content is refused,
/// the rest of the stream is looked at too.
fn read_gzip<E: Fill<Element = u8>>(
    start: &[u8],
    source: &mut Source<impl Read>,
    name: &str,
    types: &[(u8, usize)],
) -> Result<Content<E>> {
    let no_memory = |error| io_error(name, error);
    let stream = Buffered::new(start.chain(&mut *source)).map_err(no_memory)?;
    reserve_decompressor().map_err(no_memory)?;
    let mut content = MultiGzDecoder::new(stream);
    let parsed = parse(&mut content, name, types);
    let damage_behind = match parsed {
        Err(Error::Format { .. }) => io::copy(&mut content.by_ref().take(MOST_DISCARDED), &mut io::sink()).err(),
        _ => None,
    };
    drop(content);
    match (parsed, damage_behind) {
        // The decompressor reports damage as an I/O error; only the reader's own failures and a lack of memory are that.
        (Err(Error::Io { source: damage, .. }), _) | (_, Some(damage))
            if !source.failed && damage.kind() != io::ErrorKind::OutOfMemory =>
        {
            Err(damaged(name, damage))
        }
        (parsed, _) => parsed,
    }
}

fn damaged(name: &str, what: impl std::fmt::Display) -> Error {
    format_error(
        name,
        format!("a damaged or truncated gzip stream ({what})"),
        "a complete gzip file; get this one again",
    )
}

/// An error where the decompressor would find no memory for its state, which it takes without asking.
fn reserve_decompressor() -> io::Result<()> {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(DECOMPRESSOR).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // The compiler may leave out memory that nobody looks at.
    std::hint::black_box(&memory);
    Ok(())
}

/// A `BufReader` that takes its memory only if there is some.
struct Buffered<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer is still to be read.
    rest: std::ops::Range<usize>,
}

impl<R: Read> Buffered<R> {
    fn new(reader: R) -> io::Result<Self> {
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(CHUNK).map_err(|_| io::ErrorKind::OutOfMemory)?;
        buffer.resize(CHUNK, 0);
        Ok(Self { reader, buffer, rest: 0..0 })
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(to)?;
        self.consume(got);
        Ok(got)
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.rest.is_empty() {
            self.rest = 0..self.reader.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.rest.clone()])
    }

    fn consume(&mut self, amount: usize) {
        self.rest.start = self.rest.end.min(self.rest.start + amount);
    }
}

/// Reads the IDX file at `path`; see [`read`]. Errors name the file by its path.
///
/// # Errors
///
/// Those of [`read`], and [`Error::Io`] if the file cannot be opened.
pub fn read_file(path: impl AsRef<Path>) -> Result<Idx> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let file = File::open(path).map_err(|source| io_error(&name, source))?;
    read(file, &name)
}

/// A reader that remembers whether it failed, so that its failures can be told from the decompressor's.
struct Source<R> {
    reader: R,
    failed: bool,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        self.failed = matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

/// Reads the uncompressed content: header, elements, end.
fn parse<E: Fill<Element = u8>>(content: &mut impl Read, name: &str, types: &[(u8, usize)]) -> Result<Content<E>> {
    let (element, size, dims) = read_header(content, name, types)?;
    let len = element_count(&dims, name)?;
    let data = read_elements(content, [len, size], name)?;
    if fill(content, &mut [0]).map_err(|source| io_error(name, source))? != 0 {
        return Err(format_error(
            name,
            format!("more data after the last of its {len} elements"),
            format!("the file to end there, as its dimensions {} say", show(&dims)),
        ));
    }
    Ok(Content { element, size, dims, data })
}

/// The element type, its size in bytes, and the dimensions.
fn read_header(content: &mut impl Read, name: &str, types: &[(u8, usize)]) -> Result<(u8, usize, Vec<usize>)> {
    let mut magic = [0; 4];
    let got = fill(content, &mut magic).map_err(|source| io_error(name, source))?;
    if got == 0 {
        return Err(format_error(name, "an empty file", "an IDX file"));
    }
    if !magic.starts_with(&[0, 0]) {
        return Err(format_error(
            name,
            format!("a file that starts with \"{}\"", magic[..got].escape_ascii()),
            "an IDX file of unsigned bytes, raw or gzip-compressed, which starts with \"\\x00\\x00\\x08\" when raw",
        ));
    }
    if got < magic.len() {
        return Err(format_error(name, format!("the end of the file after {got} bytes"), "an IDX file"));
    }
    let [_, _, element, rank] = magic;
    let Some(&(_, size)) = types.iter().find(|&&(known, _)| known == element) else {
        let known: Vec<String> =
            types.iter().map(|&(known, _)| format!("{known:#04x} ({})", element_name(known))).collect();
        return Err(format_error(
            name,
            format!("elements of type {element:#04x} ({})", element_name(element)),
            format!("type {}", known.join(" or ")),
        ));
    };
    if rank == 0 {
        return Err(format_error(name, "an array of rank 0", "a rank of 1 to 255"));
    }
    let mut bytes = [0; 4 * u8::MAX as usize];
    let bytes = &mut bytes[..4 * usize::from(rank)];
    let got = fill(content, bytes).map_err(|source| io_error(name, source))?;
    if got < bytes.len() {
        return Err(format_error(
            name,
            format!("a header cut short after {} bytes", magic.len() + got),
            format!("{} bytes, as its rank of {rank} says", magic.len() + bytes.len()),
        ));
    }
    // A u32 fits: `std` does not exist where usize is narrower.
    Ok((element, size, bytes.as_chunks().0.iter().map(|&dim| u32::from_be_bytes(dim) as usize).collect()))
}

/// The element types that the format defines, for the error message.
fn element_name(element: u8) -> &'static str {
    match element {
        0x08 => "unsigned bytes",
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => "not an IDX type",
    }
}

fn element_count(dims: &[usize], name: &str) -> Result<usize> {
    // With a zero among them the product is 0, even where the others alone overflow.
    let product =
        if dims.contains(&0) { Some(0) } else { dims.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim)) };
    match product {
        Some(len) if len <= MAX_BYTES => Ok(len),
        _ => Err(format_error(
            name,
            format!("a header that announces dimensions {}", show(dims)),
            format!("at most {MAX_BYTES} elements"),
        )),
    }
}

/// The dimensions as an error message shows them: with a rank of up to 255 the whole list would drown the message.
pub(crate) fn show(dims: &[usize]) -> String {
    let (shown, more) = dims.split_at(dims.len().min(8));
    let list = shown.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    if more.is_empty() { list } else { format!("{list} and {} more", more.len()) }
}

/// The bytes of so many elements of so many bytes each.
fn read_elements<E: Fill<Element = u8>>(content: &mut impl Read, [len, size]: [usize; 2], name: &str) -> Result<E> {
    let mut filled = 0;
    let mut cut_short = false;
    // No more than four times `MAX_BYTES`; where that does not fit, nothing as large arrives.
    let data = E::filled(len.saturating_mul(size), |piece| {
        let got = fill(content, piece)?;
        filled += got;
        cut_short = got < piece.len();
        if cut_short { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    });
    data.map_err(|source| {
        if !cut_short {
            return io_error(name, source);
        }
        format_error(
            name,
            format!("{} elements, then the end of the file", filled / size),
            format!("{len} elements; the file is cut short, get it again"),
        )
    })
}

pub(crate) fn io_error(name: &str, source: io::Error) -> Error {
    Error::Io { file: name.to_owned(), source }
}

pub(crate) fn format_error(name: &str, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::Format { file: name.to_owned(), found: found.into(), expected: expected.into() }
}
