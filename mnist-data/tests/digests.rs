//! The embedded files are MNIST, to the last bit: each is unpacked and its digest compared.

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use softreg_mnist::{FILES, SHA256};
use std::io::Read;

fn hex_digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_digest_function_is_sha256() {
    assert_eq!(hex_digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn every_file_unpacks_to_its_digest_and_length() {
    let lengths = [16 + 60_000 * 28 * 28, 8 + 60_000, 16 + 10_000 * 28 * 28, 8 + 10_000];
    for (((name, gz), digest), length) in FILES.iter().zip(SHA256).zip(lengths) {
        let mut content = Vec::new();
        MultiGzDecoder::new(*gz).read_to_end(&mut content).unwrap();
        assert_eq!(content.len(), length, "{name}");
        assert_eq!(hex_digest(&content), digest, "{name}");
    }
}

#[test]
fn the_order_is_images_then_labels_and_train_then_test() {
    let names = FILES.map(|(name, _)| name);
    assert_eq!(
        names,
        [
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz"
        ]
    );
}
