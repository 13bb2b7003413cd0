//! The scaler: what it learns of rows, and that a folded model has the logits of the model of scaled features. The gradient in
//! scaled coordinates is tested beside it.

use crate::support::cases::{Kind, Shape};
use crate::support::compare::{Expected, same_bits, sum_budget};
use crate::support::data::{BOTH, Data, concat};
use crate::support::failures::{Failures, text};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::{Batch, Dataset, Error, Level, Matrix, Scaler, SoftmaxRegression, Targets};

/// Mean and population deviation of each column, in two passes; rows by their weight.
fn two_passes(x: &[f64], features: usize, weights: &[f64]) -> Vec<[f64; 2]> {
    let total: f64 = weights.iter().sum();
    let mean_of = |j: usize, of: &dyn Fn(f64) -> f64| {
        let column = x.iter().skip(j).step_by(features);
        column.zip(weights).map(|(&x, w)| w * of(x)).sum::<f64>() / total
    };
    let moments = |j| {
        let mean = mean_of(j, &|x| x);
        [mean, mean_of(j, &|x| (x - mean) * (x - mean)).sqrt()]
    };
    (0..features).map(moments).collect()
}

#[track_caller]
fn check_moments(scaler: &Scaler, expected: &[[f64; 2]]) {
    assert_eq!(scaler.features(), expected.len());
    for (j, &[mean, deviation]) in expected.iter().enumerate() {
        let (offset, scale) = (scaler.offset()[j], scaler.scale()[j]);
        assert!((offset - mean).abs() <= 1e-9 * (mean.abs() + deviation), "feature {j}: {offset} for {mean}");
        assert!((scale * deviation - 1.0).abs() <= 1e-7, "feature {j}: scale {scale} for a deviation of {deviation}");
    }
}

#[test]
fn a_standard_scaler_has_the_rows_moments() {
    for rows in [2, 3, 127, 128, 300] {
        let mut data = Data::new(Shape { rows, features: 7, classes: 3 }, rows as u64);
        for row in data.values.chunks_exact_mut(7) {
            row[1] = row[1] * 1e-6 + 0.25;
            row[2] = row[2] * 1e6 - 5e5;
            row[3] *= 1e-30;
        }
        data.pixels.iter_mut().enumerate().for_each(|(i, pixel)| *pixel = (i * i * 31 % 251) as u8);
        let weights: Vec<f32> = (0..rows).map(|row| [1.0, 0.25, 3.0][row % 3]).collect();
        let wide: Vec<f64> = weights.iter().map(|&weight| weight.into()).collect();
        for kind in BOTH {
            let unit = f64::from(1.0_f32 / 255.0);
            let x64: Vec<f64> = match kind {
                Kind::F32 => data.x64(kind),
                Kind::U8 => data.pixels.iter().map(|&pixel| f64::from(pixel) * unit).collect(),
            };
            let x = data.x(kind);
            check_moments(&Scaler::standard(x).expect("rows"), &two_passes(&x64, 7, &vec![1.0; rows]));
            let targets = Targets::from_u32(&data.labels).with_classes(3);
            let batch = |targets| Batch::new(x, targets).expect("rows agree");
            let same = Scaler::standard_weighted(batch(targets)).expect("rows");
            assert_eq!(same, Scaler::standard(x).expect("rows"), "{rows}: rows of weight 1");
            let weighted = targets.with_row_weights(&weights).expect("a weight a row");
            check_moments(&Scaler::standard_weighted(batch(weighted)).expect("rows"), &two_passes(&x64, 7, &wide));
        }
    }
}

