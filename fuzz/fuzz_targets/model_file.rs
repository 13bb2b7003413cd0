//! Any bytes as a model file, those above all that are nearly one: never a panic, memory in proportion to the bytes and not
//! to what their header claims; what loads is saved and loads again, equal to the bit; a whole file with one pair that
//! fits loads to what it says.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::{Error, ModelFile};
use softreg_fuzz::memory::peak;

#[derive(Arbitrary, Debug)]
enum Input {
    Any(Vec<u8>),
    /// A text as header, with its true length before it.
    Header(String, Vec<u8>),
    Tensors {
        tensors: Vec<Tensor>,
        metadata: Option<Vec<(Key, String)>>,
        values: Vec<u8>,
        /// Exclusive or, at places of the file.
        damage: Vec<(u16, u8)>,
        cut: u8,
    },
}

#[derive(Arbitrary, Debug)]
struct Tensor {
    name: Name,
    dtype: Dtype,
    shape: Shape,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Weight(Prefix),
    Bias(Prefix),
    Other(String),
}

#[derive(Arbitrary, Debug)]
enum Prefix {
    None,
    Fc,
    Classifier,
}

#[derive(Arbitrary, Debug)]
enum Dtype {
    F32,
    F64,
    F16,
    BF16,
    I8,
}

#[derive(Arbitrary, Debug)]
enum Shape {
    Vector(u8),
    Matrix(u8, u8),
    Any(Vec<u64>),
}

#[derive(Arbitrary, Debug)]
enum Key {
    ClassNames,
    Format,
    Other(String),
}

impl Name {
    fn text(&self) -> String {
        let prefix = |prefix: &Prefix| match prefix {
            Prefix::None => "",
            Prefix::Fc => "fc.",
            Prefix::Classifier => "classifier.0.",
        };
        match self {
            Self::Weight(p) => format!("{}weight", prefix(p)),
            Self::Bias(p) => format!("{}bias", prefix(p)),
            Self::Other(text) => text.clone(),
        }
    }
}

impl Dtype {
    const fn bytes(&self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I8 => 1,
        }
    }
}

impl Shape {
    fn dims(&self) -> Vec<u64> {
        match self {
            Self::Vector(classes) => vec![u64::from(classes % 8)],
            Self::Matrix(classes, features) => vec![u64::from(classes % 8), u64::from(features % 32)],
            Self::Any(dims) => dims.clone(),
        }
    }
}

/// A string as JSON.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c < ' ' => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn file(header: &str, values: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat()
}

/// The file, and where its values start. It is as long as it should be, where that can be had.
fn build(tensors: &[Tensor], metadata: Option<&[(Key, String)]>, values: &[u8]) -> (Vec<u8>, usize) {
    let (mut entries, mut end) = (Vec::new(), 0_u64);
    if let Some(metadata) = metadata {
        let entry = |(key, value): &(Key, String)| {
            let key = match key {
                Key::ClassNames => "class_names",
                Key::Format => "format",
                Key::Other(key) => key,
            };
            format!("{}:{}", quoted(key), quoted(value))
        };
        entries.push(format!("\"__metadata__\":{{{}}}", metadata.iter().map(entry).collect::<Vec<_>>().join(",")));
    }
    for Tensor { name, dtype, shape } in tensors {
        let dims = shape.dims();
        let size = dims.iter().fold(dtype.bytes(), |size, &dim| size.wrapping_mul(dim));
        let start = end;
        end = end.wrapping_add(size);
        entries.push(format!(
            "{}:{{\"dtype\":\"{dtype:?}\",\"shape\":{dims:?},\"data_offsets\":[{start},{end}]}}",
            quoted(&name.text())
        ));
    }
    let header = format!("{{{}}}", entries.join(","));
    let values: Vec<u8> = values.iter().chain(&[0x3c]).cycle().copied().take(end.min(1 << 14) as usize).collect();
    (file(&header, &values), 8 + header.len())
}

/// The values of the only pair where there is one, all of f32 and finite, and no other tensor.
fn plain_pair(tensors: &[Tensor], values: &[u8]) -> Option<(Vec<u32>, Vec<u32>)> {
    let [
        Tensor { name: Name::Weight(prefix), dtype: Dtype::F32, shape: weight },
        Tensor { name: Name::Bias(other), dtype: Dtype::F32, shape: bias },
    ] = tensors
    else {
        return None;
    };
    let (&[classes, features], &[biases]) = (&weight.dims()[..], &bias.dims()[..]) else { return None };
    let fits = std::mem::discriminant(prefix) == std::mem::discriminant(other)
        && classes == biases
        && (1..8).contains(&classes)
        && (1..32).contains(&features);
    let bits: Vec<u32> = values.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
    if !fits || bits.iter().any(|&bits| !f32::from_bits(bits).is_finite()) {
        return None;
    }
    let (weight, bias) = bits.split_at((classes * features) as usize);
    Some((weight.to_vec(), bias.to_vec()))
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The text of errors, and a panel of the weights.
const FIXED: usize = 1 << 16;

fn check(bytes: &[u8]) -> Option<ModelFile> {
    let (result, used) = peak(|| ModelFile::from_bytes(bytes));
    // A dimension or a bracket of the header is two bytes, and some tens of them once it is read; a value of two bytes may
    // be filled up to 16 floats.
    assert!(used <= 256 * bytes.len() + FIXED, "{used} bytes for {}", bytes.len());
    let loaded = match result {
        Ok(loaded) => loaded,
        Err(Error::Format { found, expected, .. }) => {
            assert!(found.len() + expected.len() < 8000, "{found} {expected}");
            return None;
        }
        Err(other) => panic!("{other:?}"),
    };
    let saved = loaded.to_bytes().expect("what was loaded is saved");
    let again = ModelFile::from_bytes(&saved).expect("what was saved is loaded");
    assert_eq!(again, loaded);
    assert_eq!(bits(&again.model.to_class_major()), bits(&loaded.model.to_class_major()));
    assert_eq!(bits(again.model.bias()), bits(loaded.model.bias()));
    assert_eq!(again.to_bytes().expect("as before"), saved);
    Some(loaded)
}

fuzz_target!(|input: Input| {
    match input {
        Input::Any(bytes) => {
            check(&bytes);
        }
        Input::Header(header, values) => {
            check(&file(&header, &values));
        }
        Input::Tensors { tensors, metadata, values, damage, cut } => {
            let (mut bytes, start) = build(&tensors, metadata.as_deref(), &values);
            if damage.is_empty() && cut == 0 {
                let loaded = check(&bytes);
                if let (Some((weight, bias)), None) = (plain_pair(&tensors, &bytes[start..]), metadata) {
                    let model = loaded.expect("a pair that fits").model;
                    assert_eq!((bits(&model.to_class_major()), bits(model.bias())), (weight, bias));
                }
                return;
            }
            for (at, change) in damage {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= change;
            }
            bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
            check(&bytes);
        }
    }
});
