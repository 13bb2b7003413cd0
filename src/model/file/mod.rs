//! Models as safetensors files: what one holds, and how it is saved and loaded. The bytes are `read`'s and `write`'s
//! business; what the settings in a file mean is the caller's.

mod read;
mod write;

pub(crate) use read::{Pairs, load_pairs, read_pairs};
pub(crate) use write::Contents;

use super::SoftmaxRegression;
use crate::error::{Error, Result};
use crate::parameters::Parameters;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

/// The entry of the metadata that PyTorch's own loaders ask for.
const FORMAT: &str = "format";
/// The entry of the metadata that says which version of this crate wrote the file.
const VERSION: &str = "softreg";
/// The entry of the metadata that holds the names of the classes, a JSON array of strings.
const CLASS_NAMES: &str = "class_names";

/// The longest header that the format allows, in bytes.
const LONGEST_HEADER: usize = 100_000_000;

/// What stands for the file in errors about bytes.
pub(crate) const BYTES: &str = "model bytes";

/// A model with what belongs to it: names of the classes, and settings such as the preprocessing of its features.
///
/// As a file it is in the safetensors format: tensors `weight` `[classes, features]` and `bias` `[classes]` in f32, which
/// PyTorch's `nn.Linear` loads as they are, and the rest in the metadata. Equal models with equal names and settings give
/// equal bytes. [`SoftmaxRegression::save`] and [`load`](SoftmaxRegression::load) are the short way for a model alone.
///
/// PyTorch's files load too, saved by `safetensors.torch.save_file`:
///
/// - The tensors may stand under a prefix, such as `fc.weight` and `fc.bias`, among others. Where exactly one pair has
///   fitting shapes it is taken; where there are several, [`load_tensors`](Self::load_tensors) names one.
/// - Values of type F64, F16 and BF16 are converted to the nearest f32.
///
/// A file is not trusted. Only its header and the two tensors are read, and no memory is taken for more than the file
/// really holds.
///
/// ```
/// use softreg::{ModelFile, SoftmaxRegression};
///
/// let model = SoftmaxRegression::from_class_major(&[1.0, 2.0, 3.0, 4.0], &[0.5, -0.5], 2, 2)?;
/// let file = ModelFile::new(model).with_class_names(["cat", "dog"]).with_metadata("preprocessing", "pixels / 255");
/// let bytes = file.to_bytes()?; // file.save("model.safetensors")? writes them
/// let loaded = ModelFile::from_bytes(&bytes)?;
/// assert_eq!(loaded, file);
/// assert_eq!(loaded.metadata["preprocessing"], "pixels / 255");
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ModelFile {
    /// The model.
    pub model: SoftmaxRegression,
    /// A name for each class, `[classes]`. In the file: `class_names` in the metadata, a JSON array of strings.
    pub class_names: Option<Vec<String>>,
    /// Settings, by their names. In the file they stand in the metadata beside three entries that it has already:
    /// `format`, which is `pt`; `softreg`, the version of this crate; and `class_names`.
    pub metadata: BTreeMap<String, String>,
}

impl ModelFile {
    /// A model without names and settings.
    #[must_use]
    pub const fn new(model: SoftmaxRegression) -> Self {
        Self { model, class_names: None, metadata: BTreeMap::new() }
    }

    /// The same with a name for each class. That there are as many is checked where they are saved.
    #[must_use]
    pub fn with_class_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.class_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The same with one setting more, or with another value for it.
    #[must_use]
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    fn contents<'a>(&'a self, pairs: &'a [(&'a str, &'a Parameters)]) -> Contents<'a> {
        Contents { pairs, class_names: self.class_names.as_deref(), metadata: &self.metadata }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many names as classes, [`Error::Format`] for a setting named `format`,
    /// `softreg` or `class_names`, [`Error::Size`] for settings of more than 100 MB, [`Error::Memory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.contents(&[("", self.model.parameters())]).to_bytes(BYTES)
    }

    /// Writes the file, in place of one that is there. Its permissions are those of any new file, or the old one's; a link
    /// to a file stands for the file.
    ///
    /// The file is written beside its target and renamed, so that nobody sees half of it. An error leaves everything as it
    /// was. Only a program that is killed meanwhile leaves something behind: a file `.softreg-*.tmp`.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes), and [`Error::Io`] where the file cannot be written or is read-only,
    /// [`Error::Format`] where the path is that of a directory, a device or a link to nothing.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.contents(&[("", self.model.parameters())]).save(path.as_ref())
    }

    /// The model in a file's bytes, whatever the prefix of its tensors.
    ///
    /// # Errors
    /// [`Error::Format`] for what is no safetensors file, or one cut short; that has no pair of tensors of fitting shapes,
    /// or several; whose values are of another type, infinite, NaN, or beyond f32's range; whose `class_names` are not a
    /// JSON array with a string for each class. [`Error::Memory`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        read::read(Cursor::new(bytes), bytes.len() as u64, BYTES, None)
    }

    /// The model of the tensors `prefix.weight` and `prefix.bias` in a file's bytes; without a prefix, where it is empty,
    /// `weight` and `bias`.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and [`Error::Format`] where there are no such tensors.
    pub fn from_bytes_tensors(bytes: &[u8], prefix: &str) -> Result<Self> {
        read::read(Cursor::new(bytes), bytes.len() as u64, BYTES, Some(prefix))
    }

    /// The model in a file, whatever the prefix of its tensors.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and [`Error::Io`] where the file cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        read::load(path.as_ref(), None)
    }

    /// The model of the tensors `prefix.weight` and `prefix.bias` in a file, such as `"fc"` or `"module.classifier.0"`;
    /// without a prefix, where it is empty, `weight` and `bias`.
    ///
    /// # Errors
    /// As [`from_bytes_tensors`](Self::from_bytes_tensors), and [`Error::Io`] where the file cannot be read.
    pub fn load_tensors(path: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        read::load(path.as_ref(), Some(prefix))
    }
}

/// Files of a model alone; [`ModelFile`] has names of the classes and settings too, and the file's format.
impl SoftmaxRegression {
    /// Writes the model as a safetensors file that PyTorch's `nn.Linear` loads as it is: see [`ModelFile::save`].
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written, [`Error::Format`] where the path is that of a directory, a device or
    /// a link to nothing, [`Error::Memory`]. An error leaves everything as it was.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        alone(&[("", self.parameters())]).save(path.as_ref())
    }

    /// The model in a safetensors file, PyTorch's too; names of the classes and settings are passed over.
    ///
    /// # Errors
    /// As [`ModelFile::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(ModelFile::load(path)?.model)
    }

    /// The bytes of the model as a safetensors file. Equal models give equal bytes.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        alone(&[("", self.parameters())]).to_bytes(BYTES)
    }

    /// The model in the bytes of a safetensors file, PyTorch's too; names of the classes and settings are passed over.
    ///
    /// # Errors
    /// As [`ModelFile::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(ModelFile::from_bytes(bytes)?.model)
    }
}

/// Parameters without names and settings.
const fn alone<'a>(pairs: &'a [(&'a str, &'a Parameters)]) -> Contents<'a> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    Contents { pairs, class_names: None, metadata: &NONE }
}

pub(crate) fn format_error(file: &str, found: impl Into<String>, expected: impl Into<String>) -> Error {
    Error::Format { file: file.to_owned(), found: found.into(), expected: expected.into() }
}

fn io_error(file: &str, source: std::io::Error) -> Error {
    Error::Io { file: file.to_owned(), source }
}