/// Weight 2 is the row twice; selected rows are those that count; a scale of the matrix is the features'.
#[test]
fn a_scaler_sees_the_rows_that_are_viewed() {
    let data = Data::new(Shape { rows: 60, features: 4, classes: 2 }, 5);
    let order: Vec<usize> = (0..60).flat_map(|row| std::iter::repeat_n(row, row % 3)).collect();
    let weights: Vec<f32> = (0..60).map(|row| (row % 3) as f32).collect();
    for kind in BOTH {
        let x = data.x(kind);
        let often = Scaler::standard(x.select(&order).expect("they exist")).expect("rows");
        let targets = Targets::from_u32(&data.labels).with_row_weights(&weights).expect("a weight a row");
        let weighted = Scaler::standard_weighted(Batch::new(x, targets).expect("rows agree")).expect("rows");
        for (found, expected) in [(often.offset(), weighted.offset()), (often.scale(), weighted.scale())] {
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (a.abs() + b.abs());
            assert!(found.iter().zip(expected).all(near), "{kind:?}: {found:?} for {expected:?}");
        }
        let (once, twice) = (Scaler::standard(x).expect("rows"), Scaler::standard(x.with_scale(2.0)).expect("rows"));
        for j in 0..4 {
            assert_eq!((once.offset()[j] * 2.0, once.scale()[j] / 2.0), (twice.offset()[j], twice.scale()[j]));
        }
    }
    let gaps: Vec<f32> = data.values.chunks_exact(4).flat_map(|row| [&row[..3], &[f32::NAN]].concat()).collect();
    let strided = Scaler::standard(Matrix::from_f32_strided(&gaps, 3, 4).expect("whole rows")).expect("rows");
    let columns = data.x(Kind::F32).columns(0..3).expect("in range");
    assert_eq!(strided, Scaler::standard(columns).expect("rows"));
}

#[test]
fn a_constant_feature_is_centred_and_not_scaled() {
    let values: Vec<f32> =
        (0..200).flat_map(|i| [0.1, -3e7, 0.0, if i % 2 == 0 { 0.0 } else { 1e-44 }, i as f32]).collect();
    let x = Matrix::from_f32(&values, 5).expect("whole rows");
    let scaler = Scaler::standard(x).expect("rows");
    assert_eq!(scaler.scale()[..4], [1.0; 4]);
    assert!((scaler.offset()[0] - f64::from(0.1_f32)).abs() < 1e-15, "{:?}", scaler.offset());
    let z = scaler.transform(x).expect("the shapes fit");
    assert!(z.chunks_exact(5).all(|z| z[..3].iter().all(|z| z.abs() < 1e-6) && z[3].abs() < 1e-40), "{z:?}");
    let one = Scaler::standard(x.select(&[7]).expect("it exists")).expect("a row");
    assert_eq!(one.scale(), [1.0; 5]);
}

#[test]
fn pixels_are_scaled_as_they_read() {
    let pixels = [0, 255, 51, 102, 255, 0];
    let x = Matrix::from_u8(&pixels, 2).expect("whole rows");
    let scaler = Scaler::new(vec![0.2, 0.4], vec![2.0, -10.0]).expect("finite numbers");
    let z = scaler.transform(x).expect("the shapes fit");
    for (z, expected) in z.iter().zip([-0.4, -6.0, 0.0, 0.0, 1.6, 4.0]) {
        assert!((z - expected).abs() < 1e-6, "{z} for {expected}");
    }
    let bytes = Scaler::standard(x.with_scale(255.0)).expect("rows");
    assert!((bytes.offset()[0] - 102.0).abs() < 1e-9, "{:?}", bytes.offset());
}

/// A scaler for the rows of `Data`: offsets beside them, scales of both signs.
fn scaler_for(features: usize, random: &mut Random) -> Scaler {
    let offset = random.numbers(features, 3.0).into_iter().map(f64::from).collect();
    let scale = random.numbers(features, 1.0).iter().map(|&s| f64::from(s + s.signum() * 0.1)).collect();
    Scaler::new(offset, scale).expect("finite numbers")
}

/// What logits of `x * W + b` may be off by, and what those of `z * V + c` by, around their value in f64: the sums' own
/// roundings, those of each weight and of each `z`, and of the bias.
fn expected_logits(data: &Data, kind: Kind, scaler: &Scaler) -> Expected {
    let Shape { features, classes, .. } = data.shape;
    let (mut values, mut tolerances) = (Vec::new(), Vec::new());
    for row in data.x64(kind).chunks_exact(features) {
        for class in 0..classes {
            let c = f64::from(data.bias[class]);
            let (mut sum, mut size) = (c, c.abs());
            for (j, x) in row.iter().enumerate() {
                let (v, scale) = (f64::from(data.weights[j * classes + class]), scaler.scale()[j]);
                sum += (x - scaler.offset()[j]) * scale * v;
                size += (x.abs() + 2.0 * scaler.offset()[j].abs()) * (scale * v).abs();
            }
            values.push(sum);
            tolerances.push(sum_budget(features + 6, size));
        }
    }
    Expected { values, tolerances, columns: classes }
}

