//! Reads models from safetensors files: which two tensors are the model, and their values as f32. The format's writer is
//! `write`.
//!
//! The format: the header's length as a little-endian `u64`, the header as JSON, then the values of all tensors without a
//! gap, where the header says. The crate `safetensors` parses the header and checks that shapes, types and places agree;
//! that their end is the file's end is checked here, without an overflow. Only then anything is read of the values, and only
//! of two tensors.

use super::{CLASS_NAMES, FORMAT, LONGEST_HEADER, ModelFile, SoftmaxRegression, VERSION, format_error, io_error};
use crate::error::{Error, Result};
use crate::memory;
use crate::parameters::Parameters;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::error::Category;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// What most errors expect.
const MODEL: &str = "a safetensors model";

/// The bytes of the header's length, at the start.
const PREFIX: u64 = 8;

/// The start of a zip archive, which is what PyTorch's own `torch.save` writes.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// Characters of a piece of the file's text within a message.
const LONGEST_EXCERPT: usize = 100;
/// Tensors, and dimensions of one, that a message lists.
const LONGEST_LIST: usize = 8;

/// The model in the file at `path`; see [`read`].
pub(super) fn load(path: &Path, prefix: Option<&str>) -> Result<ModelFile> {
    let (file, size, name) = open(path)?;
    read(file, size, &name, prefix)
}

/// The file at `path`, its size, and its name for errors.
fn open(path: &Path) -> Result<(File, u64, String)> {
    let name = path.display().to_string();
    let failed = |error| io_error(&name, error);
    // Before it is opened: opening a pipe waits for a writer.
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err(format_error(&name, if kind.is_dir() { "a directory" } else { "a device or a pipe" }, MODEL));
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((file, size, name))
}

/// All parameters in a file, by the prefix of their tensors, and its metadata.
pub(crate) type Pairs = (BTreeMap<String, Parameters>, BTreeMap<String, String>);

/// All of the file at `path`; see [`read_pairs`].
pub(crate) fn load_pairs(path: &Path) -> Result<(Pairs, String)> {
    let (file, size, name) = open(path)?;
    Ok((read_pairs(file, size, &name)?, name))
}

/// All parameters in a file of `size` bytes, which have to be of one shape; `name` stands for it in errors.
pub(crate) fn read_pairs(reader: impl Read + Seek, size: u64, name: &str) -> Result<Pairs> {
    let mut source = Source { reader, size, name };
    let (start, header) = source.header()?;
    let tensors: BTreeMap<String, &TensorInfo> = header.tensors().into_iter().collect();
    let model = choose(&tensors, Some(""), name)?;
    let mut pairs = BTreeMap::new();
    for prefix in tensors.keys().filter_map(|name| name.strip_suffix("weight")) {
        let Some(pair) = Pair::find(&tensors, prefix) else { continue };
        if (&pair.weight.shape, &pair.bias.shape) != (&model.weight.shape, &model.bias.shape) {
            let found = shown(&format!("{prefix}weight"), pair.weight);
            return Err(format_error(
                name,
                found,
                format!("{}, the shape of the model", shown("weight", model.weight)),
            ));
        }
        pairs.insert(prefix.to_owned(), source.parameters(start, &pair)?);
    }
    Ok((pairs, metadata(&header)))
}

/// The file's own metadata.
fn metadata(header: &Metadata) -> BTreeMap<String, String> {
    let all = header.metadata().iter().flatten();
    let own = all.filter(|(key, _)| ![FORMAT, VERSION].contains(&key.as_str()));
    own.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The model in a file of `size` bytes; `name` stands for it in errors. Its tensors are those of the prefix, or without
/// one the only pair that fits.
pub(super) fn read(reader: impl Read + Seek, size: u64, name: &str, prefix: Option<&str>) -> Result<ModelFile> {
    let mut source = Source { reader, size, name };
    let (start, header) = source.header()?;
    let tensors: BTreeMap<String, &TensorInfo> = header.tensors().into_iter().collect();
    let pair = choose(&tensors, prefix, name)?;
    let model = SoftmaxRegression::new(source.parameters(start, &pair)?)?;
    let mut metadata = metadata(&header);
    let class_names = metadata.remove(CLASS_NAMES).map(|text| class_names(&text, model.classes(), name)).transpose()?;
    Ok(ModelFile { model, class_names, metadata })
}

fn class_names(text: &str, classes: usize, name: &str) -> Result<Vec<String>> {
    let names: Option<Vec<String>> = serde_json::from_str(text).ok();
    names.filter(|names| names.len() == classes).ok_or_else(|| {
        let expected = format!("a JSON array of {classes} strings, one a class");
        format_error(name, format!("{CLASS_NAMES} {}", excerpt(text)), expected)
    })
}

/// A file that is being read.
struct Source<'a, R> {
    reader: R,
    size: u64,
    name: &'a str,
}

