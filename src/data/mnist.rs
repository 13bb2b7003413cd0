//! The four MNIST files, or others laid out like them (Fashion-MNIST, KMNIST), to datasets: which files there are, which
//! belong together, what they must hold. How one file is read is `idx`'s business, where MNIST comes from is the
//! package `softreg-mnist`'s.

use super::buffer::ByteBuffer;
use super::dataset::Dataset;
use crate::data::idx::{self, format_error, io_error, show};
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// The training rows that [`read_dir`] sets aside for validation, as the classic tutorial does.
pub const VALIDATION_ROWS: usize = 5_000;

/// The classes: labels go from 0 to 9.
pub const CLASSES: usize = 10;

/// The published names of the four files (without `.gz`), in the order that [`read_files`] takes them.
pub const FILE_NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Images of handwritten digits, one row each, with their labels. Pixels stay bytes: `x()` of each dataset reads them
/// as `[0, 1]`.
#[derive(Clone, Debug)]
pub struct Mnist {
    /// The training rows that are not in `validation`, in file order. At least one.
    pub train: Dataset,
    /// The first training rows of the file. Shares its storage with `train`.
    pub validation: Dataset,
    /// The test rows, in file order.
    pub test: Dataset,
}

/// Reads the four files in `dir`, the first [`VALIDATION_ROWS`] training rows as validation: with MNIST itself 55,000
/// training, 5,000 validation and 10,000 test rows.
///
/// Each file may be raw or gzip-compressed and go by its published name (`train-images-idx3-ubyte`) or the other common
/// one (`train-images.idx3-ubyte`), with `.gz` or without; where several are there the one without `.gz` is read.
///
/// # Errors
///
/// - [`Error::Io`] if the directory or one of the files is not there or cannot be read.
/// - [`Error::Format`] as [`read_files`].
pub fn read_dir(dir: impl AsRef<Path>) -> Result<Mnist> {
    read_dir_with_validation(dir, VALIDATION_ROWS)
}

/// Reads the four files in `dir` as [`read_dir`] does, the first `validation` training rows as validation (which may
/// be 0).
///
/// # Errors
///
/// Those of [`read_dir`].
pub fn read_dir_with_validation(dir: impl AsRef<Path>, validation: usize) -> Result<Mnist> {
    let dir = dir.as_ref();
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(missing(dir, io::ErrorKind::NotADirectory, "not a directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing(dir, error.kind(), "no such directory"));
        }
        Err(error) => return Err(io_error(&dir.display().to_string(), error)),
    }
    let [train_images, train_labels, test_images, test_labels] = FILE_NAMES;
    let files = [open(dir, train_images)?, open(dir, train_labels)?, open(dir, test_images)?, open(dir, test_labels)?];
    read_files(files.each_ref().map(|(path, file)| (path.as_str(), file)), validation)
}

/// Reads the four files from readers, each raw or gzip-compressed: training images, training labels, test images, test
/// labels, each with the name that stands for it in errors. The first `validation` training rows (which may be 0)
/// become the validation set, the rest the training set; nothing is shuffled and nothing is copied.
///
/// Images have any size, the same in both sets; the features are the pixels, row by row. The test set may be empty.
///
/// Unpacking the training images takes most of the time, so that the other files are read meanwhile, on a second
/// thread (hence `Send`); where none can be started they are read afterwards. The result is that of reading them one
/// after the other, and so is the error where several files are bad. A reader's panic goes on in the caller. Where the
/// images lie in huge pages, short-lived threads have these cleared before they are filled.
///
/// # Errors
///
/// - [`Error::Io`] if a reader fails.
/// - [`Error::Format`], naming the file, if one is not an IDX file of unsigned bytes (see [`idx::read`]) or is cut
///   short, if images and labels are interchanged, if their numbers or the sizes of the images differ, if a label is
///   10 or more, or if `validation` leaves no row to train on.
pub fn read_files<R: Read + Send>(files: [(&str, R); 4], validation: usize) -> Result<Mnist> {
    let read = |(name, reader)| (name, idx::read_to(reader, name));
    let [train_images, others @ ..] = files;
    let (train_name, test_name) = (train_images.0, others[1].0);
    let (train_images, [train_labels, test_images, test_labels]) = beside(|| read(train_images), || others.map(read));
    let (train, train_size) = to_set(train_images, train_labels)?;
    let (test, test_size) = to_set(test_images, test_labels)?;

    if test_size != train_size {
        return Err(format_error(
            test_name,
            format!("images of {} pixels", show(&test_size)),
            format!("{} pixels, as in {train_name}", show(&train_size)),
        ));
    }
    if train.rows() <= validation {
        let expected = match validation {
            0 => "at least one to train on".to_owned(),
            _ => format!("more than the {validation} that are set aside for validation"),
        };
        return Err(format_error(train_name, format!("{} images", train.rows()), expected));
    }
    let (validation, train) = train.split_at(validation)?;
    Ok(Mnist { train, validation, test })
}

