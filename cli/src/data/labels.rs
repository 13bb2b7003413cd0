//! Labels of any kind as classes: integers, or names. The classes are the distinct labels in order. Which file they come
//! from is the readers' business, what is fitted to them the commands'.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::nearest;
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
    /// Reads a text file with one label a line.
    pub(crate) fn read_text(path: &Path) -> Result<Self, Failure> {
        let lines = read_lines(path, "label", ", or an array's file")?;
        Ok(Self::of_texts(lines))
    }

    /// Numbers where all of the texts are whole ones, otherwise names.
    pub(crate) fn of_texts(texts: Vec<String>) -> Self {
        match texts.iter().map(|text| whole_number(text)).collect() {
            Some(numbers) => Self::Numbers(numbers),
            None => Self::Names(texts),
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
        match self {
            Self::Numbers(numbers) => {
                let known = classes.iter().zip(0..).filter_map(|(class, at)| Some((whole_number(class)?, at)));
                find(numbers.iter(), &known.collect(), classes)
            }
            Self::Names(names) => {
                let known = classes.iter().zip(0..).map(|(class, at)| (class.clone(), at));
                find(names.iter(), &known.collect(), classes)
            }
        }
    }
}

/// The position of each label.
fn find<'a, L: ToString + Eq + std::hash::Hash + 'a>(
    labels: impl Iterator<Item = &'a L>,
    known: &HashMap<L, u32>,
    classes: &[String],
) -> Result<Vec<u32>, Failure> {
    let position = |(row, label): (usize, &L)| {
        known.get(label).copied().ok_or_else(|| {
            let known = excerpt(&classes.join(", "));
            let label = excerpt(&label.to_string());
            Failure::Failed(format!("row {row}: found label {label:?}, expected one of the training rows': {known}"))
        })
    };
    labels.enumerate().map(position).collect()
}

/// `7`, and `7.0` as tables have it; not `07`, which is a name.
fn whole_number(text: &str) -> Option<i64> {
    let digits = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|byte| byte == b'0'));
    let digits = digits.map_or(text, |(digits, _)| digits);
    digits.parse().ok().filter(|number: &i64| number.to_string() == digits)
}

/// The lines of a text file, none of them empty. The error says what each should be, and what else may be there.
pub(crate) fn read_lines(path: &Path, what: &str, otherwise: &str) -> Result<Vec<String>, Failure> {
    let fail = |message: String| Failure::Failed(format!("{}: {message}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| fail(format!("{error}{}", nearest::hint(path))))?;
    if metadata.is_dir() {
        return Err(fail(format!("found a directory, expected a text file with one {what} a line{otherwise}")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(fail(format!("found more than {LARGEST_FILE} bytes, expected one {what} a line")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| fail(format!("found bytes that are no text, expected one {what} a line{otherwise}")))?;
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    match lines.iter().position(String::is_empty) {
        Some(line) => Err(fail(format!("found nothing in line {}, expected a {what}", line + 1))),
        None => Ok(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbers_where_all_are() {
        let of = |texts: &[&str]| Labels::of_texts(texts.iter().map(|&text| text.to_owned()).collect());
        assert!(matches!(of(&["10", "-2", "3.0", "4."]), Labels::Numbers(numbers) if numbers == [10, -2, 3, 4]));
        for names in [&["1", "x"][..], &["01", "1"], &["1.5"], &["1e3"], &["99999999999999999999"]] {
            assert!(matches!(of(names), Labels::Names(found) if found == names), "{names:?}");
        }
    }

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