impl<R: Read + Seek> Source<'_, R> {
    /// The header, and where the values start.
    fn header(&mut self) -> Result<(u64, Metadata)> {
        if self.size < PREFIX {
            let found =
                if self.size == 0 { "an empty file".to_owned() } else { format!("a file of {} bytes", self.size) };
            return Err(self.refuse(found));
        }
        let mut prefix = [0; PREFIX as usize];
        self.fill(&mut prefix)?;
        if prefix.starts_with(&ZIP) {
            let expected = format!("{MODEL}, as safetensors.torch.save_file writes it");
            return Err(format_error(self.name, "a zip archive, such as torch.save writes", expected));
        }
        let (length, rest) = (u64::from_le_bytes(prefix), self.size - PREFIX);
        if length > rest.min(LONGEST_HEADER as u64) {
            return Err(self.refuse("another kind of file, or one cut short"));
        }
        let text = self.bytes(length as usize)?;
        let header: Metadata = serde_json::from_slice(&text).map_err(|error| match error.classify() {
            Category::Data => {
                self.refuse(format!("a header that does not hold together ({})", excerpt(&error.to_string())))
            }
            _ => self.refuse("another kind of file, or one cut short"),
        })?;
        let (found, expected) = (rest - length, header.data_len() as u64);
        match found.cmp(&expected) {
            Ordering::Less => Err(self.refuse(format!("a file cut short, with {found} of {expected} bytes of values"))),
            Ordering::Greater => Err(self.refuse(format!("{} bytes after the last value", found - expected))),
            Ordering::Equal => Ok((PREFIX + length, header)),
        }
    }

    /// The parameters of a pair.
    fn parameters(&mut self, start: u64, pair: &Pair<'_>) -> Result<Parameters> {
        let weight = self.floats(start, &format!("{}weight", pair.prefix), pair.weight)?;
        let bias = self.floats(start, &format!("{}bias", pair.prefix), pair.bias)?;
        Parameters::from_class_major(&weight, &bias, weight.len() / bias.len(), bias.len())
    }

    /// A tensor's values, each finite as f32. `start` is where the values of all tensors start.
    fn floats(&mut self, start: u64, tensor: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        let (from, to) = info.data_offsets;
        let dtype = info.dtype;
        if !matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16) {
            let found = format!("values of type {dtype} in {}", excerpt(tensor));
            return Err(format_error(self.name, found, "F32, F64, F16 or BF16"));
        }
        self.reader.seek(SeekFrom::Start(start + from as u64)).map_err(|error| io_error(self.name, error))?;
        let bytes = self.bytes(to - from)?;
        match dtype {
            Dtype::F64 => self.narrow(tensor, &bytes, f64::from_le_bytes),
            Dtype::F16 => self.narrow(tensor, &bytes, |bytes| f16::from_le_bytes(bytes).to_f64()),
            Dtype::BF16 => self.narrow(tensor, &bytes, |bytes| bf16::from_le_bytes(bytes).to_f64()),
            _ => self.narrow(tensor, &bytes, |bytes| f32::from_le_bytes(bytes).into()),
        }
    }

    /// The values as f32. All other types are exact as f64, so that only an f64 is rounded.
    fn narrow<const N: usize>(&self, tensor: &str, bytes: &[u8], wide: impl Fn([u8; N]) -> f64) -> Result<Vec<f32>> {
        let (bytes, _) = bytes.as_chunks();
        let mut values = memory::with_capacity("values of a tensor", bytes.len())?;
        for (position, &bytes) in bytes.iter().enumerate() {
            let value = wide(bytes);
            let narrow = value as f32;
            if !narrow.is_finite() {
                let found = format!("{value:e} at position {position} of {}", excerpt(tensor));
                let expected = if value.is_finite() { "numbers within f32's range" } else { "finite numbers" };
                return Err(format_error(self.name, found, expected));
            }
            values.push(narrow);
        }
        Ok(values)
    }

    /// The next bytes. The caller has compared their number with the size of the file.
    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = memory::filled("bytes of a model file", length, 0)?;
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.refuse("a file that became shorter while it was read"),
            _ => io_error(self.name, error),
        })
    }

    fn refuse(&self, found: impl Into<String>) -> Error {
        format_error(self.name, found, MODEL)
    }
}

