//! Where the data comes from: a directory given by `--data`, or the four files embedded in the binary.
//! Reading and checking the files is the library's work;
//! this file only adds what the program's own limits are and what the user can do about an error.

use std::path::PathBuf;

use clap::Args;
use softreg::Dataset;
use softreg::mnist::{self, Mnist};

use crate::model_file::FEATURES;
use crate::report::{Failure, note};
use crate::split;

/// Rows that are looked at together where a whole set would take memory in proportion.
const PIECE: usize = 1000;

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

    /// Reads the data; without a number, as many training rows are set aside as suits them. Says what is doubtful about
    /// the split.
    pub(crate) fn load_split(&self, validation: Option<usize>) -> Result<Mnist, Failure> {
        let (data, said) = match validation {
            Some(rows) => (self.load(rows)?, None),
            None => split::set_aside(self.load(0)?)?,
        };
        for message in said.into_iter().chain(split::doubt(&data)) {
            note(&message);
        }
        Ok(data)
    }

    /// What the report calls the data.
    pub(crate) fn name(&self) -> String {
        self.data.as_ref().map_or_else(|| "embedded MNIST".to_owned(), |dir| dir.display().to_string())
    }
}

/// A set in pieces of at most [`PIECE`] rows, in order.
pub(crate) fn pieces(set: &Dataset) -> impl Iterator<Item = Dataset> {
    let mut rest = Some(set.clone());
    std::iter::from_fn(move || {
        let whole = rest.take().filter(|whole| whole.rows() > 0)?;
        let (piece, others) = whole.split_at(PIECE.min(whole.rows())).ok()?;
        rest = Some(others);
        Some(piece)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model_file::CLASSES;

    #[test]
    fn pieces_are_the_whole_set_in_order() {
        for rows in [0, 1, PIECE, 2 * PIECE + 7] {
            let truth: Vec<u8> = (0..rows).map(|row| (row * row % 7) as u8).collect();
            let set = Dataset::from_u8(vec![0; rows], truth.clone(), 1, CLASSES).unwrap();
            let pieces: Vec<Dataset> = pieces(&set).collect();
            assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&piece.rows())));
            let found: Vec<u32> = pieces.iter().flat_map(Dataset::labels).collect();
            assert_eq!(found, truth.into_iter().map(u32::from).collect::<Vec<_>>());
        }
    }
}
