//! The rows that commands work on, whatever files they lie in: sets of images, arrays, tables. One reader, with one set
//! of options, for all commands. How a file is read is in the file named after its kind.

mod arrays;
mod csv;
mod folder;
mod labels;
mod split;
mod training;

use std::path::PathBuf;

use clap::Args;
use softreg::{Buffer, Dataset};

use self::csv::Columns;
pub(crate) use self::folder::ImagesArgs;
use self::labels::Labels;
pub(crate) use self::split::{Aside, stratified, usual_share};
pub(crate) use self::training::TrainingArgs;
use crate::progress::Busy;
use crate::report::Failure;
use crate::text::excerpt;

/// What is done to bytes before a model sees them.
pub(crate) const PIXELS: &str = "u8 pixels / 255";

/// Rows of a piece.
const PIECE: usize = 1000;

/// What a model has to know of its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Schema {
    /// The names of the classes, in order.
    pub(crate) classes: Vec<String>,
    /// What was done to the values before the model saw them.
    pub(crate) preprocessing: Option<String>,
    /// Height and width of the image that a row is, in pixels.
    pub(crate) image: Option<[usize; 2]>,
    /// The names of the features, in order.
    pub(crate) columns: Option<Vec<String>>,
}

/// The options that choose rows.
#[derive(Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    images: ImagesArgs,
    /// Your own features [rows, features]: .npy, .npz or .safetensors; FILE:ARRAY names one of several
    #[arg(long, value_name = "FILE", conflicts_with_all = ["csv", "data"])]
    features: Option<PathBuf>,
    /// Their labels: integers in such a file, or text with one label a line
    #[arg(long, value_name = "FILE", requires = "features")]
    labels: Option<PathBuf>,
    /// Your own table: comma-separated values, with the columns' names in the first line or without
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    csv: Option<PathBuf>,
    /// The column of --csv with the labels, by its name, or by its number from 1 where it has none
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    label: Option<String>,
    /// A column of --csv to leave out; may be given several times
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    drop: Vec<String>,
}

/// Rows as a file has them.
pub(crate) struct Table {
    /// What stands for it in reports and errors.
    name: String,
    values: Buffer<f32>,
    /// At least 1.
    features: usize,
    labels: Option<Labels>,
    /// What stands for the labels in errors.
    labels_name: String,
    /// The names of the features.
    columns: Option<Vec<String>>,
}

/// Rows to train on and to test.
pub(crate) struct Rows {
    /// What the report calls them.
    pub(crate) name: String,
    pub(crate) train: Dataset,
    pub(crate) test: Option<Dataset>,
    pub(crate) schema: Schema,
}

/// Rows to train on, rows that choose among models, and rows to test.
pub(crate) struct Split {
    /// What the report calls them.
    pub(crate) name: String,
    pub(crate) train: Dataset,
    /// May be none.
    pub(crate) validation: Dataset,
    pub(crate) test: Option<Dataset>,
    pub(crate) schema: Schema,
}

/// Rows with their labels that a model is tested on.
pub(crate) struct Labelled {
    /// What the report calls them.
    pub(crate) name: String,
    pub(crate) rows: Dataset,
}

/// Rows without labels.
pub(crate) struct Unlabelled {
    name: String,
    values: Buffer<f32>,
    features: usize,
}

impl Unlabelled {
    /// The values `[rows, features]`.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Checks that there are as many features as the model has.
    pub(crate) fn check_features(&self, expected: usize) -> Result<(), Failure> {
        check_features(&self.name, self.features, expected)
    }
}

impl Labelled {
    /// Checks that there are as many features as the model has.
    pub(crate) fn check_features(&self, expected: usize) -> Result<(), Failure> {
        check_features(&self.name, self.rows.features(), expected)
    }
}

fn check_features(name: &str, found: usize, expected: usize) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Failed(format!("{name}: found {found} features, expected {expected}, as the model has")))
}

impl SourceArgs {
    /// Whether any rows are named.
    pub(crate) const fn is_given(&self) -> bool {
        self.is_table() || self.images.is_given()
    }

    /// Whether the rows come from a table or from arrays, and not from images.
    pub(crate) const fn is_table(&self) -> bool {
        self.features.is_some() || self.csv.is_some()
    }

    /// Reads the table or the arrays.
    fn table(&self, features: Option<&[String]>) -> Result<Table, Failure> {
        let _busy = Busy::new("reading the rows");
        match (&self.csv, &self.features) {
            (Some(csv), _) => csv::read(csv, &Columns { label: self.label.as_deref(), drop: &self.drop, features }),
            (None, Some(path)) => arrays::read(path, self.labels.as_deref()),
            (None, None) => Err(Failure::Usage("no rows are named: give --features or --csv".to_owned())),
        }
    }

    /// Checks that what has to be named beside the rows is.
    fn check_labels(&self) -> Result<(), Failure> {
        let missing = match (&self.csv, &self.features) {
            (Some(_), _) if self.label.is_none() => "--label COLUMN",
            (None, Some(_)) if self.labels.is_none() => "--labels FILE",
            _ => return Ok(()),
        };
        Err(Failure::Usage(format!("no labels are named: {missing} is required, and says where they are")))
    }

