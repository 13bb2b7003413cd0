//! Labels of any kind as classes: integers of a `.npy` file, or names of a text file, one a line. The classes are the
//! distinct labels in order. What is fitted to them is `commands/fit.rs`'s.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use softreg::npy;

use crate::report::Failure;
use crate::text::excerpt;

/// Longer than any label file that a model is fitted to: 1 GiB.
const LARGEST_FILE: u64 = 1 << 30;

/// Labels as they were read.
pub(crate) enum Labels {
    Numbers(Vec<i64>),
    Names(Vec<String>),
}

impl Labels {
    /// Reads a `.npy` file, known by its name, or a text file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")) {
            return Ok(Self::Numbers(npy::read_labels(path)?));
        }
        let fail = |message: String| Failure::Failed(format!("{}: {message}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
        if metadata.is_dir() {
            return Err(fail(
                "found a directory, expected a text file with one label a line, or a .npy file".to_owned(),
            ));
        }
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| fail(error.to_string()))?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(fail(format!("found more than {LARGEST_FILE} bytes, expected one label a line")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| fail("found bytes that are no text, expected one label a line, or a .npy file".to_owned()))?;
        let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        match names.iter().position(String::is_empty) {
            Some(line) => Err(fail(format!("found nothing in line {}, expected a label", line + 1))),
            None => Ok(Self::Names(names)),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// The distinct ones in order: numbers by their size, names by their letters.
    pub(crate) fn classes(&self) -> Vec<String> {
        match self {
            Self::Numbers(numbers) => numbers.iter().collect::<BTreeSet<_>>().into_iter().map(i64::to_string).collect(),
            Self::Names(names) => names.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect(),
        }
    }

    /// Each as the position of its class.
    pub(crate) fn positions(&self, classes: &[String]) -> Result<Vec<u32>, Failure> {
        let position: std::collections::HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(class, position)| (class.as_str(), position)).collect();
        let find = |row: usize, label: &str| {
            position.get(label).copied().ok_or_else(|| {
                let known = excerpt(&classes.join(", "));
                let label = excerpt(label);
                Failure::Failed(format!(
                    "row {row}: found label {label:?}, expected one of the training rows': {known}"
                ))
            })
        };
        match self {
            Self::Numbers(numbers) => {
                numbers.iter().enumerate().map(|(row, number)| find(row, &number.to_string())).collect()
            }
            Self::Names(names) => names.iter().enumerate().map(|(row, name)| find(row, name)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_distinct_labels_in_order() {
        let numbers = Labels::Numbers(vec![10, -2, 10, 9]);
        let classes = numbers.classes();
        assert_eq!(classes, ["-2", "9", "10"]);
        assert_eq!(numbers.positions(&classes).unwrap(), [2, 0, 2, 1]);
        let names = Labels::Names(["b", "a", "b"].map(str::to_owned).to_vec());
        assert_eq!((names.classes(), names.len()), (vec!["a".to_owned(), "b".to_owned()], 3));
        let Err(Failure::Failed(message)) = names.positions(&classes) else { panic!("an unknown label") };
        assert!(
            message.contains("row 0: found label \"b\", expected one of the training rows': -2, 9, 10"),
            "{message}"
        );
    }
}
