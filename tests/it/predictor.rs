//! Predictions of single rows, and into the caller's buffers: they are the model's other predictions to the bit, whatever a
//! row is given as. What the kernels compute is `kernels.rs`'s business; that nothing is allocated, `allocations.rs`'s.

use crate::support::cases::{Kind, Shape};
use crate::support::compare::same_bits;
use crate::support::data::{BOTH, Data};
use crate::support::levels::levels;
use crate::support::random::Random;
use proptest::prelude::*;
use softreg::{ClassProbability, Error, Level, Matrix, Predictor, Row, SoftmaxRegression};
use std::thread;

fn model(data: &Data, level: Level) -> SoftmaxRegression {
    let Shape { features, classes, .. } = data.shape;
    let model = SoftmaxRegression::from_row_major(&data.weights, &data.bias, features, classes);
    model.expect("the lengths fit").with_level(level)
}

/// The `k` best classes of a row of logits with their probabilities, by a plain sort.
fn ranked(logits: &[f32], proba: &[f32], k: usize) -> Vec<ClassProbability> {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize])); // stable
    order[..k].iter().map(|&class| ClassProbability { class, probability: proba[class as usize] }).collect()
}

/// Those of a row as bits, which tell more than equality.
fn bits(ranked: &[ClassProbability]) -> Vec<(u32, u32)> {
    ranked.iter().map(|best| (best.class, best.probability.to_bits())).collect()
}

/// The difference of the two largest probabilities.
fn margin(proba: &[f32]) -> f32 {
    let mut sorted = proba.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted.pop().expect("a class") - sorted.pop().unwrap_or(0.0)
}

/// Everything that a predictor says of a row, against the model's own methods on it.
fn check_row(predictor: &mut Predictor<'_>, row: &(impl Row + ?Sized), model: &SoftmaxRegression, x: Matrix<'_>) {
    let mut logits = vec![f32::NAN; model.classes()];
    model.logits_into(x, &mut logits).expect("one row");
    let proba = model.predict_proba(x).expect("one row");
    let log_proba = model.predict_log_proba(x).expect("one row");
    same_bits(predictor.logits(row).expect("finite"), &logits).expect("logits");
    same_bits(predictor.probabilities(row).expect("finite"), &proba).expect("probabilities");
    same_bits(predictor.log_probabilities(row).expect("finite"), &log_proba).expect("logarithms");
    assert_eq!([predictor.class(row).expect("finite")], model.predict(x).expect("one row")[..]);
    assert_eq!(predictor.margin(row).expect("finite").to_bits(), margin(&proba).to_bits(), "of {proba:?}");
    // The last first, so that a shorter answer follows a longer one.
    for k in [model.classes(), model.classes().div_ceil(2), 1] {
        let top = predictor.top_k(row, k).expect("k in range");
        assert_eq!(bits(top), bits(&ranked(&logits, &proba, k)), "top {k}");
        assert_eq!(bits(top), bits(&model.top_k_proba(x, k).expect("k in range")), "top {k} of the model");
        assert!(top.iter().map(|best| best.class).eq(model.top_k(x, k).expect("k in range")), "top {k} of the model");
    }
}

