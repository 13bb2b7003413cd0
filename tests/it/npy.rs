//! NumPy's files: every type, order and version, and what is refused.
#![cfg(feature = "npy")]

use proptest::prelude::*;
use softreg::{Error, npy};

/// A file as NumPy writes it.
fn file(version: u8, descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend((header.len() as u16).to_le_bytes()),
        _ => file.extend((header.len() as u32).to_le_bytes()),
    }
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn bytes<const N: usize, T: Copy>(values: &[T], encode: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| encode(value)).collect()
}

#[test]
fn features_of_every_type_are_read() {
    let whole = [0.0, 1.0, 2.0, 250.0, 4.0, 65.0];
    let signed = [-1.0, 1.0, -2.0, 100.0, 4.0, -65.0];
    let small = [0.5, -1.5, 2.0, 250.0, 0.0, 65504.0];
    let cases: [(&str, &[f32], Vec<u8>); 12] = [
        ("<f4", &small, bytes(&small, f32::to_le_bytes)),
        ("<f8", &small, bytes(&small, |x| f64::from(x).to_le_bytes())),
        ("<f2", &small, bytes(&[0x3800, 0xbe00, 0x4000, 0x5bd0, 0, 0x7bff], u16::to_le_bytes)),
        ("|u1", &whole, bytes(&whole, |x| (x as u8).to_le_bytes())),
        ("<u2", &whole, bytes(&whole, |x| (x as u16).to_le_bytes())),
        ("<u4", &whole, bytes(&whole, |x| (x as u32).to_le_bytes())),
        ("<u8", &whole, bytes(&whole, |x| (x as u64).to_le_bytes())),
        ("|i1", &signed, bytes(&signed, |x| (x as i8).to_le_bytes())),
        ("<i2", &signed, bytes(&signed, |x| (x as i16).to_le_bytes())),
        ("<i4", &signed, bytes(&signed, |x| (x as i32).to_le_bytes())),
        ("=i8", &signed, bytes(&signed, |x| (x as i64).to_le_bytes())),
        ("|b1", &[1.0, 0.0, 1.0, 1.0, 0.0, 0.0], vec![1, 0, 1, 1, 0, 0]),
    ];
    for (descr, values, data) in cases {
        for version in 1..=3 {
            let found = npy::features(&file(version, descr, false, "(3, 2)", &data)[..], "x").expect("a file");
            assert_eq!((&found.values[..], found.features), (values, 2), "{descr}, version {version}");
            let found = npy::features(&file(version, descr, true, "(3, 2)", &data)[..], "x").expect("a file");
            let turned = [0, 3, 1, 4, 2, 5].map(|at| values[at]);
            assert_eq!((&found.values[..], found.features), (&turned[..], 2), "{descr}, by columns");
        }
    }
}

#[test]
fn labels_of_every_integer_type_are_read() {
    let labels =
        |descr: &str, data: Vec<u8>| npy::labels(&file(1, descr, false, "(3,)", &data)[..], "y").expect("a file");
    assert_eq!(labels("|u1", vec![0, 255, 7]), [0, 255, 7]);
    assert_eq!(labels("|b1", vec![0, 1, 1]), [0, 1, 1]);
    assert_eq!(labels("<i8", bytes(&[i64::MIN, -1, i64::MAX], i64::to_le_bytes)), [i64::MIN, -1, i64::MAX]);
    assert_eq!(labels("<u4", bytes(&[0, 1, u32::MAX], u32::to_le_bytes)), [0, 1, i64::from(u32::MAX)]);
    let many: Vec<i32> = (0..50_001).map(|i| i * 3 - 7).collect();
    let found =
        npy::labels(&file(2, "<i4", true, "(50001,)", &bytes(&many, i32::to_le_bytes))[..], "y").expect("a file");
    assert!(found.into_iter().eq(many.into_iter().map(i64::from)));
    assert!(npy::labels(&file(1, "<i4", false, "(0,)", &[])[..], "y").expect("a file").is_empty());
}

