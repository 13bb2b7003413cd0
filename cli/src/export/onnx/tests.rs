//! The bytes decoded again, and the graph evaluated in double precision on a few rows.

use super::*;
use softreg::{Matrix, SoftmaxRegression};
use std::collections::HashMap;

/// A model of 3 features and 4 classes, its weights of several magnitudes.
fn model(preprocessing: Option<&str>) -> ModelFile {
    let weight: Vec<f32> = (0..12).map(|i| ((i * 7919 % 13) as f32 - 6.0) / 3.0).collect();
    let model = SoftmaxRegression::from_class_major(&weight, &[0.5, -0.25, 0.0, 1.0], 3, 4).unwrap();
    let file = ModelFile::new(model).with_class_names(["oak", "a \"quoted\"\nash", "", "楡"]);
    preprocessing.into_iter().fold(file, |file, value| file.with_metadata("preprocessing", value))
}

fn decoded(file: &ModelFile, input: Input) -> ModelProto {
    let bytes = to_bytes(file, input).unwrap();
    assert_eq!(to_bytes(file, input).unwrap(), bytes);
    ModelProto::decode(bytes.as_slice()).unwrap()
}

/// Values of rows of equal width; a width of 0 stands for a scalar.
#[derive(Clone, Debug)]
struct Table {
    width: usize,
    values: Vec<f64>,
}

impl Table {
    fn map_rows(&self, width: usize, f: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        Self { width, values: self.values.chunks(self.width).flat_map(f).collect() }
    }
}

