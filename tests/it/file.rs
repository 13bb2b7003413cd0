//! Model files: what was saved is loaded, with names and settings, and a file is what PyTorch expects. In the folder: which
//! tensors are the model, damaged files, files on the disk. Files from elsewhere are put together by hand here.
//!
//! With the feature `safetensors`, which the command line switches on: `cargo test` at the root runs these tests,
//! `cargo test -p softreg` only with `--features safetensors`.

#![cfg(feature = "safetensors")]

mod damage;
mod disk;
mod tensors;

use crate::support::random::Random;
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Map, Value, json};
use softreg::{Error, ModelFile, SoftmaxRegression};
use std::fs;
use std::path::Path;

/// Numbers of features and classes on either side of a vector, a panel and the change of the lanes.
const SHAPES: [(usize, usize); 9] =
    [(1, 1), (1, 2), (3, 2), (784, 10), (16, 16), (17, 100), (2, 1000), (1000, 3), (33, 15)];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn model(features: usize, classes: usize) -> SoftmaxRegression {
    let mut random = Random::new((features * 1000 + classes) as u64);
    let (mut w, b) = (random.numbers(features * classes, 2.0), random.numbers(classes, 1e-3));
    // The edges of f32.
    let edges = [f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), -0.0];
    w.iter_mut().rev().zip(edges).for_each(|(w, edge)| *w = edge);
    SoftmaxRegression::from_class_major(&w, &b, features, classes).expect("the lengths fit")
}

#[track_caller]
fn same(found: &SoftmaxRegression, expected: &SoftmaxRegression) {
    assert_eq!((found.features(), found.classes()), (expected.features(), expected.classes()));
    assert_eq!(bits(&found.to_class_major()), bits(&expected.to_class_major()));
    assert_eq!(bits(found.bias()), bits(expected.bias()));
}

/// A tensor of a file from elsewhere: name, type, shape, values.
type Tensor<'a> = (&'a str, &'a str, &'a [usize], Vec<u8>);

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Header and values, whatever they are.
fn raw(header: &str, values: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat()
}

