//! The four MNIST files, or others laid out like them (EMNIST, Fashion-MNIST, KMNIST, QMNIST), to datasets: which belong
//! together, what they must hold. Which files of a directory they are is in `files`; how one is read is `idx`'s business,
//! where MNIST comes from is the package `softreg-mnist`'s.

mod files;

use super::buffer::Buffer;
use super::dataset::Dataset;
use crate::data::idx::{self, LabelElements, format_error, show, wrong_rank};
use crate::error::Result;
use crate::memory;
use std::io::Read;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// The training rows that [`read_dir`] sets aside for validation, as the classic tutorial does.
pub const VALIDATION_ROWS: usize = 5_000;

/// The classes of MNIST, and the least of any set: labels from 0 to 9.
pub const CLASSES: usize = 10;

/// The published names of the four files (without `.gz`), in the order that [`read_files`] takes them.
pub const FILE_NAMES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Images, one row each, with their labels. Pixels stay bytes: `x()` of each dataset reads them as `[0, 1]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mnist {
    /// The training rows that are not in `validation`, in file order. At least one.
    pub train: Dataset,
    /// The first training rows of the file. Shares its storage with `train`.
    pub validation: Dataset,
    /// The test rows, in file order.
    pub test: Dataset,
    /// Height and width of the images, in pixels.
    pub image: [usize; 2],
    /// The label of the files that is class 0.
    pub first_label: u8,
}

/// How four files are read that need not be MNIST's. [`read_dir`] and [`read_files`] read by the defaults.
///
/// There are as many classes as labels from the first to the largest of the training file, and of labels from 0 at least
/// [`CLASSES`].
///
/// ```no_run
/// use softreg::mnist::Reader;
///
/// let letters = Reader::new().validation(10_000).transpose(true).read_dir("gzip/emnist-letters")?;
/// assert_eq!((letters.first_label, letters.train.classes()), (1, 26));
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reader {
    validation: usize,
    first_label: Option<u8>,
    transpose: bool,
}

impl Reader {
    /// A reader that sets nothing aside and takes images as they are.
    #[must_use]
    pub const fn new() -> Self {
        Self { validation: 0, first_label: None, transpose: false }
    }

    /// Makes the first `rows` training rows the validation set.
    #[must_use]
    pub const fn validation(self, rows: usize) -> Self {
        Self { validation: rows, ..self }
    }

    /// The label that becomes class 0. Without it, it is 1 where both files have labels from 1 on, none of them 0, and the
    /// training file has all to the largest and that is 10 or more, as in EMNIST's letters; otherwise 0.
    #[must_use]
    pub const fn first_label(self, label: u8) -> Self {
        Self { first_label: Some(label), ..self }
    }

    /// Turns rows into columns, for images that are stored column by column, as EMNIST's are.
    #[must_use]
    pub const fn transpose(self, transpose: bool) -> Self {
        Self { transpose, ..self }
    }

    /// Reads the four files in a directory; see [`read_dir`].
    ///
    /// # Errors
    ///
    /// Those of [`read_dir`].
    pub fn read_dir(&self, dir: impl AsRef<Path>) -> Result<Mnist> {
        let files = files::open(dir.as_ref())?;
        self.read_files(files.each_ref().map(|(path, file)| (path.as_str(), file)))
    }

    /// Reads the four files from readers; see [`read_files`].
    ///
    /// # Errors
    ///
    /// Those of [`read_files`].
    pub fn read_files<R: Read + Send>(&self, files: [(&str, R); 4]) -> Result<Mnist> {
        let [train_images, train_labels, test_images, test_labels] = files;
        let names = [train_images.0, train_labels.0, test_images.0, test_labels.0];
        let images = |(name, reader): (&str, R)| idx::read_to(reader, name);
        let labels = |(name, reader): (&str, R)| idx::read_label_elements(reader, name);
        let (train_images, (train_labels, test_images, test_labels)) =
            beside(|| images(train_images), || (labels(train_labels), images(test_images), labels(test_labels)));
        let mut train = Set::check([names[0], names[1]], train_images, train_labels)?;
        train.check_gaps()?;
        let mut test = Set::check([names[2], names[3]], test_images, test_labels)?;
        if test.image != train.image {
            return Err(format_error(
                test.names[0],
                format!("images of {} pixels", show(&test.image)),
                format!("{} pixels, as in {}", show(&train.image), train.names[0]),
            ));
        }
        let rows = train.labels.len();
        if rows <= self.validation {
            let expected = match self.validation {
                0 => "at least one to train on".to_owned(),
                validation => format!("more than the {validation} that are set aside for validation"),
            };
            return Err(format_error(train.names[0], format!("{rows} images"), expected));
        }
        let first = self.first_label.unwrap_or_else(|| guess_first(&train.labels, &test.labels));
        let least = if first == 0 { CLASSES as i32 } else { 1 };
        let end = train.labels.iter().max().unwrap_or(0).saturating_add(1).max(i32::from(first) + least);
        if self.transpose {
            train.transpose();
            test.transpose();
        }
        let [height, width] = train.image;
        let image = if self.transpose { [width, height] } else { [height, width] };
        let (validation, train) = train.into_dataset(first, end)?.split_at(self.validation)?;
        Ok(Mnist { train, validation, test: test.into_dataset(first, end)?, image, first_label: first })
    }
}

