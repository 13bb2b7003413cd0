//! Models as ONNX files: a graph of plain operators that any runtime has, the preprocessing of pixels inside. The
//! messages and their encoding are in `onnx/messages.rs`.
//!
//! ```text
//! pixels uint8 [n, features] -> Cast -> Div 255 -\
//! pixels_0_to_255 float [n, features] -> Div 255 -+-> MatMul weight -> Add bias -> Softmax -> probabilities [n, classes]
//! features float or uint8 (-> Cast) --------------/                            \-> ArgMax -> class [n]
//! ```
//!
//! A float input that the graph divides by 255 is named for its range: whoever feeds it has to write the range down.
//! Opset 13 is the first whose Softmax is along one axis, and old enough for runtimes of 2020. The classifier of
//! ONNX-ML's operators was not taken: fewer runtimes have it.
//!
//! The encoding is `prost`'s: its derive needs no compiler of schemas at build time, and the tests decode with it.

mod messages;

use clap::ValueEnum;
use prost::Message;
use serde::Serialize;
use softreg::ModelFile;

use super::little_endian;
use crate::data::PIXELS;
use messages::{
    ATTRIBUTE_INT, AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto, data_type,
};

/// Opset 13 came with version 7 of the format.
const FORMAT_VERSION: i64 = 7;
/// Version of the operators.
pub(crate) const OPSET: i64 = 13;
/// Protocol buffers hold less than 2 GiB.
const LARGEST_FILE: u64 = i32::MAX as u64;
/// Name of the number of rows, which each run of the graph decides.
const ROWS: &str = "n";

/// Type of the graph's input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Input {
    /// Bytes, which the graph makes floats
    Uint8,
    /// Floats; of a model of pixels still values from 0 to 255
    Float32,
}

impl Input {
    /// What suits the model where nobody says.
    pub(crate) fn of(file: &ModelFile) -> Self {
        if takes_pixels(file) { Self::Uint8 } else { Self::Float32 }
    }

    /// Name of the graph's input: its values without the preprocessing that the graph does.
    pub(crate) fn name(self, file: &ModelFile) -> &'static str {
        match (takes_pixels(file), self) {
            (true, Self::Uint8) => "pixels",
            (true, Self::Float32) => "pixels_0_to_255",
            (false, _) => "features",
        }
    }
}

/// Whether the graph divides its input by 255.
pub(crate) fn takes_pixels(file: &ModelFile) -> bool {
    file.metadata.get("preprocessing").is_some_and(|found| found == PIXELS)
}

/// The bytes of the ONNX file. Equal models give equal bytes.
///
/// The error says what was found, what was expected.
pub(crate) fn to_bytes(file: &ModelFile, input: Input) -> Result<Vec<u8>, String> {
    let values = file.model.features() as u64 * file.model.classes() as u64 + file.model.classes() as u64;
    check_size(values.saturating_mul(size_of::<f32>() as u64))?;
    let model = ModelProto {
        ir_version: Some(FORMAT_VERSION),
        producer_name: Some("softreg".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        graph: Some(graph(file, input)),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: metadata(file)?,
    };
    check_size(model.encoded_len() as u64)?;
    Ok(model.encode_to_vec())
}

fn check_size(bytes: u64) -> Result<(), String> {
    if bytes > LARGEST_FILE {
        return Err(format!(
            "found a model of {bytes} bytes, expected less than 2 GiB as ONNX has it; --npz has no limit"
        ));
    }
    Ok(())
}

/// Names of the classes as a JSON array, and the settings as they are.
fn metadata(file: &ModelFile) -> Result<Vec<StringStringEntryProto>, String> {
    let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
    let names = file.class_names.as_ref().map(serde_json::to_string).transpose().map_err(|error| error.to_string())?;
    let settings = file.metadata.iter().map(|(key, value)| entry(key, value.clone()));
    Ok(names.map(|names| entry("class_names", names)).into_iter().chain(settings).collect())
}

fn graph(file: &ModelFile, input: Input) -> GraphProto {
    let (features, classes) = (file.model.features(), file.model.classes());
    let mut nodes = Vec::new();
    let mut initializers = Vec::new();
    let mut x = input.name(file);
    let element = match input {
        Input::Float32 => data_type::FLOAT,
        Input::Uint8 => {
            nodes.push(node("Cast", &[x], "floats", &[("to", data_type::FLOAT.into())]));
            x = "floats";
            data_type::UINT8
        }
    };
    if takes_pixels(file) {
        initializers.push(tensor("largest_pixel", &[], &[255.0]));
        nodes.push(node("Div", &[x, "largest_pixel"], "features", &[]));
        x = "features";
    }
    initializers.push(tensor("weight", &[features, classes], &file.model.to_row_major()));
    initializers.push(tensor("bias", &[classes], file.model.bias()));
    nodes.push(node("MatMul", &[x, "weight"], "products", &[]));
    nodes.push(node("Add", &["products", "bias"], "logits", &[]));
    nodes.push(node("Softmax", &["logits"], "probabilities", &[("axis", 1)]));
    // Of the logits, as the library: where probabilities round to the same number, they still differ.
    nodes.push(node("ArgMax", &["logits"], "class", &[("axis", 1), ("keepdims", 0)]));
    GraphProto {
        node: nodes,
        name: Some("softmax_regression".to_owned()),
        initializer: initializers,
        input: vec![value(input.name(file), element, Some(features), &described(file, input))],
        output: vec![
            value("class", data_type::INT64, None, "position of the most probable class"),
            value("probabilities", data_type::FLOAT, Some(classes), "probability of each class"),
        ],
    }
}

/// What the input holds, for those who look at the graph.
fn described(file: &ModelFile, input: Input) -> String {
    match (takes_pixels(file), file.metadata.get("preprocessing")) {
        (true, _) if input == Input::Uint8 => "pixels from 0 to 255, row by row".to_owned(),
        (true, _) => "pixels from 0 to 255, row by row; the graph divides them by 255".to_owned(),
        (false, Some(preprocessing)) => format!("features after this preprocessing: {preprocessing}"),
        (false, None) => "features".to_owned(),
    }
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> NodeProto {
    let attribute = |&(name, value): &(&str, i64)| AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(ATTRIBUTE_INT),
    };
    NodeProto {
        input: inputs.iter().copied().map(str::to_owned).collect(),
        output: vec![output.to_owned()],
        name: Some(output.to_owned()),
        op_type: Some(operator.to_owned()),
        attribute: attributes.iter().map(attribute).collect(),
    }
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&length| length as i64).collect(),
        data_type: Some(data_type::FLOAT),
        name: Some(name.to_owned()),
        raw_data: Some(little_endian(values)),
    }
}

/// An input or output `[n]`, or with a width `[n, width]`.
fn value(name: &str, element: i32, width: Option<usize>, description: &str) -> ValueInfoProto {
    let rows = Dimension { dim_value: None, dim_param: Some(ROWS.to_owned()) };
    let columns = width.map(|width| Dimension { dim_value: Some(width as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(rows).chain(columns).collect() };
    let tensor = TensorType { elem_type: Some(element), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor) }),
        doc_string: Some(description.to_owned()),
    }
}

#[cfg(test)]
mod tests;