fn check_fold(shape: Shape, seed: u64, failures: &mut Failures) {
    let Shape { features, classes, .. } = shape;
    let data = Data::new(shape, seed);
    let scaler = scaler_for(features, &mut Random::new(seed ^ 1));
    for (kind, level) in BOTH.into_iter().flat_map(|kind| levels().into_iter().map(move |level| (kind, level))) {
        failures.check(format!("{level}, {kind:?}, {shape}"), || {
            let expected = expected_logits(&data, kind, &scaler);
            let model = SoftmaxRegression::from_row_major(&data.weights, &data.bias, features, classes);
            let model = model.map_err(text)?.with_level(level);
            let x = data.x(kind);
            let z = scaler.transform(x).map_err(text)?;
            let logits = |model: &SoftmaxRegression, x: Matrix<'_>| {
                let mut logits = vec![f32::NAN; shape.rows * classes];
                model.logits_into(x, &mut logits).map(|()| logits).map_err(text)
            };
            let scaled = logits(&model, Matrix::from_f32(&z, features).map_err(text)?)?;
            expected.check(&scaled).map_err(|error| format!("scaled: {error}"))?;
            let folded = scaler.fold(&model).map_err(text)?;
            expected.check(&logits(&folded, x)?).map_err(|error| format!("folded: {error}"))?;
            check_inverse(&scaler, &model, &folded)?;
            let back = scaler.unfold(&model).map_err(text)?;
            check_inverse(&scaler, &back, &model)
        });
    }
}

/// Whether one model is the other folded, up to the roundings of a weight there and back, and of a bias.
fn check_inverse(scaler: &Scaler, scaled: &SoftmaxRegression, folded: &SoftmaxRegression) -> Result<(), String> {
    let (features, classes) = (scaled.features(), scaled.classes());
    let check = |what: &str, found: &SoftmaxRegression, expected: &SoftmaxRegression| {
        let (w, v) = (expected.to_row_major(), scaled.to_row_major());
        let tolerances = w.iter().map(|w| sum_budget(3, w.abs().into())).collect();
        let weights = Expected { values: w.iter().map(|&w| w.into()).collect(), tolerances, columns: classes };
        weights.check(&found.to_row_major()).map_err(|error| format!("{what}, weights: {error}"))?;
        let size = |class: usize| {
            let terms = (0..features)
                .map(|j| (scaler.offset()[j] * scaler.scale()[j]).abs() * f64::from(v[j * classes + class].abs()));
            terms.sum::<f64>() + f64::from(scaled.bias()[class].abs())
        };
        let tolerances = (0..classes).map(|class| sum_budget(6, size(class))).collect();
        let bias = expected.bias().iter().map(|&b| b.into()).collect();
        let bias = Expected { values: bias, tolerances, columns: classes };
        bias.check(found.bias()).map_err(|error| format!("{what}, bias: {error}"))
    };
    check("folded", &scaler.fold(scaled).map_err(text)?, folded)?;
    check("unfolded", &scaler.unfold(folded).map_err(text)?, scaled)
}

#[test]
fn a_folded_model_has_the_logits_of_the_scaled_one() {
    let mut failures = Failures::default();
    let shapes =
        [(3, 1, 1), (5, 784, 10), (4, 785, 3), (7, 16, 48), (6, 20, 17), (3, 600, 300), (0, 4, 2), (40, 33, 9)];
    for (seed, (rows, features, classes)) in shapes.into_iter().enumerate() {
        check_fold(Shape { rows, features, classes }, seed as u64, &mut failures);
    }
    failures.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_folded_model_of_any_shape_has_too(rows in 0usize..12, features in 1usize..90, classes in 1usize..40, seed: u64) {
        let mut failures = Failures::default();
        check_fold(Shape { rows, features, classes }, seed, &mut failures);
        prop_assert!(failures.report().is_none(), "{}", failures.report().unwrap_or_default());
    }
}