fn with_metadata(tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> Vec<u8> {
    let (mut header, mut values) = (Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let place = [values.len(), values.len() + bytes.len()];
        header.insert((*name).to_owned(), json!({ "dtype": dtype, "shape": shape, "data_offsets": place }));
        values.extend(bytes);
    }
    if !metadata.is_empty() {
        let metadata: Map<String, Value> =
            metadata.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        header.insert("__metadata__".to_owned(), metadata.into());
    }
    raw(&Value::from(header).to_string(), &values)
}

fn file(tensors: &[Tensor<'_>]) -> Vec<u8> {
    with_metadata(tensors, &[])
}

/// A pair of tensors that fits, of two classes and three features.
fn pair(prefix: &str) -> [(String, &'static [usize], Vec<u8>); 2] {
    let weight = f32s(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    [(format!("{prefix}weight"), &[2, 3], weight), (format!("{prefix}bias"), &[2], f32s(&[7.0, 8.0]))]
}

fn pairs_at(prefixes: &[&str], more: &[Tensor<'_>]) -> Vec<u8> {
    let pairs: Vec<_> = prefixes.iter().flat_map(|prefix| pair(prefix)).collect();
    let tensors = pairs.iter().map(|(name, shape, values)| (name.as_str(), "F32", *shape, values.clone()));
    file(&tensors.chain(more.iter().cloned()).collect::<Vec<_>>())
}

#[track_caller]
fn refused(result: softreg::Result<ModelFile>, found: &str, expected: &str) {
    match result {
        Err(ref error @ Error::Format { file: ref f, found: ref x, expected: ref y }) => {
            assert_eq!(f, "model bytes");
            assert!(x.contains(found), "found {x:?}, which does not say {found:?}");
            assert!(y.contains(expected), "expected {y:?}, which does not say {expected:?}");
            let message = error.to_string();
            assert_eq!(message, format!("model bytes: found {x}, expected {y}"));
            assert!(message.len() < 4000 && !message.contains(char::is_control), "{message:?}");
        }
        other => panic!("{other:?} is not a format error about {found:?}"),
    }
}

#[test]
fn what_was_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    for (features, classes) in SHAPES {
        let model = model(features, classes);
        same(&SoftmaxRegression::from_bytes(&model.to_bytes().unwrap()).unwrap(), &model);
        model.save(&path).unwrap();
        same(&SoftmaxRegression::load(&path).unwrap(), &model);
        assert_eq!(fs::read(&path).unwrap(), model.to_bytes().unwrap());
        let names = (0..classes).map(|class| format!("class \"{class}\"\n"));
        let file = ModelFile::new(model).with_class_names(names).with_metadata("é\\", "\u{0}").with_metadata("", "");
        assert_eq!(ModelFile::from_bytes(&file.to_bytes().unwrap()).unwrap(), file);
        file.save(&path).unwrap();
        assert_eq!(ModelFile::load(&path).unwrap(), file);
        same(&SoftmaxRegression::load(&path).unwrap(), &file.model);
        assert_eq!(ModelFile::load_tensors(&path, "").unwrap(), file);
    }
}

/// The crate that reads them elsewhere finds what PyTorch's `nn.Linear` expects.
#[test]
fn a_file_is_what_pytorch_expects() {
    let model = model(5, 3);
    let file = ModelFile::new(model.clone()).with_class_names(["a", "b", "c"]).with_metadata("preprocessing", "none");
    let bytes = file.to_bytes().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 2);
    let (weight, bias) = (tensors.tensor("weight").unwrap(), tensors.tensor("bias").unwrap());
    assert_eq!((weight.dtype(), weight.shape()), (Dtype::F32, [3, 5].as_slice()));
    assert_eq!((bias.dtype(), bias.shape()), (Dtype::F32, [3].as_slice()));
    assert_eq!((weight.data(), bias.data()), (&f32s(&model.to_class_major())[..], &f32s(model.bias())[..]));
    let (length, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(length % 8, 0, "the tensors are aligned");
    let metadata = header.metadata().as_ref().unwrap();
    let expected = [
        ("format", "pt"),
        ("softreg", env!("CARGO_PKG_VERSION")),
        ("class_names", "[\"a\",\"b\",\"c\"]"),
        ("preprocessing", "none"),
    ];
    assert_eq!(metadata.len(), expected.len());
    for (key, value) in expected {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn equal_models_have_equal_bytes() {
    let model = SoftmaxRegression::from_class_major(&[1.0, 2.0], &[3.0, 4.0], 1, 2).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let header = format!(
        r#"{{"__metadata__":{{"a":"1","class_names":"[\"x\",\"y\"]","format":"pt","softreg":"{version}","z":"2"}},"bias":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"weight":{{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]}}}}"#
    );
    let header = format!("{header}{}", " ".repeat(header.len().next_multiple_of(8) - header.len()));
    let expected = raw(&header, &f32s(&[3.0, 4.0, 1.0, 2.0]));
    let file = ModelFile::new(model);
    for settings in [[("z", "2"), ("a", "1")], [("a", "1"), ("z", "2")]] {
        let file = settings.into_iter().fold(file.clone(), |file, (key, value)| file.with_metadata(key, value));
        let bytes = file.with_class_names(["x", "y"]).to_bytes().unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&expected));
        assert_eq!(bytes, expected);
        assert_eq!(ModelFile::from_bytes(&bytes).unwrap().to_bytes().unwrap(), expected, "loaded and saved again");
    }
    assert_eq!(file.with_metadata("a", "0").with_metadata("a", "1").metadata["a"], "1");
}

#[test]
fn names_of_classes_and_settings_are_checked() {
    let shape = SoftmaxRegression::zeros(3, 2);
    for names in [&["a"][..], &["a", "b", "c"], &[]] {
        let file = ModelFile::new(shape.clone()).with_class_names(names.iter().copied());
        let error = file.to_bytes().expect_err("two classes");
        assert!(matches!(error, Error::Shape { what: "class names", expected: 2, .. }), "{error}");
    }
    for taken in ["format", "softreg", "class_names"] {
        let error = ModelFile::new(shape.clone()).with_metadata(taken, "x").to_bytes().expect_err("taken");
        let message = error.to_string();
        assert!(message.starts_with(&format!("model bytes: found a setting named \"{taken}\"")), "{message}");
    }
    let error = ModelFile::new(shape).with_metadata("notes", "x".repeat(100_000_000)).to_bytes();
    assert!(matches!(error, Err(Error::Size { found: 100_000_001.., .. })));

    let [weight, bias] = pair("");
    let tensors = [("weight", "F32", weight.1, weight.2), ("bias", "F32", bias.1, bias.2)];
    let load = |metadata: &[(&str, &str)]| ModelFile::from_bytes(&with_metadata(&tensors, metadata));
    let plain = load(&[]).unwrap();
    assert_eq!((plain.class_names, plain.metadata.len()), (None, 0));
    let full = load(&[("format", "np"), ("softreg", "0.0.1"), ("class_names", "[\"\", \"é\"]"), ("author", "someone")]);
    let full = full.unwrap();
    assert_eq!(full.class_names.unwrap(), ["", "é"]);
    assert_eq!(full.metadata.into_iter().collect::<Vec<_>>(), [("author".to_owned(), "someone".to_owned())]);
    for wrong in ["", "a, b", "{}", "[\"a\"]", "[\"a\",\"b\",\"c\"]", "[1,2]", "[\"a\",\"b\"] c", &"[".repeat(10_000)] {
        refused(load(&[("class_names", wrong)]), "class_names ", "a JSON array of 2 strings, one a class");
    }
}

/// The files that `golden/pytorch_linear.py` makes: its values, rounded as each type rounds them.
#[test]
fn files_from_python_load() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let third = [1365.0 / 4096.0, 171.0 / 512.0, 1.0 / 3.0];
    let thousandth = [1049.0 / 1_048_576.0, 131.0 / 131_072.0, 1e-3];
    let files =
        [("linear_fc_f16", "fc"), ("linear_module_bf16", "module"), ("linear_classifier_0_f64", "classifier.0")];
    for (at, (name, prefix)) in files.into_iter().enumerate() {
        let path = golden.join(format!("{name}.safetensors"));
        let mut weight: Vec<f32> = (-5..7_i8).map(|n| f32::from(n) / 8.0).collect();
        weight[6] = third[at];
        let bias = [-0.5, thousandth[at], 2.0];
        for file in [ModelFile::load(&path), ModelFile::load_tensors(&path, prefix)] {
            let file = file.unwrap();
            assert_eq!(file.model.to_class_major(), weight, "{name}");
            assert_eq!(file.model.bias(), bias, "{name}");
            assert_eq!((file.model.features(), file.class_names, file.metadata.len()), (4, None, 0), "{name}");
        }
        assert!(ModelFile::load_tensors(&path, "").is_err(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_saved_is_loaded_and_no_part_of_it_is(
        (classes, values) in (1_usize..6, 1_usize..7).prop_flat_map(|(classes, features)| {
            let finite = any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite());
            (Just(classes), prop::collection::vec(finite, classes * (features + 1)))
        }),
        names in prop::option::of(prop::collection::vec(any::<String>(), 6)),
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (bias, weight) = values.split_at(classes);
        let model = SoftmaxRegression::from_class_major(weight, bias, weight.len() / classes, classes).unwrap();
        let mut file = ModelFile::new(model);
        file.class_names = names.map(|names| names[..classes].to_vec());
        file.metadata = metadata;
        let bytes = file.to_bytes().unwrap();
        let loaded = ModelFile::from_bytes(&bytes).unwrap();
        same(&loaded.model, &file.model);
        prop_assert_eq!(loaded, file);
        let part = ModelFile::from_bytes(&bytes[..cut.index(bytes.len())]);
        prop_assert!(matches!(part, Err(Error::Format { .. })), "{:?}", part);
    }
}
