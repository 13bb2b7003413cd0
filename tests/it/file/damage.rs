//! Files that are cut short, damaged, of another format, or that claim what they do not hold: an error each, never a panic.

use super::{raw, refused, same};
use proptest::prelude::*;
use softreg::{Error, ModelFile, SoftmaxRegression};

/// A small file with everything in it.
fn small() -> Vec<u8> {
    let model = SoftmaxRegression::from_class_major(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], 2, 2).unwrap();
    ModelFile::new(model).with_class_names(["a", "b"]).with_metadata("c", "d").to_bytes().unwrap()
}

#[test]
fn cut_short_at_any_length_or_longer_is_refused() {
    let whole = small();
    for length in 0..whole.len() {
        refused(ModelFile::from_bytes(&whole[..length]), "", "a safetensors model");
    }
    refused(ModelFile::from_bytes(&[]), "an empty file", "a safetensors model");
    refused(ModelFile::from_bytes(&whole[..7]), "a file of 7 bytes", "a safetensors model");
    refused(ModelFile::from_bytes(&whole[..whole.len() - 1]), "cut short, with 23 of 24 bytes of values", "");
    refused(ModelFile::from_bytes(&[whole.as_slice(), b"more"].concat()), "4 bytes after the last value", "");
}

#[test]
fn other_formats_are_refused() {
    let other = "another kind of file";
    for bytes in [
        &b"\x89PNG\r\n\x1a\n and so on"[..],
        b"weight,bias\n1.0,2.0\n",
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
        &[0; 100],
        &[0xff; 100],
        b"{\"weight\": [1.0]}",
    ] {
        refused(ModelFile::from_bytes(bytes), other, "a safetensors model");
    }
    refused(ModelFile::from_bytes(b"PK\x03\x04 as torch.save begins"), "zip archive", "safetensors.torch.save_file");
    let broken = "a header that does not hold together";
    for header in ["[]", "1", "\"weight\"", "{\"weight\":1}", "{\"__metadata__\":{\"a\":1}}", "null"] {
        refused(ModelFile::from_bytes(&raw(header, &[])), broken, "a safetensors model");
    }
    let deep = format!("{{\"weight\":{}", "[".repeat(100_000));
    for header in ["", "{", "{}}", "\u{0}", "{\"weight\":", &deep] {
        refused(ModelFile::from_bytes(&raw(header, &[])), other, "a safetensors model");
    }
    refused(ModelFile::from_bytes(&[&2_u64.to_le_bytes()[..], b"\xff\xfe"].concat()), other, "");
}

/// What a header claims costs no memory: that would be another error, or an abort.
#[test]
fn huge_claims_are_refused() {
    for length in [u64::MAX, 1 << 63, 100_000_001, 100_000_000, u64::MAX - 7, 17] {
        let bytes = [&length.to_le_bytes()[..], b"{}              "].concat();
        refused(ModelFile::from_bytes(&bytes), "another kind of file, or one cut short", "");
    }
    let tensor = |shape: &str, from: u64, to: u64| {
        format!("{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}")
    };
    let refuse = |weight: &str, bias: &str| {
        let header = format!("{{\"weight\":{weight},\"bias\":{bias}}}");
        refused(ModelFile::from_bytes(&raw(&header, &[0; 16])), "", "a safetensors model");
    };
    let bias = tensor("[1]", 0, 4);
    refuse(&tensor("[1,1152921504606846976]", 4, 4_611_686_018_427_387_908), &bias);
    refuse(&tensor("[1,18446744073709551615]", 4, 16), &bias);
    refuse(&tensor("[4294967296,4294967296]", 4, 4), &bias);
    refuse(&tensor("[1,3]", 4, 20), &bias);
    refuse(&tensor("[1,3]", 16, 4), &bias);
    refuse(&tensor("[1,3]", 0, 12), &bias);
    refuse(&tensor("[1,-3]", 4, 16), &bias);
    refuse(&tensor("[1,3e0]", 4, 16), &bias);
    refuse(&tensor("[1,99999999999999999999999]", 4, 16), &bias);
    refuse(&tensor("[1,3]", 4, 16).replace("F32", "F33"), &bias);

    // Tensors that together end where 64 bits nearly do: the header's length may not be added to that.
    let size = (1_u64 << 61) - 8;
    let eighth = |i: u64| format!("\"{i}\":{}", tensor(&format!("[{}]", size / 4), i * size, (i + 1) * size));
    let header = format!("{{{}}}", (0..8).map(eighth).collect::<Vec<_>>().join(","));
    refused(ModelFile::from_bytes(&raw(&header, &[0; 16])), "16 of 18446744073709551552 bytes", "");
}

/// What loads can be saved, and then loads equal.
fn check_loaded(bytes: &[u8]) {
    match ModelFile::from_bytes(bytes) {
        Ok(file) => {
            let again = ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap();
            same(&again.model, &file.model);
            assert_eq!(again, file);
        }
        Err(Error::Format { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn no_flipped_bit_panics() {
    let whole = small();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check_loaded(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes that were changed here and there, in the header above all.
    #[test]
    fn no_changed_bytes_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = small();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_loaded(&bytes);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), as_header in any::<bool>()) {
        check_loaded(&bytes);
        if as_header {
            check_loaded(&[&(bytes.len() as u64 / 2).to_le_bytes()[..], &bytes].concat());
        }
    }
}
