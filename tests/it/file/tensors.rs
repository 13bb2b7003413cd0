//! Which tensors of a file are the model, and their values in every type. Broken files are `damage`'s business.

use super::{Tensor, bits, f32s, file, pairs_at, raw, refused};
use proptest::prelude::*;
use softreg::{Error, ModelFile, SoftmaxRegression};

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Of binary16, by its definition.
fn half(bits: u16) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff) / 1024.0);
    let size = if exponent == 0 { fraction * 2_f64.powi(-14) } else { (1.0 + fraction) * 2_f64.powi(exponent - 15) };
    if sign == 1 { -size } else { size }
}

/// All finite numbers of a type of 16 bits, a half of them for each of two classes.
fn check_half(dtype: &str, exponent: u16, expected: fn(u16) -> f32) {
    let finite: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & exponent != exponent).collect();
    let tensors: [Tensor<'_>; 2] =
        [("weight", dtype, &[2, finite.len() / 2], u16s(&finite)), ("bias", dtype, &[2], u16s(&[0x8000, 0x0001]))];
    let model = SoftmaxRegression::from_bytes(&file(&tensors)).unwrap();
    let wanted: Vec<f32> = finite.iter().map(|&bits| expected(bits)).collect();
    assert_eq!(bits(&model.to_class_major()), bits(&wanted), "{dtype}");
    assert_eq!(bits(model.bias()), bits(&[expected(0x8000), expected(1)]), "{dtype}");
}

/// They are exact as f32.
#[test]
fn every_half_precision_number_is_loaded() {
    check_half("F16", 0x7c00, |bits| half(bits) as f32);
    check_half("BF16", 0x7f80, |bits| f32::from_bits(u32::from(bits) << 16));
    assert_eq!((half(0x3c00), half(0xc000), half(0x0001)), (1.0, -2.0, 2_f64.powi(-24)));
}

fn f64_model(weight: &[f64]) -> Vec<u8> {
    file(&[("weight", "F64", &[1, weight.len()], f64s(weight)), ("bias", "F64", &[1], f64s(&[0.5]))])
}

#[test]
fn double_precision_is_rounded_to_the_nearest() {
    let (half_ulp, max) = (2_f64.powi(-24), f64::from(f32::MAX));
    let cases = [
        (0.1, 0.1_f32),
        (1.0 + half_ulp, 1.0), // a tie goes to the even one
        (1.0 + 1.000_001 * half_ulp, 1.0 + f32::EPSILON),
        (1.0 + 3.0 * half_ulp, 1.0 + 2.0 * f32::EPSILON),
        (max + 2_f64.powi(102), f32::MAX), // nearer to it than to 2^128
        (-max, f32::MIN),
        (1e-40, 1e-40),
        (1e-46, 0.0),
        (-1e-300, -0.0),
    ];
    let model = SoftmaxRegression::from_bytes(&f64_model(&cases.map(|(wide, _)| wide))).unwrap();
    assert_eq!(bits(&model.to_class_major()), bits(&cases.map(|(_, narrow)| narrow)));
    assert_eq!(model.bias(), [0.5]);
    for beyond in [max + 2_f64.powi(103), -1e39, 1e300, f64::MIN] {
        refused(ModelFile::from_bytes(&f64_model(&[1.0, beyond])), "at position 1 of weight", "f32's range");
    }
    refused(ModelFile::from_bytes(&f64_model(&[1e300])), "1e300 at position 0 of weight", "f32's range");
}

#[test]
fn types_may_differ_and_others_are_refused() {
    let bias = ("bias", "BF16", [2].as_slice(), u16s(&[0x3f80, 0xc000]));
    let model = SoftmaxRegression::from_bytes(&file(&[("weight", "F64", &[2, 1], f64s(&[3.0, 4.0])), bias.clone()]));
    let model = model.unwrap();
    assert_eq!((model.to_class_major(), model.bias()), (vec![3.0, 4.0], [1.0, -2.0].as_slice()));
    for (dtype, bytes) in [("I32", 8), ("U8", 2), ("F8_E4M3", 2), ("C64", 16), ("BOOL", 2), ("I64", 16)] {
        let tensors = [("weight", dtype, [2, 1].as_slice(), vec![0; bytes]), bias.clone()];
        refused(ModelFile::from_bytes(&file(&tensors)), &format!("type {dtype} in weight"), "F32, F64, F16 or BF16");
    }
}

