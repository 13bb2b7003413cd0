//! Any bytes as a `.npy` file: never a panic, memory in proportion to the bytes and not to what the header claims; what
//! is read is whole rows; labels that may be texts are the same where they are integers.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::npy;
use softreg_fuzz::memory::peak;

#[derive(Arbitrary, Debug)]
enum Input {
    Any(Vec<u8>),
    /// A text as header, with its true length before it.
    Header(String, Vec<u8>),
    Array {
        descr: Descr,
        fortran: bool,
        shape: Vec<u16>,
        data: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
enum Descr {
    Known(u8),
    Other(String),
}

const KNOWN: [&str; 17] = [
    "<f2", "<f4", "<f8", "|u1", "|i1", "|b1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", ">f4", "|O", "<U1", "<U3",
    "|S2",
];

impl Input {
    fn file(&self) -> Vec<u8> {
        let (header, data) = match self {
            Self::Any(bytes) => return bytes.clone(),
            Self::Header(header, data) => (header.clone(), data),
            Self::Array { descr, fortran, shape, data } => {
                let descr = match descr {
                    Descr::Known(number) => KNOWN[usize::from(*number) % KNOWN.len()],
                    Descr::Other(text) => text,
                };
                let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
                let fortran = if *fortran { "True" } else { "False" };
                (format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}"), data)
            }
        };
        let mut file = b"\x93NUMPY\x02\x00".to_vec();
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }
}

fuzz_target!(|input: Input| {
    let file = input.file();
    let (read, most) = peak(|| {
        let mut read = Vec::new();
        if let Ok(found) = npy::features(&file[..], "x") {
            read.push((found.values.len(), found.features));
        }
        let labels = npy::labels(&file[..], "y").ok();
        if let Some(found) = &labels {
            read.push((found.len(), 1));
        }
        match npy::any_labels(&file[..], "y") {
            Ok(npy::Labels::Texts(found)) => {
                assert!(labels.is_none(), "texts are no integers");
                read.push((found.len(), 1));
            }
            found => assert_eq!(found.ok(), labels.map(npy::Labels::Integers)),
        }
        read
    });
    for (values, width) in read {
        assert!(width > 0 && values % width == 0 && values <= file.len());
    }
    assert!(most <= 128 * file.len() + (1 << 20), "{most} bytes for {}", file.len());
});
