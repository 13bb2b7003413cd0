//! Files the program writes. A target is checked before the work starts, so that a typo does not cost a run, and
//! replaced in one rename at the end, so that nobody ever sees half a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::report::Failure;

/// A place where a file can be written, as far as can be known before writing it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    directory: PathBuf,
    path: PathBuf,
}

impl OutputFile {
    /// Checks that `path`, given by the option `flag`, names a new or an ordinary file in a writable directory.
    pub(crate) fn check(flag: &str, path: &Path) -> Result<Self, Failure> {
        Self::resolve(path).map_err(|message| Failure::Failed(format!("{flag} {}: {message}", path.display())))
    }

    fn resolve(path: &Path) -> Result<Self, String> {
        // Renaming onto a device or a pipe would replace it; renaming onto a link would cut it.
        let path = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => path.canonicalize().map_err(|error| error.to_string())?,
            Ok(metadata) if metadata.is_dir() => return Err("is a directory, expected a file name".to_owned()),
            Ok(_) => return Err("is neither a file nor a new name, and would be replaced; choose another".to_owned()),
            Err(_) => path.to_owned(),
        };
        let ends_in_separator =
            path.as_os_str().as_encoded_bytes().last().is_some_and(|&b| std::path::is_separator(b.into()));
        let Some(name) = path.file_name().filter(|_| !ends_in_separator) else {
            return Err("does not end in a file name".to_owned());
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = parent
            .canonicalize()
            .map_err(|error| format!("directory {}: {error}; create it first, or choose another", parent.display()))?;
        // An anonymous file leaves no trace, even if the program is killed here.
        tempfile::tempfile_in(&directory)
            .map_err(|error| format!("cannot write in directory {}: {error}", directory.display()))?;
        Ok(Self { path: directory.join(name), directory })
    }

    /// Puts a complete file in place, or leaves everything as it was.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.replace(bytes).map_err(|error| {
            Failure::Failed(format!("cannot write {}: {error}; nothing was changed there", self.path.display()))
        })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".softreg-").suffix(".tmp");
        // Temporary files are private by default; this one becomes an ordinary file, so the umask decides.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(&self.directory)?;
        file.write_all(bytes)?;
        // Without it a crash just after the rename could leave an empty file under the final name.
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