/// Two tensors of one prefix, `prefix` with its dot.
struct Pair<'a> {
    prefix: String,
    weight: &'a TensorInfo,
    bias: &'a TensorInfo,
}

type Tensors<'a> = BTreeMap<String, &'a TensorInfo>;

impl<'a> Pair<'a> {
    fn find(tensors: &Tensors<'a>, prefix: &str) -> Option<Self> {
        let tensor = |name| tensors.get(&format!("{prefix}{name}")).copied();
        Some(Self { prefix: prefix.to_owned(), weight: tensor("weight")?, bias: tensor("bias")? })
    }

    /// Whether the shapes are `[classes, features]` and `[classes]`, and none is 0.
    fn fits(&self) -> bool {
        match (&self.weight.shape[..], &self.bias.shape[..]) {
            (&[classes, features], &[biases]) => classes == biases && classes > 0 && features > 0,
            _ => false,
        }
    }

    /// The error where it does not fit.
    fn check(self, name: &str) -> Result<Self> {
        if self.fits() {
            return Ok(self);
        }
        let Self { prefix, weight, bias } = self;
        let (weight, bias) = (shown(&format!("{prefix}weight"), weight), shown(&format!("{prefix}bias"), bias));
        Err(format_error(
            name,
            format!("{weight} and {bias}"),
            "shapes [classes, features] and [classes], none of them 0",
        ))
    }
}

/// The pair of this prefix, or without one the only pair that fits.
fn choose<'a>(tensors: &Tensors<'a>, prefix: Option<&str>, name: &str) -> Result<Pair<'a>> {
    let all = || list(tensors.iter().map(|(name, info)| shown(name, info)), "no tensors");
    if let Some(prefix) = prefix {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
        let expected = || format!("tensors {0}weight and {0}bias", excerpt(&prefix));
        let pair = Pair::find(tensors, &prefix).ok_or_else(|| format_error(name, all(), expected()))?;
        return pair.check(name);
    }
    let prefixes = tensors.keys().filter_map(|name| name.strip_suffix("weight"));
    let prefixes = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    let mut pairs: Vec<Pair<'_>> = prefixes.filter_map(|prefix| Pair::find(tensors, prefix)).collect();
    if pairs.len() != 1 {
        pairs.retain(Pair::fits);
    }
    match pairs.len() {
        1 => pairs.remove(0).check(name),
        0 => Err(format_error(name, all(), "weight [classes, features] and bias [classes] under one prefix")),
        several => {
            let pairs = pairs.iter().map(|pair| shown(&format!("{}weight", pair.prefix), pair.weight));
            let found = format!("{several} models: {}", list(pairs, ""));
            Err(format_error(name, found, "one, or the prefix of the one to load"))
        }
    }
}

/// A tensor within a message.
fn shown(name: &str, info: &TensorInfo) -> String {
    let (dimensions, more) = info.shape.split_at(info.shape.len().min(LONGEST_LIST));
    let mut dimensions: Vec<String> = dimensions.iter().map(usize::to_string).collect();
    if !more.is_empty() {
        dimensions.push(format!("{} more", more.len()));
    }
    format!("{} [{}]", excerpt(name), dimensions.join(", "))
}

/// The first of some words, and how many there are more.
fn list(words: impl Iterator<Item = String>, none: &str) -> String {
    let words: Vec<String> = words.collect();
    match words.split_at(words.len().min(LONGEST_LIST)) {
        ([], _) => none.to_owned(),
        (first, []) => first.join(", "),
        (first, more) => format!("{} and {} more", first.join(", "), more.len()),
    }
}

/// The start of a text from the file, without what acts on a terminal, and its length where that is not all of it.
fn excerpt(text: &str) -> String {
    let mut escaped = text.chars().flat_map(char::escape_debug);
    let start: String = escaped.by_ref().take(LONGEST_EXCERPT).collect();
    match escaped.next() {
        None => start,
        Some(_) => format!("{start}… ({} characters)", text.chars().count()),
    }
}
