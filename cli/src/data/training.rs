//! The rows that a model is trained, chosen and tested on: what the options name, and what is set aside of it.

use std::path::PathBuf;

use clap::Args;
use softreg::Dataset;
use softreg::mnist::Mnist;

use super::{
    Aside, ImagesArgs, PIXELS, Rows, Schema, SourceArgs, Split, Table, folder, image_size, split, stratified,
    usual_share,
};
use crate::report::{Failure, note};
use crate::text::excerpt;

/// The options that choose rows to train on.
#[derive(Args)]
pub(crate) struct TrainingArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Features to test the model on
    #[arg(long, value_name = "FILE", requires_all = ["test_labels", "features"])]
    test_features: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "FILE", requires = "test_features")]
    test_labels: Option<PathBuf>,
    /// Table to test the model on
    #[arg(long, value_name = "FILE", requires = "csv")]
    test_csv: Option<PathBuf>,
    /// Rows of --features or --csv to set aside for the test, of each class its share: a number or a share
    #[arg(long, value_name = "ROWS", allow_negative_numbers = true, value_parser = Aside::parse,
        conflicts_with_all = ["test_features", "test_csv", "data"])]
    test: Option<Aside>,
    /// The values of --features or --csv are pixels from 0 to 255: divide them by 255
    #[arg(long, conflicts_with = "data")]
    pixels: bool,
    /// Height and width of the images that the rows of --features or --csv are, as in 28x28
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = image, conflicts_with = "data")]
    image: Option<[usize; 2]>,
    /// Names of the classes of --data, in their order: text with one name a line
    #[arg(long, value_name = "FILE", requires = "data")]
    class_names: Option<PathBuf>,
}

impl TrainingArgs {
    /// Reads the files and sets rows aside: of images the first ones, as the tutorial does, of tables of each class its
    /// share, by the seed; as many as suit the rows where nobody says. Says what is doubtful about it.
    pub(crate) fn load_split(&self, validation: Option<Aside>, seed: u64) -> Result<Split, Failure> {
        if self.source.is_table() {
            return self.table_split(|rows| validation.unwrap_or_else(|| usual_share(rows)), seed);
        }
        let images = folder::read_with_validation(&self.source.images, validation)?;
        let said = validation.is_none().then(|| {
            let aside = images.data.validation.rows();
            split::said(aside, aside + images.data.train.rows())
        });
        let schema = images.schema(self.class_names.as_deref())?;
        let Mnist { train, validation, test, .. } = images.data;
        let split = Split { name: images.name, train, validation, test: Some(test), schema };
        for message in said.flatten().into_iter().chain(split::doubt(&split)) {
            note(&message);
        }
        Ok(split)
    }

    /// Reads the files. Rows for validation are for the caller to choose.
    pub(crate) fn load(&self, seed: u64) -> Result<Rows, Failure> {
        if self.source.is_table() {
            let Split { name, train, test, schema, .. } = self.table_split(|_| Aside::Count(0), seed)?;
            return Ok(Rows { name, train, test, schema });
        }
        let images = folder::read(&self.source.images, 0)?;
        let schema = images.schema(self.class_names.as_deref())?;
        Ok(Rows { name: images.name, train: images.data.train.skip_zeros(), test: Some(images.data.test), schema })
    }

    /// Reads a table, sets rows aside, and reads its test.
    fn table_split(&self, validation: impl FnOnce(usize) -> Aside, seed: u64) -> Result<Split, Failure> {
        self.source.check_labels()?;
        let table = self.source.table(None)?.checked()?;
        let labels = table.needed_labels()?;
        let classes = labels.classes();
        if let [only] = &classes[..] {
            let found = excerpt(only);
            let name = &table.labels_name;
            return Err(Failure::Failed(format!("{name}: found one class, {found:?}, expected at least two")));
        }
        let mut labels = labels.positions(&classes)?;
        self.check_image(&table)?;
        let preprocessing = self.pixels.then(|| PIXELS.to_owned());
        let schema = Schema { classes, preprocessing, image: self.image, columns: table.columns.clone() };
        let test = self.test_table(&table, &schema)?;
        let (rows, Table { name, mut values, features, .. }) =
            (table.rows(), if self.pixels { table.divided() } else { table });
        let mut set_aside = |option: &str, aside: Aside, end: usize| {
            let [_, aside] = stratified(&labels[..end], aside.of(end, option)?, seed);
            split::move_to_end(&mut values[..end * features], features, &aside);
            split::move_to_end(&mut labels[..end], 1, &aside);
            Ok::<_, Failure>(end - aside.len())
        };
        let tested = self.test.map_or(Ok(rows), |test| set_aside("--test", test, rows))?;
        let trained = set_aside("--validation", validation(tested), tested)?;
        let data = Dataset::from_buffer(values, labels, features, schema.classes.len())?.skip_zeros();
        let (data, test_rows) = data.split_at(tested)?;
        let (train, validation) = data.split_at(trained)?;
        let test = test.or_else(|| (test_rows.rows() > 0).then_some(test_rows));
        Ok(Split { name, train, validation, test, schema })
    }

    fn check_image(&self, table: &Table) -> Result<(), Failure> {
        match self.image {
            Some([height, width]) if height.checked_mul(width) != Some(table.features) => Err(Failure::Usage(format!(
                "--image {height}x{width}: found {} features in {}, expected {height} times {width}",
                table.features, table.name
            ))),
            _ => Ok(()),
        }
    }

    /// The file of rows to test on, which has to have what the training rows have.
    fn test_table(&self, train: &Table, schema: &Schema) -> Result<Option<Dataset>, Failure> {
        let mut source = SourceArgs {
            images: ImagesArgs::default(),
            features: self.test_features.clone(),
            labels: self.test_labels.clone(),
            csv: self.test_csv.clone(),
            label: self.source.label.clone(),
            drop: Vec::new(),
        };
        if !source.is_table() {
            return Ok(None);
        }
        // With the columns' names nothing has to be left out.
        if schema.columns.is_none() {
            source.drop.clone_from(&self.source.drop);
        }
        let test = source.load_labelled(schema)?;
        if test.rows.features() != train.features {
            return Err(Failure::Failed(format!(
                "{}: found {} features, expected {} as in the training rows",
                test.name,
                test.rows.features(),
                train.features
            )));
        }
        Ok(Some(test.rows))
    }
}

fn image(text: &str) -> Result<[usize; 2], String> {
    image_size(text).ok_or_else(|| "expected a height and a width in pixels, as in 28x28".to_owned())
}