/// A thousand deviations away, the bias makes up at the mean for what rounding takes from the weights.
#[test]
fn a_folded_model_is_near_at_the_offset() {
    let scaler = Scaler::new(vec![900.0, 1000.0], vec![1.0, 1.0 / 3.0]).expect("finite numbers");
    let model = SoftmaxRegression::from_row_major(&[1.0 / 3.0, -0.3], &[0.5], 2, 1).expect("two weights");
    let folded = scaler.fold(&model).expect("finite weights");
    let weights: Vec<f64> = folded.to_row_major().iter().map(|&w| w.into()).collect();
    let at_offset = weights[0] * 900.0 + weights[1] * 1000.0 + f64::from(folded.bias()[0]);
    assert!(
        (at_offset - 0.5).abs() <= f64::from(f32::EPSILON) / 2.0 * f64::from(folded.bias()[0].abs()),
        "{at_offset}"
    );
}

#[test]
fn a_model_keeps_its_bits_where_nothing_is_scaled_and_its_settings_always() {
    let data = Data::new(Shape { rows: 1, features: 37, classes: 11 }, 3);
    let identity = Scaler::new(vec![0.0; 37], vec![1.0; 37]).expect("finite numbers");
    let model = SoftmaxRegression::from_row_major(&data.weights, &data.bias, 37, 11).expect("the lengths fit");
    let model = model.with_level(Level::from_name("portable").expect("always there")).with_threads(3);
    for other in [identity.fold(&model), identity.unfold(&model)] {
        let other = other.expect("finite weights");
        assert_eq!(same_bits(&concat(other.parameters()), &concat(model.parameters())), Ok(()));
        assert_eq!((other.level(), other.threads()), (model.level(), 3));
    }
    assert_eq!(identity.transform(data.x(Kind::F32)).expect("the shapes fit"), data.values);
}

#[test]
fn what_f32_cannot_hold_is_an_error() {
    let model = |w: f32, b: f32| SoftmaxRegression::from_row_major(&[1.0, w], &[b], 2, 1).expect("two weights");
    let scaler = |offset, scale| Scaler::new(vec![0.0, offset], vec![1.0, scale]).expect("finite numbers");
    let weight = |error: Error| matches!(error, Error::NonFinite { what: "weights", row: 1, column: 0, .. });
    let bias = |error: Error| matches!(error, Error::NonFinite { what: "bias", column: 0, .. });
    assert!(weight(scaler(0.0, 1e30).fold(&model(1e10, 0.0)).expect_err("1e40")));
    assert!(weight(scaler(0.0, 1e-30).unfold(&model(1e10, 0.0)).expect_err("1e40")));
    assert!(bias(scaler(1e30, 1.0).fold(&model(1e10, 0.0)).expect_err("-1e40")));
    assert!(bias(scaler(1e30, 1.0).unfold(&model(1e10, 0.0)).expect_err("1e40")));
    // Nor do sums overflow before the end.
    let folded = scaler(1e30, 1.0).fold(&model(1e5, 1.0)).expect("1e35");
    assert!((f64::from(folded.bias()[0]) + 1e35).abs() < 1e28);
    let z = scaler(0.0, 1e30).transform(Matrix::from_f32(&[1.0, 1e10, f32::NAN, 0.0], 2).expect("two rows"));
    let z = z.expect("the shapes fit");
    assert!(z[0] == 1.0 && z[1] == f32::INFINITY && z[2].is_nan() && z[3] == 0.0, "{z:?}");
}

#[test]
fn a_scaler_of_wrong_numbers_is_refused() {
    let found = Scaler::new(vec![], vec![]);
    assert!(matches!(found, Err(Error::Size { what: "features", found: 0, .. })), "{found:?}");
    let found = Scaler::new(vec![0.0; 3], vec![1.0; 2]);
    assert!(matches!(found, Err(Error::Shape { what: "scales", found: 2, expected: 3 })), "{found:?}");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e39, -1e300] {
        let found = Scaler::new(vec![0.0, bad], vec![1.0; 2]);
        assert!(matches!(found, Err(Error::NonFinite { what: "offsets", row: 0, column: 1, .. })), "{bad}: {found:?}");
        let found = Scaler::new(vec![0.0; 2], vec![bad, 1.0]);
        assert!(matches!(found, Err(Error::NonFinite { what: "scales", row: 0, column: 0, .. })), "{bad}: {found:?}");
    }
    for bad in [0.0, -0.0, 1e-60] {
        let found = Scaler::new(vec![0.0; 2], vec![1.0, bad]);
        assert!(matches!(found, Err(Error::Setting { found, .. }) if found == bad), "{bad}: {found:?}");
    }
}

