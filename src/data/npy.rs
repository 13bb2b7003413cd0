//! Reads NumPy's `.npy` files: features `[rows, features]` of any plain number type as f32, labels `[rows]` of integers.
//! What is fitted to them, see `train`.
//!
//! The format: six magic bytes, two of a version, the length of a header, the header as a Python dictionary of the type,
//! the order and the shape, then the elements (NumPy Enhancement Proposal 1). A file is not trusted: what the header
//! claims bounds what is read, and memory grows with the bytes that have arrived. An array of Python objects, which only
//! Python's pickle can read, is refused.

use super::buffer::{Buffer, Fill};
use super::read::fill;
use crate::error::{Error, Result};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first bytes of every file.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The most bytes of a header: those of plain arrays take some 120.
const LONGEST_HEADER: usize = 1 << 16;
/// Elements that are decoded at a time.
const PIECE: usize = 1 << 13;

/// What is read, its name for errors, and its size where that is known.
struct Source<'a, R> {
    reader: R,
    name: &'a str,
    size: Option<u64>,
}

/// Features as they are read: whole rows.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Features {
    /// The values `[rows, features]`, row-major.
    pub values: Buffer<f32>,
    /// The length of a row; at least 1.
    pub features: usize,
}

/// Reads a file of features `[rows, features]`: floats of 2, 4 or 8 bytes, integers of up to 8 or booleans, in either
/// order; each as the f32 nearest to it.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is no such array, is cut short or goes on behind it,
/// [`Error::Memory`].
pub fn read_features(path: impl AsRef<Path>) -> Result<Features> {
    let name = path.as_ref().display().to_string();
    let file = open(path.as_ref(), &name)?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    features_of(Source { reader: file, name: &name, size })
}

/// [`read_features`] from anything that can be read; `name` stands for it in errors.
///
/// # Errors
/// As [`read_features`].
pub fn features(reader: impl Read, name: &str) -> Result<Features> {
    features_of(Source { reader, name, size: None })
}

fn features_of(mut source: Source<'_, impl Read>) -> Result<Features> {
    let name = source.name;
    let header = Header::read(&mut source.reader, name)?;
    let [rows, features] = header.shape[..] else {
        return Err(header.refuse(name, "two dimensions, [rows, features], as x.reshape(len(x), -1) makes them"));
    };
    if features == 0 {
        return Err(header.refuse(name, "at least one feature"));
    }
    let count = header.count(name)?;
    let numbers = "a type of numbers, little-endian, as x.astype('<f4') makes them";
    let values: Buffer<f32> = match header.element() {
        "f2" => elements(source, count, |b| f32::from(half::f16::from_le_bytes(b)))?,
        "f4" => floats(source, count)?,
        "f8" => elements(source, count, |b| f64::from_le_bytes(b) as f32)?,
        "u1" => elements(source, count, |b| f32::from(u8::from_le_bytes(b)))?,
        _ => integers(source, &header, count, numbers, |i| i as f32)?,
    };
    if !header.fortran_order {
        return Ok(Features { values, features });
    }
    let mut at = 0;
    let by_row = Buffer::filled_whole(count, |piece: &mut [f32]| {
        for value in piece {
            *value = values[at % features * rows + at / features];
            at += 1;
        }
        Ok(())
    });
    let no_memory = |_| Error::Memory { what: "features", bytes: count.saturating_mul(size_of::<f32>()) };
    Ok(Features { values: by_row.map_err(no_memory)?, features })
}

/// Reads a file of labels `[rows]`: integers of any size, or booleans.
///
/// # Errors
/// As [`read_features`].
pub fn read_labels(path: impl AsRef<Path>) -> Result<Vec<i64>> {
    let name = path.as_ref().display().to_string();
    labels(open(path.as_ref(), &name)?, &name)
}

/// [`read_labels`] from anything that can be read; `name` stands for it in errors.
///
/// # Errors
/// As [`read_features`].
pub fn labels(mut reader: impl Read, name: &str) -> Result<Vec<i64>> {
    let header = Header::read(&mut reader, name)?;
    if header.shape.len() != 1 {
        return Err(header.refuse(name, "one dimension, [rows]"));
    }
    whole_numbers(Source { reader, name, size: None }, &header)
}

/// Labels as a file has them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Labels {
    /// Integers or booleans.
    Integers(Vec<i64>),
    /// Texts, such as those of NumPy's `<U10`.
    Texts(Vec<String>),
}

/// Labels `[rows]` of integers or of texts (`<U` and `|S`) from anything that can be read; `name` stands for it in errors.
///
/// # Errors
/// As [`read_features`], and [`Error::Format`] for a text that is none.
pub fn any_labels(mut reader: impl Read, name: &str) -> Result<Labels> {
    let header = Header::read(&mut reader, name)?;
    if header.shape.len() != 1 {
        return Err(header.refuse(name, "one dimension, [rows]"));
    }
    match header.text() {
        Some(text) => texts(reader, name, &header, text).map(Labels::Texts),
        None => whole_numbers(Source { reader, name, size: None }, &header).map(Labels::Integers),
    }
}

