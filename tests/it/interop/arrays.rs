//! ndarray's arrays as matrices and targets: those in row-major order are seen as they are, all others refused.

use crate::support::levels::levels;
use crate::support::random::Random;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use proptest::prelude::*;
use softreg::{Batch, Error, Level, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};

/// What a matrix of f32 holds, seen through a model whose logits are the features.
fn seen(x: Matrix<'_>) -> Vec<f32> {
    let features = x.features();
    let mut identity = vec![0.0; features * features];
    (0..features).for_each(|i| identity[i * features + i] = 1.0);
    let model = SoftmaxRegression::from_row_major(&identity, &vec![0.0; features], features, features);
    let mut logits = vec![f32::NAN; x.rows() * features];
    model.expect("finite weights").with_level(Level::best()).logits_into(x, &mut logits).expect("the shapes fit");
    logits
}

/// The elements in their order.
fn elements(array: ArrayView2<'_, f32>) -> Vec<f32> {
    array.iter().copied().collect()
}

fn numbers(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(row, column)| (row * 100 + column) as f32)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(found: Result<T, Error>, name: &str, expected: ([isize; 2], usize)) {
    match found {
        Err(Error::Layout { what, strides, columns }) => assert_eq!((what, (strides, columns)), (name, expected)),
        found => panic!("expected a refusal, found {found:?}"),
    }
}

#[test]
fn row_major_arrays_are_seen_as_they_are() {
    let array = numbers(6, 5);
    let views = [
        ("whole", array.view()),
        ("some rows", array.slice(s![1..4, ..])),
        ("one row", array.slice(s![2..3, ..])),
        ("part of one row", array.slice(s![2..3, 1..4])),
        ("one row of every second", array.slice(s![4..5;2, ..])),
        ("turned twice", array.t().reversed_axes()),
        ("no rows", array.slice(s![3..3, ..])),
    ];
    for (name, view) in views {
        let x = Matrix::try_from(view).expect(name);
        assert_eq!((x.rows(), x.features()), view.dim(), "{name}");
        assert_eq!(seen(x), elements(view), "{name}");
    }
    assert_eq!(seen(Matrix::try_from(&array).expect("row-major")), elements(array.view()));
    let column = array.column(3).to_owned().insert_axis(Axis(1));
    assert_eq!(seen(Matrix::try_from(&column).expect("one feature")), [3.0, 103.0, 203.0, 303.0, 403.0, 503.0]);

    let pixels = Array2::from_shape_fn((2, 3), |(row, column)| (row * 100 + column) as u8);
    for x in [Matrix::try_from(&pixels), Matrix::try_from(pixels.view())] {
        let x = x.expect("row-major");
        assert_eq!((x.rows(), x.features()), (2, 3));
        assert_eq!(seen(x.with_scale(255.0)), [0.0, 1.0, 2.0, 100.0, 101.0, 102.0]);
        assert!((seen(x)[5] - 0.4).abs() < 1e-7);
    }
}

#[test]
fn arrays_in_another_order_are_refused() {
    let array = numbers(6, 5);
    let stacked = ndarray::stack(Axis(0), &[array.view(), array.view()]).expect("one shape");
    let broadcast = ndarray::aview1(&[1.0, 2.0]);
    let views = [
        ("column-major", array.t(), [1, 5], 6),
        ("rows reversed", array.slice(s![..;-1, ..]), [-5, 1], 5),
        ("features reversed", array.slice(s![.., ..;-1]), [5, -1], 5),
        ("some columns", array.slice(s![.., 1..4]), [5, 1], 3),
        ("one column", array.slice(s![.., 1..2]), [5, 0], 1), // ndarray has no stride for one element
        ("every second row", array.slice(s![..;2, ..]), [10, 1], 5),
        ("every second column", array.slice(s![..2, ..;2]), [5, 2], 3),
        ("one row for all", broadcast.broadcast((4, 2)).expect("a shape"), [0, 1], 2),
        ("columns of a cube", stacked.slice(s![.., 2, ..]), [30, 1], 5),
    ];
    for (name, view, strides, columns) in views {
        refused(Matrix::try_from(view), "matrix values", (strides, columns));
        refused(Targets::try_from(view), "target probabilities", (strides, columns));
        let copy = view.as_standard_layout();
        assert_eq!(seen(Matrix::try_from(copy.view()).expect(name)), elements(view), "{name}");
    }
    let turned = numbers(3, 2).reversed_axes();
    refused(Matrix::try_from(&turned), "matrix values", ([1, 2], 3));
    let pixels = Array2::<u8>::zeros((4, 3));
    refused(Matrix::try_from(pixels.t()), "matrix values", ([1, 3], 4));
    refused(Matrix::try_from(&pixels.reversed_axes()), "matrix values", ([1, 3], 4));

    let error = Matrix::try_from(array.t()).expect_err("column-major").to_string();
    assert!(error.contains("[1, 5]") && error.contains("[6, 1]") && error.contains("as_standard_layout"), "{error}");
}