#[test]
fn values_that_are_not_finite_are_named() {
    let f32_bits = |bits: u32| bits.to_le_bytes().to_vec();
    let cases: [(&str, Vec<u8>, &str, Vec<u8>); 9] = [
        ("F32", f32_bits(0x7fc0_0000), "NaN", vec![0; 4]),
        ("F32", f32_bits(0xff80_0001), "NaN", vec![0; 4]),
        ("F32", f32_bits(0x7f80_0000), "inf", vec![0; 4]),
        ("F32", f32_bits(0xff80_0000), "-inf", vec![0; 4]),
        ("F64", f64s(&[f64::NAN]), "NaN", vec![0; 8]),
        ("F64", f64s(&[f64::NEG_INFINITY]), "-inf", vec![0; 8]),
        ("F16", u16s(&[0x7c01]), "NaN", vec![0; 2]),
        ("F16", u16s(&[0x7c00]), "inf", vec![0; 2]),
        ("BF16", u16s(&[0xff80]), "-inf", vec![0; 2]),
    ];
    for (dtype, bad, word, zero) in cases {
        for at in 0..4 {
            let values = |from: usize, to: usize| {
                (from..to).flat_map(|i| if i == at { bad.clone() } else { zero.clone() }).collect::<Vec<u8>>()
            };
            let tensors = [
                ("head.weight", dtype, [1, 3].as_slice(), values(0, 3)),
                ("head.bias", dtype, [1].as_slice(), values(3, 4)),
            ];
            let found = match at {
                3 => format!("{word} at position 0 of head.bias"),
                at => format!("{word} at position {at} of head.weight"),
            };
            refused(ModelFile::from_bytes(&file(&tensors)), &found, "finite numbers");
        }
    }
}

/// What a larger model has beside its last layer.
fn others() -> [Tensor<'static>; 7] {
    [
        ("conv.weight", "F32", &[2, 1, 2, 2], vec![0; 32]),
        ("conv.bias", "F32", &[2], vec![0; 8]),
        ("norm.weight", "F32", &[4], vec![0; 16]),
        ("norm.bias", "F32", &[4], vec![0; 16]),
        ("embedding.weight", "F32", &[3, 2], vec![0; 24]),
        ("overweight", "F32", &[2, 3], vec![0; 24]),
        ("overbias", "F32", &[2], vec![0; 8]),
    ]
}

