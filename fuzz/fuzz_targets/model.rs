//! Any numbers as a model's parameters, with dimensions that need not fit: accepted exactly if they do and all are finite, given back to the
//! bit in either order, within memory in proportion to what is there and not to what is claimed.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::SoftmaxRegression;
use softreg_fuzz::memory::peak;

#[derive(Arbitrary, Debug)]
enum Dimensions {
    Any(usize, usize),
    /// Those of the values, or nearly.
    Near {
        classes: u8,
        more: i8,
    },
}

#[derive(Arbitrary, Debug)]
struct Input {
    dimensions: Dimensions,
    /// Elements of the bias more than classes.
    more_bias: i8,
    class_major: bool,
    bytes: Vec<u8>,
}

/// The panel that is filled up, each way, and the text of an error.
const FIXED: usize = 1 << 16;

fuzz_target!(|input: Input| {
    let values: Vec<f32> = input.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let (features, classes) = match input.dimensions {
        Dimensions::Any(features, classes) => (features, classes),
        Dimensions::Near { classes, more } => {
            let classes = usize::from(classes);
            ((values.len() / classes.max(1)).saturating_add_signed(more.into()), classes)
        }
    };
    // No bias is longer than the values.
    let bias_len = classes.saturating_add_signed((input.more_bias / 32).into()).min(values.len() + 1);
    let bias: Vec<f32> = values.iter().rev().chain(&[0.5]).copied().take(bias_len).collect();

    let make = if input.class_major { SoftmaxRegression::from_class_major } else { SoftmaxRegression::from_row_major };
    let (model, used) = peak(|| make(&values, &bias, features, classes));
    // Both dimensions are filled up to whole panels of 16, but for classes along the features' lanes.
    let padded = values.len() + 16 * (classes.min(values.len()) + features.min(values.len())) + 256;
    assert!(used <= 4 * (padded + bias.len()) + FIXED, "{used} bytes for {} values", values.len());
    let finite = values.iter().chain(&bias).all(|value| value.is_finite());
    let fits = features > 0
        && classes > 0
        && features.checked_mul(classes) == Some(values.len())
        && bias.len() == classes
        && finite;
    assert_eq!(model.is_ok(), fits, "{features} x {classes}, {} values: {model:?}", values.len());
    let Ok(model) = model else { return };

    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let (given, other, [rows, columns]) = match input.class_major {
        true => (model.to_class_major(), model.to_row_major(), [classes, features]),
        false => (model.to_row_major(), model.to_class_major(), [features, classes]),
    };
    assert_eq!((model.features(), model.classes()), (features, classes));
    assert_eq!(bits(&given), bits(&values));
    assert_eq!(bits(model.bias()), bits(&bias));
    let turned: Vec<f32> =
        (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]).collect();
    assert_eq!(bits(&other), bits(&turned));
});