/// What every name of the graph holds once it has run on these rows.
fn evaluate(graph: &GraphProto, rows: Table) -> HashMap<String, Table> {
    let mut found = HashMap::from([(graph.input[0].name.clone().unwrap(), rows)]);
    for tensor in &graph.initializer {
        let (values, rest) = tensor.raw_data.as_ref().unwrap().as_chunks();
        let values: Vec<f64> = values.iter().map(|&value| f32::from_le_bytes(value).into()).collect();
        assert!(rest.is_empty() && tensor.data_type == Some(data_type::FLOAT));
        assert_eq!(tensor.dims.iter().product::<i64>(), values.len() as i64, "{:?}", tensor.name);
        let width = tensor.dims.last().map_or(0, |&width| width as usize);
        found.insert(tensor.name.clone().unwrap(), Table { width, values });
    }
    for node in &graph.node {
        let inputs: Vec<&Table> = node.input.iter().map(|name| &found[name]).collect();
        let attribute = |name: &str| {
            let found = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
            found.inspect(|found| assert_eq!(found.r#type, Some(ATTRIBUTE_INT))).and_then(|found| found.i)
        };
        let output = match node.op_type.as_deref().unwrap() {
            "Cast" => {
                assert_eq!(attribute("to"), Some(i64::from(data_type::FLOAT)));
                inputs[0].clone()
            }
            "Div" => inputs[0].map_rows(inputs[0].width, |row| row.iter().map(|x| x / inputs[1].values[0]).collect()),
            "MatMul" => inputs[0].map_rows(inputs[1].width, |row| {
                let column = |c| row.iter().zip(inputs[1].values.chunks(inputs[1].width)).map(|(x, w)| x * w[c]).sum();
                (0..inputs[1].width).map(column).collect()
            }),
            "Add" => inputs[0]
                .map_rows(inputs[0].width, |row| row.iter().zip(&inputs[1].values).map(|(x, b)| x + b).collect()),
            "Softmax" => {
                assert_eq!(attribute("axis"), Some(1));
                inputs[0].map_rows(inputs[0].width, |row| {
                    let sum: f64 = row.iter().map(|x| x.exp()).sum();
                    row.iter().map(|x| x.exp() / sum).collect()
                })
            }
            "ArgMax" => {
                assert_eq!((attribute("axis"), attribute("keepdims")), (Some(1), Some(0)));
                inputs[0].map_rows(1, |row| {
                    let first = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
                    vec![(0..row.len()).fold(0, first) as f64]
                })
            }
            other => panic!("an operator that nobody asked for: {other}"),
        };
        found.insert(node.output[0].clone(), output);
    }
    found
}

/// Checks the graph's answers on rows against the library's, and returns the decoded model.
fn check(file: &ModelFile, input: Input, rows: &[f32], features: &[f32]) -> ModelProto {
    let model = decoded(file, input);
    let graph = model.graph.as_ref().unwrap();
    let width = file.model.features();
    let rows = Table { width, values: rows.iter().map(|&x| x.into()).collect() };
    let found = evaluate(graph, rows);
    let x = Matrix::from_f32(features, width).unwrap();
    let mut expected = vec![0.0; x.rows() * file.model.classes()];
    file.model.predict_proba_into(x, &mut expected).unwrap();
    assert_eq!(found["probabilities"].values.len(), expected.len());
    for (found, expected) in found["probabilities"].values.iter().zip(expected) {
        assert!((found - f64::from(expected)).abs() < 1e-6, "{found} for {expected}");
    }
    let classes: Vec<u32> = found["class"].values.iter().map(|&class| class as u32).collect();
    assert_eq!(classes, file.model.predict(x).unwrap());
    let outputs: Vec<&str> = graph.output.iter().map(|output| output.name.as_deref().unwrap()).collect();
    assert_eq!(outputs, ["class", "probabilities"]);
    model
}

/// Name and type of the graph's input, whose shape is checked to be `[n, 3]`.
fn input_of(model: &ModelProto) -> (&str, i32) {
    let input = &model.graph.as_ref().unwrap().input[0];
    let tensor = input.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let shape = tensor.shape.as_ref().unwrap().dim.iter().map(|dim| (dim.dim_value, dim.dim_param.as_deref()));
    assert_eq!(shape.collect::<Vec<_>>(), [(None, Some("n")), (Some(3), None)]);
    (input.name.as_deref().unwrap(), tensor.elem_type.unwrap())
}

const PIXELS: [f32; 9] = [0.0, 255.0, 3.0, 17.0, 128.0, 254.0, 1.0, 0.0, 0.0];

#[test]
fn pixels_are_divided_within_the_graph() {
    let file = model(Some(crate::data::PIXELS));
    let features = PIXELS.map(|pixel| pixel / 255.0);
    let found = check(&file, Input::Uint8, &PIXELS, &features);
    assert_eq!(input_of(&found), ("pixels", data_type::UINT8));
    let found = check(&file, Input::Float32, &PIXELS, &features);
    assert_eq!(input_of(&found), ("pixels_0_to_255", data_type::FLOAT));
    assert_eq!(Input::of(&file), Input::Uint8);
}

#[test]
fn other_features_are_taken_as_they_are() {
    let features = [0.0, -2.5, 3.0, 0.125, 1e-3, 2.0, 7.0, -7.0, 0.5];
    for preprocessing in [None, Some("(u8 pixels / 255 - 0.1307) / 0.3081")] {
        let file = model(preprocessing);
        let found = check(&file, Input::Float32, &features, &features);
        assert_eq!(input_of(&found).0, "features");
        let description = found.graph.as_ref().unwrap().input[0].doc_string.as_deref().unwrap();
        assert_eq!(description.contains("0.1307"), preprocessing.is_some(), "{description}");
        let found = check(&file, Input::Uint8, &PIXELS, &PIXELS);
        assert_eq!(input_of(&found), ("features", data_type::UINT8));
        assert_eq!(Input::of(&file), Input::Float32);
    }
}

#[test]
fn names_and_settings_are_metadata() {
    let file = model(Some(crate::data::PIXELS)).with_metadata("seed", "7");
    let found = decoded(&file, Input::Uint8);
    let entries: Vec<(&str, &str)> = found
        .metadata_props
        .iter()
        .map(|entry| (entry.key.as_deref().unwrap(), entry.value.as_deref().unwrap()))
        .collect();
    let names = r#"["oak","a \"quoted\"\nash","","楡"]"#;
    assert_eq!(entries, [("class_names", names), ("preprocessing", crate::data::PIXELS), ("seed", "7")]);
    assert_eq!((found.ir_version, found.opset_import[0].version), (Some(7), Some(13)));
    let without = ModelFile::new(file.model);
    assert_eq!(decoded(&without, Input::Float32).metadata_props, []);
}

#[test]
fn models_at_the_edge() {
    for (features, classes) in [(1, 1), (1, 5), (5, 1), (784, 10)] {
        let file = ModelFile::new(SoftmaxRegression::zeros(features, classes));
        check(&file, Input::Float32, &vec![1.0; features], &vec![1.0; features]);
    }
    let long = "x\n\"".repeat(1 << 19);
    let file = ModelFile::new(SoftmaxRegression::zeros(1, 1)).with_class_names([long.as_str()]);
    let found = decoded(&file, Input::Float32);
    let names: Vec<String> = serde_json::from_str(found.metadata_props[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(names, [long]);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_made() {
    assert!(check_size(LARGEST_FILE).is_ok());
    assert!(check_size(LARGEST_FILE + 1).unwrap_err().contains("less than 2 GiB"));
}
