//! Models as safetensors files: tensors `weight` `[10, 784]` and `bias` `[10]`, both f32, as PyTorch's `nn.Linear` holds
//! them, with the preprocessing and the training settings in the metadata. A file is checked in full before it
//! becomes a model; writing it in one piece is `output_file`'s work.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};
use softreg::SoftmaxRegression;

use crate::report::Failure;
use crate::text::excerpt;

/// Pixels of a picture, the model's features.
pub(crate) const FEATURES: usize = 28 * 28;
/// Digits.
pub(crate) const CLASSES: usize = 10;

/// What the model expects to be done to the pixels; a model that says otherwise would see other numbers.
const PREPROCESSING: &str = "u8 pixels / 255";
/// The length of the header's length, at the start of every safetensors file.
const PREFIX: usize = 8;
/// Our files take 32 KB. The limit leaves room for other people's metadata and keeps a wrong path (a video, a
/// device without an end) from filling the memory.
const LARGEST_FILE: u64 = 1 << 20;

/// The bytes of a model file. The same model and settings give the same bytes.
pub(crate) fn to_bytes(model: &SoftmaxRegression, settings: &[(&str, String)]) -> Result<Vec<u8>, Failure> {
    let weight = to_le_bytes(&model.to_class_major());
    let bias = to_le_bytes(model.bias());
    let mut metadata: HashMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    metadata.insert("format".to_owned(), "pt".to_owned()); // what PyTorch's own loaders ask for
    metadata.insert("softreg".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    metadata.insert("preprocessing".to_owned(), PREPROCESSING.to_owned());
    metadata.insert("features".to_owned(), model.features().to_string());
    metadata.insert("classes".to_owned(), model.classes().to_string());

    let tensors = [
        ("weight", TensorView::new(Dtype::F32, vec![model.classes(), model.features()], &weight)),
        ("bias", TensorView::new(Dtype::F32, vec![model.classes()], &bias)),
    ];
    let bytes = tensors
        .into_iter()
        .map(|(name, view)| view.map(|view| (name, view)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .and_then(|tensors| safetensors::serialize(tensors, Some(metadata)))
        .map_err(|error| Failure::Failed(format!("cannot make the model file: {error}")))?;
    sort_header(bytes)
}

/// Puts the header's keys in order. safetensors writes the metadata in the order of a hash map, another one each
/// run; one seed should give one file.
fn sort_header(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let broken = || Failure::Failed("cannot make the model file: its header does not read back".to_owned());
    let (length, header) = SafeTensors::read_metadata(&bytes).map_err(|_| broken())?;
    let data = bytes.get(PREFIX + length..).ok_or_else(broken)?;
    let tensors = header.tensors();
    let mut sorted: BTreeMap<&str, serde_json::Value> = BTreeMap::new();
    for (name, info) in &tensors {
        sorted.insert(name, serde_json::to_value(info).map_err(|_| broken())?);
    }
    let metadata: BTreeMap<_, _> = header.metadata().iter().flatten().collect();
    sorted.insert("__metadata__", serde_json::to_value(metadata).map_err(|_| broken())?);

    let mut text = serde_json::to_vec(&sorted).map_err(|_| broken())?;
    text.resize(text.len().next_multiple_of(PREFIX), b' '); // the format keeps the tensors aligned
    let mut file = Vec::with_capacity(PREFIX + text.len() + data.len());
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text);
    file.extend(data);
    Ok(file)
}

/// Reads a model of the shape this program works with.
pub(crate) fn load(path: &Path) -> Result<SoftmaxRegression, Failure> {
    let fail = |message: String| Failure::Failed(format!("{}: {message}", path.display()));
    let bytes = read(path).map_err(fail)?;
    from_bytes(&bytes)
        .map_err(|message| fail(format!("{message}; `softreg train --save FILE` makes a model that fits")))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let hint = "--model takes a file made by `softreg train --save FILE`";
    let metadata = std::fs::metadata(path).map_err(|error| format!("{error}; {hint}"))?;
    if metadata.is_dir() {
        return Err(format!("found a directory, expected a file; {hint}"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("{error}; {hint}"))?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| format!("{error}; {hint}"))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(format!("found more than {LARGEST_FILE} bytes, expected about 32 KB; {hint}"));
    }
    Ok(bytes)
}

fn from_bytes(bytes: &[u8]) -> Result<SoftmaxRegression, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(describe)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(describe)?;
    let weight = floats(&tensors, "weight", &[CLASSES, FEATURES])?;
    let bias = floats(&tensors, "bias", &[CLASSES])?;

    // A file from elsewhere may have no metadata; what it does say has to be true.
    let metadata = header.metadata().as_ref();
    let expected = [
        ("preprocessing", PREPROCESSING.to_owned()),
        ("features", FEATURES.to_string()),
        ("classes", CLASSES.to_string()),
    ];
    for (name, expected) in expected {
        match metadata.and_then(|metadata| metadata.get(name)) {
            Some(found) if *found != expected => {
                return Err(format!("metadata {name}: found {:?}, expected {expected:?}", excerpt(found)));
            }
            _ => {}
        }
    }
    SoftmaxRegression::from_class_major(&weight, &bias, FEATURES, CLASSES).map_err(|error| error.to_string())
}

/// One tensor's values, once its type, its shape and every value are what they should be.
fn floats(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let Ok(tensor) = tensors.tensor(name) else {
        let mut names = tensors.names();
        names.sort_unstable();
        let names =
            if names.is_empty() { "no tensors".to_owned() } else { format!("tensors {}", excerpt(&names.join(", "))) };
        return Err(format!("found {names}, expected weight {:?} and bias {:?}", [CLASSES, FEATURES], [CLASSES]));
    };
    if tensor.shape() != shape {
        let found = format!("{:?}", tensor.shape());
        return Err(format!("{name}: found shape {}, expected {shape:?}", excerpt(&found)));
    }
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{name}: found values of type {}, expected F32", tensor.dtype()));
    }
    let (values, _) = tensor.data().as_chunks();
    let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(format!("{name}: found {} at position {index}, expected finite numbers", values[index])),
        None => Ok(values),
    }
}

fn to_le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn describe(error: SafeTensorError) -> String {
    let found = match error {
        SafeTensorError::MetadataIncompleteBuffer => "a file cut short or with bytes left over".to_owned(),
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::HeaderTooLarge
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::InvalidHeader(_) => "another kind of file, or one cut short".to_owned(),
        other => format!("a header that does not hold together ({})", excerpt(&other.to_string())),
    };
    format!("found {found}, expected a safetensors model")
}
