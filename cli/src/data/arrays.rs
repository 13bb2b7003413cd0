//! Features and labels as arrays of other programs' files: `.npy`, `.npz`, `.safetensors`. Reading NumPy's arrays is the
//! library's work, unpacking archives the crate `zip`'s.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use softreg::{Error, npy};
use zip::ZipArchive;

use super::Table;
use super::labels::Labels;
use crate::nearest;
use crate::report::Failure;
use crate::text::excerpt;

/// The longest header of a safetensors file that is read.
const LONGEST_HEADER: u64 = 16 << 20;

/// A file, and which of its arrays is meant where that is said: `FILE`, or `FILE:ARRAY` behind a name that ends so that
/// there may be several.
struct Place {
    path: PathBuf,
    array: Option<String>,
}

/// Files with arrays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npy,
    Npz,
    Safetensors,
    /// Labels only, as text.
    Other,
}

impl Place {
    fn parse(path: &Path) -> Self {
        // A file of that name comes before an array's.
        if let (Some(text), false) = (path.to_str(), path.exists()) {
            for end in [".npz:", ".safetensors:"] {
                if let Some(at) = text.rfind(end) {
                    let (file, array) = text.split_at(at + end.len() - 1);
                    return Self { path: file.into(), array: Some(array[1..].to_owned()) };
                }
            }
        }
        Self { path: path.to_owned(), array: None }
    }

    fn kind(&self) -> Kind {
        let extension = self.path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("npy") => Kind::Npy,
            Some("npz") => Kind::Npz,
            Some("safetensors") => Kind::Safetensors,
            _ => Kind::Other,
        }
    }

    fn fail(&self, message: impl std::fmt::Display) -> Failure {
        Failure::Failed(format!("{}: {message}", self.path.display()))
    }

    /// A result whose error names the file; one about memory does not by itself.
    fn named<T>(&self, result: softreg::Result<T>) -> Result<T, Failure> {
        result.map_err(|error| match error {
            Error::Memory { .. } => self.fail(error),
            error => error.into(),
        })
    }

    fn open(&self) -> Result<File, Failure> {
        let missing = |error| self.fail(format!("{error}{}", nearest::hint(&self.path)));
        let metadata = std::fs::metadata(&self.path).map_err(missing)?;
        if metadata.is_dir() {
            return Err(self.fail("found a directory, expected a file of an array"));
        }
        File::open(&self.path).map_err(|error| self.fail(error))
    }
}

/// Reads features `[rows, features]` and, where there is a file of them, labels.
pub(crate) fn read(features: &Path, labels: Option<&Path>) -> Result<Table, Failure> {
    let place = Place::parse(features);
    let npy::Features { values, features: width, .. } = match place.kind() {
        // What has another name is taken for an array too: the reader says what it found.
        Kind::Npy | Kind::Other => {
            // A file that is not there has a better error.
            drop(place.open()?);
            place.named(npy::read_features(&place.path))?
        }
        Kind::Npz => in_archive(&place, 2, |reader, name| npy::features(reader, name))?,
        Kind::Safetensors => in_tensors(&place, 2, |reader, name| npy::features(reader, name))?,
    };
    let labels_name = labels.map_or_else(String::new, |labels| labels.display().to_string());
    let labels = labels.map(|labels| read_labels(&Place::parse(labels))).transpose()?;
    let name = features.display().to_string();
    Ok(Table { name, values, features: width, labels, labels_name, columns: None })
}

fn read_labels(place: &Place) -> Result<Labels, Failure> {
    let labels = match place.kind() {
        Kind::Npy => {
            let file = BufReader::new(place.open()?);
            place.named(npy::any_labels(file, &place.path.display().to_string()))?
        }
        Kind::Npz => in_archive(place, 1, |reader, name| npy::any_labels(BufReader::new(reader), name))?,
        Kind::Safetensors => in_tensors(place, 1, |reader, name| npy::any_labels(reader, name))?,
        Kind::Other => return Labels::read_text(&place.path),
    };
    match labels {
        npy::Labels::Integers(numbers) => Ok(Labels::Numbers(numbers)),
        npy::Labels::Texts(texts) => Ok(Labels::of_texts(texts)),
        other => Err(place.fail(format!("found {other:?}, expected integers or texts"))),
    }
}

/// The arrays in a file with their shapes, which are `None` where nobody can read them.
type Arrays = BTreeMap<String, Option<Vec<usize>>>;

/// What of the arrays in a file is meant: the named one, or the only one with so many dimensions.
fn choose<'a>(place: &Place, arrays: &'a Arrays, dimensions: usize) -> Result<&'a str, Failure> {
    let what = if dimensions == 2 { "features of two dimensions" } else { "labels of one dimension" };
    if let Some(wanted) = &place.array {
        return match arrays.get_key_value(wanted) {
            Some((name, _)) => Ok(name),
            None => {
                let (wanted, list) = (excerpt(wanted), list(arrays.iter()));
                Err(place.fail(format!("found no array named {wanted:?}, expected one of: {list}")))
            }
        };
    }
    let fits = |shape: &Option<Vec<usize>>| shape.as_ref().is_some_and(|shape| shape.len() == dimensions);
    let mut fitting = arrays.iter().filter(|(_, shape)| fits(shape));
    match (fitting.next(), fitting.next()) {
        (Some((only, _)), None) => Ok(only),
        (None, _) => Err(place.fail(format!("found no array for {what}, only: {}", list(arrays.iter())))),
        (Some((first, _)), Some(_)) => {
            let list = list(arrays.iter().filter(|(_, shape)| fits(shape)));
            let hint = format!("name it, as in {}:{}", place.path.display(), excerpt(first));
            Err(place.fail(format!("found several arrays for {what} ({list}), expected one; {hint}")))
        }
    }
}