#[test]
fn rows_without_moments_are_refused() {
    let none = Matrix::from_f32(&[], 3).expect("no rows");
    let found = Scaler::standard(none);
    assert!(matches!(found, Err(Error::Size { what: "rows", found: 0, .. })), "{found:?}");
    let found = Scaler::standard_weighted(Batch::new(none, Targets::from_u8(&[])).expect("rows agree"));
    assert!(matches!(found, Err(Error::Size { what: "rows", found: 0, .. })), "{found:?}");

    let x = Matrix::from_f32(&[0.0, 1.0, 2.0, 3.0], 1).expect("four rows");
    let targets = Targets::from_u8(&[0, 1, 0, 1]);
    let found = |targets: Result<Targets<'_>, Error>| Scaler::standard_weighted(Batch::new(x, targets?)?);
    let weightless = found(targets.with_row_weights(&[0.0; 4]));
    assert!(matches!(weightless, Err(Error::NoWeight { rows: 4 })), "{weightless:?}");
    let negative = found(targets.with_row_weights(&[1.0, 1.0, -1.0, 1.0]));
    assert!(matches!(negative, Err(Error::Weight { of: "row", index: 2, .. })), "{negative:?}");
    let label = found(Ok(targets.with_classes(1)));
    assert!(matches!(label, Err(Error::Label { row: 1, label: 1, classes: 1 })), "{label:?}");
    let parted = Scaler::standard_weighted(Batch { x, targets: Targets::from_u8(&[0, 1]) });
    assert!(matches!(parted, Err(Error::Shape { .. })), "{parted:?}");

    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let found = Scaler::standard(Matrix::from_f32(&[0.0, 1.0, 2.0, bad], 2).expect("two rows"));
        assert!(matches!(found, Err(Error::NonFinite { what: "features", row: 1, column: 1, .. })), "{found:?}");
    }
    let found = Scaler::standard(x.with_scale(f32::NAN));
    assert!(matches!(found, Err(Error::Setting { name: "scale of x", .. })), "{found:?}");
}

#[test]
fn other_numbers_of_features_are_refused() {
    let scaler = Scaler::new(vec![0.0; 3], vec![1.0; 3]).expect("finite numbers");
    for features in [2, 4] {
        let model = SoftmaxRegression::zeros(features, 2);
        for found in [scaler.fold(&model), scaler.unfold(&model)] {
            assert!(matches!(found, Err(Error::Shape { expected: 3, .. })), "{found:?}");
        }
        let values = [0.0; 4];
        let found = scaler.transform(Matrix::from_f32(&values[..features], features).expect("a row"));
        assert!(matches!(found, Err(Error::Shape { expected: 3, .. })), "{found:?}");
    }
}

/// A dataset is a batch.
#[test]
fn a_dataset_has_a_scaler() {
    let data = Dataset::from_u8(vec![0, 255, 255, 255], vec![0, 1], 2, 2).expect("two rows");
    let scaler = Scaler::standard_weighted(&data).expect("rows");
    assert!((scaler.offset()[0] - 0.5).abs() < 1e-7 && (scaler.scale()[0] - 2.0).abs() < 1e-6, "{scaler:?}");
    assert_eq!(scaler.scale()[1], 1.0);
}

#[cfg(feature = "serde")]
#[test]
fn a_scaler_from_a_file_is_checked() {
    let scaler = Scaler::new(vec![1.0 / 3.0, -2.0], vec![0.1, -7.0]).expect("finite numbers");
    let text = serde_json::to_string(&scaler).expect("plain data");
    assert_eq!(serde_json::from_str::<Scaler>(&text).expect("as it was"), scaler, "{text}");
    for wrong in [
        r#"{"offset":[0.0],"scale":[0.0]}"#,
        r#"{"offset":[0.0,1.0],"scale":[1.0]}"#,
        r#"{"offset":[],"scale":[]}"#,
        r#"{"offset":[1e300],"scale":[1.0]}"#,
    ] {
        let found = serde_json::from_str::<Scaler>(wrong);
        assert!(found.as_ref().is_err_and(|error| error.to_string().contains("expected")), "{wrong}: {found:?}");
    }
}
