//! Rows a stride apart: the bits of a copy without gaps, whatever lies in the gaps; and which lengths are whole rows.

use crate::support::cases::{Kind, Shape, ragged_shapes};
use crate::support::compare::same_bits;
use crate::support::data::{BOTH, Data, LEARNING_RATE, concat};
use crate::support::failures::{Failures, text};
use crate::support::levels::{is_emulated, levels};
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::kernel::{self, Sweep};
use softreg::{Batch, Dataset, Error, Exec, Level, Matrix, Parameters, Sgd, SoftmaxRegression, Trainer};

/// From the end of a row to the start of the next: less than a vector, a cache line of f32, more than a page of it.
const GAPS: [usize; 5] = [1, 3, 16, 61, 1100];

/// The rows `stride` apart, between them what no result survives. After the last is nothing, or what is between the others.
fn spread<T: Copy>(rows: &[T], features: usize, stride: usize, gap: T, ends_with_gap: bool) -> Vec<T> {
    let mut spread = Vec::new();
    for row in rows.chunks_exact(features) {
        spread.extend_from_slice(row);
        spread.resize(spread.len() + stride - features, gap);
    }
    if !ends_with_gap && !spread.is_empty() {
        spread.truncate(spread.len() + features - stride);
    }
    spread
}

/// A batch's rows with gaps.
struct Spread {
    values: Vec<f32>,
    pixels: Vec<u8>,
    features: usize,
    stride: usize,
}

impl Spread {
    fn new(data: &Data, gap: usize) -> Self {
        let features = data.shape.features;
        let stride = features + gap;
        let ends_with_gap = gap.is_multiple_of(2);
        Self {
            values: spread(&data.values, features, stride, f32::NAN, ends_with_gap),
            pixels: spread(&data.pixels, features, stride, 255, ends_with_gap),
            features,
            stride,
        }
    }

    fn x(&self, kind: Kind) -> Matrix<'_> {
        match kind {
            Kind::F32 => Matrix::from_f32_strided(&self.values, self.features, self.stride),
            Kind::U8 => Matrix::from_u8_strided(&self.pixels, self.features, self.stride),
        }
        .expect("whole rows")
    }
}

/// Every product of both.
fn check_products(data: &Data, level: Level, strided: Matrix<'_>, dense: Matrix<'_>) -> Result<(), String> {
    if (strided.rows(), strided.features()) != (dense.rows(), dense.features()) {
        return Err(format!("{} rows of {}", strided.rows(), strided.features()));
    }
    let residual = &data.residual[..];
    let checks = [
        ("forward", data.forward(level, strided), data.forward(level, dense)),
        ("gradient", data.gradient(level, strided, residual), data.gradient(level, dense, residual)),
        ("step", data.step(level, strided, residual, &data.start()), data.step(level, dense, residual, &data.start())),
    ];
    checks
        .iter()
        .try_for_each(|(name, found, expected)| same_bits(found, expected).map_err(|error| format!("{name}: {error}")))
}

/// Losses and gradient by the sweep, and the parameters after a trainer's steps, which sweeps large batches.
fn trained(data: &Data, exec: Exec, x: Matrix<'_>) -> Result<Vec<f32>, Error> {
    let Shape { rows, features, classes } = data.shape;
    let batch = Batch::new(x, &data.labels[..])?;
    let parameters = data.pack(&data.weights, &data.bias);
    let (mut gradient, mut losses) = (Parameters::zeros(features, classes), vec![0.0; rows]);
    let loss = Sweep::new().run(exec, batch, &parameters, &mut losses, &mut gradient)?;
    let model = SoftmaxRegression::new(parameters)?.with_level(exec.level).with_threads(exec.threads);
    let mut trainer = Trainer::new(model, Sgd::new(LEARNING_RATE.into()));
    let mut results = concat(&gradient);
    results.push(loss.sum as f32);
    results.extend(losses.iter().map(|&loss| loss as f32));
    for _ in 0..if rows > 0 { 2 } else { 0 } {
        results.push(trainer.step(batch)? as f32);
    }
    let model = trainer.into_model();
    results.extend(concat(model.parameters()));
    results.extend(model.predict_proba(x)?);
    Ok(results)
}

fn check_shape(shape: Shape, seed: u64, gap: usize, failures: &mut Failures) {
    let data = Data::new(shape, seed);
    let spread = Spread::new(&data, gap);
    let picked = Random::new(seed).indices(shape.rows, shape.rows.max(1));
    for (kind, level) in BOTH.into_iter().flat_map(|kind| levels().into_iter().map(move |level| (kind, level))) {
        let (strided, dense) = (spread.x(kind), data.x(kind));
        failures.check(format!("{level}, {kind:?}, {shape}, gaps of {gap}"), || {
            check_products(&data, level, strided, dense)?;
            let (strided, dense) = (strided.select(&picked).map_err(text)?, dense.select(&picked).map_err(text)?);
            check_products(&data, level, strided, dense).map_err(|error| format!("picked: {error}"))
        });
    }
}