#[test]
fn labels_may_be_texts() {
    use npy::{Labels, any_labels};
    let read = |descr: &str, data: &[u8]| any_labels(&file(1, descr, false, "(3,)", data)[..], "y");
    let wide = |texts: [&str; 3]| -> Vec<u8> {
        let code = |text: &str, at: usize| text.chars().nth(at).map_or(0, u32::from).to_le_bytes();
        texts.iter().flat_map(|text| (0..4).flat_map(move |at| code(text, at))).collect()
    };
    let texts = |texts: [&str; 3]| Labels::Texts(texts.map(str::to_owned).to_vec());
    assert_eq!(read("<U4", &wide(["ash", "oäk!", ""])).unwrap(), texts(["ash", "oäk!", ""]));
    assert_eq!(read("|S2", b"a\0bc\0\0").unwrap(), texts(["a", "bc", ""]));
    assert_eq!(read("|u1", &[3, 0, 7]).unwrap(), Labels::Integers(vec![3, 0, 7]));
    for (descr, data, found) in [
        ("<U4", wide(["a", "b", "c"])[..47].to_vec(), "found 2 of 3 elements"),
        ("<U4", [&wide(["a", "b", "c"])[..], b"x"].concat(), "found more bytes behind 3 elements"),
        ("<U1", [0xff; 12].to_vec(), "found element 0, which is no text"),
        ("|S2", b"ab\xff\xfecd".to_vec(), "found element 1, which is no text"),
        ("<U0", vec![], "found an array"),
        ("<U4294967296", vec![], "found an array"),
        (">U1", vec![0; 12], "found an array"),
    ] {
        let message = read(descr, &data).unwrap_err().to_string();
        assert!(message.contains(found), "{descr}: {message}");
    }
}

/// The part of a message that says what was found.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(error @ Error::Format { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_plain_array_is_refused() {
    let good = bytes(&[1.0f32, 2.0], f32::to_le_bytes);
    let features = |file: Vec<u8>| refused(npy::features(&file[..], "x.npy"));
    let labels = |file: Vec<u8>| refused(npy::labels(&file[..], "y.npy"));
    for (found, part) in [
        (features(b"PK\x03\x04 and so on".to_vec()), "another kind of file"),
        (features(vec![]), "cut short"),
        (features(file(9, "<f4", false, "(1, 2)", &good)), "version 9"),
        (features(file(1, "|O", false, "(1, 2)", &good)), "type \"|O\", expected a type of numbers"),
        (features(file(1, ">f4", false, "(1, 2)", &good)), "type \">f4\""),
        (features(file(1, "<c8", false, "(1, 1)", &good)), "type \"<c8\""),
        (features(file(1, "<f4", false, "(2,)", &good)), "shape [2]"),
        (features(file(1, "<f4", false, "()", &good)), "shape []"),
        (features(file(1, "<f4", false, "(1, 1, 2)", &good)), "shape [1, 1, 2]"),
        (features(file(1, "<f4", false, "(2, 0)", &[])), "at least one feature"),
        (features(file(1, "<f4", false, "(1, 3)", &good)), "found 2 of 3 elements"),
        (features(file(1, "<f4", false, "(1, 1)", &good)), "more bytes behind 1 elements"),
        (features(file(1, "<f4", false, "(1099511627776, 1099511627776)", &good)), "fits in memory"),
        (features(file(1, "<f4", false, "(1099511627776, 100)", &good)), "found 2 of 109951162777600 elements"),
        (features(file(1, "<f4", false, "(-1, 2)", &good)), "the header"),
        (features(file(1, "<f4", false, "(1, 2", &good)), "the header"),
        (labels(file(1, "<f4", false, "(2,)", &good)), "expected integers"),
        (labels(file(1, "<i4", false, "(1, 2)", &good)), "expected one dimension"),
        (labels(file(1, "<u8", false, "(1,)", &[255; 8])), "64 bits"),
    ] {
        assert!(found.contains(part) && found.contains(".npy: found"), "{part}: {found}");
    }
    let missing = npy::read_features("/nowhere/x.npy");
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    assert!(refused(npy::read_labels("/")).contains("a directory"));
}

proptest! {
    /// A file cut short anywhere is refused, and no damage panics or takes memory by its header's word.
    #[test]
    fn damaged_files_are_refused(cut in 0usize..200, at in 0usize..152, byte in any::<u8>()) {
        let whole = file(1, "<f4", false, "(3, 2)", &bytes(&[1.0f32; 6], f32::to_le_bytes));
        prop_assert!(npy::features(&whole[..cut.min(whole.len() - 1)], "x").is_err());
        let mut damaged = whole;
        damaged[at] = byte;
        if let Ok(found) = npy::features(&damaged[..], "x") {
            prop_assert!(found.values.len() <= 24 && found.values.len() % found.features == 0);
        }
        let _ = npy::labels(&damaged[..], "x");
    }
}
