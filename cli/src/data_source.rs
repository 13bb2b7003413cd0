//! Where the data comes from: a directory given by `--data`, or the four files embedded in the binary.
//! Reading and checking the files is the library's work;
//! this file only adds what the program's own limits are and what the user can do about an error.

use std::path::PathBuf;

use clap::Args;
use softreg::mnist::{self, Mnist};

use crate::model_file::FEATURES;
use crate::report::Failure;

/// The option that chooses the data.
#[derive(Args)]
pub(crate) struct DataArgs {
    /// Directory with the four MNIST files, raw or .gz [default: the MNIST in this program]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// Reads the data; the first `validation` training rows are set aside.
    pub(crate) fn load(&self, validation: usize) -> Result<Mnist, Failure> {
        let read = match &self.data {
            None => mnist::read_files(softreg_mnist::FILES, validation),
            Some(dir) => mnist::read_dir_with_validation(dir, validation),
        };
        read.map_err(|error| error.to_string()).and_then(check).map_err(|message| {
            let hint = if self.data.is_some() { "; without --data the MNIST in this program is used" } else { "" };
            Failure::Failed(format!("{message}{hint}"))
        })
    }

    /// What the report calls the data.
    pub(crate) fn name(&self) -> String {
        self.data.as_ref().map_or_else(|| "embedded MNIST".to_owned(), |dir| dir.display().to_string())
    }
}

/// The library reads images of any size; a model file of this program holds one size only.
fn check(data: Mnist) -> Result<Mnist, String> {
    let found = data.train.features();
    if found != FEATURES {
        return Err(format!("found images of {found} pixels, expected {FEATURES} (28x28)"));
    }
    if data.test.rows() == 0 {
        return Err("found no test images, expected at least one to test the model on".to_owned());
    }
    Ok(data)
}
