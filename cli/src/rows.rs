//! The rows that `softreg train` and `softreg fit` work on: MNIST, or the user's own files; and the rows set aside for
//! validation. Reading the formats is the library's work.

use std::path::{Path, PathBuf};

use clap::Args;
use softreg::mnist::Mnist;
use softreg::{Dataset, npy};

use crate::data_source::DataArgs;
use crate::labels::Labels;
use crate::report::Failure;

/// One in so many rows is set aside where the strength of the penalty is to be chosen, and at most [`MOST_ASIDE`].
const SHARE: usize = 12;
const MOST_ASIDE: usize = 5000;

/// The options that choose the rows.
#[derive(Args)]
pub(crate) struct RowsArgs {
    #[command(flatten)]
    mnist: DataArgs,
    /// Your own features instead of MNIST: a .npy file [rows, features]
    #[arg(long, value_name = "FILE", requires = "labels", conflicts_with = "data")]
    features: Option<PathBuf>,
    /// Their labels: a .npy file of integers, or text with one label a line
    #[arg(long, value_name = "FILE", requires = "features")]
    labels: Option<PathBuf>,
    /// Features to test the model on
    #[arg(long, value_name = "FILE", requires = "test_labels", requires = "features")]
    test_features: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "FILE", requires = "test_features")]
    test_labels: Option<PathBuf>,
}

/// Rows to train on and to test.
pub(crate) struct Rows {
    /// What the report calls them.
    pub(crate) name: String,
    pub(crate) train: Dataset,
    pub(crate) test: Option<Dataset>,
    /// The names of the classes.
    pub(crate) classes: Vec<String>,
    /// What was done to the values before the model saw them.
    pub(crate) preprocessing: Option<&'static str>,
}

/// Rows to train on, rows that choose among models, and rows to test.
pub(crate) struct Split {
    /// What the report calls them.
    pub(crate) name: String,
    pub(crate) train: Dataset,
    /// May be none.
    pub(crate) validation: Dataset,
    pub(crate) test: Option<Dataset>,
    /// The names of the classes.
    pub(crate) classes: Vec<String>,
    /// What was done to the values before the model saw them.
    pub(crate) preprocessing: Option<&'static str>,
}

impl RowsArgs {
    /// Whether the rows are MNIST's pictures.
    pub(crate) const fn are_pictures(&self) -> bool {
        self.features.is_none()
    }

    /// Reads the files and sets rows aside: of MNIST the first ones, as the tutorial does, of the user's own of each class
    /// its share, by the seed; as many as suit the rows where nobody says.
    pub(crate) fn load_split(&self, validation: Option<Aside>, seed: u64) -> Result<Split, Failure> {
        if self.are_pictures() {
            let data = match validation {
                Some(Aside::Share(share)) => {
                    let data = self.mnist.load(0)?;
                    let (validation, train) =
                        data.train.split_at((share * data.train.rows() as f64).round() as usize)?;
                    Mnist { train, validation, ..data }
                }
                Some(Aside::Count(rows)) => self.mnist.load_split(Some(rows))?,
                None => self.mnist.load_split(None)?,
            };
            return Ok(Split {
                name: self.mnist.name(),
                classes: (0..data.train.classes()).map(|class| class.to_string()).collect(),
                train: data.train,
                validation: data.validation,
                test: Some(data.test),
                preprocessing: Some(crate::model_file::PREPROCESSING),
            });
        }
        let Rows { name, train, test, classes, preprocessing } = self.load()?;
        let labels = train.labels();
        let aside = validation.unwrap_or_else(|| usual_share(labels.len()));
        let [rest, aside] = stratified(&labels, aside, seed)?;
        let (train, validation) = match aside.is_empty() {
            true => (train.clone(), train.split_at(0)?.0),
            false => (pick(&train, &rest)?, pick(&train, &aside)?),
        };
        Ok(Split { name, train, validation, test, classes, preprocessing })
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Rows, Failure> {
        let (Some(features), Some(labels)) = (&self.features, &self.labels) else {
            let data = self.mnist.load(0)?;
            return Ok(Rows {
                name: self.mnist.name(),
                classes: (0..data.train.classes()).map(|class| class.to_string()).collect(),
                train: data.train.skip_zeros(),
                test: Some(data.test),
                preprocessing: Some(crate::model_file::PREPROCESSING),
            });
        };
        let train_labels = Labels::read(labels)?;
        let classes = train_labels.classes();
        let train = read(features, labels, &train_labels, &classes)?;
        let test = match (&self.test_features, &self.test_labels) {
            (Some(features), Some(labels)) => {
                let found = read(features, labels, &Labels::read(labels)?, &classes)?;
                if found.features() != train.features() {
                    return Err(Failure::Failed(format!(
                        "{}: found {} features, expected {} as in the training rows",
                        features.display(),
                        found.features(),
                        train.features()
                    )));
                }
                Some(found)
            }
            _ => None,
        };
        let name = features.display().to_string();
        Ok(Rows { name, train: train.skip_zeros(), test, classes, preprocessing: None })
    }
}

fn read(features: &Path, labels: &Path, read: &Labels, classes: &[String]) -> Result<Dataset, Failure> {
    let npy::Features { values, features: width, .. } = npy::read_features(features)?;
    let rows = values.len() / width;
    if rows != read.len() {
        return Err(Failure::Failed(format!(
            "{}: found {} labels, expected {rows}, one for each row of {}",
            labels.display(),
            read.len(),
            features.display()
        )));
    }
    if rows == 0 {
        return Err(Failure::Failed(format!("{}: found no rows, expected at least one", features.display())));
    }
    let positions = read.positions(classes).map_err(|failure| match failure {
        Failure::Failed(message) => Failure::Failed(format!("{}: {message}", labels.display())),
        other => other,
    })?;
    Ok(Dataset::from_f32(values, positions, width, classes.len())?)
}

/// Some of the rows, as a dataset of their own.
fn pick(data: &Dataset, rows: &[usize]) -> Result<Dataset, Failure> {
    let (values, labels, width) = (data.to_f32(), data.labels(), data.features());
    let picked = rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect();
    let labels = rows.iter().map(|&row| labels[row]).collect();
    Ok(Dataset::from_f32(picked, labels, width, data.classes())?)
}

/// How many rows are set aside: a count, or a share of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Aside {
    Count(usize),
    Share(f64),
}