/// Does `here` on this thread and `there` on another meanwhile, or afterwards if no other can be started.
fn beside<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    // Work that a thread was started with is lost if the start fails, hence it stays here and the thread takes it.
    let mut there = Some(there);
    let (done_here, done_there) = thread::scope(|scope| {
        let there = &mut there;
        let other = thread::Builder::new().spawn_scoped(scope, || there.take().map(|there| there())).ok();
        let done_here = here();
        (done_here, other.and_then(|other| other.join().unwrap_or_else(|panic| resume_unwind(panic))))
    });
    (done_here, done_there.unwrap_or_else(|| there.take().expect("no thread took it")()))
}

/// What reading a file gave: its dimensions and its elements.
type Content = Result<(Vec<usize>, ByteBuffer)>;

/// Puts images and their labels together, each a file's name and content; returns the height and width of the images
/// too. A file that could not be read is an error only when its turn comes.
fn to_set(
    (images_name, images): (&str, Content),
    (labels_name, labels): (&str, Content),
) -> Result<(Dataset, [usize; 2])> {
    let (dims, pixels) = images?;
    let &[count, height, width] = dims.as_slice() else {
        return Err(wrong_rank(images_name, &dims, "images, rank 3: how many, their height, their width"));
    };
    let features = height.checked_mul(width).filter(|&features| features > 0).ok_or_else(|| {
        format_error(images_name, format!("images of {height} x {width} pixels"), "at least one pixel in each")
    })?;
    let (dims, labels) = labels?;
    if dims.len() != 1 {
        return Err(wrong_rank(labels_name, &dims, "labels, rank 1: how many"));
    }
    if labels.len() != count {
        return Err(format_error(
            labels_name,
            format!("{} labels", labels.len()),
            format!("{count}, one for each image in {images_name}"),
        ));
    }
    let set = Dataset::from_buffers(pixels, labels, features, CLASSES).map_err(|error| match error {
        Error::Label { row, label, classes } => {
            format_error(labels_name, format!("label {label} at row {row}"), format!("0 to {}", classes - 1))
        }
        other => other,
    })?;
    Ok((set, [height, width]))
}

fn wrong_rank(name: &str, dims: &[usize], expected: &str) -> Error {
    let kind = match dims.len() {
        1 => "as a file of labels has",
        3 => "as a file of images has",
        _ => "as neither images nor labels have",
    };
    format_error(name, format!("rank {} ({}), {kind}", dims.len(), show(dims)), expected)
}

/// Opens the file that goes by `name` in `dir` and returns its path, for errors, with it.
fn open(dir: &Path, name: &str) -> Result<(String, File)> {
    let dotted = name.replace("-idx", ".idx");
    let mut directory = None;
    for candidate in [name, &dotted, &format!("{name}.gz"), &format!("{dotted}.gz")] {
        let path = dir.join(candidate);
        if path.is_dir() {
            // Another of the names may still be a file's.
            directory.get_or_insert(path);
            continue;
        }
        match File::open(&path) {
            Ok(file) => return Ok((path.display().to_string(), file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&path.display().to_string(), error)),
        }
    }
    Err(match directory {
        Some(path) => missing(
            &path,
            io::ErrorKind::IsADirectory,
            "found a directory, expected a file; some copies of MNIST wrap each file in a directory of the file's own \
             name: move the file out of it",
        ),
        None => missing(&dir.join(name), io::ErrorKind::NotFound, "no such file, raw or with .gz"),
    })
}

/// What is missing, and all that should be there: whoever has to get one file may have to get the others too.
fn missing(path: &Path, kind: io::ErrorKind, found: &str) -> Error {
    let [others @ .., last] = FILE_NAMES;
    let message = format!(
        "{found}; expected a directory with the four files {} and {last}, each as it is or with .gz",
        others.join(", ")
    );
    io_error(&path.display().to_string(), io::Error::new(kind, message))
}
