//! How each class fares, and the table of it that people know by heart. Probabilities are `probabilities`' business.

use super::check_classes;
use crate::error::{Error, Result, expect};
use crate::memory;
use alloc::vec::Vec;
use core::fmt;

/// How one class fares. A ratio that is not defined is 0.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassReport {
    /// Of the rows that got this class, the share whose class it is; 0 where none got it.
    pub precision: f64,
    /// Of the rows whose class this is, the share that got it; 0 where there are none.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 where no row has or got the class.
    pub f1: f64,
    /// The number of rows whose class this is.
    pub support: u64,
}

/// Means over the classes. A mean over nothing is 0.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Averages {
    /// The mean of the classes' precision.
    pub precision: f64,
    /// The mean of the classes' recall.
    pub recall: f64,
    /// The mean of the classes' f1.
    pub f1: f64,
}

/// Precision, recall, f1 and support of each class, and their means. Every row counts once.
///
/// A ratio that is not defined is 0, as in scikit-learn with `zero_division=0`: the precision of a class that no row got,
/// the recall of one that no row has, everything where there are no rows.
///
/// It prints as scikit-learn's `classification_report`, with two digits unless told: `{report:.3}`.
/// [`with_names`](Self::with_names) prints names for the classes' numbers.
///
/// ```
/// use softreg::metrics::ClassificationReport;
///
/// let report = ClassificationReport::new(&[0, 1, 2, 2], &[0, 0, 2, 2], 3)?;
/// assert_eq!(report.accuracy, 0.75);
/// assert_eq!((report.classes[0].precision, report.classes[0].recall), (0.5, 1.0));
/// assert_eq!(report.classes[1].f1, 0.0);
/// println!("{report}");
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassificationReport {
    /// Each class, `[classes]`.
    pub classes: Vec<ClassReport>,
    /// The share of the rows that got their own class.
    pub accuracy: f64,
    /// The means in which every class counts the same, those without rows too.
    pub macro_average: Averages,
    /// The means in which a class counts by its support.
    pub weighted_average: Averages,
    /// The number of rows.
    pub support: u64,
}

impl ClassificationReport {
    /// The report on rows of these true and predicted classes, `[n]` each.
    ///
    /// # Errors
    /// [`Error::Shape`] where the two lengths differ, [`Error::Label`] for a class that is not below `classes`,
    /// [`Error::Size`] where `classes` is 0, [`Error::Memory`].
    pub fn new(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Self> {
        if classes == 0 {
            return Err(Error::Size { what: "classes", found: classes, expected: "at least 1" });
        }
        check_classes(truth, predicted, classes)?;
        let mut counts = memory::filled("counts of the classes", classes, Counts::default())?;
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            counts[truth as usize].truth += 1;
            counts[predicted as usize].predicted += 1;
            counts[truth as usize].correct += u64::from(truth == predicted);
        }
        let mut reports = memory::with_capacity("reports of the classes", classes)?;
        reports.extend(counts.iter().map(Counts::report));
        let correct = counts.iter().map(|counts| counts.correct).sum();
        let support = truth.len() as u64;
        Ok(Self {
            accuracy: ratio(correct, support),
            macro_average: average(&reports, |_| 1.0),
            weighted_average: average(&reports, |report| report.support as f64),
            classes: reports,
            support,
        })
    }

    /// The same table with a name for each class, `[classes]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are not as many names as classes.
    pub fn with_names<'a, S: AsRef<str>>(&'a self, names: &'a [S]) -> Result<NamedReport<'a, S>> {
        expect("class names", names.len(), self.classes.len())?;
        Ok(NamedReport { report: self, names })
    }

    /// Prints the table; `width` is the classes' widest name's, and `name` gives a class's.
    fn print<N: fmt::Display>(
        &self,
        f: &mut fmt::Formatter<'_>,
        width: usize,
        name: impl Fn(usize) -> N,
    ) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        // A column wider than a formatter can pad is left ragged.
        let width = width.max("weighted avg".len()).max(digits).min(WIDEST);
        writeln!(f, "{:>width$}  {:>9} {:>9} {:>9} {:>9}", "", "precision", "recall", "f1-score", "support")?;
        writeln!(f)?;
        for (class, ClassReport { precision, recall, f1, support }) in self.classes.iter().enumerate() {
            let name = name(class);
            writeln!(f, "{name:>width$}  {precision:>9.digits$} {recall:>9.digits$} {f1:>9.digits$} {support:>9}")?;
        }
        let (accuracy, support) = (self.accuracy, self.support);
        writeln!(f)?;
        writeln!(f, "{:>width$}  {:>9} {:>9} {accuracy:>9.digits$} {support:>9}", "accuracy", "", "")?;
        for (name, average) in [("macro avg", self.macro_average), ("weighted avg", self.weighted_average)] {
            let Averages { precision, recall, f1 } = average;
            writeln!(f, "{name:>width$}  {precision:>9.digits$} {recall:>9.digits$} {f1:>9.digits$} {support:>9}")?;
        }
        Ok(())
    }
}

/// The widest column: a formatting width has 16 bits.
const WIDEST: usize = u16::MAX as usize;

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.classes.len().saturating_sub(1).checked_ilog10().map_or(1, |digits| digits as usize + 1);
        self.print(f, widest, |class| class)
    }
}

/// A [`ClassificationReport`] that prints with the classes' names.
#[derive(Clone, Copy, Debug)]
pub struct NamedReport<'a, S> {
    report: &'a ClassificationReport,
    names: &'a [S],
}

impl<S: AsRef<str>> fmt::Display for NamedReport<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.names.iter().map(|name| name.as_ref().chars().count()).max().unwrap_or(0);
        self.report.print(f, widest, |class| self.names[class].as_ref())
    }
}

/// Rows of one class.
#[derive(Clone, Default)]
struct Counts {
    truth: u64,
    predicted: u64,
    correct: u64,
}

impl Counts {
    fn report(&self) -> ClassReport {
        ClassReport {
            precision: ratio(self.correct, self.predicted),
            recall: ratio(self.correct, self.truth),
            // 2 p r / (p + r), without the division by 0 where p = r = 0.
            f1: ratio(2 * self.correct, self.truth + self.predicted),
            support: self.truth,
        }
    }
}

/// 0 where it is not defined.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The weighted means; 0 where there is no weight.
fn average(reports: &[ClassReport], weight: impl Fn(&ClassReport) -> f64) -> Averages {
    let total: f64 = reports.iter().map(&weight).sum();
    let mean = |value: fn(&ClassReport) -> f64| {
        let sum: f64 = reports.iter().map(|report| weight(report) * value(report)).sum();
        if total == 0.0 { 0.0 } else { sum / total }
    };
    Averages { precision: mean(|r| r.precision), recall: mean(|r| r.recall), f1: mean(|r| r.f1) }
}