/// Reads the four files in `dir`, the first [`VALIDATION_ROWS`] training rows as validation: with MNIST itself 55,000
/// training, 5,000 validation and 10,000 test rows.
///
/// Each file may be raw or gzip-compressed and go by its published name (`train-images-idx3-ubyte`) or the other common
/// one (`train-images.idx3-ubyte`), with `.gz` or without, whichever it is; where several are there the one without `.gz`
/// is read. A directory of the file's own name with the file in it is as good.
///
/// The names may have a prefix, such as EMNIST's `emnist-letters-` or `qmnist-`. Where files of several prefixes are
/// there, the path takes one at its end, as in `gzip/emnist-letters`. The directory may be torchvision's root too, with
/// the files in `MNIST/raw`.
///
/// # Errors
///
/// - [`Error::Io`](crate::Error::Io) if the directory or one of the files is not there or cannot be read.
/// - [`Error::Format`](crate::Error::Format) as [`read_files`], and if there are several sets to choose from.
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
    Reader::new().validation(validation).read_dir(dir)
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
/// - [`Error::Io`](crate::Error::Io) if a reader fails.
/// - [`Error::Format`](crate::Error::Format), naming the file, if images are not an IDX file of unsigned bytes (see
///   [`idx::read`]) or labels not one of integers ([`idx::read_labels`]), if one is cut short, if images and labels are
///   interchanged, if their numbers or the sizes of the images differ, if `validation` leaves no row to train on; for a
///   label of 10 or more where the training labels lack a smaller one, which is more likely damage, and for a test label
///   beyond all training labels.
pub fn read_files<R: Read + Send>(files: [(&str, R); 4], validation: usize) -> Result<Mnist> {
    Reader::new().validation(validation).read_files(files)
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

/// Images with a label each, as their files have them.
struct Set<'a> {
    /// What stands for the files in errors.
    names: [&'a str; 2],
    image: [usize; 2],
    pixels: Buffer<u8>,
    labels: LabelElements,
}

impl<'a> Set<'a> {
    /// Puts images and labels together. A file that could not be read is an error only when its turn comes.
    fn check(
        names: [&'a str; 2],
        images: Result<(Vec<usize>, Buffer<u8>)>,
        labels: Result<LabelElements>,
    ) -> Result<Self> {
        let (dims, pixels) = images?;
        let &[count, height, width] = dims.as_slice() else {
            return Err(wrong_rank(names[0], &dims, "images, rank 3: how many, their height, their width"));
        };
        if height.checked_mul(width).is_none_or(|features| features == 0) {
            let found = format!("images of {height} x {width} pixels");
            return Err(format_error(names[0], found, "at least one pixel in each"));
        }
        let labels = labels?;
        if labels.len() != count {
            return Err(format_error(
                names[1],
                format!("{} labels", labels.len()),
                format!("{count}, one for each image in {}", names[0]),
            ));
        }
        Ok(Self { names, image: [height, width], pixels, labels })
    }

    /// Refuses a label of more than one digit where a smaller one is not there: damage would look like that.
    fn check_gaps(&self) -> Result<()> {
        let mut seen = [false; 256];
        for label in self.labels.iter() {
            if let Ok(label) = u8::try_from(label) {
                seen[usize::from(label)] = true;
            }
        }
        // Below 10 some may well be missing, and 0 where labels count from 1.
        let end = (1..256).find(|&label| !seen[label]).unwrap_or(256).max(CLASSES) as i32;
        self.labels_below(0, end, "or every label up to the largest in some row")
    }

    /// Refuses labels that are not from `first` to `end`, which is excluded.
    fn labels_below(&self, first: u8, end: i32, otherwise: &str) -> Result<()> {
        let known = i32::from(first)..end;
        match self.labels.iter().enumerate().find(|(_, label)| !known.contains(label)) {
            None => Ok(()),
            Some((row, label)) => Err(format_error(
                self.names[1],
                format!("label {label} at row {row}"),
                format!("{first} to {}{}{otherwise}", end - 1, if otherwise.is_empty() { "" } else { ", " }),
            )),
        }
    }

    fn transpose(&mut self) {
        let [height, width] = self.image;
        // Without images, their size is only the header's word.
        let mut turned = vec![0; if self.pixels.is_empty() { 0 } else { height * width }];
        for image in self.pixels.chunks_exact_mut(height * width) {
            for (at, pixel) in turned.iter_mut().enumerate() {
                *pixel = image[at % height * width + at / height];
            }
            image.copy_from_slice(&turned);
        }
    }

    /// The dataset whose class 0 is `first`, with the labels below `end`.
    fn into_dataset(self, first: u8, end: i32) -> Result<Dataset> {
        self.labels_below(first, end, "")?;
        let [height, width] = self.image;
        let classes = end - i32::from(first);
        let labels = match self.labels.into_bytes() {
            Ok(bytes) if first == 0 => bytes,
            Ok(mut bytes) => {
                bytes.iter_mut().for_each(|label| *label -= first);
                bytes
            }
            Err(labels) => {
                let mut bytes = memory::with_capacity("labels", labels.len())?;
                bytes.extend(labels.iter().map(|label| (label - i32::from(first)) as u8));
                bytes
            }
        };
        Dataset::from_buffers(self.pixels, labels.into(), height * width, classes as usize)
    }
}

/// 1 where the labels leave no doubt that they count from there, otherwise 0.
fn guess_first(train: &LabelElements, test: &LabelElements) -> u8 {
    let starts_at_1 = |labels: &LabelElements| labels.iter().min().is_none_or(|least| least >= 1);
    // That none is missing in between is checked already.
    let is_long = train.iter().max() >= Some(CLASSES as i32);
    u8::from(starts_at_1(train) && starts_at_1(test) && is_long)
}
