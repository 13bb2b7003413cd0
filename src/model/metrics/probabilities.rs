//! How good probabilities are: whether the true class is among the best, how far they are from the truth, whether they
//! mean what they say. Counts of predicted classes are `report`'s business.
//!
//! A row counts by its weight, as everywhere: 1 for a label, the sum of its target probabilities otherwise. The true class
//! of a row of target probabilities is the most probable one, the lowest of several.

use super::argmax;
use crate::error::{Error, Result, expect};
use crate::matrix::{Target, Targets};
use crate::memory;
use alloc::vec::Vec;

/// The most bins of [`expected_calibration_error`].
const MOST_BINS: usize = 1 << 16;

/// How far above 1 a probability may be: sums in f32 round.
const ABOVE_ONE: f32 = 1e-5;

/// The share of the rows' weight whose true class is among the `k` most probable ones, 0 to 1; NaN where there are no
/// rows. Ties go to the lowest class.
///
/// `proba [n, classes]` may as well be logits or any other scores: only their order counts.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0, or `k` is 0 or more than the classes. [`Error::Shape`], [`Error::Label`] or
/// [`Error::Target`] where `proba` or the targets do not fit. [`Error::NonFinite`] for a score that is infinite or NaN in
/// a row of any weight. [`Error::NoWeight`] where there are rows and all have weight 0.
pub fn top_k_accuracy<'a>(proba: &[f32], classes: usize, targets: impl Into<Targets<'a>>, k: usize) -> Result<f64> {
    let rows = Rows::new(proba, classes, targets.into())?;
    if k == 0 || k > classes {
        return Err(Error::Size { what: "k", found: k, expected: "1 to the number of classes" });
    }
    for (row, p) in proba.chunks_exact(classes).enumerate() {
        if let Some(column) = p.iter().position(|p| !p.is_finite()) {
            return Err(Error::NonFinite { what: "probabilities", row, column, value: p[column] });
        }
    }
    rows.mean(|p, target| {
        let class = target.class() as usize;
        let better = |(other, &q): (usize, &f32)| q > p[class] || (q == p[class] && other < class);
        let rank = p.iter().enumerate().filter(|&each| better(each)).count();
        f64::from(rank < k)
    })
}

/// The Brier score of several classes: the mean over the rows of the squared distance of the probabilities
/// `proba [n, classes]` from the truth, `sum over c of (p[c] - y[c])^2`; 0 is best, 2 worst, and NaN stands for no rows.
/// `y` is 1 for a label and 0 for the other classes, or the target probabilities divided by their sum.
///
/// Of two classes it is twice what is called the Brier score of a binary outcome. Source: Brier, Verification of Forecasts
/// Expressed in Terms of Probability, 1950.
///
/// # Errors
/// [`Error::Size`] where `classes` is 0. [`Error::Shape`], [`Error::Label`] or [`Error::Target`] where `proba` or the
/// targets do not fit. [`Error::Probability`] for one that is not from 0 to 1, in a row of any weight.
/// [`Error::NoWeight`] where there are rows and all have weight 0.
pub fn brier_score<'a>(proba: &[f32], classes: usize, targets: impl Into<Targets<'a>>) -> Result<f64> {
    let rows = Rows::new(proba, classes, targets.into())?;
    check_probabilities(proba, classes)?;
    rows.mean(|p, target| {
        let truth = |class| match target {
            Target::Label { label, .. } => f64::from(u8::from(label as usize == class)),
            Target::Shares(t) => t.of(class) / target.sum(classes),
        };
        let square = |(class, &p)| {
            let distance = f64::from(p) - truth(class);
            distance * distance
        };
        p.iter().enumerate().map(square).sum()
    })
}

/// How far confidence is from accuracy: the rows are put into `bins` of equal width by their largest probability, their
/// confidence, and the result is the mean over the rows' weight of `|accuracy - mean confidence|` of their bin, 0 to 1; NaN
/// where there are no rows. 15 bins are usual. A row is right where its most probable class, the lowest of several, is the
/// true one.
///
/// Bin `b` holds confidences above `b / bins` and up to `(b + 1) / bins`. Source: Guo et al., On Calibration of Modern
/// Neural Networks, 2017.
///
/// # Errors
/// [`Error::Size`] where `bins` is not from 1 to 65536. As [`brier_score`] otherwise, and [`Error::Memory`].
#[doc(alias = "ece")]
pub fn expected_calibration_error<'a>(
    proba: &[f32],
    classes: usize,
    targets: impl Into<Targets<'a>>,
    bins: usize,
) -> Result<f64> {
    let rows = Rows::new(proba, classes, targets.into())?;
    check_probabilities(proba, classes)?;
    if bins == 0 || bins > MOST_BINS {
        return Err(Error::Size { what: "bins", found: bins, expected: "1 to 65536" });
    }
    // What the accuracy of a bin is above its confidence, times its weight.
    let mut gaps: Vec<f64> = memory::filled("bins", bins, 0.0)?;
    rows.for_each(|p, target| {
        let class = argmax(p);
        let confidence = f64::from(p[class as usize]);
        let correct = f64::from(class == target.class());
        gaps[bin(confidence, bins)] += target.weight() * (correct - confidence);
    });
    Ok(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / rows.weight)
}

/// The bin of a confidence; its upper end belongs to it.
fn bin(confidence: f64, bins: usize) -> usize {
    let position = confidence * bins as f64;
    let below = position as usize;
    let at_lower_end = below as f64 == position;
    below.saturating_sub(at_lower_end.into()).min(bins - 1)
}

/// Checks that all are from 0 to 1.
fn check_probabilities(proba: &[f32], classes: usize) -> Result<()> {
    match proba.iter().position(|p| !(0.0..=1.0 + ABOVE_ONE).contains(p)) {
        Some(at) => Err(Error::Probability { row: at / classes, class: at % classes, value: proba[at] }),
        None => Ok(()),
    }
}

/// Probabilities with their targets, of checked shapes.
struct Rows<'a, 'p> {
    proba: &'p [f32],
    classes: usize,
    targets: Targets<'a>,
    /// The sum of the rows' weights.
    weight: f64,
}

impl<'a, 'p> Rows<'a, 'p> {
    fn new(proba: &'p [f32], classes: usize, targets: Targets<'a>) -> Result<Self> {
        if classes == 0 {
            return Err(Error::Size { what: "classes", found: classes, expected: "at least 1" });
        }
        expect("probabilities", proba.len(), targets.rows().saturating_mul(classes))?;
        let weight = targets.check(classes)?;
        if weight == 0.0 && targets.rows() > 0 {
            return Err(Error::NoWeight { rows: targets.rows() });
        }
        Ok(Self { proba, classes, targets, weight })
    }

    /// Goes through the rows that have a weight.
    fn for_each(&self, mut each: impl FnMut(&[f32], Target<'a>)) {
        for (row, p) in self.proba.chunks_exact(self.classes).enumerate() {
            let target = self.targets.get(row, self.classes);
            if target.weight() > 0.0 {
                each(p, target);
            }
        }
    }

    /// The weighted mean of what `score` gives each row.
    fn mean(&self, score: impl Fn(&[f32], Target<'a>) -> f64) -> Result<f64> {
        let mut sum = 0.0;
        self.for_each(|p, target| sum += target.weight() * score(p, target));
        Ok(sum / self.weight)
    }
}