/// The shape of an array of any type, of which only the header is read; `name` stands for the file in errors.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is no plain array.
pub fn shape(mut reader: impl Read, name: &str) -> Result<Vec<usize>> {
    Header::read(&mut reader, name).map(|header| header.shape)
}

fn open(path: &Path, name: &str) -> Result<File> {
    let failed = |source| Error::Io { file: name.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(format(name, "a directory", "a .npy file"));
    }
    File::open(path).map_err(failed)
}

/// What stands before the elements.
struct Header {
    /// The element type, such as `<f4`.
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(reader: &mut impl Read, name: &str) -> Result<Self> {
        let other = || format(name, "another kind of file, or one cut short", "a .npy file");
        let mut take = |buffer: &mut [u8]| match reader.read_exact(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(other()),
            result => result.map_err(|source| Error::Io { file: name.to_owned(), source }),
        };
        let mut start = [0; 8];
        take(&mut start)?;
        let (magic, version) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(other());
        }
        let length = match version[0] {
            1 => {
                let mut length = [0; 2];
                take(&mut length)?;
                usize::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                take(&mut length)?;
                u32::from_le_bytes(length) as usize
            }
            version => return Err(format(name, &format!("version {version}"), "version 1, 2 or 3")),
        };
        if length > LONGEST_HEADER {
            return Err(format(name, &format!("a header of {length} bytes"), "one of a plain array"));
        }
        let mut header = vec![0; length];
        take(&mut header)?;
        let text = String::from_utf8_lossy(&header);
        Self::parse(&text)
            .ok_or_else(|| format(name, &format!("the header {:?}", excerpt(&text)), "one of a plain array"))
    }

    /// Of a dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
        let descr = value("descr")?.strip_prefix('\'')?.split_once('\'')?.0.to_owned();
        let fortran_order = match value("fortran_order")? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return None,
        };
        let shape = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
        let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
        Some(Self { descr, fortran_order, shape: lengths.map(|length| length.parse().ok()).collect::<Option<_>>()? })
    }

    /// The type and size of an element, such as `f4`; empty where its bytes are in another order than this reader's.
    fn element(&self) -> &str {
        self.descr.strip_prefix(['<', '|', '=']).unwrap_or("")
    }

    /// How texts are stored, where that is what the elements are. Of no characters there is one text only.
    fn text(&self) -> Option<Text> {
        let (bytes_each, characters) = match self.descr.strip_prefix("<U") {
            Some(characters) => (4, characters),
            None => (1, self.descr.strip_prefix("|S")?),
        };
        let characters = characters.parse().ok().filter(|characters| (1..=LONGEST_TEXT).contains(characters))?;
        Some(Text { characters, bytes_each })
    }

    /// The number of elements.
    fn count(&self, name: &str) -> Result<usize> {
        let product = self.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        product.ok_or_else(|| self.refuse(name, "an array that fits in memory"))
    }

    fn refuse(&self, name: &str, expected: &str) -> Error {
        let found = format!("an array of shape {:?} and type {:?}", self.shape, excerpt(&self.descr));
        format(name, &found, expected)
    }
}

/// The most characters of a text.
const LONGEST_TEXT: usize = 1 << 12;

/// How texts are stored: so many characters each, of four bytes or of one, with zeros behind the last.
#[derive(Clone, Copy)]
struct Text {
    characters: usize,
    bytes_each: usize,
}

/// So many texts, and nothing behind them.
fn texts(mut reader: impl Read, name: &str, header: &Header, text: Text) -> Result<Vec<String>> {
    let count = header.count(name)?;
    let failed = |source| Error::Io { file: name.to_owned(), source };
    let mut bytes = vec![0; text.characters * text.bytes_each];
    let mut values = Vec::new();
    for row in 0..count {
        if fill(&mut reader, &mut bytes).map_err(failed)? < bytes.len() {
            let found = format!("{row} of {count} elements");
            return Err(format(name, &found, "all that the header claims: the file is cut short"));
        }
        let value: Option<String> = match text.bytes_each {
            1 => std::str::from_utf8(&bytes).ok().map(str::to_owned),
            _ => bytes.as_chunks().0.iter().map(|&code| char::from_u32(u32::from_le_bytes(code))).collect(),
        };
        let not_text = || format(name, &format!("element {row}, which is no text"), "Unicode");
        values.push(value.ok_or_else(not_text)?.trim_end_matches('\0').to_owned());
    }
    match reader.read(&mut [0]).map_err(failed)? {
        0 => Ok(values),
        _ => Err(format(name, &format!("more bytes behind {count} elements"), "the end of the file")),
    }
}

