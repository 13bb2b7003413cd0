//! Writes parameters as safetensors files: the bytes, and the file that is replaced in one piece. The format's reader is
//! `read`.
//!
//! The header is put together here, since the crate `safetensors` writes the metadata in the order of a hash map, another
//! one each run. The order of keys and tensors is fixed: equal models give equal bytes.

use super::{CLASS_NAMES, FORMAT, LONGEST_HEADER, VERSION, format_error, io_error};
use crate::error::{Error, Result, expect};
use crate::memory;
use crate::parameters::Parameters;
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The header is filled up to a multiple of this, so that the values behind it are aligned.
const ALIGNMENT: usize = 8;

/// What a file holds.
pub(crate) struct Contents<'a> {
    /// Parameters, each as two tensors: `PREFIXweight` `[classes, features]` and `PREFIXbias` `[classes]`. The first have no
    /// prefix and are the model.
    pub(crate) pairs: &'a [(&'a str, &'a Parameters)],
    pub(crate) class_names: Option<&'a [String]>,
    pub(crate) metadata: &'a BTreeMap<String, String>,
}

impl Contents<'_> {
    /// The file's bytes; `name` stands for it in errors.
    pub(crate) fn to_bytes(&self, name: &str) -> Result<Vec<u8>> {
        let header = self.header(name)?;
        let mut bytes = memory::with_capacity("model file", self.values().saturating_add(ALIGNMENT + header.len()))?;
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(header);
        for (_, parameters) in self.pairs {
            for value in parameters.bias().iter().chain(&parameters.to_class_major()) {
                bytes.extend(value.to_le_bytes());
            }
        }
        Ok(bytes)
    }

    /// Bytes of all values.
    fn values(&self) -> usize {
        let values = |parameters: &Parameters| {
            parameters
                .features()
                .saturating_add(1)
                .saturating_mul(parameters.classes())
                .saturating_mul(size_of::<f32>())
        };
        self.pairs.iter().fold(0, |sum: usize, (_, parameters)| sum.saturating_add(values(parameters)))
    }

    fn header(&self, name: &str) -> Result<Vec<u8>> {
        let &Self { pairs, class_names, metadata } = self;
        if let Some(taken) = [FORMAT, VERSION, CLASS_NAMES].into_iter().find(|&taken| metadata.contains_key(taken)) {
            return Err(format_error(
                name,
                format!("a setting named {taken:?}"),
                "another name: the file has an entry of this name already",
            ));
        }
        let json_error = |error: serde_json::Error| io_error(name, error.into());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let names = class_names.map(serde_json::to_string).transpose().map_err(json_error)?;
        let mut entries: BTreeMap<&str, &str> = metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
        entries.insert(FORMAT, "pt");
        entries.insert(VERSION, &version);
        if let (Some(class_names), Some(names), Some((_, model))) = (class_names, &names, pairs.first()) {
            expect("class names", class_names.len(), model.classes())?;
            entries.insert(CLASS_NAMES, names);
        }

        let mut header = format!(r#"{{"__metadata__":{}"#, serde_json::to_string(&entries).map_err(json_error)?);
        let mut start = 0;
        for (prefix, parameters) in pairs {
            let (features, classes) = (parameters.features(), parameters.classes());
            for (tensor, shape) in [("bias", vec![classes]), ("weight", vec![classes, features])] {
                let values = shape.iter().fold(size_of::<f32>(), |bytes, &size| bytes.saturating_mul(size));
                let end = values.saturating_add(start);
                let info = TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) };
                let info = serde_json::to_string(&info).map_err(json_error)?;
                header.push_str(&format!(r#","{prefix}{tensor}":{info}"#));
                start = end;
            }
        }
        let mut header = header.into_bytes();
        header.push(b'}');
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        if header.len() > LONGEST_HEADER {
            return Err(Error::Size {
                what: "bytes of names and settings",
                found: header.len(),
                expected: "at most 100,000,000",
            });
        }
        Ok(header)
    }

    /// Writes the file, or leaves everything as it was.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        let bytes = self.to_bytes(&name)?;
        let target = Target::check(path, &name)?;
        target.replace(&bytes).map_err(|error| io_error(&name, error))
    }
}

/// A place where a file can be written, as far as can be known before writing it.
struct Target {
    path: PathBuf,
    directory: PathBuf,
    /// What is known of the file that will be replaced.
    old: Option<fs::Metadata>,
}

impl Target {
    /// Checks that `path` is that of a new file or of one that may be replaced.
    fn check(path: &Path, name: &str) -> Result<Self> {
        let refuse = |found: &str| Err(format_error(name, found, "the name of a file"));
        let failed = |error| io_error(name, error);
        let old = match fs::metadata(path) {
            Ok(old) if old.is_file() => Some(old),
            Ok(old) if old.is_dir() => return refuse("a directory"),
            // The rename would replace it.
            Ok(_) => return refuse("a device or a pipe"),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                return refuse("a link to nothing");
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        // The rename needs no permission of the file itself.
        if old.as_ref().is_some_and(|old| old.permissions().readonly()) {
            return Err(failed(io::Error::new(ErrorKind::PermissionDenied, "the file is read-only")));
        }
        // The rename would cut a link.
        let path = if old.is_some() { path.canonicalize().map_err(failed)? } else { path.to_owned() };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Said of the directory itself, which a missing temporary file is not.
        fs::metadata(parent).map_err(failed)?;
        Ok(Self { directory: parent.to_owned(), path, old })
    }

    /// The temporary file removes itself wherever this ends before it is renamed.
    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".softreg-").suffix(".tmp");
        // What replaces a private file is never another's to read; a new one has what the umask leaves.
        #[cfg(unix)]
        if self.old.is_none() {
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(&self.directory)?;
        file.write_all(bytes)?;
        #[cfg(unix)]
        if let Some(old) = &self.old {
            use std::os::unix::fs::PermissionsExt;
            file.as_file().set_permissions(PermissionsExt::from_mode(old.permissions().mode() & 0o777))?;
        }
        // Otherwise a crash just after the rename could leave an empty file under the final name.
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