#[test]
fn the_only_pair_that_fits_is_taken() {
    for prefix in ["", "fc.", "module.fc.", "classifier.0.", "é."] {
        for more in [&[][..], &others()] {
            let bytes = pairs_at(&[prefix], more);
            let model = SoftmaxRegression::from_bytes(&bytes).unwrap();
            assert_eq!(model.to_class_major(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{prefix:?}");
            assert_eq!((model.bias(), model.features()), ([7.0, 8.0].as_slice(), 3), "{prefix:?}");
            let named = ModelFile::from_bytes_tensors(&bytes, prefix.trim_end_matches('.')).unwrap();
            assert_eq!(named.model, model);
        }
    }
    // Without a fitting bias a weight is no model, and need not be of a type that is read.
    let bytes = pairs_at(&["b."], &[("a.weight", "I8", &[2, 3], vec![0; 6]), ("a.bias", "I8", &[3], vec![0; 3])]);
    assert_eq!(SoftmaxRegression::from_bytes(&bytes).unwrap().bias(), [7.0, 8.0]);
    // No classes and no features are no model.
    let nothing = [("a.weight", "F32", [0, 3].as_slice(), vec![]), ("a.bias", "F32", &[0], vec![])];
    assert_eq!(SoftmaxRegression::from_bytes(&pairs_at(&["b."], &nothing)).unwrap().bias(), [7.0, 8.0]);
    refused(ModelFile::from_bytes(&file(&nothing)), "a.weight [0, 3] and a.bias [0]", "[classes, features]");
    let no_features = [("a.weight", "F32", [2, 0].as_slice(), vec![]), ("a.bias", "F32", &[2], vec![0; 8])];
    refused(ModelFile::from_bytes(&file(&no_features)), "a.weight [2, 0] and a.bias [2]", "[classes, features]");
}

#[test]
fn of_several_pairs_one_is_named() {
    let two = [("0.weight", "F32", [1, 1].as_slice(), f32s(&[9.0])), ("0.bias", "F32", &[1], f32s(&[-9.0]))];
    let bytes = pairs_at(&["2.", ""], &two);
    let load = |prefix| ModelFile::from_bytes_tensors(&bytes, prefix);
    refused(
        ModelFile::from_bytes(&bytes),
        "3 models: 0.weight [1, 1], 2.weight [2, 3], weight [2, 3]",
        "one, or the prefix of the one to load",
    );
    assert_eq!(load("0").unwrap().model.bias(), [-9.0]);
    assert_eq!(load("2").unwrap().model.bias(), [7.0, 8.0]);
    assert_eq!(load("").unwrap().model.bias(), [7.0, 8.0]);
    refused(load("1"), "0.bias [1], 0.weight [1, 1], 2.bias [2]", "tensors 1.weight and 1.bias");
    refused(load("0."), "0.bias [1]", "tensors 0..weight");
    refused(load("weight"), "0.bias [1]", "tensors weight.weight");
    let bytes = pairs_at(&["2."], &others());
    refused(
        ModelFile::from_bytes_tensors(&bytes, "norm"),
        "norm.weight [4] and norm.bias [4]",
        "shapes [classes, features] and [classes]",
    );
}

#[test]
fn where_no_pair_fits_the_tensors_are_listed() {
    let expected = "weight [classes, features] and bias [classes]";
    refused(ModelFile::from_bytes(&file(&[])), "no tensors", expected);
    refused(ModelFile::from_bytes(&raw("{}", &[])), "no tensors", expected);
    refused(ModelFile::from_bytes(&pairs_at(&[], &others()[4..5])), "embedding.weight [3, 2]", expected);
    refused(ModelFile::from_bytes(&pairs_at(&[], &others())), "conv.bias [2], conv.weight [2, 1, 2, 2], ", expected);
    let turned = [("weight", "F32", [3, 2].as_slice(), vec![0; 24]), ("bias", "F32", &[2], vec![0; 8])];
    refused(ModelFile::from_bytes(&file(&turned)), "weight [3, 2] and bias [2]", "[classes, features]");
    let column = [("weight", "F32", [2, 3].as_slice(), vec![0; 24]), ("bias", "F32", &[2, 1], vec![0; 8])];
    refused(ModelFile::from_bytes(&file(&column)), "weight [2, 3] and bias [2, 1]", "[classes]");
}

/// However many tensors there are, however long their names, whatever is in them.
#[test]
fn a_message_is_bounded() {
    let shape = vec![1; 1000];
    let names: Vec<String> = (0..1000).map(|i| format!("\u{1b}[31m\n\u{202e}{i}{}", "é".repeat(5000))).collect();
    let tensors: Vec<Tensor<'_>> = names.iter().map(|name| (name.as_str(), "U8", &shape[..], vec![0])).collect();
    let bytes = file(&tensors);
    refused(ModelFile::from_bytes(&bytes), "and 992 more", "weight");
    refused(ModelFile::from_bytes_tensors(&bytes, &names[0]), "1, 1, 992 more]", "…");
    let pairs: Vec<String> = (0..100).map(|i| format!("{i}.")).collect();
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    refused(ModelFile::from_bytes(&pairs_at(&pairs, &[])), "100 models: 0.weight [2, 3], 1.weight", "one");
    let weight = format!("{}.weight", names[0]);
    let bias = format!("{}.bias", names[0]);
    let nan = [
        (weight.as_str(), "F32", [1, 1].as_slice(), f32s(&[f32::NAN])),
        (bias.as_str(), "F32", [1].as_slice(), f32s(&[0.0])),
    ];
    refused(ModelFile::from_bytes(&file(&nan)), "NaN at position 0 of \\u{1b}[31m\\n\\u{202e}0é", "finite");
    for (repeated, shown) in [(100, "é".repeat(100) + " [1]"), (101, "é".repeat(100) + "… (101 characters) [1]")] {
        let name = "é".repeat(repeated);
        refused(ModelFile::from_bytes(&file(&[(&name, "F32", &[1], f32s(&[0.0]))])), &shown, "weight");
    }
    // What a character is shown as counts.
    let escapes = "\\u{1b}".repeat(16) + "\\u{1… (200 characters) [1]";
    refused(ModelFile::from_bytes(&file(&[(&"\u{1b}".repeat(200), "F32", &[1], f32s(&[0.0]))])), &escapes, "weight");
    let header = format!("{{\"{}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}}}", "x".repeat(10_000));
    refused(ModelFile::from_bytes(&raw(&header, &[0; 8])), "a header that does not hold together", "safetensors");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_f64_is_the_nearest_f32_or_an_error(value in any::<u64>().prop_map(f64::from_bits)) {
        let found = SoftmaxRegression::from_bytes(&f64_model(&[value]));
        match found {
            Ok(model) => {
                let found = f64::from(model.to_class_major()[0]);
                let steps = |value: f64, up: bool| {
                    let value = value as f32;
                    f64::from(if up { value.next_up() } else { value.next_down() })
                };
                for other in [steps(found, true), steps(found, false)] {
                    prop_assert!((found - value).abs() <= (other - value).abs(), "{} for {}", found, value);
                }
            }
            Err(error) => {
                let refused = matches!(error, Error::Format { .. });
                let large = value.abs() >= f64::from(f32::MAX) + 2_f64.powi(103);
                prop_assert!(refused && (value.is_nan() || large), "{}: {}", value, error);
            }
        }
    }
}
