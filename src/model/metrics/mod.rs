//! What predictions are worth: accuracy, log loss, confusion matrix; scores of each class; how good the probabilities
//! are. The predictions are the model's.

mod probabilities;
mod report;

pub use probabilities::{brier_score, expected_calibration_error, top_k_accuracy};
pub use report::{Averages, ClassReport, ClassificationReport, NamedReport};

use crate::error::{Error, Result, expect};
use crate::memory;
use alloc::vec::Vec;

/// How a model did on rows with targets. A row counts by its weight: 1 for a label, the sum of its probabilities
/// otherwise; rows of weight 0 are ignored.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Evaluation {
    /// The number of rows with a weight.
    pub rows: usize,
    /// How many of them got their own class. A row of target probabilities counts as its most probable class; ties go
    /// to the lowest.
    pub correct: usize,
    /// The sum of the rows' weights.
    pub weight: f64,
    /// The sum of the weights of the rows that got their own class.
    pub correct_weight: f64,
    /// The weighted mean of the rows' cross-entropy, in nats; NaN where there are no rows.
    pub log_loss: f64,
}

impl Evaluation {
    /// The share of the weight that got its own class, 0 to 1; NaN where there are no rows.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct_weight / self.weight
    }
}

/// How often rows of each class got each class: `[truth, predicted]`, counts, `classes * classes` of
/// them in row-major order.
///
/// # Errors
/// [`Error::Shape`] where the two lengths differ, [`Error::Label`] for a class that is not below
/// `classes`, [`Error::Memory`] where there is no memory for the counts.
pub fn confusion_matrix(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Vec<u64>> {
    check_classes(truth, predicted, classes)?;
    let mut counts = memory::filled("confusion matrix", classes.saturating_mul(classes), 0)?;
    for (&truth, &predicted) in truth.iter().zip(predicted) {
        counts[truth as usize * classes + predicted as usize] += 1;
    }
    Ok(counts)
}

/// Checks that there are as many predicted classes as true ones, and that each is below `classes`.
fn check_classes(truth: &[u32], predicted: &[u32], classes: usize) -> Result<()> {
    expect("predicted classes", predicted.len(), truth.len())?;
    for (row, (&truth, &predicted)) in truth.iter().zip(predicted).enumerate() {
        for label in [truth, predicted] {
            if label as usize >= classes {
                return Err(Error::Label { row, label, classes });
            }
        }
    }
    Ok(())
}

/// The position of the largest value, the first of several. None is NaN.
pub(crate) fn argmax(values: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argmax_takes_the_first_of_equals() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[-3.0, -1.0, -2.0]), 1);
        assert_eq!(argmax(&[-0.0, 0.0]), 0);
    }

    #[test]
    fn confusion_counts_truth_by_row_and_prediction_by_column() {
        assert_eq!(confusion_matrix(&[0, 1, 1], &[0, 0, 1], 2).unwrap(), [1, 0, 1, 1]);
        assert!(matches!(confusion_matrix(&[0, 2], &[0, 0], 2), Err(Error::Label { row: 1, label: 2, classes: 2 })));
        assert!(matches!(confusion_matrix(&[0], &[], 2), Err(Error::Shape { .. })));
    }
}
