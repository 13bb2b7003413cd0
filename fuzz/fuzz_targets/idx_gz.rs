//! A gzip-compressed file reads as its content does raw; a damaged or truncated one is an error or the same result; and
//! memory stays in proportion to what the content holds and announces, however much more it unpacks to.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::idx::read;
use softreg_fuzz::idx::{elements, encode};
use softreg_fuzz::memory::peak;

/// The decompressor's state and both sides' buffers.
const FIXED: usize = 2 << 20;

#[derive(Arbitrary, Debug)]
enum Content {
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A file that is right except perhaps for its count.
    File { dims: [u8; 2], missing: u8, data: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Input {
    content: Content,
    /// Zeros after the content, a quarter of the cube of this: what compresses best, seldom millions of it.
    zeros: u8,
    /// Where a second gzip member begins.
    second_member: Option<u16>,
    /// A byte of the compressed file to be changed, and how.
    damage: Option<(u16, u8)>,
    /// Bytes cut off the end.
    cut: u8,
}

impl Input {
    fn content(&self) -> Vec<u8> {
        let mut content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::File { dims, missing, data } => {
                let dims = dims.map(usize::from);
                let len = (dims[0] * dims[1]).saturating_sub(usize::from(*missing));
                let mut elements = data.clone();
                elements.resize(len, 7);
                encode(&dims, &elements)
            }
        };
        content.resize(content.len() + usize::from(self.zeros).pow(3) / 4, 0);
        content
    }
}

fn compress(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("a vector takes all bytes")
}

fuzz_target!(|input: Input| {
    let content = input.content();
    // Raw, these bytes would be taken for a gzip file.
    if content.starts_with(&[0x1f, 0x8b]) {
        return;
    }
    let mut file = match input.second_member {
        None => compress(&content),
        Some(at) => {
            let (first, second) = content.split_at(usize::from(at).min(content.len()));
            [compress(first), compress(second)].concat()
        }
    };
    let raw = read(&content[..], "raw").ok();
    let (result, used) = peak(|| read(&file[..], "gz"));
    assert!(used <= 4 * elements(&content) + FIXED, "{used} bytes for {} elements", elements(&content));
    assert!(result.ok() == raw, "compressed and raw differ");

    let cut = usize::from(input.cut).min(file.len());
    file.truncate(file.len() - cut);
    if let Some((at, change)) = input.damage {
        let at = usize::from(at) % file.len().max(1);
        file.get_mut(at).into_iter().for_each(|byte| *byte ^= change);
    }
    // Damage may hit what the format leaves free, such as a header's time stamp; a gzip file that loses its first bytes
    // is no gzip file. Otherwise the checksum sees it.
    match read(&file[..], "damaged") {
        Ok(idx) => assert!(Some(idx) == raw, "damage changed the result unseen"),
        Err(error) => assert!(error.to_string().starts_with("damaged: "), "{error}"),
    }
    if cut > 0 && input.second_member.is_none() && input.damage.is_none() {
        assert!(read(&file[..], "cut").is_err(), "a file without its last {cut} bytes was accepted");
    }
});
