//! How many training rows are set aside for validation where nobody says, and what is doubtful about a split. Cutting
//! the rows is the library's work.

use softreg::mnist::{Mnist, VALIDATION_ROWS};
use softreg::{Dataset, Result};

use crate::data_source::pieces;
use crate::model_file::CLASSES;

/// One in so many training rows is set aside unless told: of MNIST's 60,000 the tutorial's 5,000.
const SHARE: usize = 12;

/// Sets [`VALIDATION_ROWS`] training rows aside, or a twelfth where that is less; the second value says so then.
pub(crate) fn set_aside(data: Mnist) -> Result<(Mnist, Option<String>)> {
    let rows = data.train.rows();
    let aside = VALIDATION_ROWS.min(rows / SHARE);
    let (validation, train) = data.train.split_at(aside)?;
    let said = (aside < VALIDATION_ROWS).then(|| {
        format!(
            "{aside} of the {rows} training rows, a twelfth, are set aside for validation instead of {VALIDATION_ROWS}; \
             --validation takes another number"
        )
    });
    Ok((Mnist { train, validation, ..data }, said))
}

/// What makes the figures of a split worth little, in one line; `None` where nothing does.
pub(crate) fn doubt(data: &Mnist) -> Option<String> {
    let (train, validation, test) = (classes(&data.train), classes(&data.validation), classes(&data.test));
    let mut found = Vec::new();
    let mut lacks = |rows: &str, here: [bool; CLASSES], others: &str, there: [bool; CLASSES]| {
        let missing: Vec<String> =
            (0..CLASSES).filter(|&class| there[class] && !here[class]).map(|class| class.to_string()).collect();
        if !missing.is_empty() {
            found.push(format!("the {rows} rows lack digits that the {others} rows have ({})", missing.join(", ")));
        }
    };
    lacks("training", train, "validation", validation);
    lacks("training", train, "test", test);
    if data.validation.rows() > 0 {
        lacks("validation", validation, "training", train);
    }
    if !found.is_empty() {
        found.push("shuffle the rows of the files if they are sorted, or try another --validation".to_owned());
    }
    let (aside, left) = (data.validation.rows(), data.train.rows());
    if aside > left {
        let message =
            format!("{aside} validation rows are more than the {left} training rows; try a smaller --validation");
        found.insert(0, message);
    }
    if found.is_empty() { None } else { Some(found.join("; ")) }
}

/// Which classes a set has. Sets that are not sorted show all of them in the first piece.
fn classes(set: &Dataset) -> [bool; CLASSES] {
    let mut seen = [false; CLASSES];
    for piece in pieces(set) {
        piece.labels().into_iter().for_each(|label| seen[label as usize] = true);
        if seen == [true; CLASSES] {
            break;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[u8]) -> Dataset {
        Dataset::from_u8(vec![0; labels.len()], labels.to_vec(), 1, CLASSES).unwrap()
    }

    fn mnist(train: &[u8], validation: &[u8], test: &[u8]) -> Mnist {
        Mnist { train: set(train), validation: set(validation), test: set(test) }
    }

    #[test]
    fn a_twelfth_is_set_aside_and_at_most_5000() {
        for (rows, expected, said) in
            [(11, 0, true), (12, 1, true), (133, 11, true), (59_999, 4_999, true), (60_000, 5_000, false)]
        {
            let (data, note) = set_aside(mnist(&vec![0; rows], &[], &[0])).unwrap();
            assert_eq!((data.validation.rows(), data.train.rows()), (expected, rows - expected));
            assert_eq!(note.is_some(), said, "{note:?}");
        }
        let (data, note) = set_aside(mnist(&[0; 70_000], &[], &[0])).unwrap();
        assert_eq!((data.validation.rows(), data.train.rows(), note), (5_000, 65_000, None));
    }

    #[test]
    fn doubt_names_what_is_missing_where() {
        assert_eq!(doubt(&mnist(&[1, 2], &[2, 1], &[1])), None);
        assert_eq!(doubt(&mnist(&[1, 2], &[], &[1])), None, "without validation rows nothing is missing there");
        let found = doubt(&mnist(&[1, 1, 1], &[3, 1, 2], &[1])).unwrap();
        assert!(found.contains("training rows lack digits that the validation rows have (2, 3)"), "{found}");
        assert!(!found.contains("more than"), "{found}");
        let found = doubt(&mnist(&[1, 2, 9], &[1], &[1])).unwrap();
        assert!(found.contains("validation rows lack digits that the training rows have (2, 9)"), "{found}");
        let found = doubt(&mnist(&[1], &[], &[1, 4])).unwrap();
        assert!(found.contains("training rows lack digits that the test rows have (4)"), "{found}");
        let found = doubt(&mnist(&[1], &[1, 1], &[1])).unwrap();
        assert!(found.starts_with("2 validation rows are more than the 1 training rows"), "{found}");
    }
}
