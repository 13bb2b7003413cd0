//! Sets of images laid out like MNIST under their own names: EMNIST's prefixes, QMNIST's labels, torchvision's
//! directories; labels from 1, and images stored by columns.
#![cfg(feature = "mnist")]

use softreg::mnist::{Mnist, Reader};
use softreg::{Error, Result, idx};
use std::fs;
use std::path::{Path, PathBuf};

/// A new empty directory.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("image-sets-{name}"));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn file(element: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let dims_bytes = dims.iter().flat_map(|dim| dim.to_be_bytes());
    [0, 0, element, dims.len() as u8].into_iter().chain(dims_bytes).chain(data.iter().copied()).collect()
}

/// Images of 2 x 3 pixels that begin with their label.
fn images(labels: &[u8]) -> Vec<u8> {
    let pixels: Vec<u8> = labels.iter().flat_map(|&label| [label, 1, 2, 3, 4, 5]).collect();
    file(8, &[labels.len() as u32, 2, 3], &pixels)
}

fn bytes(labels: &[u8]) -> Vec<u8> {
    file(8, &[labels.len() as u32], labels)
}

/// Labels as QMNIST has them: the first of eight numbers.
fn rows_of_eight(labels: &[u8]) -> Vec<u8> {
    let data: Vec<u8> = labels
        .iter()
        .flat_map(|&label| (0..8).flat_map(move |i| (i32::from(label) + 1000 * i).to_be_bytes()))
        .collect();
    file(12, &[labels.len() as u32, 8], &data)
}

/// Writes a set whose test images are the last two of the training images.
fn write(dir: &Path, names: [&str; 4], labels: &[u8], encode: fn(&[u8]) -> Vec<u8>) {
    let test = &labels[labels.len() - 2..];
    let contents = [images(labels), encode(labels), images(test), encode(test)];
    for (name, content) in names.iter().zip(contents) {
        fs::write(dir.join(name), content).unwrap();
    }
}

const EMNIST: [&str; 4] = [
    "emnist-letters-train-images-idx3-ubyte",
    "emnist-letters-train-labels-idx1-ubyte",
    "emnist-letters-test-images-idx3-ubyte",
    "emnist-letters-test-labels-idx1-ubyte",
];
const QMNIST: [&str; 4] = [
    "qmnist-train-images-idx3-ubyte",
    "qmnist-train-labels-idx2-int",
    "qmnist-test-images-idx3-ubyte",
    "qmnist-test-labels-idx2-int",
];
const PLAIN: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn up_to(last: u8) -> Vec<u8> {
    (1..=last).chain([3, 7]).collect()
}

fn read(dir: impl AsRef<Path>) -> Result<Mnist> {
    Reader::new().read_dir(dir)
}

