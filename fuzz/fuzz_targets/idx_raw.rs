//! Any bytes as a raw IDX file: accepted exactly if an independent judge accepts them, read to exactly what they say,
//! within memory in proportion to what is there, however few bytes each read brings; and as a file of labels, which bytes
//! in one dimension are.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use softreg::idx::{read, read_labels};
use softreg_fuzz::idx::{elements, encode, is_valid, product};
use softreg_fuzz::memory::peak;

/// A reader's own buffers, and the text of an error.
const FIXED: usize = 1 << 20;

/// Brings a few bytes at a time, a different number each time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = self.1 % 7 + 1;
        let take = self.1.min(buffer.len());
        self.0.read(&mut buffer[..take])
    }
}

fuzz_target!(|file: &[u8]| {
    // That is a gzip file, and the target `idx_gz`'s business.
    if file.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let (result, used) = peak(|| read(file, "the fuzzer's file"));
    assert!(used <= 4 * elements(file) + FIXED, "{used} bytes for {} elements", elements(file));
    assert_eq!(result.is_ok(), is_valid(file), "{result:?}");
    let (labels, used) = peak(|| read_labels(file, "the fuzzer's file"));
    assert!(used <= 8 * elements(file) + 8 * file.len() + FIXED, "{used} bytes for {} labels", elements(file));
    if let Ok(idx) = &result {
        // Bytes in one dimension are labels as they are.
        let expected = (idx.dims.len() == 1).then(|| idx.data.iter().map(|&label| i32::from(label)).collect());
        assert_eq!(labels.ok(), expected);
    }
    let dripped = read(Drip(file, 0), "the fuzzer's file");
    match (result, dripped) {
        (Ok(idx), Ok(dripped)) => {
            assert_eq!(idx.data.len() as u128, product(idx.dims.iter().map(|&dim| dim as u64)));
            assert_eq!(encode(&idx.dims, &idx.data), file);
            assert!(idx == dripped, "short reads changed the result");
        }
        (Err(error), Err(dripped)) => {
            assert!(error.to_string().starts_with("the fuzzer's file: "), "{error}");
            assert_eq!(error.to_string(), dripped.to_string(), "short reads changed the error");
        }
        (result, dripped) => panic!("at once {result:?}, dripped {dripped:?}"),
    }
});