#[test]
fn gaps_change_no_bit_of_a_product() {
    let mut failures = Failures::default();
    for (i, shape) in ragged_shapes().into_iter().enumerate().step_by(if is_emulated() { 7 } else { 1 }) {
        check_shape(shape, i as u64, GAPS[i % GAPS.len()], &mut failures);
    }
    failures.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gaps_of_any_size_change_none(
        rows in 0usize..70, features in 1usize..180, classes in 1usize..45, gap in 0usize..300, seed: u64,
    ) {
        let mut failures = Failures::default();
        check_shape(Shape { rows, features, classes }, seed, gap, &mut failures);
        prop_assert!(failures.report().is_none(), "{}", failures.report().unwrap_or_default());
    }
}

/// Batches that a trainer steps over in two products and in one sweep, and a prediction in several pieces.
#[test]
fn gaps_change_no_bit_of_a_training() {
    let shapes = [(0, 5, 3), (1, 33, 10), (100, 785, 10), (1100, 300, 7), (600, 19, 130), (1100, 3, 2048)];
    let mut failures = Failures::default();
    for (seed, (rows, features, classes)) in shapes.into_iter().enumerate() {
        let data = Data::new(Shape { rows, features, classes }, seed as u64);
        let spread = Spread::new(&data, GAPS[seed % GAPS.len()]);
        for (kind, level) in BOTH.into_iter().flat_map(|kind| levels().into_iter().map(move |level| (kind, level))) {
            for threads in [1, 2] {
                failures.check(format!("{level}, {threads} threads, {kind:?}, {}", data.shape), || {
                    let exec = Exec { level, threads };
                    let found = trained(&data, exec, spread.x(kind)).map_err(text)?;
                    same_bits(&found, &trained(&data, exec, data.x(kind)).map_err(text)?)
                });
            }
        }
    }
    failures.finish();
}

#[cfg(feature = "fit")]
#[test]
fn gaps_change_no_bit_of_a_fit() {
    // The second feature lies so far from 0 that the solver scales the rows itself.
    for far in [0.0, 1e6] {
        let mut data = Data::new(Shape { rows: 300, features: 9, classes: 3 }, 1);
        data.values.iter_mut().skip(1).step_by(9).for_each(|value| *value += far);
        let spread = Spread::new(&data, 5);
        let fit = |x| {
            let batch = Batch::new(x, &data.labels[..]).expect("rows agree");
            softreg::Lbfgs::default().max_passes(20).fit(batch).expect("a fit").model
        };
        let (found, expected) = (fit(spread.x(Kind::F32)), fit(data.x(Kind::F32)));
        assert_eq!(same_bits(&concat(found.parameters()), &concat(expected.parameters())), Ok(()), "{far}");
    }
}

/// A fit names the row of a value that is not finite.
#[cfg(feature = "fit")]
#[test]
fn a_value_between_rows_is_none_of_theirs() {
    let values = [0.0, 1.0, f32::NAN, 2.0, 3.0, f32::NAN, 4.0, f32::INFINITY];
    let x = Matrix::from_f32_strided(&values, 2, 3).expect("three rows");
    let found = softreg::Lbfgs::default().fit(Batch::new(x, &[0u8, 1, 0][..]).expect("rows agree"));
    let is_right = |error: &Error| matches!(error, Error::NonFinite { row: 2, column: 1, value: f32::INFINITY, .. });
    assert!(found.as_ref().is_err_and(is_right), "{found:?}");
}

/// Of plain rows, of strided and of picked ones, and of those that have a block-sparse form.
#[test]
fn columns_are_those_of_a_copy() {
    let (rows, features, classes) = (40, 60, 9);
    let mut random = Random::new(3);
    let mut pixels = random.pixels(rows * features);
    pixels.iter_mut().enumerate().filter(|(i, _)| i % features >= 16).for_each(|(_, pixel)| *pixel = 0);
    let labels: Vec<u8> = random.labels(rows, classes).iter().map(|&label| label as u8).collect();
    let sparse = Dataset::from_u8(pixels.clone(), labels, features, classes).expect("the lengths fit").skip_zeros();
    assert!(sparse.skips_zeros());
    let picked = random.indices(rows, rows);
    for range in [0..60, 0..1, 59..60, 5..38, 16..32] {
        let copy: Vec<u8> = pixels.chunks_exact(features).flat_map(|row| row[range.clone()].to_vec()).collect();
        let copy = Matrix::from_u8(&copy, range.len()).expect("whole rows");
        let (w, b) = (random.numbers(range.len() * classes, 1.0), random.numbers(classes, 1.0));
        let parameters = Parameters::from_row_major(&w, &b, range.len(), classes).expect("the lengths fit");
        let logits = |level: Level, x: Matrix<'_>| {
            let mut logits = vec![f32::NAN; x.rows() * classes];
            kernel::forward(level, x, &parameters, &mut logits).expect("the shapes fit");
            logits
        };
        let stored = Matrix::from_u8(&pixels, features).expect("whole rows");
        let wider = Matrix::from_u8_strided(&pixels, features - 1, features).expect("whole rows");
        for level in levels() {
            let check = |name: &str, found: Result<Matrix<'_>, Error>, expected: Matrix<'_>| {
                let found = logits(level, found.expect("columns in range"));
                assert_eq!(same_bits(&found, &logits(level, expected)), Ok(()), "{level}, {name}, {range:?}");
            };
            check("dense", stored.columns(range.clone()), copy);
            check("of columns", stored.columns(0..range.end).and_then(|x| x.columns(range.clone())), copy);
            check("block-sparse", sparse.x().columns(range.clone()), copy);
            check("twice as large", stored.with_scale(2.0).columns(range.clone()), copy.with_scale(2.0));
            if range.end < features {
                check("strided", wider.columns(range.clone()), copy);
            }
            let again = copy.select(&picked).expect("they exist");
            check("picked", stored.select(&picked).and_then(|x| x.columns(range.clone())), again);
            check("then picked", stored.columns(range.clone()).and_then(|x| x.select(&picked)), again);
            let batch = Batch::new(sparse.x().columns(range.clone()).expect("in range"), sparse.targets());
            let model = SoftmaxRegression::new(parameters.clone()).expect("finite").with_level(level);
            let mut trainer = Trainer::new(model, Sgd::new(0.1));
            trainer.step(batch.expect("rows agree")).expect("a step");
        }
    }
}