/// Integers of 64 bits with a sign.
fn whole_numbers(source: Source<'_, impl Read>, header: &Header) -> Result<Vec<i64>> {
    let name = source.name;
    let count = header.count(name)?;
    let too_large = Cell::new(false);
    let values = integers(source, header, count, "integers, little-endian, as y.astype('<i8') makes them", |i| {
        i64::try_from(i).unwrap_or_else(|_| {
            too_large.set(true);
            0
        })
    })?;
    if too_large.get() {
        return Err(header.refuse(name, "integers that fit in 64 bits with a sign"));
    }
    Ok(values)
}

/// Integers of any type, each as `convert` makes it.
fn integers<E: Fill>(
    source: Source<'_, impl Read>,
    header: &Header,
    count: usize,
    expected: &str,
    convert: impl Fn(i128) -> E::Element,
) -> Result<E> {
    match header.element() {
        "b1" | "u1" => elements(source, count, |b| convert(u8::from_le_bytes(b).into())),
        "u2" => elements(source, count, |b| convert(u16::from_le_bytes(b).into())),
        "u4" => elements(source, count, |b| convert(u32::from_le_bytes(b).into())),
        "u8" => elements(source, count, |b| convert(u64::from_le_bytes(b).into())),
        "i1" => elements(source, count, |b| convert(i8::from_le_bytes(b).into())),
        "i2" => elements(source, count, |b| convert(i16::from_le_bytes(b).into())),
        "i4" => elements(source, count, |b| convert(i32::from_le_bytes(b).into())),
        "i8" => elements(source, count, |b| convert(i64::from_le_bytes(b).into())),
        _ => Err(header.refuse(source.name, expected)),
    }
}

/// So many elements of N bytes, and nothing behind them.
fn elements<E: Fill, const N: usize>(
    source: Source<'_, impl Read>,
    count: usize,
    decode: impl Fn([u8; N]) -> E::Element,
) -> Result<E> {
    let mut bytes = Vec::new();
    read(source, count, N, |reader, piece: &mut [E::Element]| {
        let mut filled = 0;
        for piece in piece.chunks_mut(PIECE) {
            bytes.clear();
            reader.by_ref().take((piece.len() * N) as u64).read_to_end(&mut bytes)?;
            for (value, &element) in piece.iter_mut().zip(bytes.as_chunks().0) {
                *value = decode(element);
            }
            filled += bytes.len() / N;
        }
        Ok(filled)
    })
}

/// [`elements`] that are floats of 4 bytes: read to where they stay.
fn floats(source: Source<'_, impl Read>, count: usize) -> Result<Buffer<f32>> {
    read(source, count, size_of::<f32>(), |reader, piece: &mut [f32]| {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(piece);
        let filled = fill(reader, bytes)?;
        if cfg!(target_endian = "big") {
            piece.iter_mut().for_each(|value| *value = f32::from_le_bytes(value.to_ne_bytes()));
        }
        Ok(filled / size_of::<f32>())
    })
}

/// So many elements of `size` bytes, which `piecewise` reads a piece at a time and says how many it found, and nothing behind them.
fn read<E: Fill, R: Read>(
    mut source: Source<'_, R>,
    count: usize,
    size: usize,
    mut piecewise: impl FnMut(&mut R, &mut [E::Element]) -> io::Result<usize>,
) -> Result<E> {
    let name = source.name;
    let (mut arrived, mut is_cut_short) = (0, false);
    let bytes = (count as u64).saturating_mul(size as u64);
    let is_there = source.size.is_some_and(|size| size >= bytes);
    let fill = |piece: &mut [E::Element]| {
        let filled = piecewise(&mut source.reader, piece)?;
        arrived += filled;
        is_cut_short = filled < piece.len();
        if is_cut_short { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    };
    let values = if is_there { E::filled_whole(count, fill) } else { E::filled(count, fill) };
    let values = values.map_err(|source| match source.kind() {
        _ if is_cut_short => {
            let found = format!("{arrived} of {count} elements");
            format(name, &found, "all that the header claims: the file is cut short")
        }
        io::ErrorKind::OutOfMemory => {
            let bytes = count.saturating_mul(size_of::<E::Element>());
            Error::Memory { what: "array", bytes }
        }
        _ => Error::Io { file: name.to_owned(), source },
    })?;
    match source.reader.read(&mut [0]).map_err(|source| Error::Io { file: name.to_owned(), source })? {
        0 => Ok(values),
        _ => Err(format(name, &format!("more bytes behind {count} elements"), "the end of the file")),
    }
}

fn format(name: &str, found: &str, expected: &str) -> Error {
    Error::Format { file: name.to_owned(), found: found.to_owned(), expected: expected.to_owned() }
}

/// The start of a text from a file.
fn excerpt(text: &str) -> String {
    text.trim_end().chars().take(120).collect()
}
