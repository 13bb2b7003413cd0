//! What predictions are worth: accuracy, log loss, confusion matrix. The predictions are the model's.

use crate::error::{Error, Result};
use alloc::vec;
use alloc::vec::Vec;

/// How a model did on labelled rows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Evaluation {
    /// The number of rows.
    pub rows: usize,
    /// How many of them got their own class. A row of target probabilities counts as its most probable
    /// class; ties go to the lowest.
    pub correct: usize,
    /// The mean cross-entropy of a row, in nats; NaN where there are no rows.
    pub log_loss: f64,
}

impl Evaluation {
    /// The share of rows that got their own class, 0 to 1; NaN where there are no rows.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.rows as f64
    }
}

/// How often rows of each class got each class: `[truth, predicted]`, counts, `classes * classes` of
/// them in row-major order.
///
/// # Errors
/// [`Error::Shape`] where the two lengths differ, [`Error::Label`] for a class that is not below
/// `classes`, [`Error::Size`] where `classes` is too large for the counts to be held.
pub fn confusion_matrix(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Vec<u64>> {
    if truth.len() != predicted.len() {
        return Err(Error::Shape { what: "predicted classes", found: predicted.len(), expected: truth.len() });
    }
    let too_many = Error::Size { what: "classes", found: classes, expected: "at most 65536" };
    let counts = if classes > 1 << 16 { return Err(too_many) } else { classes * classes };
    let mut counts = vec![0; counts];
    for (row, (&truth, &predicted)) in truth.iter().zip(predicted).enumerate() {
        for label in [truth, predicted] {
            if label as usize >= classes {
                return Err(Error::Label { row, label, classes });
            }
        }
        counts[truth as usize * classes + predicted as usize] += 1;
    }
    Ok(counts)
}

/// The position of the largest value, the first of several; 0 where every value is NaN. Values that are
/// NaN are passed over.
pub(crate) fn argmax(values: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] || values[best].is_nan() && !value.is_nan() {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals_and_passes_over_nan() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f32::NAN, f32::NEG_INFINITY, 2.0, 1.0]), 2);
        assert_eq!(argmax(&[f32::NEG_INFINITY, f32::NEG_INFINITY]), 0);
        assert_eq!(argmax(&[f32::NAN, f32::NAN]), 0);
    }

    #[test]
    fn confusion_counts_truth_by_row_and_prediction_by_column() {
        assert_eq!(confusion_matrix(&[0, 1, 1], &[0, 0, 1], 2).unwrap(), [1, 0, 1, 1]);
        assert!(matches!(confusion_matrix(&[0, 2], &[0, 0], 2), Err(Error::Label { row: 1, label: 2, classes: 2 })));
        assert!(matches!(confusion_matrix(&[0], &[], 2), Err(Error::Shape { .. })));
    }
}