/// Every row of a batch by one predictor.
fn check_batch(data: &Data, level: Level) {
    let (model, features) = (model(data, level), data.shape.features);
    let mut predictor = model.predictor();
    for row in 0..data.shape.rows {
        let cells = row * features..(row + 1) * features;
        check_row(&mut predictor, &data.values[cells.clone()], &model, data.rows(Kind::F32, row..row + 1));
        check_row(&mut predictor, &data.pixels[cells], &model, data.rows(Kind::U8, row..row + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_row_by_itself_is_predicted_as_by_the_model(
        rows in 1usize..4,
        features in 1usize..70,
        classes in prop_oneof![8 => 1usize..35, 1 => 60usize..70, 1 => 99usize..260],
        seed: u64,
    ) {
        let data = Data::new(Shape { rows, features, classes }, seed);
        levels().into_iter().for_each(|level| check_batch(&data, level));
    }

    /// A row's bits are the same alone as among others, on any number of threads.
    #[test]
    fn a_row_by_itself_is_predicted_as_within_a_batch(features in 1usize..70, classes in 1usize..70, seed: u64) {
        let rows = 37;
        let data = Data::new(Shape { rows, features, classes }, seed);
        for (level, kind) in levels().into_iter().flat_map(|level| BOTH.map(|kind| (level, kind))) {
            let model = model(&data, level).with_threads(3);
            let mut predictor = model.predictor();
            let (found, x) = (model.predict(data.x(kind)).expect("the shapes fit"), data.x(kind));
            let proba = model.predict_proba(x).expect("the shapes fit");
            let top = model.top_k_proba(x, classes.min(3)).expect("k in range");
            let (mut class_buffer, mut order) = (vec![9; rows], vec![9; rows * classes.min(3)]);
            model.predict_into(x, &mut class_buffer).expect("the shapes fit");
            model.top_k_into(x, classes.min(3), &mut order).expect("k in range");
            prop_assert_eq!(&class_buffer, &found);
            prop_assert!(top.iter().map(|best| best.class).eq(order));
            for row in 0..rows {
                let x = data.rows(kind, row..row + 1);
                prop_assert_eq!(predictor.class(&x).expect("finite"), found[row]);
                let alone = predictor.probabilities(&x).expect("finite");
                prop_assert_eq!(same_bits(alone, &proba[row * classes..][..classes]), Ok(()), "{}, row {}", level, row);
                let alone = bits(predictor.top_k(&x, classes.min(3)).expect("k in range"));
                prop_assert_eq!(alone, bits(&top[row * classes.min(3)..][..classes.min(3)]));
            }
        }
    }
}

/// The tutorial's shape, one class, several panels of classes, and the lanes along many.
#[test]
fn rows_of_every_kind_of_model_are_predicted_as_by_the_model() {
    for (features, classes) in [(784, 10), (1, 1), (5, 1), (785, 26), (1030, 300), (17, 2050)] {
        let data = Data::new(Shape { rows: 2, features, classes }, (features + classes) as u64);
        levels().into_iter().for_each(|level| check_batch(&data, level));
    }
}

/// What a caller has at hand compiles as it stands.
#[test]
fn a_row_is_a_vector_an_array_a_slice_or_a_matrix() {
    let data = Data::new(Shape { rows: 3, features: 784, classes: 10 }, 1);
    let model = model(&data, Level::best());
    let mut predictor = model.predictor();
    let values = data.rows(Kind::F32, 1..2);
    let expected = model.predict_proba(values).expect("one row");
    let slice: &[f32] = &data.values[784..2 * 784];
    let (vector, array): (Vec<f32>, [f32; 784]) = (slice.to_vec(), slice.try_into().expect("784"));
    let picked = data.x(Kind::F32).select(&[1]).expect("a row");
    for found in [
        predictor.probabilities(&vector).map(<[f32]>::to_vec),
        predictor.probabilities(&array).map(<[f32]>::to_vec),
        predictor.probabilities(&slice).map(<[f32]>::to_vec),
        predictor.probabilities(slice).map(<[f32]>::to_vec),
        predictor.probabilities(&values).map(<[f32]>::to_vec),
        predictor.probabilities(&picked).map(<[f32]>::to_vec),
    ] {
        same_bits(&found.expect("one row"), &expected).expect("the same row");
    }
    let pixels = data.rows(Kind::U8, 1..2);
    let expected = model.predict_proba(pixels).expect("one row");
    let slice: &[u8] = &data.pixels[784..2 * 784];
    let (vector, array): (Vec<u8>, [u8; 784]) = (slice.to_vec(), slice.try_into().expect("784"));
    for found in [
        predictor.probabilities(&vector).map(<[f32]>::to_vec),
        predictor.probabilities(&array).map(<[f32]>::to_vec),
        predictor.probabilities(&slice).map(<[f32]>::to_vec),
        predictor.probabilities(slice).map(<[f32]>::to_vec),
    ] {
        same_bits(&found.expect("one row"), &expected).expect("the same row");
    }
    // A matrix keeps its scale.
    let scaled = pixels.with_scale(3.0);
    let expected = model.predict_proba(scaled).expect("one row");
    same_bits(predictor.probabilities(&scaled).expect("one row"), &expected).expect("the same scale");
}

#[test]
fn a_row_of_another_width_and_a_matrix_of_other_than_one_row_are_refused() {
    let model = SoftmaxRegression::from_row_major(&[1.0, -1.0, 0.0, 0.5], &[0.0; 2], 2, 2).expect("2 x 2");
    let mut predictor = model.predictor();
    for len in [0, 1, 3, 4] {
        let (values, pixels) = (vec![1.0; len], vec![1; len]);
        for found in [predictor.class(&values), predictor.class(&pixels)] {
            let what = "features of x";
            assert!(matches!(found, Err(Error::Shape { what: w, found, expected: 2 }) if w == what && found == len));
        }
        assert!(predictor.probabilities(&values).is_err() && predictor.margin(&pixels).is_err(), "{len}");
        assert!(predictor.logits(&values).is_err() && predictor.log_probabilities(&pixels).is_err(), "{len}");
        assert!(predictor.top_k(&values, 1).is_err(), "{len}");
    }
    for (rows, values) in [(0, &[][..]), (2, &[1.0; 4]), (3, &[1.0; 6])] {
        let x = Matrix::from_f32(values, 2).expect("whole rows");
        let refused = predictor.class(&x);
        assert!(matches!(refused, Err(Error::Shape { what: "rows of x", found, expected: 1 }) if found == rows));
    }
    assert_eq!(predictor.class(&[1.0, 0.0]).expect("one row"), 0, "and it goes on");
}

/// Also a logit of -inf, which would have a probability of 0.
#[test]
fn a_row_whose_logits_are_not_finite_is_refused_and_the_next_is_not() {
    for level in levels() {
        let w = [1.0, -3e38, 0.5, 0.0, 0.0, 1.0];
        let model = SoftmaxRegression::from_row_major(&w, &[0.0; 3], 2, 3).expect("2 x 3").with_level(level);
        let mut predictor = model.predictor();
        for (row, column, value) in [
            ([f32::NAN, 0.0], 0, f32::NAN),
            ([0.0, f32::NAN], 0, f32::NAN),
            ([f32::INFINITY, 0.0], 0, f32::INFINITY),
            ([2.0, 0.0], 1, f32::NEG_INFINITY),
            ([-2.0, 0.0], 1, f32::INFINITY),
        ] {
            let errors = [
                predictor.class(&row).err(),
                predictor.logits(&row).err(),
                predictor.probabilities(&row).err(),
                predictor.log_probabilities(&row).err(),
                predictor.top_k(&row, 2).err(),
                predictor.margin(&row).err(),
                model.predict(Matrix::from_f32(&row, 2).expect("one row")).err(),
                model.top_k_proba(Matrix::from_f32(&row, 2).expect("one row"), 2).err(),
            ];
            for (method, error) in errors.into_iter().enumerate() {
                let Some(Error::NonFinite { what: "logits", row: 0, column: c, value: v }) = error else {
                    panic!("{level}, method {method}, {row:?}: {error:?}");
                };
                assert_eq!(c, column, "{level}, method {method}, {row:?}");
                assert!(v == value || (v.is_nan() && value.is_nan()), "{level}, method {method}: {v} for {value}");
            }
            check_row(&mut predictor, &[0.5, 2.0], &model, Matrix::from_f32(&[0.5, 2.0], 2).expect("one row"));
        }
    }
}

/// The logits decide, not the probabilities, which may round to the same number: all of 0 and 1e-10, of -300 and -200.
#[test]
fn ties_go_to_the_lowest_class_and_only_ties_of_logits() {
    for level in levels() {
        let top = |bias: &[f32]| {
            let model = SoftmaxRegression::from_row_major(&vec![0.0; bias.len()], bias, 1, bias.len());
            let model = model.expect("the lengths fit").with_level(level);
            let mut predictor = model.predictor();
            let x = Matrix::from_f32(&[1.0], 1).expect("one row");
            check_row(&mut predictor, &[1.0], &model, x);
            let top = predictor.top_k(&[1.0], bias.len()).expect("k in range").to_vec();
            assert_eq!(predictor.class(&[1.0]).expect("finite"), top[0].class);
            for k in 1..bias.len() {
                let fewer = predictor.top_k(&[1.0], k).expect("k in range");
                assert_eq!(bits(fewer), bits(&top[..k]), "{level}, {k} of {bias:?}");
            }
            top.into_iter().map(|best| best.class).collect::<Vec<_>>()
        };
        assert_eq!(top(&[0.0; 4]), [0, 1, 2, 3], "{level}");
        assert_eq!(top(&[1.0, 2.0, 2.0, 1.0, 2.0]), [1, 2, 4, 0, 3], "{level}");
        assert_eq!(top(&[0.0, -0.0, 0.0]), [0, 1, 2], "{level}");
        assert_eq!(top(&[0.0, 1e-10]), [1, 0], "{level}");
        assert_eq!(top(&[-300.0, -200.0, 0.0]), [2, 1, 0], "{level}");
        let many: Vec<f32> = (0..100).map(|class| (class % 3) as f32).collect();
        let expected = [2, 1, 0].into_iter().flat_map(|rest| (0..100).filter(move |class| class % 3 == rest));
        assert!(top(&many).into_iter().eq(expected), "{level}");
    }
}

#[test]
fn the_best_of_no_classes_or_of_too_many_are_refused() {
    let model = SoftmaxRegression::zeros(1, 3);
    let mut predictor = model.predictor();
    let (x, mut classes, mut best) = (Matrix::from_f32(&[1.0; 2], 1).expect("two rows"), [7; 8], [NONE; 8]);
    for k in [0, 4, usize::MAX] {
        let refused = |error| matches!(error, Some(Error::Size { what: "k", found, .. }) if found == k);
        assert!(refused(predictor.top_k(&[1.0], k).err()), "{k}");
        assert!(refused(model.top_k_proba(x, k).err()), "{k}");
        assert!(refused(model.top_k_into(x, k, &mut classes).err()), "{k}");
        assert!(refused(model.top_k_proba_into(x, k, &mut best).err()), "{k}");
    }
    assert_eq!(predictor.top_k(&[1.0], 3).expect("all").len(), 3);
    // Of two rows.
    for len in [0, 1, 3, 5] {
        let refused = |error, expected| matches!(error, Some(Error::Shape { found, expected: e, .. }) if found == len && e == expected);
        assert!(refused(model.predict_into(x, &mut classes[..len]).err(), 2), "{len}");
        assert!(refused(model.top_k_into(x, 2, &mut classes[..len]).err(), 4), "{len}");
        assert!(refused(model.top_k_proba_into(x, 2, &mut best[..len]).err(), 4), "{len}");
    }
    assert_eq!((classes, best), ([7; 8], [NONE; 8]), "nothing was written");
}

const NONE: ClassProbability = ClassProbability { class: 7, probability: 7.0 };

#[test]
fn a_margin_is_between_the_two_best_wherever_they_are() {
    for level in levels() {
        let margin = |bias: &[f32]| {
            let model = SoftmaxRegression::from_row_major(&vec![0.0; bias.len()], bias, 1, bias.len());
            model.expect("the lengths fit").with_level(level).predictor().margin(&[1.0]).expect("finite")
        };
        assert_eq!(margin(&[-4.0]), 1.0, "{level}: one class");
        assert_eq!(margin(&[2.0; 3]), 0.0, "{level}: equals");
        assert_eq!(margin(&[0.0, 500.0]), 1.0, "{level}: certain");
        // Probabilities of 1/2, 1/3 and 1/6.
        let [half, third, sixth] = [3_f32.ln(), 2_f32.ln(), 0.0];
        for bias in [[half, third, sixth], [third, half, sixth], [sixth, third, half], [third, sixth, half]] {
            let found = margin(&bias);
            assert!((found - 1.0 / 6.0).abs() < 1e-6, "{level}, {bias:?}: {found}");
        }
    }
}

/// Rows go through in pieces: four at a time where the classes are this many.
#[test]
fn every_piece_of_rows_has_its_own_classes_and_probabilities() {
    let (rows, classes) = (10, 1 << 18);
    let mut random = Random::new(1);
    let (w, values) = (random.numbers(classes, 4.0), random.numbers(rows, 4.0));
    let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], 1, classes).expect("the lengths fit");
    let x = Matrix::from_f32(&values, 1).expect("one feature");
    let (mut found, mut top, mut best) = (vec![0; rows], vec![0; 3 * rows], vec![NONE; 3 * rows]);
    model.predict_into(x, &mut found).expect("the shapes fit");
    model.top_k_into(x, 3, &mut top).expect("the shapes fit");
    model.top_k_proba_into(x, 3, &mut best).expect("the shapes fit");
    assert!(found.iter().any(|class| *class != found[0]), "{found:?} are of several classes");
    let mut predictor = model.predictor();
    for (row, value) in values.iter().enumerate() {
        assert_eq!(predictor.class(&[*value]).expect("finite"), found[row], "row {row}");
        let alone = predictor.top_k(&[*value], 3).expect("k in range");
        assert_eq!(bits(alone), bits(&best[3 * row..][..3]), "row {row}");
        assert!(alone.iter().map(|best| &best.class).eq(&top[3 * row..][..3]), "row {row}");
    }
    let mut values = values;
    values[9] = f32::NAN;
    let x = Matrix::from_f32(&values, 1).expect("one feature");
    for error in [model.top_k_proba(x, 1).err(), model.top_k_into(x, 3, &mut top).err()] {
        assert!(matches!(error, Some(Error::NonFinite { row: 9, .. })), "{error:?}");
    }
}

/// Threads share a model, each with a predictor of its own.
#[test]
fn threads_share_one_model() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<SoftmaxRegression>();
    is_shared::<Predictor<'_>>();
    let data = Data::new(Shape { rows: 64, features: 37, classes: 10 }, 2);
    for level in levels() {
        let model = model(&data, level);
        let expected = model.predict_proba(data.x(Kind::F32)).expect("the shapes fit");
        thread::scope(|scope| {
            for first in 0..4 {
                let (model, data, expected) = (&model, &data, &expected);
                scope.spawn(move || {
                    let mut predictor = model.predictor();
                    for row in (0..10).flat_map(|_| (first..64).step_by(4)) {
                        let found = predictor.probabilities(&data.values[row * 37..][..37]).expect("one row");
                        same_bits(found, &expected[row * 10..][..10]).expect("the same bits");
                    }
                });
            }
        });
    }
}