#[test]
fn columns_out_of_range_are_refused() {
    let x = Matrix::from_f32(&[0.0; 12], 4).expect("three rows");
    #[allow(clippy::reversed_empty_ranges, reason = "a caller's own arithmetic may make one")]
    for range in [0..0, 4..4, 3..2, 9..9] {
        let found = x.columns(range.clone());
        assert!(matches!(found, Err(Error::Size { what: "features", found: 0, .. })), "{range:?}: {found:?}");
    }
    for range in [0..5, 4..5, 0..usize::MAX] {
        let found = x.columns(range.clone());
        assert!(matches!(found, Err(Error::Size { what: "end of the columns", .. })), "{range:?}: {found:?}");
    }
    assert_eq!(Matrix::from_f32(&[], 4).and_then(|x| x.columns(1..3)).map(|x| x.rows()).expect("no rows"), 0);
}

#[test]
fn the_last_row_is_whole_or_refused() {
    let values = [0.0; 30];
    // Length, features, stride, rows.
    for (len, features, stride, rows) in [
        (0, 3, 5, 0),
        (3, 3, 5, 1),
        (5, 3, 5, 1),
        (8, 3, 5, 2),
        (9, 3, 5, 2),
        (10, 3, 5, 2),
        (13, 3, 5, 3),
        (6, 3, 3, 2),
        (7, 7, usize::MAX, 1),
        (9, 7, usize::MAX, 1),
        (0, 7, usize::MAX, 0),
    ] {
        let x = Matrix::from_f32_strided(&values[..len], features, stride).expect("whole rows");
        assert_eq!((x.rows(), x.features()), (rows, features), "{len} values, {features} features, {stride} apart");
        let bytes = vec![0; len];
        assert_eq!(Matrix::from_u8_strided(&bytes, features, stride).expect("whole rows").rows(), rows);
        let mut logits = vec![0.0; rows];
        SoftmaxRegression::zeros(features, 1).logits_into(x, &mut logits).expect("the shapes fit");
    }
    for (len, features, stride, last) in
        [(1, 3, 5, 1), (7, 3, 5, 2), (11, 3, 5, 1), (4, 3, 3, 1), (6, 7, usize::MAX, 6)]
    {
        let found = Matrix::from_f32_strided(&values[..len], features, stride);
        let is_right = |error: &Error| matches!(*error, Error::Shape { what: "the last row", found, expected } if (found, expected) == (last, features));
        assert!(found.as_ref().is_err_and(is_right), "{len}, {features}, {stride}: {found:?}");
        let bytes = vec![0; len];
        assert!(Matrix::from_u8_strided(&bytes, features, stride).as_ref().is_err_and(is_right));
    }
    for (features, stride) in [(3, 2), (3, 0), (usize::MAX, 5)] {
        let found = Matrix::from_f32_strided(&values, features, stride);
        assert!(matches!(found, Err(Error::Size { what: "stride", .. })), "{features}, {stride}: {found:?}");
    }
    for stride in [0, 5] {
        let found = Matrix::from_f32_strided(&values, 0, stride);
        assert!(matches!(found, Err(Error::Size { what: "features", found: 0, .. })), "{found:?}");
    }
}

/// The byte itself, to the last bit.
#[test]
fn a_strided_pixel_times_255_is_its_byte() {
    let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte, 77]).collect();
    let x = Matrix::from_u8_strided(&bytes, 1, 2).expect("256 rows").with_scale(255.0);
    let one = SoftmaxRegression::from_row_major(&[1.0], &[0.0], 1, 1).expect("one weight");
    for level in levels() {
        let mut logits = vec![f32::NAN; 256];
        one.clone().with_level(level).logits_into(x, &mut logits).expect("the shapes fit");
        assert!(logits.iter().enumerate().all(|(byte, &logit)| logit == byte as f32), "{level}: {logits:?}");
    }
}
