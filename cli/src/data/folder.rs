//! Sets of images: a directory given by `--data`, or the four files embedded in the binary. Reading and checking the files
//! is the library's work; this file only adds the names of the classes and what the user can do about an error.

use std::path::{Path, PathBuf};

use clap::Args;
use softreg::Dataset;
use softreg::mnist::{Mnist, Reader};

use super::labels::read_lines;
use super::{Aside, Labelled, PIXELS, Schema, usual_share};
use crate::nearest;
use crate::progress::Busy;
use crate::report::{Failure, note};
use crate::text::excerpt;

/// The options that choose a set of images.
#[derive(Args, Default)]
pub(crate) struct ImagesArgs {
    /// Directory with images: the four files of MNIST, or of EMNIST (DIR/emnist-letters), Fashion-MNIST, KMNIST, QMNIST, as
    /// they are or .gz; torchvision's root too [default: the MNIST in this program]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The label of the first class in --data, 0 or 1 in most; without it, 1 where the labels leave no doubt
    #[arg(long, value_name = "LABEL", requires = "data")]
    first_label: Option<u8>,
    /// The images of --data are stored column by column, as EMNIST's are
    #[arg(long, requires = "data")]
    transpose: bool,
}

/// A set of images.
pub(super) struct Images {
    pub(super) name: String,
    pub(super) data: Mnist,
}

impl ImagesArgs {
    pub(super) const fn is_given(&self) -> bool {
        self.data.is_some()
    }

    /// Reads all training rows.
    pub(crate) fn load_training(&self) -> Result<Labelled, Failure> {
        let Images { name, data } = read(self, 0)?;
        Ok(Labelled { name, rows: data.train })
    }
}

/// Reads the set; the first `validation` training rows are set aside.
pub(super) fn read(args: &ImagesArgs, validation: usize) -> Result<Images, Failure> {
    let busy = Busy::new("reading the images");
    let reader = Reader::new().validation(validation).transpose(args.transpose);
    let reader = args.first_label.map_or_else(|| reader.clone(), |label| reader.clone().first_label(label));
    let read = match &args.data {
        None => reader.read_files(softreg_mnist::FILES),
        Some(dir) => reader.read_dir(dir),
    };
    let data = read.map_err(|error| error.to_string()).and_then(check).map_err(|message| {
        let nearest = args.data.as_deref().map(nearest::hint).filter(|hint| !hint.is_empty());
        let hint = match (&nearest, &args.data) {
            (Some(nearest), _) => nearest,
            (None, Some(_)) => "; without --data the MNIST in this program is used",
            (None, None) => "",
        };
        Failure::Failed(format!("{message}{hint}"))
    })?;
    drop(busy);
    if args.first_label.is_none() && data.first_label != 0 {
        note("the labels count from 1, which is taken for the first class; --first-label 0 takes them as they are");
    }
    let name = args.data.as_ref().map_or_else(|| "embedded MNIST".to_owned(), |dir| dir.display().to_string());
    Ok(Images { name, data })
}

/// Reads the set; without a number, as many training rows are set aside as suits them.
pub(super) fn read_with_validation(args: &ImagesArgs, validation: Option<Aside>) -> Result<Images, Failure> {
    if let Some(Aside::Count(rows)) = validation {
        return read(args, rows);
    }
    let Images { name, mut data } = read(args, 0)?;
    let rows = data.train.rows();
    let aside = validation.unwrap_or_else(|| usual_share(rows)).of(rows, "--validation")?;
    (data.validation, data.train) = data.train.split_at(aside)?;
    Ok(Images { name, data })
}

impl Images {
    /// What a model of these images has to know; the names of the classes are their labels where no file has them.
    pub(super) fn schema(&self, class_names: Option<&Path>) -> Result<Schema, Failure> {
        let classes = match class_names {
            None => self.labels(),
            Some(path) => {
                let names = read_lines(path, "class name", "")?;
                let (found, expected) = (names.len(), self.data.train.classes());
                if found != expected {
                    return Err(Failure::Failed(format!(
                        "{}: found {found} class names, expected {expected}, one for each class of the data",
                        path.display()
                    )));
                }
                names
            }
        };
        Ok(Schema { classes, preprocessing: Some(PIXELS.to_owned()), image: Some(self.data.image), columns: None })
    }

    /// The labels of the files, by class.
    fn labels(&self) -> Vec<String> {
        let first = u32::from(self.data.first_label);
        (first..).take(self.data.train.classes()).map(|label| label.to_string()).collect()
    }

    /// The test rows, for a model of this schema.
    pub(super) fn test_of(&self, schema: &Schema) -> Result<Dataset, Failure> {
        let fail = |message: String| Failure::Failed(format!("{}: {message}", self.name));
        let (found, expected) = (self.data.test.classes(), schema.classes.len());
        if found != expected {
            return Err(fail(format!("found {found} classes, expected {expected}, as the model has")));
        }
        match schema.preprocessing.as_deref() {
            // A model from elsewhere may not say.
            None | Some(PIXELS) => Ok(self.data.test.clone()),
            Some(other) => Err(fail(format!(
                "found images, which are read as {PIXELS:?}, expected a model of them; this one's preprocessing is {:?}",
                excerpt(other)
            ))),
        }
    }
}

fn check(data: Mnist) -> Result<Mnist, String> {
    if data.test.rows() == 0 {
        return Err("found no test images, expected at least one to test the model on".to_owned());
    }
    Ok(data)
}
