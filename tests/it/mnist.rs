//! The four MNIST files: the real ones, and an error for every way in which four files do not belong together.

#![cfg(feature = "mnist")]

use flate2::{Compression, write::GzEncoder};
use softreg::mnist::{self, FILE_NAMES, Mnist};
use softreg::{Dataset, Error, Result};
use std::fs;
use std::io::{self, Read, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// The labels of a dataset, from its one-hot rows.
fn labels(data: &Dataset) -> Vec<usize> {
    data.one_hot().chunks_exact(10).map(|row| row.iter().position(|&hot| hot == 1.0).unwrap()).collect()
}

fn histogram(data: &Dataset) -> [usize; 10] {
    labels(data).into_iter().fold([0; 10], |mut counts, label| {
        counts[label] += 1;
        counts
    })
}

/// The sum of all pixels as bytes.
fn ink(data: &Dataset) -> u64 {
    data.to_f32().iter().map(|value| (value * 255.0 + 0.5) as u64).sum()
}

#[test]
fn the_real_files_in_file_order() {
    let data = mnist::read_files(softreg_mnist::FILES, 0).unwrap();
    assert_eq!((data.train.rows(), data.validation.rows(), data.test.rows()), (60_000, 0, 10_000));
    for set in [&data.train, &data.validation, &data.test] {
        assert_eq!((set.features(), set.classes()), (784, 10));
    }
    assert_eq!(labels(&data.train)[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(labels(&data.test)[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    // Counted apart from this code.
    assert_eq!(histogram(&data.train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    assert_eq!(histogram(&data.test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!((ink(&data.train), ink(&data.test)), (1_567_298_545, 264_923_200));
}

#[test]
fn validation_is_the_first_training_rows() {
    let whole = mnist::read_files(softreg_mnist::FILES, 0).unwrap();
    let data = mnist::read_files(softreg_mnist::FILES, mnist::VALIDATION_ROWS).unwrap();
    assert_eq!((data.train.rows(), data.validation.rows(), data.test.rows()), (55_000, 5_000, 10_000));
    assert_eq!([labels(&data.validation), labels(&data.train)].concat(), labels(&whole.train));
    assert_eq!(ink(&data.validation) + ink(&data.train), ink(&whole.train));
    assert_eq!(labels(&data.train)[..5], [7, 3, 4, 6, 1]);
}

fn file(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let dims_bytes = dims.iter().flat_map(|dim| dim.to_be_bytes());
    [0, 0, 8, dims.len() as u8].into_iter().chain(dims_bytes).chain(data.iter().copied()).collect()
}

/// `rows` images of 2 x 3 pixels, none like the other.
fn images(rows: u8) -> Vec<u8> {
    file(&[rows.into(), 2, 3], &(0..6 * rows).collect::<Vec<_>>())
}

fn label_file(labels: &[u8]) -> Vec<u8> {
    file(&[labels.len() as u32], labels)
}

/// Four files that belong together: 4 training rows and 2 test rows.
fn good() -> [Vec<u8>; 4] {
    [images(4), label_file(&[3, 1, 4, 1]), images(2), label_file(&[5, 9])]
}

fn read(files: &[Vec<u8>; 4], validation: usize) -> Result<Mnist> {
    let [train_images, train_labels, test_images, test_labels] = files.each_ref().map(Vec::as_slice);
    let files = [("a", train_images), ("b", train_labels), ("c", test_images), ("d", test_labels)];
    mnist::read_files(files, validation)
}

#[test]
fn images_of_another_size_are_read_too() {
    let data = read(&good(), 1).unwrap();
    assert_eq!(
        (labels(&data.validation), labels(&data.train), labels(&data.test)),
        (vec![3], vec![1, 4, 1], vec![5, 9])
    );
    assert_eq!((data.train.features(), data.test.features()), (6, 6));
    assert_eq!(data.train.to_f32()[..6], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0].map(|pixel: f32| pixel / 255.0));
}

/// Checks the error for the good files with the one at `at` replaced.
#[track_caller]
fn assert_rejected(at: usize, bytes: Vec<u8>, validation: usize, message: &str) {
    let mut files = good();
    files[at] = bytes;
    let error = read(&files, validation).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error:?}");
    assert_eq!(error.to_string(), message);
}

#[test]
fn images_and_labels_interchanged() {
    let expected_images = "expected images, rank 3: how many, their height, their width";
    let expected_labels = "expected labels, rank 1: how many";
    let message = |name, found, expected| format!("{name}: found {found}, {expected}");
    let as_labels = |rows| format!("rank 1 ({rows}), as a file of labels has");
    let as_images = |rows| format!("rank 3 ({rows} x 2 x 3), as a file of images has");
    assert_rejected(0, label_file(&[1; 4]), 0, &message("a", as_labels(4), expected_images));
    assert_rejected(1, images(4), 0, &message("b", as_images(4), expected_labels));
    assert_rejected(2, label_file(&[1; 2]), 0, &message("c", as_labels(2), expected_images));
    assert_rejected(3, images(2), 0, &message("d", as_images(2), expected_labels));

    let rank_2 = "rank 2 (4 x 6), as neither images nor labels have".to_owned();
    assert_rejected(0, file(&[4, 6], &[0; 24]), 0, &message("a", rank_2.clone(), expected_images));
    assert_rejected(1, file(&[4, 6], &[0; 24]), 0, &message("b", rank_2, expected_labels));
}

#[test]
fn counts_that_disagree() {
    assert_rejected(1, label_file(&[1; 3]), 0, "b: found 3 labels, expected 4, one for each image in a");
    assert_rejected(3, label_file(&[1; 3]), 0, "d: found 3 labels, expected 2, one for each image in c");
}

#[test]
fn labels_out_of_range() {
    let gap = "expected 0 to 9, or every label up to the largest in some row";
    assert_rejected(1, label_file(&[0, 9, 10, 11]), 0, &format!("b: found label 10 at row 2, {gap}"));
    assert_rejected(3, label_file(&[0, 255]), 0, "d: found label 255 at row 1, expected 0 to 9");
}

#[test]
fn image_sizes_that_differ_or_are_empty() {
    let turned = file(&[2, 3, 2], &[0; 12]);
    assert_rejected(2, turned, 0, "c: found images of 3 x 2 pixels, expected 2 x 3 pixels, as in a");
    let flat = file(&[4, 0, 3], &[]);
    assert_rejected(0, flat, 0, "a: found images of 0 x 3 pixels, expected at least one pixel in each");
}

#[test]
fn something_must_be_left_to_train_on() {
    assert_eq!(read(&good(), 3).unwrap().train.rows(), 1);
    for validation in [4, 5, usize::MAX] {
        let message =
            format!("a: found 4 images, expected more than the {validation} that are set aside for validation");
        assert_rejected(0, images(4), validation, &message);
    }
    let [_, _, test_images, test_labels] = good();
    let error = read(&[images(0), label_file(&[]), test_images, test_labels], 0).unwrap_err();
    assert_eq!(error.to_string(), "a: found 0 images, expected at least one to train on");
}

#[test]
fn an_empty_test_set_is_a_test_set() {
    let [train_images, train_labels, ..] = good();
    let data = read(&[train_images, train_labels, images(0), label_file(&[])], 0).unwrap();
    assert_eq!((data.train.rows(), data.test.rows()), (4, 0));
}

#[test]
fn a_broken_file_is_named() {
    let [_, labels, ..] = good();
    let cut = labels[..10].to_vec();
    assert_rejected(
        1,
        cut,
        0,
        "b: found 2 elements, then the end of the file, expected 4 elements; the file is cut short, get it again",
    );
}

/// A reader that is not read before another one has been dropped: that is, read to its end or left at an error.
struct Held {
    content: io::Cursor<Vec<u8>>,
    until: Option<Receiver<()>>,
    /// Whoever waits for this reader learns of its end by losing the sender.
    _sender: Option<Sender<()>>,
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wait = self.until.take().map(|until| until.recv_timeout(Duration::from_secs(20)));
        if wait == Some(Err(RecvTimeoutError::Timeout)) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the other reader was not read meanwhile"));
        }
        self.content.read(buffer)
    }
}

/// Reads the files with the one at `held` waiting for the one at `until`.
fn read_held(files: [Vec<u8>; 4], held: usize, until: usize) -> Result<Mnist> {
    let (sender, receiver) = mpsc::channel();
    let (mut sender, mut receiver) = (Some(sender), Some(receiver));
    let mut place = 0..;
    let readers = files.map(|content| {
        let place = place.next();
        let until_other = if place == Some(held) { receiver.take() } else { None };
        let sender = if place == Some(until) { sender.take() } else { None };
        Held { content: io::Cursor::new(content), until: until_other, _sender: sender }
    });
    let [train_images, train_labels, test_images, test_labels] = readers;
    mnist::read_files([("a", train_images), ("b", train_labels), ("c", test_images), ("d", test_labels)], 0)
}

#[test]
fn the_other_files_are_read_beside_the_training_images() {
    for (held, until) in [(0, 3), (1, 0)] {
        let data = read_held(good(), held, until).unwrap();
        assert_eq!((labels(&data.train), labels(&data.test)), (vec![3, 1, 4, 1], vec![5, 9]));
    }
}

#[test]
fn of_two_bad_files_the_first_is_reported_whichever_was_read_first() {
    let cut = |files: &mut [Vec<u8>; 4], at: usize| files[at].truncate(9);
    for first in 0..4 {
        for second in first + 1..4 {
            let mut files = good();
            cut(&mut files, first);
            let expected = read(&files, 0).unwrap_err().to_string();
            assert!(expected.starts_with(["a: ", "b: ", "c: ", "d: "][first]), "{expected}");
            cut(&mut files, second);
            for (held, until) in [(0, 3), (1, 0)] {
                assert_eq!(read_held(files.clone(), held, until).unwrap_err().to_string(), expected);
            }
        }
    }
    // What labels say comes before the test set too, though they were read together.
    let [train_images, _, test_images, _] = good();
    let files = [train_images, label_file(&[1, 10, 1, 1]), test_images, Vec::new()];
    for (held, until) in [(0, 3), (1, 0)] {
        let message = read_held(files.clone(), held, until).unwrap_err().to_string();
        assert!(message.starts_with("b: found label 10 at row 1, expected 0 to 9, or"), "{message}");
    }
}

#[test]
fn a_readers_panic_goes_on_in_the_caller() {
    struct Panics(bool, io::Cursor<Vec<u8>>);

    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.0, "the reader's own panic");
            self.1.read(buffer)
        }
    }

    for bad in 0..4 {
        let mut place = 0..;
        let [a, b, c, d] = good().map(|content| Panics(place.next() == Some(bad), io::Cursor::new(content)));
        let panic = catch_unwind(|| mnist::read_files([("a", a), ("b", b), ("c", c), ("d", d)], 0)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the reader's own panic"));
    }
}

/// Images of more than a huge page.
#[test]
fn large_images_are_the_bytes_of_their_file() {
    let pixels: Vec<u8> = (0..3 << 20).map(|at: u32| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let raw = file(&[3 << 10, 32, 32], &pixels);
    let values: Vec<f32> = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    for images in [gz(&raw), raw] {
        let labels = label_file(&[7; 3 << 10]);
        let data = read(&[images.clone(), labels.clone(), images, labels], 0).unwrap();
        assert!(data.train.to_f32() == values && data.test.to_f32() == values);
    }
}

#[test]
fn large_images_that_are_not_there_are_an_error() {
    let message = "a: found 10 elements, then the end of the file, expected 1073741824 elements; the file is cut \
                   short, get it again";
    assert_rejected(0, file(&[1 << 20, 32, 32], &[1; 10]), 0, message);
    assert_rejected(0, gz(&file(&[1 << 20, 32, 32], &[1; 10])), 0, message);
}

/// A new empty directory.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_directory_is_read_under_all_common_names() {
    for (number, (change, packed)) in
        [("-idx", false), (".idx", false), ("-idx", true), (".idx", true)].into_iter().enumerate()
    {
        let dir = directory(&format!("mnist-names-{number}"));
        for (name, content) in FILE_NAMES.iter().zip(good()) {
            let name = name.replace("-idx", change) + if packed { ".gz" } else { "" };
            fs::write(dir.join(name), if packed { gz(&content) } else { content }).unwrap();
        }
        let data = mnist::read_dir_with_validation(&dir, 1).unwrap();
        assert_eq!((labels(&data.validation), labels(&data.train)), (vec![3], vec![1, 4, 1]));
        assert_eq!(labels(&data.test), [5, 9]);
    }
}

#[test]
fn read_dir_sets_5000_rows_aside() {
    let dir = directory("mnist-real");
    for (name, content) in softreg_mnist::FILES {
        fs::write(dir.join(name), content).unwrap();
    }
    let data = mnist::read_dir(&dir).unwrap();
    assert_eq!((data.train.rows(), data.validation.rows(), data.test.rows()), (55_000, 5_000, 10_000));
}

#[test]
fn a_directory_of_a_files_name_is_passed_over() {
    let dir = directory("mnist-wrapped");
    for (name, content) in FILE_NAMES.iter().zip(good()) {
        fs::create_dir(dir.join(name)).unwrap();
        fs::write(dir.join(name.replace("-idx", ".idx")), content).unwrap();
    }
    assert_eq!(mnist::read_dir_with_validation(&dir, 0).unwrap().train.rows(), 4);
}

/// Copies of MNIST that wrap each file in a directory of the file's own name.
#[test]
fn a_file_may_lie_in_a_directory_of_its_own_name() {
    for (number, change) in ["", ".gz"].into_iter().enumerate() {
        let dir = directory(&format!("mnist-wrapped-{number}"));
        for (name, content) in FILE_NAMES.iter().zip(good()) {
            let wrapper = dir.join(format!("{name}{change}"));
            fs::create_dir(&wrapper).unwrap();
            let error = mnist::read_dir_with_validation(&dir, 0).unwrap_err();
            let found = "found a directory without a file of its own name in it, expected a file";
            assert_missing(&error, &wrapper, io::ErrorKind::IsADirectory, found);
            fs::write(wrapper.join(name), &content).unwrap();
        }
        assert_eq!(mnist::read_dir_with_validation(&dir, 0).unwrap().train.rows(), 4);
    }
}

const FOUR_FILES: &str = "expected a directory with the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, \
                          t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each as it is or with .gz";

#[track_caller]
fn assert_missing(error: &Error, path: &Path, kind: io::ErrorKind, found: &str) {
    let Error::Io { file, source } = error else { panic!("{error:?}") };
    assert_eq!((file, source.kind()), (&path.display().to_string(), kind));
    assert_eq!(error.to_string(), format!("{}: {found}; {FOUR_FILES}", path.display()));
}

#[test]
fn what_is_missing_and_what_is_expected_is_said() {
    let dir = directory("mnist-missing");
    for (name, content) in FILE_NAMES.iter().zip(good()) {
        let error = mnist::read_dir(&dir).unwrap_err();
        assert_missing(&error, &dir.join(name), io::ErrorKind::NotFound, "no such file, raw or with .gz");
        fs::write(dir.join(name), content).unwrap();
    }
    let error = mnist::read_dir(dir.join("no")).unwrap_err();
    assert_missing(&error, &dir.join("no"), io::ErrorKind::NotFound, "no such directory");
    let path = dir.join(FILE_NAMES[0]);
    let error = mnist::read_dir(&path).unwrap_err();
    assert_missing(&error, &path, io::ErrorKind::NotADirectory, "not a directory");

    let error = mnist::read_dir(&dir).unwrap_err();
    let expected = "found 4 images, expected more than the 5000 that are set aside for validation";
    assert_eq!(error.to_string(), format!("{}: {expected}", path.display()));
}