fn message(result: Result<Mnist>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn letters_count_from_1() {
    let dir = directory("letters");
    write(&dir, EMNIST, &up_to(26), bytes);
    let data = read(&dir).unwrap();
    assert_eq!((data.first_label, data.train.classes(), data.image), (1, 26, [2, 3]));
    assert!(data.train.labels().into_iter().eq(up_to(26).into_iter().map(|label| u32::from(label) - 1)));
    assert_eq!(data.test.labels(), [2, 6]);
    // Asked for, or with a 0 among the labels, they count from 0.
    let data = Reader::new().first_label(0).read_dir(&dir).unwrap();
    assert_eq!((data.first_label, data.train.classes(), data.test.labels()), (0, 27, vec![3, 7]));
    write(&dir, EMNIST, &[&[0], &up_to(26)[..]].concat(), bytes);
    assert_eq!(read(&dir).unwrap().first_label, 0);
    write(&dir, EMNIST, &up_to(26), bytes);
    fs::write(dir.join(EMNIST[3]), bytes(&[0, 7])).unwrap();
    assert_eq!(read(&dir).unwrap().first_label, 0, "a 0 in the test file");
    // Nine digits without a 0 are digits.
    write(&dir, EMNIST, &up_to(9), bytes);
    let data = read(&dir).unwrap();
    assert_eq!((data.first_label, data.train.classes()), (0, 10));
    let data = Reader::new().first_label(1).read_dir(&dir).unwrap();
    assert_eq!((data.first_label, data.train.classes()), (1, 9));
    let refused = message(Reader::new().first_label(2).read_dir(&dir));
    assert!(refused.contains("label 1 at row 0, expected 2 to 9"), "{refused}");
}

#[test]
fn labels_of_the_test_file_are_those_of_the_training_file() {
    let dir = directory("beyond");
    write(&dir, EMNIST, &up_to(12), bytes);
    fs::write(dir.join(EMNIST[3]), bytes(&[2, 13])).unwrap();
    let refused = message(read(&dir));
    assert!(refused.contains(EMNIST[3]) && refused.contains("label 13 at row 1, expected 1 to 12"), "{refused}");
}

#[test]
fn the_first_of_eight_numbers_is_qmnists_label() {
    let dir = directory("qmnist");
    write(&dir, QMNIST, &[0, 4, 9, 3], rows_of_eight);
    let data = read(&dir).unwrap();
    assert_eq!((data.train.labels(), data.test.labels(), data.train.classes()), (vec![0, 4, 9, 3], vec![9, 3], 10));
}

#[test]
fn labels_of_every_integer_type_are_read() {
    let read = |element, data: &[u8], count| idx::read_labels(&file(element, &[count], data)[..], "y").unwrap();
    assert_eq!(read(8, &[0, 200], 2), [0, 200]);
    assert_eq!(read(9, &[0, 200], 2), [0, -56]);
    assert_eq!(read(11, &[1, 0, 255, 255], 2), [256, -1]);
    assert_eq!(read(12, &[0, 1, 0, 0, 255, 255, 255, 254], 2), [65_536, -2]);
    assert!(read(12, &[], 0).is_empty());
    let eight = idx::read_labels(&rows_of_eight(&[7, 1])[..], "y").unwrap();
    assert_eq!(eight, [7, 1]);
    for (element, dims, found) in [
        (13, &[1][..], "elements of type 0x0d (32-bit floats)"),
        (8, &[1, 8], "rank 2 (1 x 8)"),
        (12, &[1, 0], "rank 2 (1 x 0)"),
        (12, &[1, 1, 1], "rank 3 (1 x 1 x 1), as a file of images has"),
    ] {
        let size = dims.iter().product::<u32>() as usize * if element == 8 { 1 } else { 4 };
        let refused = idx::read_labels(&file(element, dims, &vec![0; size])[..], "y").unwrap_err();
        assert!(matches!(refused, Error::Format { .. }) && refused.to_string().contains(found), "{refused}");
    }
    // Four bytes are one number: half of them are missing.
    let cut = idx::read_labels(&file(12, &[2], &[0; 6])[..], "y").unwrap_err().to_string();
    assert!(cut.contains("found 1 elements, then the end of the file, expected 2 elements"), "{cut}");
}

#[test]
fn of_several_sets_one_is_named() {
    let dir = directory("several");
    write(&dir, EMNIST, &up_to(26), bytes);
    write(&dir, QMNIST, &[5, 1], rows_of_eight);
    let refused = message(read(&dir));
    assert!(refused.contains("found several data sets: emnist-letters, qmnist, expected one; name it"), "{refused}");
    assert_eq!(read(dir.join("emnist-letters")).unwrap().train.classes(), 26);
    assert_eq!(read(dir.join("qmnist")).unwrap().train.labels(), [5, 1]);
    assert!(message(read(dir.join("emnist-digits"))).contains("no such directory"));
    // MNIST's own names come before all others.
    write(&dir, PLAIN, &[8, 2], bytes);
    assert_eq!(read(&dir).unwrap().train.labels(), [8, 2]);
    // Of a set that lacks a file, that file is named.
    let dir = directory("lacking");
    write(&dir, EMNIST, &up_to(26), bytes);
    fs::remove_file(dir.join(EMNIST[2])).unwrap();
    let refused = message(read(&dir));
    assert!(refused.contains(EMNIST[2]) && refused.contains("no such file"), "{refused}");
}

#[test]
fn torchvisions_root_is_looked_through() {
    let dir = directory("torchvision");
    let raw = dir.join("FashionMNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    write(&raw, PLAIN, &[6, 2], bytes);
    for root in [dir.clone(), dir.join("FashionMNIST"), raw] {
        assert_eq!(read(root).unwrap().train.labels(), [6, 2]);
    }
    let raw = dir.join("MNIST/raw");
    fs::create_dir_all(&raw).unwrap();
    write(&raw, PLAIN, &[1, 2], bytes);
    assert!(message(read(&dir)).contains("several data sets"), "two roots");
    assert_eq!(read(dir.join("MNIST")).unwrap().train.labels(), [1, 2]);
}

#[test]
fn columns_become_rows() {
    let dir = directory("transpose");
    write(&dir, PLAIN, &[9, 7], bytes);
    let data = Reader::new().transpose(true).validation(1).read_dir(&dir).unwrap();
    assert_eq!((data.image, data.validation.labels(), data.train.labels()), ([3, 2], vec![9], vec![7]));
    let pixels = |values: Vec<f32>| values.into_iter().map(|value| (value * 255.0).round() as u8).collect::<Vec<_>>();
    // By rows 7 1 2 and 3 4 5.
    assert_eq!(pixels(data.train.to_f32()), [7, 3, 1, 4, 2, 5]);
    assert_eq!(pixels(data.validation.to_f32()), [9, 3, 1, 4, 2, 5]);
    assert_eq!(pixels(data.test.to_f32()), [9, 3, 1, 4, 2, 5, 7, 3, 1, 4, 2, 5]);
}

#[test]
fn what_the_name_says_of_compression_is_not_asked() {
    let dir = directory("raw-gz");
    write(&dir, PLAIN.map(|name| format!("{name}.gz")).each_ref().map(String::as_str), &[6, 2], bytes);
    assert_eq!(read(&dir).unwrap().train.labels(), [6, 2]);
    // Of both, the one without it is read; and the dash before the dot.
    write(&dir, PLAIN.map(|name| name.replace("-idx", ".idx")).each_ref().map(String::as_str), &[5, 4], bytes);
    assert_eq!(read(&dir).unwrap().train.labels(), [5, 4]);
    write(&dir, PLAIN, &[3, 4], bytes);
    assert_eq!(read(&dir).unwrap().train.labels(), [3, 4]);
}