    /// Reads the rows that a model of this schema is tested on: of images the test set.
    pub(crate) fn load_labelled(&self, schema: &Schema) -> Result<Labelled, Failure> {
        if !self.is_table() {
            let images = folder::read(&self.images, 0)?;
            let rows = images.test_of(schema)?;
            return Ok(Labelled { name: images.name, rows });
        }
        self.check_labels()?;
        let table = self.table(schema.columns.as_deref())?.checked()?;
        let labels = table.needed_labels()?.positions(&schema.classes).map_err(|failure| match failure {
            Failure::Failed(message) => Failure::Failed(format!("{}: {message}", table.labels_name)),
            other => other,
        })?;
        let table = table.preprocessed_for(schema);
        let rows = Dataset::from_buffer(table.values, labels, table.features, schema.classes.len())?;
        Ok(Labelled { name: table.name, rows })
    }

    /// Reads rows that a model of this schema is to classify.
    pub(crate) fn load_unlabelled(&self, schema: &Schema) -> Result<Unlabelled, Failure> {
        let table = self.table(schema.columns.as_deref())?.checked()?.preprocessed_for(schema);
        let Table { name, values, features, .. } = table;
        Ok(Unlabelled { name, values, features })
    }
}

impl Table {
    fn rows(&self) -> usize {
        self.values.len() / self.features
    }

    /// Checks that there are rows of finite values, and a label for each where there are labels.
    fn checked(self) -> Result<Self, Failure> {
        if self.rows() == 0 {
            return Err(Failure::Failed(format!("{}: found no rows, expected at least one", self.name)));
        }
        if let Some(at) = first_not_finite(&self.values) {
            let (row, column) = (at / self.features, at % self.features);
            return Err(Failure::Failed(format!(
                "{}: row {row}, feature {column}: found {}, expected a finite number that f32 holds",
                self.name, self.values[at]
            )));
        }
        match self.labels.as_ref().map(Labels::len) {
            Some(labels) if labels != self.rows() => Err(Failure::Failed(format!(
                "{}: found {labels} labels, expected {}, one for each row of {}",
                self.labels_name,
                self.rows(),
                self.name
            ))),
            _ => Ok(self),
        }
    }

    fn needed_labels(&self) -> Result<&Labels, Failure> {
        self.labels.as_ref().ok_or_else(|| Failure::Usage(format!("{}: no labels are named", excerpt(&self.name))))
    }

    /// Pixels as a model of images sees them.
    fn divided(mut self) -> Self {
        self.values.iter_mut().for_each(|value| *value /= 255.0);
        self
    }

    /// The rows as a model of this schema sees them. Values above 1 are pixels that nobody has divided yet.
    fn preprocessed_for(self, schema: &Schema) -> Self {
        let is_of_pixels = schema.preprocessing.as_deref() == Some(PIXELS);
        if is_of_pixels && self.values.iter().any(|&value| value > 1.0) { self.divided() } else { self }
    }
}

/// Height and width as options and files say them: `28x28`.
pub(crate) fn image_size(text: &str) -> Option<[usize; 2]> {
    let (height, width) = text.split_once('x')?;
    Some([height.parse().ok()?, width.parse().ok()?])
}

/// A set in pieces of at most [`PIECE`] rows, in order: where a whole set would take memory in proportion.
pub(crate) fn pieces(set: &Dataset) -> impl Iterator<Item = Dataset> {
    let mut rest = Some(set.clone());
    std::iter::from_fn(move || {
        let whole = rest.take().filter(|whole| whole.rows() > 0)?;
        let (piece, others) = whole.split_at(PIECE.min(whole.rows())).ok()?;
        rest = Some(others);
        Some(piece)
    })
}

/// Where the first value is that is infinite or NaN: a piece at a time without a branch, which takes a tenth of the time.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    const PIECE: usize = 1 << 12;
    let is_finite = |piece: &[f32]| piece.iter().fold(true, |all, value| all & value.is_finite());
    let piece = values.chunks(PIECE).position(|piece| !is_finite(piece))?;
    let within = values[piece * PIECE..].iter().position(|value| !value.is_finite())?;
    Some(piece * PIECE + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole_set_in_order() {
        for rows in [0, 1, PIECE, 2 * PIECE + 7] {
            let truth: Vec<u8> = (0..rows).map(|row| (row * row % 7) as u8).collect();
            let set = Dataset::from_u8(vec![0; rows], truth.clone(), 1, 10).unwrap();
            let pieces: Vec<Dataset> = pieces(&set).collect();
            assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&piece.rows())));
            let found: Vec<u32> = pieces.iter().flat_map(Dataset::labels).collect();
            assert_eq!(found, truth.into_iter().map(u32::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_value_that_is_none_is_found() {
        let mut values = vec![1.0; 10_000];
        assert_eq!(first_not_finite(&values), None);
        for (at, value) in [(9_999, f32::INFINITY), (4_097, f32::NAN), (4_096, f32::NEG_INFINITY), (0, f32::NAN)] {
            values[at] = value;
            assert_eq!(first_not_finite(&values), Some(at));
        }
    }
}
