//! MNIST's training images with their labels, as bytes in the binary. Half of the package `softreg-mnist`, which
//! has all four files; it is cut in two because no registry takes a package of more than 10 MiB.
//!
//! The data is by Yann LeCun and Corinna Cortes and licensed under CC BY-SA 3.0; see this package's README.

#![no_std]
#![forbid(unsafe_code)]

/// The original gzip files, each as its published name and its bytes: the images, the labels.
pub static FILES: [(&str, &[u8]); 2] = [
    ("train-images-idx3-ubyte.gz", include_bytes!("../data/train-images-idx3-ubyte.gz")),
    ("train-labels-idx1-ubyte.gz", include_bytes!("../data/train-labels-idx1-ubyte.gz")),
];
