//! The existing file, or the name, that one which is not there was probably meant to be. What is wrong with the missing one is said
//! where it was opened.

use std::fs;
use std::path::{Path, PathBuf};

/// Names of a directory that are looked at: more than a person keeps in one, and read in an instant.
const MOST_NAMES: usize = 4096;
/// Bytes of a name that is looked for, the longest that common file systems have.
const LONGEST_NAME: usize = 255;
/// One slip is forgiven for so many characters of the name without its extension.
const CHARACTERS_PER_SLIP: usize = 3;

/// What an error about `path` ends with: `; did you mean model.safetensors?` where the path names nothing and something
/// near it is there, else nothing.
pub(crate) fn hint(path: &Path) -> String {
    find(path).map_or_else(String::new, |nearest| format!("; did you mean {}?", nearest.display()))
}

/// The existing path that differs in one name, the first that is missing, and there the least.
fn find(path: &Path) -> Option<PathBuf> {
    if path.try_exists().unwrap_or(true) {
        return None;
    }
    let missing = path.ancestors().take_while(|path| !is_there(path)).last()?;
    let rest = path.strip_prefix(missing).ok()?;
    let name = missing.file_name()?.to_str().filter(|name| name.len() <= LONGEST_NAME)?;
    let directory = missing.parent()?;
    let names = fs::read_dir(if directory.as_os_str().is_empty() { Path::new(".") } else { directory }).ok()?;
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let nearest = of(name, names)?;
    let found = directory.join(nearest).join(rest);
    // Joining nothing leaves a separator at the end.
    let found: PathBuf = found.components().collect();
    found.exists().then_some(found)
}

fn is_there(path: &Path) -> bool {
    // The directory of a lone name.
    path.as_os_str().is_empty() || path.exists()
}

/// The name with the fewest slips among the first [`MOST_NAMES`], of several the one with the nearest extension, then the
/// first in order; `None` where all have too many.
pub(crate) fn of(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let close = names
        .take(MOST_NAMES)
        .filter_map(|other| Some((slips(name, &other)?, strsim::osa_distance(name, &other), other)));
    close.min().map(|(_, _, other)| other)
}

/// How many characters were left out, added, changed or swapped with their neighbours, in either case of letters;
/// another extension is one slip. `None` where they are too many to be meant.
fn slips(name: &str, other: &str) -> Option<usize> {
    let (name, other) = (name.to_lowercase(), other.to_lowercase());
    let (stem, other_stem) = (stem(&name), stem(&other));
    let most = stem.chars().count() / CHARACTERS_PER_SLIP;
    if name == other {
        return Some(0);
    }
    if stem == other_stem {
        return Some(1);
    }
    if name.chars().count().abs_diff(other.chars().count()) > most {
        return None;
    }
    Some(strsim::osa_distance(&name, &other)).filter(|&slips| slips <= most)
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_a_person_are_forgiven() {
        for (name, other, expected) in [
            ("model.safetensor", "model.safetensors", Some(1)),
            ("modle.safetensors", "model.safetensors", Some(1)),
            ("Model.Safetensors", "model.safetensors", Some(0)),
            ("model", "model.safetensors", Some(1)),
            ("digit.png", "digit.jpg", Some(1)),
            ("train-imgaes.gz", "train-images.gz", Some(1)),
            ("1.png", "2.png", None),
            ("a", "b", None),
            ("", "", Some(0)),
            ("model.safetensors", "weights.safetensors", None),
            ("楡の葉.png", "楡の花.png", Some(1)),
        ] {
            assert_eq!(slips(name, other), expected, "{name} {other}");
        }
    }

    #[test]
    fn nearest_is_the_least_slip_and_the_first_of_several() {
        let names = ["models.st", "model.bin", "mode1.st", "other"].map(str::to_owned);
        let find = |name| of(name, names.iter().cloned());
        assert_eq!(find("modell.st").as_deref(), Some("models.st"));
        assert_eq!(find("MODEL.BIN").as_deref(), Some("model.bin"));
        assert_eq!(find("model.st").as_deref(), Some("mode1.st"));
        assert_eq!(find("something"), None);
        let names = ["m.npz", "m.st"].map(str::to_owned);
        assert_eq!(of("m.s", names.into_iter()).as_deref(), Some("m.st"));
    }

    #[test]
    fn names_beyond_the_bound_are_not_read() {
        let mut read = 0;
        let names = (0..10 * MOST_NAMES).inspect(|_| read += 1).map(|number| format!("{number}.st"));
        assert_eq!(of("model.st", names), None);
        assert_eq!(read, MOST_NAMES);
    }

    #[test]
    fn paths_are_searched_at_their_first_missing_name() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("models/new")).unwrap();
        fs::write(at("models/new/model.st"), "").unwrap();
        let found = Some(at("models/new/model.st"));
        assert_eq!(find(&at("models/new/model.sft")), found);
        assert_eq!(find(&at("modles/new/model.st")), found);
        assert_eq!(find(&at("model/new/model.st")), found);
        assert_eq!(find(&at("modles/new/modle.st")), None);
        assert_eq!(find(&at("models/new/model.st")), None);
        assert_eq!(find(&at("models/new/model.st/inner")), None);
        assert_eq!(find(Path::new("")), None);
        assert_eq!(find(&at(&"x".repeat(1 << 16))), None);
        assert_eq!(hint(&at("modelz")), format!("; did you mean {}?", at("models").display()));
    }
}
