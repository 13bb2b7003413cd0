//! Models out: what the files for NumPy and ONNX hold, and what is refused. That the graph computes what the model does
//! is tested beside the format, and by `cli/tests/onnxruntime/check.py`.

use crate::common::*;
use safetensors::tensor::{Dtype, TensorView};
use softreg::{Adam, Batch, Matrix, ModelFile, SoftmaxRegression, Targets, Trainer};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use tempfile::TempDir;

const WEIGHT: [f32; 6] = [1.0, -2.5, 3.0, 4.0, 0.0, -6.25];
const BIAS: [f32; 2] = [0.5, -0.125];

/// A model of 3 features and 2 classes.
fn small() -> ModelFile {
    ModelFile::new(SoftmaxRegression::from_class_major(&WEIGHT, &BIAS, 3, 2).unwrap())
}

/// Saves a model and returns its path.
fn saved(dir: &TempDir, file: &ModelFile) -> String {
    let path = at(dir, "model.safetensors");
    file.save(&path).unwrap();
    path
}

fn bytes_of(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Header and values of an array of an archive.
fn array(npz: &[u8], name: &str) -> (String, Vec<u8>) {
    let mut archive = zip::ZipArchive::new(Cursor::new(npz)).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    (String::from_utf8(bytes[10..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

#[test]
fn npz_holds_the_model() {
    let dir = scratch();
    let model = saved(&dir, &small().with_class_names(["oak", "an \"ash\"\n"]).with_metadata("l2", "0.5"));
    let [first, again] = ["a.npz", "b.npz"].map(|name| at(&dir, name));
    let report = words(&format!("export --model {model} --npz {first} --json")).json();
    let plain = words(&format!("export --model {model} --npz {again}"));
    assert!(plain.plain().contains("weight [2, 3]"), "{plain:?}");
    let npz = std::fs::read(&first).unwrap();
    assert_eq!(std::fs::read(&again).unwrap(), npz);
    assert_eq!((&report["bytes"], &report["format"]), (&npz.len().into(), &"npz".into()));
    assert!(report["input"].is_null());
    assert_eq!(array(&npz, "weight").1, bytes_of(WEIGHT));
    assert_eq!(array(&npz, "bias").1, bytes_of(BIAS));
    let (header, names) = array(&npz, "classes");
    assert!(header.contains("'<U9'"), "{header}");
    assert!(names.starts_with(b"o\0\0\0a\0\0\0k\0\0\0\0\0\0\0"), "{names:?}");
    let (_, settings) = array(&npz, "settings");
    let settings: Vec<u8> = settings.chunks(4).map(|character| character[0]).collect();
    assert_eq!(String::from_utf8(settings).unwrap(), r#"{"l2":"0.5"}"#);
}

#[test]
fn onnx_holds_the_model() {
    let dir = scratch();
    let pixels = small().with_metadata("preprocessing", "u8 pixels / 255").with_class_names(["oak", "ash"]);
    let model = saved(&dir, &pixels);
    let file = at(&dir, "model.onnx");
    let row_major = bytes_of([0, 3, 1, 4, 2, 5].map(|place| WEIGHT[place]));
    for (option, name, element) in [
        ("", "pixels", "uint8"),
        ("--input uint8", "pixels", "uint8"),
        ("--input float32", "pixels_0_to_255", "float32"),
    ] {
        let report = words(&format!("export --model {model} --onnx {file} {option} --json")).json();
        assert_eq!((&report["input"]["name"], &report["input"]["type"]), (&name.into(), &element.into()), "{option}");
        let onnx = std::fs::read(&file).unwrap();
        assert_eq!(report["bytes"], onnx.len());
        let parts: [&[u8]; 6] =
            [&row_major, &bytes_of(BIAS), &bytes_of([255.0]), name.as_bytes(), b"probabilities", br#"["oak","ash"]"#];
        for part in parts {
            assert!(holds(&onnx, part), "{part:?} {option}");
        }
        let plain = words(&format!("export --model {model} --onnx {file} {option}"));
        assert!(plain.plain().contains(&format!("{name} {element} [n, 3], from 0 to 255")), "{plain:?}");
        assert_eq!(std::fs::read(&file).unwrap(), onnx);
    }
}

#[test]
fn preprocessing_that_no_graph_does_is_noted() {
    let dir = scratch();
    let model = saved(&dir, &small().with_metadata("preprocessing", "x / 3"));
    let run = words(&format!("export --model {model} --onnx {} --json", at(&dir, "m.onnx")));
    assert!(run.note().contains(r#"does not do the model's preprocessing, "x / 3""#), "{run:?}");
    assert!(run.stdout.contains(r#""input":{"name":"features","type":"float32"}"#), "{run:?}");
    let model = saved(&dir, &small());
    words(&format!("export --model {model} --onnx {}", at(&dir, "m.onnx"))).plain();
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let dir = scratch();
    let model = saved(&dir, &small());
    let before = std::fs::read(&model).unwrap();
    let (onnx, npz) = (at(&dir, "m.onnx"), at(&dir, "m.npz"));
    for (options, code, expected) in [
        (String::new(), 2, "--onnx"),
        (format!("--onnx {onnx} --npz {npz}"), 2, "cannot be used with"),
        (format!("--npz {npz} --input uint8"), 2, "cannot be used with"),
        (format!("--onnx {onnx} --input int8"), 2, "[possible values: uint8, float32]"),
        (format!("--onnx {model}"), 2, "found a file that is read"),
        (
            format!(
                "--npz {}/../{}/model.safetensors",
                dir.path().display(),
                dir.path().file_name().unwrap().display()
            ),
            2,
            "found a file that is read",
        ),
        (format!("--npz {}", dir.path().display()), 1, "is a directory"),
        (format!("--npz {}", at(&dir, "no/where.npz")), 1, "create it first"),
    ] {
        let run = words(&format!("export --model {model} {options}"));
        let line = run.silent_error(code);
        assert!(line.contains(expected), "{expected:?} in {line:?}");
    }
    assert_eq!(names(dir.path()), ["model.safetensors"]);
    assert_eq!(std::fs::read(&model).unwrap(), before);
}

#[test]
fn files_that_are_no_model_are_refused() {
    let dir = scratch();
    let fails = |path: &str, expected: &str| {
        for format in ["--onnx", "--npz"] {
            let run = words(&format!("export --model {path} {format} {}", at(&dir, "out")));
            let line = run.silent_error(1);
            assert!(line.starts_with(path) && line.contains(expected), "{expected:?} in {line:?}");
        }
    };
    let data = bytes_of([1.0, f32::NAN]);
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let nan = [("weight", view(&[1, 2], &data)), ("bias", view(&[1], &data[..4]))];
    let nan = put(&dir, "nan", &safetensors::serialize(nan, None).unwrap()).display().to_string();
    fails(&nan, "expected finite numbers");

    let x = Matrix::from_f32(&[1.0, 2.0, 3.0], 3).unwrap();
    let mut trainer = Trainer::new(small().model, Adam::new(0.1));
    let state = at(&dir, "state");
    // Before its first step a state is no more than the model and its settings.
    for steps in 0..2 {
        trainer.save(&state).unwrap();
        assert_eq!(trainer.steps(), steps);
        fails(&state, "found the state of a training, expected a model");
        trainer.step(Batch::new(x, Targets::from_u8(&[1])).unwrap()).unwrap();
    }
    fails(&at(&dir, "nowhere"), "--model takes a file made by");
    assert_eq!(names(dir.path()), ["nan", "state"]);
}

#[test]
fn hostile_names_and_edges_are_exported() {
    let dir = scratch();
    let length = if cfg!(unix) && emulated() { 1 << 12 } else { 1 << 20 };
    let long = "\"\\\n\u{202e}é".repeat(length / 5);
    let model = SoftmaxRegression::zeros(1, 1);
    let path = saved(&dir, &ModelFile::new(model).with_class_names([long.as_str()]).with_metadata("\n", long.as_str()));
    let (onnx, npz) = (at(&dir, "m.onnx"), at(&dir, "m.npz"));
    words(&format!("export --model {path} --onnx {onnx}")).plain();
    words(&format!("export --model {path} --npz {npz}")).plain();
    assert!(holds(&std::fs::read(onnx).unwrap(), serde_json::to_string(&[&long]).unwrap().as_bytes()));
    let (_, name) = array(&std::fs::read(&npz).unwrap(), "classes");
    let name: String =
        name.chunks(4).map(|c| char::from_u32(u32::from_le_bytes(c.try_into().unwrap())).unwrap()).collect();
    assert_eq!(name, long);

    // Many names as long as the longest are more than anyone has memory for.
    let names = std::iter::once("x".repeat(1 << 16)).chain((1..2000).map(|class| class.to_string()));
    let path = saved(&dir, &ModelFile::new(SoftmaxRegression::zeros(1, 2000)).with_class_names(names));
    let run = words(&format!("export --model {path} --npz {npz}"));
    assert!(run.silent_error(1).contains("found 2000 texts, the longest of 65536 characters"), "{run:?}");
}

/// A layer out of PyTorch's file, in half precision, under a prefix.
#[test]
fn models_from_elsewhere_are_exported() {
    let dir = scratch();
    let half: Vec<u8> = [0x3c00_u16, 0xc000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let view = |shape: &[usize], data| TensorView::new(Dtype::F16, shape.to_vec(), data).unwrap();
    let tensors = [("fc.weight", view(&[1, 2], &half)), ("fc.bias", view(&[1], &half[..2]))];
    let bytes = safetensors::serialize(tensors, None::<HashMap<String, String>>).unwrap();
    let model = put(&dir, "half", &bytes).display().to_string();
    let npz = at(&dir, "m.npz");
    words(&format!("export --model {model} --npz {npz}")).plain();
    let npz = std::fs::read(npz).unwrap();
    assert_eq!(array(&npz, "weight").1, bytes_of([1.0, -2.0]));
    assert_eq!(array(&npz, "settings").1.len(), 4 * "{}".len());
}

#[cfg(unix)]
fn emulated() -> bool {
    is_emulated()
}

#[cfg(not(unix))]
fn emulated() -> bool {
    false
}
