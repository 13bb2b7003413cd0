//! Models as NumPy's .npz files: a zip archive with a .npy file for each array, all of which `numpy.load` reads without
//! pickle.
//!
//! ```text
//! weight    float32 [classes, features]
//! bias      float32 [classes]
//! classes   text [classes], the names of the classes, or their positions where they have none
//! settings  text [], the metadata as one JSON object of strings
//! ```
//!
//! NumPy takes null characters off the end of a text; in `settings` they are escaped. Nothing is compressed: weights
//! hardly shrink.

use std::io::{Cursor, Write};

use softreg::ModelFile;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime, System};

use super::little_endian;

/// Bytes of the names' array, in which each is as long as the longest: more than any list of names takes.
const LARGEST_NAMES: usize = 256 << 20;
/// Bytes of a character.
const CHARACTER: usize = 4;
/// What .npy files begin with, version 1.0.
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
/// The values of a .npy file start at a multiple of this.
const ALIGNMENT: usize = 64;

/// The bytes of the .npz file. Equal models give equal bytes.
///
/// The error says what was found, what was expected.
pub(crate) fn to_bytes(file: &ModelFile) -> Result<Vec<u8>, String> {
    let (features, classes) = (file.model.features(), file.model.classes());
    let settings = serde_json::to_string(&file.metadata).map_err(|error| error.to_string())?;
    let arrays = [
        ("weight.npy", floats(&[classes, features], &file.model.to_class_major())),
        ("bias.npy", floats(&[classes], file.model.bias())),
        ("classes.npy", text(&[classes], &class_names(file))?),
        ("settings.npy", text(&[], &[settings])?),
    ];
    archive(&arrays).map_err(|error| error.to_string())
}

fn class_names(file: &ModelFile) -> Vec<String> {
    file.class_names.clone().unwrap_or_else(|| (0..file.model.classes()).map(|class| class.to_string()).collect())
}

/// A zip archive of these files.
fn archive(files: &[(&str, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // Neither the clock nor the system decides a byte.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644);
    for (name, bytes) in files {
        archive.start_file(*name, options.large_file(bytes.len() >= u32::MAX as usize))?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn floats(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy("<f4", shape, little_endian(values))
}

/// Texts of one length, the shorter ones filled up with nulls.
fn text(shape: &[usize], texts: &[String]) -> Result<Vec<u8>, String> {
    // A type of no characters is none that every NumPy reads.
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    let size = longest.saturating_mul(texts.len()).saturating_mul(CHARACTER);
    if size > LARGEST_NAMES {
        return Err(format!(
            "found {} texts, the longest of {longest} characters, expected at most {LARGEST_NAMES} bytes of them as NumPy \
             has them, each as long as the longest; --onnx has no such limit",
            texts.len()
        ));
    }
    let mut data = Vec::with_capacity(size);
    for text in texts {
        let end = data.len() + CHARACTER * longest;
        data.extend(text.chars().flat_map(|character| u32::from(character).to_le_bytes()));
        data.resize(end, 0);
    }
    Ok(npy(&format!("<U{longest}"), shape, data))
}

/// A .npy file: magic, the header's length, the header, the values.
fn npy(kind: &str, shape: &[usize], data: Vec<u8>) -> Vec<u8> {
    // A tuple of one has a comma.
    let shape: String = shape.iter().map(|length| format!("{length},")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = MAGIC.len() + size_of::<u16>();
    let width = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before - 1;
    header = format!("{header:width$}\n");
    let length = header.len() as u16;
    [MAGIC, &length.to_le_bytes(), header.as_bytes(), &data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use softreg::SoftmaxRegression;
    use std::io::Read;

    /// Header and values of an array in the archive.
    fn array(bytes: &[u8], name: &str) -> (String, Vec<u8>) {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut file = archive.by_name(&format!("{name}.npy")).unwrap();
        assert_eq!(file.compression(), CompressionMethod::Stored);
        let mut npy = Vec::new();
        file.read_to_end(&mut npy).unwrap();
        let rest = npy.strip_prefix(MAGIC).unwrap();
        let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
        assert_eq!((MAGIC.len() + 2 + length) % ALIGNMENT, 0, "the values are aligned");
        let (header, data) = rest[2..].split_at(length);
        (String::from_utf8(header.to_vec()).unwrap(), data.to_vec())
    }

    fn texts(data: &[u8], longest: usize) -> Vec<String> {
        let text = |bytes: &[u8]| -> String {
            let (characters, _) = bytes.as_chunks();
            characters.iter().filter_map(|&c| char::from_u32(u32::from_le_bytes(c)).filter(|&c| c != '\0')).collect()
        };
        data.chunks(CHARACTER * longest).map(text).collect()
    }

    #[test]
    fn arrays_are_the_model() {
        let weight = [1.0, -2.0, 3.5, 0.25, 5.0, f32::MIN_POSITIVE];
        let model = SoftmaxRegression::from_class_major(&weight, &[0.5, -0.5], 3, 2).unwrap();
        let names = ["a \"quoted\"\nname", "楡🌳"];
        let file = ModelFile::new(model).with_class_names(names).with_metadata("l2", "0.1");
        let bytes = to_bytes(&file).unwrap();
        assert_eq!(to_bytes(&file).unwrap(), bytes);
        let (header, data) = array(&bytes, "weight");
        assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2,3,), }");
        assert!(header.ends_with('\n'));
        assert_eq!(data, little_endian(&weight));
        let (header, data) = array(&bytes, "bias");
        assert!(header.contains("(2,)"), "{header}");
        assert_eq!(data, little_endian(&[0.5, -0.5]));
        let (header, data) = array(&bytes, "classes");
        assert!(header.contains("'<U15'") && header.contains("(2,)"), "{header}");
        assert_eq!(texts(&data, 15), names);
        let (header, data) = array(&bytes, "settings");
        assert!(header.contains("()"), "{header}");
        assert_eq!(texts(&data, data.len() / CHARACTER), [r#"{"l2":"0.1"}"#]);
    }

    #[test]
    fn names_that_are_missing_empty_or_long() {
        let zeros = |classes| ModelFile::new(SoftmaxRegression::zeros(1, classes));
        let (header, data) = array(&to_bytes(&zeros(11)).unwrap(), "classes");
        assert!(header.contains("'<U2'"), "{header}");
        assert_eq!(texts(&data, 2)[9..], ["9", "10"]);
        let (header, data) = array(&to_bytes(&zeros(1).with_class_names([""])).unwrap(), "classes");
        assert!(header.contains("'<U1'") && data == [0; 4], "{header}");
        let long = "é".repeat(1 << 20);
        let (header, _) = array(&to_bytes(&zeros(1).with_class_names([&long])).unwrap(), "classes");
        assert!(header.contains("'<U1048576'"), "{header}");
        let mut names = vec![long];
        names.resize(100, String::new());
        let error = to_bytes(&zeros(100).with_class_names(names)).unwrap_err();
        assert!(error.contains("found 100 texts, the longest of 1048576 characters"), "{error}");
    }
}