impl Aside {
    /// `500`, or `0.1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let share = || text.parse().ok().filter(|share| (0.0..1.0).contains(share)).map(Self::Share);
        let found = text.parse().ok().map(Self::Count).or_else(share);
        found.ok_or_else(|| "expected a number of rows, or a share of them from 0 to 1".to_owned())
    }

    /// Of so many rows; at least one is left.
    fn of(self, rows: usize) -> Result<usize, Failure> {
        match self {
            Self::Share(share) => Ok((share * rows as f64).round() as usize),
            Self::Count(count) if count < rows => Ok(count),
            Self::Count(count) => Err(Failure::Failed(format!(
                "--validation: found {count}, expected less than the {rows} training rows"
            ))),
        }
    }
}

/// What is set aside where nobody says.
pub(crate) fn usual_share(rows: usize) -> Aside {
    Aside::Count((rows / SHARE).min(MOST_ASIDE))
}

/// Rows to fit and rows set aside, both in order: of each class the same share, by the seed alone.
pub(crate) fn stratified(labels: &[u32], aside: Aside, seed: u64) -> Result<[Vec<usize>; 2], Failure> {
    let wanted = aside.of(labels.len())?;
    // By class, and within each in an order that the seed shuffles.
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_cached_key(|&row| (labels[row], mix(seed, row as u64)));
    // Evenly along that order: every class loses its share, to the nearest row.
    let is_aside = |place: usize| {
        let before = |place: usize| place as u128 * wanted as u128 / labels.len() as u128;
        before(place + 1) > before(place)
    };
    let (mut rest, mut found) = (Vec::new(), Vec::new());
    for (place, row) in order.into_iter().enumerate() {
        if is_aside(place) { found.push(row) } else { rest.push(row) }
    }
    rest.sort_unstable();
    found.sort_unstable();
    Ok([rest, found])
}

/// A row's number in a shuffle (the finaliser of SplitMix64).
fn mix(seed: u64, row: u64) -> u64 {
    let z = seed.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_loses_its_share() {
        let labels: Vec<u32> = (0..1000).map(|row| if row < 900 { 0 } else { 1 + row % 2 }).collect();
        let [rest, aside] = stratified(&labels, Aside::Share(0.2), 1).unwrap();
        assert_eq!((rest.len(), aside.len()), (800, 200));
        let mut all = [&rest[..], &aside[..]].concat();
        assert!(rest.is_sorted() && aside.is_sorted());
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        let count = |class| aside.iter().filter(|&&row| labels[row] == class).count();
        assert_eq!([count(0), count(1), count(2)], [180, 10, 10]);
        assert_eq!(stratified(&labels, Aside::Share(0.2), 1).unwrap()[1], aside);
        assert_ne!(stratified(&labels, Aside::Count(200), 2).unwrap()[1], aside);
        assert_eq!(stratified(&labels, Aside::Count(0), 2).unwrap()[0].len(), 1000);
        assert!(matches!(stratified(&labels, Aside::Count(1000), 0), Err(Failure::Failed(_))));
    }

    #[test]
    fn asides_are_counts_or_shares() {
        assert_eq!(Aside::parse("500"), Ok(Aside::Count(500)));
        assert_eq!(Aside::parse("0.25"), Ok(Aside::Share(0.25)));
        for bad in ["1.5", "-1", "NaN", "x", ""] {
            assert!(Aside::parse(bad).is_err(), "{bad}");
        }
    }
}
