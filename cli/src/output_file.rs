//! Files the program writes. A target is checked before the work starts, so that a typo does not cost a run, and
//! replaced in one rename at the end, so that nobody ever sees half a file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::report::Failure;
use crate::temporary::{self, Temporary};

/// A place where a file can be written, as far as can be known before writing it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputFile {
    directory: PathBuf,
    path: PathBuf,
}

impl OutputFile {
    /// Checks that `path`, given by the option `flag`, names a new file or one that may be replaced, in a writable
    /// directory. A link to a file stands for the file.
    pub(crate) fn check(flag: &str, path: &Path) -> Result<Self, Failure> {
        let fail = |message: String| Failure::Failed(format!("{flag} {}: {message}", path.display()));
        let file = Self::resolve(path).map_err(fail)?;
        temporary::watch().map_err(|error| fail(format!("cannot watch for signals: {error}")))?;
        Ok(file)
    }

    /// [`check`](Self::check), and that the target is none of the files that are read.
    pub(crate) fn check_beside(flag: &str, path: &Path, read: &[&Path]) -> Result<Self, Failure> {
        let is_same = |read: &&Path| path.canonicalize().is_ok_and(|path| read.canonicalize().is_ok_and(|o| o == path));
        if read.iter().any(is_same) {
            return Err(Failure::Usage(format!(
                "{flag} {}: found a file that is read, expected another; choose a new name",
                path.display()
            )));
        }
        Self::check(flag, path)
    }

    fn resolve(path: &Path) -> Result<Self, String> {
        let old = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Some(metadata),
            Ok(metadata) if metadata.is_dir() => return Err("is a directory, expected a file name".to_owned()),
            // Renaming onto a device or a pipe would replace it.
            Ok(_) => return Err("is neither a file nor a new name, and would be replaced; choose another".to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                return Err("is a link to nothing; create the file that it names, or choose another".to_owned());
            }
            // What is missing, or in the way, is said of the directory.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
            Err(error) => return Err(format!("{error}; choose another")),
        };
        // Renaming onto a link would cut it.
        let path = match old {
            Some(_) => path.canonicalize().map_err(|error| error.to_string())?,
            None => path.to_owned(),
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
        let ours = tempfile::tempfile_in(&directory)
            .map_err(|error| format!("cannot write in directory {}: {error}", directory.display()))?;
        let path = directory.join(name);
        match old {
            Some(old) => check_replaceable(&path, &old, &ours, &directory)?,
            // From here the path is another, and may be longer than the system takes.
            None => match std::fs::symlink_metadata(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(format!("{error}; choose another")),
                _ => {}
            },
        }
        Ok(Self { path, directory })
    }

    /// Puts a complete file in place, or leaves everything as it was.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.replace(bytes).map_err(|error| {
            Failure::Failed(format!("cannot write {}: {error}; nothing was changed there", self.path.display()))
        })
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let old = std::fs::metadata(&self.path).ok();
        // What replaces a private file is never another's to read.
        let new = Temporary::create(&self.directory, old.is_some())?;
        if let Some(old) = &old {
            keep_owner_and_mode(new.file()?, old)?;
        }
        new.write(bytes)?;
        new.rename(&self.path)
    }
}

/// Refuses an old file that the rename would replace though nobody could write it, or that the program's own output goes
/// to. `ours` is a new file in its directory.
fn check_replaceable(path: &Path, old: &Metadata, ours: &File, directory: &Path) -> Result<(), String> {
    if is_output(old) {
        return Err("is where the program's own output goes; choose another".to_owned());
    }
    let ours = ours.metadata().map_err(|error| error.to_string())?;
    check_mode(old, &ours)?;
    check_directory(old, &ours, directory)?;
    // Opened and left as it is: the system knows more reasons than the mode.
    let opened = OpenOptions::new().write(true).open(path);
    opened.map(drop).map_err(|error| format!("cannot be written: {error}; choose another"))
}

/// Whether standard output or standard error goes to this file.
#[cfg(unix)]
fn is_output(file: &Metadata) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    let (stdout, stderr) = (io::stdout(), io::stderr());
    [stdout.as_fd(), stderr.as_fd()].into_iter().any(|stream| {
        let stream = stream.try_clone_to_owned().and_then(|stream| File::from(stream).metadata());
        stream.is_ok_and(|stream| (stream.dev(), stream.ino()) == (file.dev(), file.ino()))
    })
}

/// Refuses a file that its mode protects. The superuser may write it all the same, and meant to be kept from it.
#[cfg(unix)]
fn check_mode(old: &Metadata, ours: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let mode = old.permissions().mode() & 0o777;
    let writable = if old.uid() == ours.uid() { mode & 0o200 } else { mode & 0o222 };
    if writable == 0 {
        return Err(format!("is read-only (mode {mode:04o}); make it writable, or choose another"));
    }
    Ok(())
}

/// Refuses a file that only its owner may rename onto, in a directory such as `/tmp`.
#[cfg(unix)]
fn check_directory(old: &Metadata, ours: &Metadata, directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;

    const STICKY: u32 = 0o1000;
    let directory = std::fs::metadata(directory).map_err(|error| error.to_string())?;
    let me = ours.uid();
    if directory.mode() & STICKY != 0 && ![0, old.uid(), directory.uid()].contains(&me) {
        return Err("is another user's, in a directory where only they may replace it; choose another".to_owned());
    }
    Ok(())
}

/// Gives the new file the old one's mode and, as far as it may be given away, its owner and group.
#[cfg(unix)]
fn keep_owner_and_mode(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    // Only the superuser gives files away; a group that one is in may always be given.
    let kept = fchown(new, Some(old.uid()), Some(old.gid())).or_else(|_| fchown(new, None, Some(old.gid()))).is_ok();
    // After the owner, whose change takes bits of the mode away; those that run a file as its owner are only theirs.
    new.set_permissions(PermissionsExt::from_mode(old.mode() & if kept { 0o7777 } else { 0o777 }))
}

#[cfg(not(unix))]
fn is_output(_file: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn check_mode(old: &Metadata, _ours: &Metadata) -> Result<(), String> {
    if old.permissions().readonly() {
        return Err("is read-only; make it writable, or choose another".to_owned());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_directory(_old: &Metadata, _ours: &Metadata, _directory: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(not(unix))]
fn keep_owner_and_mode(_new: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}