#[test]
fn arrays_without_features_are_refused() {
    for rows in [0, 3] {
        let found = Matrix::try_from(&Array2::<f32>::zeros((rows, 0))).map(|x| x.rows());
        assert!(matches!(found, Err(Error::Size { what: "features", found: 0, .. })), "{found:?}");
        let found = Matrix::try_from(&Array2::<u8>::zeros((rows, 0))).map(|x| x.rows());
        assert!(matches!(found, Err(Error::Size { what: "features", found: 0, .. })), "{found:?}");
        let found = Targets::try_from(Array2::<f32>::zeros((rows, 0)).view()).map(|targets| targets.rows());
        assert!(matches!(found, Err(Error::Size { what: "classes", found: 0, .. })), "{found:?}");
    }
}

#[test]
fn columns_of_the_whole_array_are_those_of_its_view() {
    let array = numbers(6, 5);
    for columns in [0..1, 0..5, 2..4, 4..5] {
        let x = Matrix::try_from(&array).and_then(|x| x.columns(columns.clone())).expect("columns in range");
        assert_eq!(seen(x), elements(array.slice(s![.., columns])));
    }
}

#[test]
fn labels_are_seen_where_they_follow_each_other() {
    let bytes = Array1::from(vec![2_u8, 0, 1, 2]);
    let words = Array1::from(vec![2_u32, 0, 1, 2]);
    let sparse = Array1::from(vec![2_u8, 9, 0, 9, 1, 9, 2, 9]);
    let x = numbers(4, 3);
    let loss = |targets: Targets<'_>| {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(3, 3), Sgd::new(1e-3));
        let batch = Batch::new(Matrix::try_from(&x).expect("row-major"), targets).expect("rows agree");
        trainer.step(batch).expect("a step");
        trainer.step(batch).expect("a step")
    };
    let expected = loss(Targets::from_u8(&[2, 0, 1, 2]));
    let compact = sparse.slice(s![..;2]).to_owned();
    for targets in [
        Targets::try_from(&bytes),
        Targets::try_from(&words),
        Targets::try_from(bytes.view()),
        Targets::try_from(words.view()),
        Targets::try_from(&compact),
        Targets::try_from(ndarray::array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].view()),
    ] {
        assert_eq!(loss(targets.expect("one after the other")), expected);
    }
    refused(Targets::try_from(sparse.slice(s![..;2])), "labels", ([2, 1], 1));
    refused(Targets::try_from(words.slice(s![..;-1])), "labels", ([-1, 1], 1));
    assert_eq!(Targets::try_from(words.slice(s![2..2])).expect("none").rows(), 0);
    assert_eq!(Targets::try_from(words.slice(s![2..3])).expect("one").rows(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any slice is refused, or seen as what it is; and its copy always.
    #[test]
    fn no_slice_is_seen_as_another(
        rows in 1usize..9, columns in 1usize..9, turned: bool, steps in (1isize..4, 1isize..4),
        reversed in (any::<bool>(), any::<bool>()), from in (0usize..3, 0usize..3), seed: u64,
    ) {
        let values = Random::new(seed).numbers(rows * columns, 1.0);
        let array = Array2::from_shape_vec((rows, columns), values).expect("the length fits");
        let view = if turned { array.t() } else { array.view() };
        let (first, second) = (from.0.min(view.nrows() - 1), from.1.min(view.ncols() - 1));
        let signed = |step: isize, reversed: bool| if reversed { -step } else { step };
        let (down, right) = (signed(steps.0, reversed.0), signed(steps.1, reversed.1));
        let view = view.slice_move(s![first..;down, second..;right]);
        match Matrix::try_from(view) {
            Ok(x) => prop_assert_eq!(seen(x), elements(view)),
            Err(error) => {
                prop_assert!(matches!(error, Error::Layout { .. }), "{}", error);
                prop_assert!(!view.is_standard_layout());
            }
        }
        let copy = view.as_standard_layout();
        prop_assert_eq!(seen(Matrix::try_from(copy.view()).expect("a copy is in order")), elements(view));
    }
}

/// At every level, since the view is all that differs.
#[test]
fn a_step_on_arrays_is_that_on_slices() {
    let (x, labels) = (Random::new(5).numbers(70 * 19, 1.0), Random::new(6).labels(70, 5));
    let (arrays, classes) = ((Array2::from_shape_vec((70, 19), x.clone()), Array1::from(labels.clone())), 5);
    let array = arrays.0.expect("the length fits");
    for level in levels() {
        let step = |x: Matrix<'_>, targets: Targets<'_>| {
            let mut trainer = Trainer::new(SoftmaxRegression::zeros(19, classes).with_level(level), Sgd::new(0.1));
            trainer.step(Batch::new(x, targets).expect("rows agree")).expect("a step");
            trainer.into_model()
        };
        let found = step(Matrix::try_from(&array).expect("in order"), Targets::try_from(&arrays.1).expect("in order"));
        assert!(found == step(Matrix::from_f32(&x, 19).expect("whole rows"), Targets::from_u32(&labels)), "{level}");
    }
}
