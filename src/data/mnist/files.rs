//! Which four files of a directory are a data set of images: the names that MNIST, the sets laid out like it, and their
//! copies go by. What the files hold is the parent's business.

use super::FILE_NAMES;
use crate::data::idx::{format_error, io_error};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The directories that torchvision puts under its root.
const TORCHVISION: [&str; 6] = ["raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw", "QMNIST/raw"];

/// The most names of a directory that are looked at.
const MOST_NAMES: usize = 10_000;

/// Of the test set, best first: MNIST's name, the others' and the test rows that QMNIST shares with MNIST.
const TEST_SETS: [&str; 3] = ["t10k", "test", "test10k"];

/// One of the files, open: its path, which stands for it in errors.
pub(super) type Opened = (String, File);

/// Training images and labels, test images and labels.
type Places = [Option<PathBuf>; 4];

/// Opens the four files in `dir`, in the order of [`FILE_NAMES`].
///
/// They are MNIST's where those are there, otherwise those of the one prefix that has four, such as `emnist-letters`,
/// otherwise those in the one directory that torchvision would put there. Where there are several prefixes, `dir` takes
/// one at its end: `gzip/emnist-letters`.
pub(super) fn open(dir: &Path) -> Result<[Opened; 4]> {
    let (dir, wanted) = match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => (dir, None),
        Ok(_) => return Err(missing(dir, io::ErrorKind::NotADirectory, "not a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match prefix_in_parent(dir) {
            Some((parent, prefix)) => (parent, Some(prefix)),
            None => return Err(missing(dir, error.kind(), "no such directory")),
        },
        Err(error) => return Err(io_error(&dir.display().to_string(), error)),
    };
    let sets = sets(dir)?;
    if let Some(prefix) = wanted {
        return match sets.get(prefix) {
            Some(places) => open_all(dir, prefix, places),
            None => Err(missing(&dir.join(prefix), io::ErrorKind::NotFound, "no such directory")),
        };
    }
    let whole: Vec<&str> =
        sets.iter().filter(|(_, places)| places.iter().all(Option::is_some)).map(|(prefix, _)| &**prefix).collect();
    let chosen = match whole[..] {
        // The empty prefix is the first in order.
        ["", ..] => "",
        [only] => only,
        [] if !sets.is_empty() => sets.keys().next().map_or("", String::as_str),
        [] => {
            let nested: Vec<PathBuf> =
                TORCHVISION.iter().map(|below| dir.join(below)).filter(|dir| dir.is_dir()).collect();
            return match &nested[..] {
                [only] => open(only),
                [] => open_all(dir, "", &Places::default()),
                several => {
                    let found: Vec<String> = several.iter().map(|dir| dir.display().to_string()).collect();
                    let found = format!("several data sets: {}", found.join(", "));
                    Err(format_error(&dir.display().to_string(), found, "one; name its directory"))
                }
            };
        }
        _ => {
            let found = format!("several data sets: {}", whole.join(", "));
            let expected = format!("one; name it as in {}", dir.join(whole[0]).display());
            return Err(format_error(&dir.display().to_string(), found, expected));
        }
    };
    open_all(dir, chosen, &sets[chosen])
}

/// The directory, and the end of a path that is none and may be a prefix in it.
fn prefix_in_parent(path: &Path) -> Option<(&Path, &str)> {
    let parent = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    let prefix = path.file_name()?.to_str()?;
    let is_there = parent.is_dir() && sets(parent).is_ok_and(|sets| sets.contains_key(prefix));
    is_there.then_some((parent, prefix))
}

/// The files of a directory by their prefixes.
fn sets(dir: &Path) -> Result<BTreeMap<String, Places>> {
    let failed = |error| io_error(&dir.display().to_string(), error);
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)?.take(MOST_NAMES) {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    // Of several names for one file the better one comes first.
    let mut found: Vec<(usize, bool, bool, String)> =
        names.into_iter().map(|name| (0, name.ends_with(".gz"), name.contains(".idx"), name)).collect();
    for (rank, .., name) in &mut found {
        *rank = parse(name).map_or(0, |parsed| parsed.rank);
    }
    found.sort();
    let mut sets: BTreeMap<String, Places> = BTreeMap::new();
    let mut wrapped = Vec::new();
    for (.., name) in found {
        let Some(Parsed { prefix, place, .. }) = parse(&name) else { continue };
        let path = dir.join(&name);
        // Some copies wrap each file in a directory of its own name; another of the names may still be a file's.
        if path.is_dir() {
            wrapped.push((prefix, place, path));
            continue;
        }
        sets.entry(prefix).or_default()[place].get_or_insert(path);
    }
    for (prefix, place, path) in wrapped {
        let inner = path.file_name().map(|name| path.join(name)).filter(|inner| inner.is_file());
        let inner = inner.or_else(|| {
            let stem = path.file_stem().map(|name| path.join(name))?;
            stem.is_file().then_some(stem)
        });
        sets.entry(prefix).or_default()[place].get_or_insert(inner.unwrap_or(path));
    }
    Ok(sets)
}

/// What a file's name says.
struct Parsed {
    prefix: String,
    /// Among [`FILE_NAMES`].
    place: usize,
    /// Among [`TEST_SETS`].
    rank: usize,
}

/// Takes `[PREFIX-]SET-KIND-idxN-TYPE[.gz]`, with a dot before `idx` too.
fn parse(name: &str) -> Option<Parsed> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let (start, kind) = [("-images", 0), ("-labels", 1)]
        .into_iter()
        .find_map(|(word, kind)| name.rsplit_once(word).map(|(start, end)| (start, end, kind)))
        .filter(|(_, end, _)| {
            end.strip_prefix(['-', '.']).and_then(|end| end.strip_prefix("idx")).is_some_and(
                |end| matches!(end.split_once(['-', '.']), Some((rank, "ubyte" | "int" | "byte")) if rank.len() == 1),
            )
        })
        .map(|(start, _, kind)| (start, kind))?;
    let (prefix, set) = start.rsplit_once('-').unwrap_or(("", start));
    let test = TEST_SETS.iter().position(|&known| known == set);
    let place = match (set, test) {
        ("train", _) => kind,
        (_, Some(_)) => 2 + kind,
        _ => return None,
    };
    Some(Parsed { prefix: prefix.to_owned(), place, rank: test.unwrap_or(0) })
}

fn open_all(dir: &Path, prefix: &str, places: &Places) -> Result<[Opened; 4]> {
    let open = |place: usize| {
        let name = match prefix {
            "" => FILE_NAMES[place].to_owned(),
            prefix => format!("{prefix}-{}", FILE_NAMES[place].replace("t10k", "test")),
        };
        let Some(path) = &places[place] else {
            return Err(missing(&dir.join(name), io::ErrorKind::NotFound, "no such file, raw or with .gz"));
        };
        if path.is_dir() {
            let found = "found a directory without a file of its own name in it, expected a file";
            return Err(missing(path, io::ErrorKind::IsADirectory, found));
        }
        let name = path.display().to_string();
        File::open(path).map_err(|error| io_error(&name, error)).map(|file| (name, file))
    };
    Ok([open(0)?, open(1)?, open(2)?, open(3)?])
}

/// What is missing, and all that should be there: whoever has to get one file may have to get the others too.
fn missing(path: &Path, kind: io::ErrorKind, found: &str) -> Error {
    let [others @ .., last] = FILE_NAMES;
    let message = format!(
        "{found}; expected a directory with the four files {} and {last}, each as it is or with .gz",
        others.join(", ")
    );
    io_error(&path.display().to_string(), io::Error::new(kind, message))
}