fn list<'a>(arrays: impl Iterator<Item = (&'a String, &'a Option<Vec<usize>>)>) -> String {
    let shown = arrays.map(|(name, shape)| match shape {
        Some(shape) => format!("{name} {shape:?}"),
        None => format!("{name}, which cannot be read"),
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "none".to_owned() } else { excerpt(&shown.join(", ")) }
}

/// Takes an array out of an `.npz` archive.
fn in_archive<T>(
    place: &Place,
    dimensions: usize,
    take: impl FnOnce(&mut dyn Read, &str) -> softreg::Result<T>,
) -> Result<T, Failure> {
    let other = |error| {
        place
            .fail(format!("found another kind of file, or one cut short ({error}), expected an .npz archive of arrays"))
    };
    let mut archive = ZipArchive::new(place.open()?).map_err(other)?;
    let names: Vec<String> =
        archive.file_names().filter_map(|name| name.ok()?.strip_suffix(".npy").map(str::to_owned)).collect();
    let mut arrays = Arrays::new();
    for name in names {
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(other)?;
        let shape = npy::shape(&mut entry, &name).ok();
        drop(entry);
        arrays.insert(name, shape);
    }
    let name = choose(place, &arrays, dimensions)?;
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(other)?;
    place.named(take(&mut entry, &format!("{}: {name}", place.path.display())))
}

/// Takes a tensor out of a safetensors file, as the bytes of an `.npy` file.
fn in_tensors<T>(
    place: &Place,
    dimensions: usize,
    take: impl FnOnce(&mut dyn Read, &str) -> softreg::Result<T>,
) -> Result<T, Failure> {
    let expected = "expected a safetensors file";
    let mut file = place.open()?;
    let size = file.metadata().map_err(|error| place.fail(error))?.len();
    let cut = |_| place.fail(format!("found a file cut short, {expected}"));
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(cut)?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER.min(size) {
        return Err(
            place.fail(format!("found another kind of file, or one with a header of {length} bytes, {expected}"))
        );
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(cut)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| place.fail(format!("header: {error}; {expected}")))?;
    let tensors = header.tensors();
    let arrays = tensors.iter().map(|(name, tensor)| (name.clone(), Some(tensor.shape.clone()))).collect();
    let name = choose(place, &arrays, dimensions)?;
    let end = tensors.values().map(|tensor| tensor.data_offsets.1).max().unwrap_or(0) as u64;
    let (found, wanted) = (size.saturating_sub(8 + length), end);
    if found != wanted {
        return Err(place.fail(format!("found {found} bytes of values, expected {wanted}, as the header says")));
    }
    let tensor = &tensors[name];
    let (start, end) = (tensor.data_offsets.0 as u64, tensor.data_offsets.1 as u64);
    file.seek(SeekFrom::Start(8 + length + start)).map_err(|error| place.fail(error))?;
    let values = file.take(end.saturating_sub(start));
    let widened;
    let (descr, mut values): (&str, Box<dyn Read>) = match tensor.dtype {
        Dtype::F32 => ("<f4", Box::new(values)),
        Dtype::F64 => ("<f8", Box::new(values)),
        Dtype::F16 => ("<f2", Box::new(values)),
        Dtype::BF16 => {
            widened = Widened { reader: BufReader::new(values) };
            ("<f4", Box::new(widened))
        }
        Dtype::BOOL => ("|b1", Box::new(values)),
        Dtype::U8 => ("|u1", Box::new(values)),
        Dtype::U16 => ("<u2", Box::new(values)),
        Dtype::U32 => ("<u4", Box::new(values)),
        Dtype::U64 => ("<u8", Box::new(values)),
        Dtype::I8 => ("|i1", Box::new(values)),
        Dtype::I16 => ("<i2", Box::new(values)),
        Dtype::I32 => ("<i4", Box::new(values)),
        Dtype::I64 => ("<i8", Box::new(values)),
        other => return Err(place.fail(format!("{name}: found values of type {other:?}, expected floats or integers"))),
    };
    let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
    let start = npy_start(descr, &shape);
    place.named(take(&mut Cursor::new(start).chain(&mut values), &format!("{}: {name}", place.path.display())))
}

/// What stands before the values of an `.npy` file.
fn npy_start(descr: &str, shape: &[String]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}", shape.join(", "));
    let mut start = b"\x93NUMPY\x02\x00".to_vec();
    start.extend((header.len() as u32).to_le_bytes());
    start.extend(header.as_bytes());
    start
}

/// Values of bf16 as f32: two bytes of zeros before each.
struct Widened<R> {
    reader: R,
}

impl<R: Read> Read for Widened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (values, _) = buffer.as_chunks_mut::<4>();
        let mut written = 0;
        for value in values {
            let mut upper = [0; 2];
            match self.reader.read_exact(&mut upper) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                result => result?,
            }
            *value = [0, 0, upper[0], upper[1]];
            written += 4;
        }
        Ok(written)
    }
}
