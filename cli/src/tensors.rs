//! The tensors that a safetensors file lists in its header: their types and shapes. Whether they are a model, and their
//! values, is the library's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The entry of the header that is no tensor.
const METADATA: &str = "__metadata__";
/// Longer than any header that the library loads.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor as the header lists it.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
pub(crate) struct Tensor {
    /// The type of its values in the file: `F32`, `F16` and the like.
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
}

/// The tensors by their names, of a file that the library has loaded.
pub(crate) fn list(path: &Path) -> io::Result<BTreeMap<String, Tensor>> {
    read(File::open(path)?)
}

fn read(mut file: impl Read) -> io::Result<BTreeMap<String, Tensor>> {
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut header = Vec::new();
    file.take(u64::from_le_bytes(length).min(LONGEST_HEADER)).read_to_end(&mut header)?;
    let entries: BTreeMap<String, Value> = serde_json::from_slice(&header)?;
    let tensors = entries.into_iter().filter(|(name, _)| name != METADATA);
    tensors.map(|(name, entry)| Ok((name, serde_json::from_value(entry)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_listed_without_its_metadata() {
        let header = r#"{"__metadata__":{"a":"b"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}"#;
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 12]].concat();
        let expected = Tensor { dtype: "BF16".to_owned(), shape: vec![2, 3] };
        assert_eq!(read(bytes.as_slice()).unwrap(), BTreeMap::from([("w".to_owned(), expected)]));
        for length in 0..8 + header.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(read([0xff; 100].as_slice()).is_err());
    }
}
