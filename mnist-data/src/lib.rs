//! The four original MNIST files as bytes in the binary, and the digests of what they unpack to. Nothing here unpacks or
//! parses them: `softreg::mnist::read_files(softreg_mnist::FILES, 5_000)` does. The bytes themselves lie in
//! `softreg-mnist-train` and `softreg-mnist-test`.
//!
//! The data is by Yann LeCun and Corinna Cortes and licensed under CC BY-SA 3.0; see this package's README.

#![no_std]
#![forbid(unsafe_code)]

/// The original gzip files, each as its published name and its bytes: training images, training labels, test images,
/// test labels.
pub static FILES: [(&str, &[u8]); 4] = [
    softreg_mnist_train::FILES[0],
    softreg_mnist_train::FILES[1],
    softreg_mnist_test::FILES[0],
    softreg_mnist_test::FILES[1],
];

/// SHA-256 of each file as it is after unpacking, in lower-case hexadecimal, in the order of [`FILES`].
///
/// It is the unpacked content that is digested because the same content is around in several gzip wrappings.
pub static SHA256: [&str; 4] = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
];

/// The README's example, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
