//! What the views, the kernels, the model and the trainer must refuse: every wrong length, index, label and setting, with
//! the right error and nothing written. Results are `kernels.rs`'s business.

use crate::support::levels::levels;
use softreg::{Batch, Dataset, Error, Level, Matrix, Parameters, Sgd, SoftmaxRegression, Targets, Trainer, kernel};

/// Everything that a kernel may write, for 5 rows, 7 features, 3 classes unless a test changes it.
#[derive(Clone, Debug, PartialEq)]
struct Outputs {
    logits: Vec<f32>,
    losses: Vec<f64>,
    parameters: Parameters,
}

impl Outputs {
    fn new() -> Self {
        Self {
            logits: vec![0.5; 15],
            losses: vec![0.25; 5],
            parameters: Parameters::from_row_major(&[0.125; 21], &[2.0; 3], 7, 3).expect("21 is 7 x 3"),
        }
    }
}

/// Makes a call at every level, which must fail with an error that `is_right` accepts and leave every output as it was.
fn refused(
    what: &str,
    outputs: &Outputs,
    is_right: impl Fn(&Error) -> bool,
    call: impl Fn(Level, &mut Outputs) -> Result<(), Error>,
) {
    for level in levels() {
        let mut written = outputs.clone();
        match call(level, &mut written) {
            Ok(()) => panic!("{what} at {level}: accepted"),
            Err(error) if is_right(&error) => {}
            Err(error) => panic!("{what} at {level}: refused with {error:?}"),
        }
        assert_eq!(&written, outputs, "{what} at {level}: refused, but something was written");
    }
}

/// [`Error::Shape`] with the lengths it must name.
fn shape(found: usize, expected: usize) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Shape { found: f, expected: e, .. } if (*f, *e) == (found, expected))
}

#[test]
fn every_wrong_output_length_is_refused_and_nothing_written() {
    let values = [1.0; 35];
    let x = Matrix::from_f32(&values, 7).expect("five rows");
    let targets = || Targets::from_u8(&[0, 1, 2, 0, 1]);
    for len in [0, 1, 14, 16, 30] {
        let outputs = Outputs { logits: vec![0.5; len], ..Outputs::new() };
        refused("forward: logits", &outputs, shape(len, 15), |level, o| {
            kernel::forward(level, x, &o.parameters, &mut o.logits)
        });
        refused("cross_entropy: logits", &outputs, shape(len, 15), |level, o| {
            kernel::cross_entropy(level, targets(), 3, &mut o.logits, &mut o.losses).map(drop)
        });
        refused("gradient: residual", &outputs, shape(len, 15), |level, o| {
            kernel::gradient(level, x, &o.logits, &mut o.parameters)
        });
        refused("gradient_accumulate: residual", &outputs, shape(len, 15), |level, o| {
            kernel::gradient_accumulate(level, x, &o.logits, &mut o.parameters)
        });
        refused("sgd_step: residual", &outputs, shape(len, 15), |level, o| {
            kernel::sgd_step(level, x, &o.logits, 0.1, &mut o.parameters)
        });
    }
    for len in [0, 4, 6, 15] {
        let outputs = Outputs { losses: vec![0.25; len], ..Outputs::new() };
        refused("cross_entropy: losses", &outputs, shape(len, 5), |level, o| {
            kernel::cross_entropy(level, targets(), 3, &mut o.logits, &mut o.losses).map(drop)
        });
    }
}

#[test]
fn a_matrix_of_other_features_than_the_weights_is_refused_and_nothing_written() {
    let (values, pixels) = ([1.0; 40], [1; 40]);
    for features in [1, 4, 8, 10, 20] {
        let rows = 40 / features;
        let outputs = Outputs { logits: vec![0.5; rows * 3], ..Outputs::new() };
        let matrices = [Matrix::from_f32(&values, features), Matrix::from_u8(&pixels, features)];
        for x in matrices.map(|matrix| matrix.expect("whole rows")) {
            let is_shape = |error: &Error| matches!(error, Error::Shape { .. });
            refused("forward: features", &outputs, is_shape, |level, o| {
                kernel::forward(level, x, &o.parameters, &mut o.logits)
            });
            refused("gradient: features", &outputs, is_shape, |level, o| {
                kernel::gradient(level, x, &o.logits, &mut o.parameters)
            });
            refused("gradient_accumulate: features", &outputs, is_shape, |level, o| {
                kernel::gradient_accumulate(level, x, &o.logits, &mut o.parameters)
            });
            refused("sgd_step: features", &outputs, is_shape, |level, o| {
                kernel::sgd_step(level, x, &o.logits, 0.1, &mut o.parameters)
            });
        }
    }
}

#[test]
fn logits_that_are_not_whole_rows_or_rows_of_no_classes_are_refused_and_nothing_written() {
    for classes in [0, 2, 4, 7, 16] {
        let is_right = |error: &Error| match classes {
            0 => matches!(error, Error::Size { found: 0, .. }),
            _ => matches!(error, Error::PartialRow { found: 15, width, .. } if *width == classes),
        };
        refused("softmax", &Outputs::new(), is_right, |level, o| kernel::softmax(level, &mut o.logits, classes));
        refused("log_softmax", &Outputs::new(), is_right, |level, o| {
            kernel::log_softmax(level, &mut o.logits, classes)
        });
    }
}

#[test]
fn targets_that_do_not_fit_are_refused_and_nothing_written() {
    let outputs = Outputs::new();
    let is_shape = |error: &Error| matches!(error, Error::Shape { .. });
    let entropy = |targets: Targets<'static>, classes| {
        move |level, o: &mut Outputs| {
            kernel::cross_entropy(level, targets, classes, &mut o.logits, &mut o.losses).map(drop)
        }
    };
    refused("4 labels", &outputs, is_shape, entropy(Targets::from_u8(&[0, 1, 2, 0]), 3));
    refused("6 labels", &outputs, is_shape, entropy(Targets::from_u32(&[0, 1, 2, 0, 1, 2]), 3));
    let soft = |len, classes| Targets::from_probabilities(&[0.25; 20][..len], classes).expect("whole rows");
    refused("soft targets of 4 classes", &outputs, is_shape, entropy(soft(20, 4), 3));
    refused("soft targets of 1 class", &outputs, is_shape, entropy(soft(5, 1), 3));
    refused("4 rows of soft targets", &outputs, is_shape, entropy(soft(12, 3), 3));
    let is_size = |error: &Error| matches!(error, Error::Size { found: 0, .. });
    refused("no classes", &outputs, is_size, entropy(Targets::from_u8(&[0; 5]), 0));
    let nothing = Outputs { logits: vec![], losses: vec![], ..Outputs::new() };
    refused("no rows of no classes", &nothing, is_size, entropy(Targets::from_u8(&[]), 0));
}

#[test]
fn a_label_out_of_range_is_refused_with_its_row_and_nothing_written() {
    for row in 0..5 {
        for label in [3u8, 255] {
            let mut labels = [0, 1, 2, 0, 1];
            labels[row] = label;
            let wide_labels = labels.map(u32::from);
            for targets in [Targets::from_u8(&labels), Targets::from_u32(&wide_labels)] {
                let is_right = |error: &Error| {
                    let Error::Label { row: r, label: l, classes: 3 } = error else { return false };
                    (*r, *l) == (row, label.into())
                };
                refused("a label", &Outputs::new(), is_right, |level, o| {
                    kernel::cross_entropy(level, targets, 3, &mut o.logits, &mut o.losses).map(drop)
                });
            }
        }
    }
    let targets = Targets::from_u32(&[0, 1, 2, 0, u32::MAX]);
    refused(
        "u32::MAX",
        &Outputs::new(),
        |error| matches!(error, Error::Label { label: u32::MAX, .. }),
        |level, o| kernel::cross_entropy(level, targets, 3, &mut o.logits, &mut o.losses).map(drop),
    );
}

#[test]
fn views_refuse_no_features_no_classes_and_broken_rows() {
    let is_size = |error: &Error| matches!(error, Error::Size { found: 0, .. });
    let views = |features| {
        [
            Matrix::from_f32(&[0.0; 10], features).err(),
            Matrix::from_u8(&[0; 10], features).err(),
            Targets::from_probabilities(&[0.0; 10], features).err(),
        ]
    };
    assert!(views(0).iter().all(|error| error.as_ref().is_some_and(is_size)), "{:?}", views(0));
    for features in [3, 4, 11, usize::MAX] {
        let is_partial =
            |error: &Error| matches!(error, Error::PartialRow { found: 10, width, .. } if *width == features);
        assert!(views(features).iter().all(|error| error.as_ref().is_some_and(is_partial)), "{:?}", views(features));
    }
    for features in [1, 2, 5, 10] {
        assert!(views(features).iter().all(Option::is_none), "{:?}", views(features));
    }
}

#[test]
fn an_index_out_of_range_is_refused_with_its_position() {
    let (values, labels) = ([0.0; 12], [0; 4]);
    let x = Matrix::from_f32(&values, 3).expect("four rows");
    let probabilities = Targets::from_probabilities(&values, 3).expect("four rows");
    for index in [4, 5, usize::MAX] {
        let rows = [3, 0, index, index];
        let errors =
            [x.select(&rows).err(), Targets::from_u8(&labels).select(&rows).err(), probabilities.select(&rows).err()];
        for error in errors {
            let Some(Error::RowIndex { position: 2, index: found, rows: 4 }) = error else { panic!("{error:?}") };
            assert_eq!(found, index);
        }
    }
    let none = Matrix::from_f32(&[], 3).expect("no rows");
    assert!(matches!(none.select(&[0]), Err(Error::RowIndex { position: 0, index: 0, rows: 0 })));
    assert_eq!(none.select(&[]).expect("none of none").rows(), 0);
}

/// The second selection's indices would count within the first's, or within the whole: it is refused, not guessed.
#[test]
fn a_selection_of_a_selection_is_refused() {
    let x = Matrix::from_f32(&[0.0; 12], 3).and_then(|x| x.select(&[0, 1])).expect("two of four rows");
    assert!(x.select(&[0]).is_err());
    let targets = Targets::from_u8(&[0; 4]).select(&[0, 1]).expect("two of four rows");
    assert!(targets.select(&[0]).is_err());
}

#[test]
fn a_batch_of_other_numbers_of_rows_and_targets_is_refused() {
    let x = Matrix::from_f32(&[0.0; 12], 3).expect("four rows");
    for rows in [0, 3, 5] {
        let batch = Batch::new(x, Targets::from_u8(&[0; 8][..rows]));
        assert!(matches!(batch, Err(Error::Shape { .. })), "{rows} targets: {batch:?}");
    }
    assert!(Batch::new(x, Targets::from_u8(&[0; 4])).is_ok());
}

/// A batch's fields are public: one put together by hand need not have passed `Batch::new`.
#[test]
fn a_mismatched_batch_made_by_hand_is_refused_by_whoever_gets_it() {
    let x = Matrix::from_f32(&[0.0; 12], 3).expect("four rows");
    for rows in [0, 3, 5] {
        let batch = Batch { x, targets: Targets::from_u8(&[0; 8][..rows]) };
        let model = SoftmaxRegression::zeros(3, 2);
        for result in
            [model.evaluate(batch).map(drop), model.accuracy(batch).map(drop), model.log_loss(batch).map(drop)]
        {
            assert!(matches!(result, Err(Error::Shape { .. })), "{rows} targets of 4 rows: {result:?}");
        }
        let result = Trainer::new(model, Sgd::new(0.1)).step(batch);
        assert!(matches!(result, Err(Error::Shape { .. })), "{rows} targets of 4 rows: {result:?}");
    }
}

#[test]
fn a_failed_step_leaves_the_model_as_it_was() {
    let good = [0.5; 12];
    let mut spoiled = [0.5; 12];
    spoiled[7] = f32::NAN;
    let model = SoftmaxRegression::from_row_major(&[0.1, -0.2, 0.3, 0.4, 0.5, -0.6], &[0.7, 0.8], 3, 2).expect("3 x 2");
    let step = |values: &[f32], features, labels: &[u8], rate| {
        let x = Matrix::from_f32(values, features).expect("whole rows");
        let mut trainer = Trainer::new(model.clone(), Sgd::new(rate));
        let result = trainer.step(Batch::new(x, Targets::from_u8(labels)).expect("rows agree"));
        (result, trainer.into_model())
    };
    type IsRight = fn(&Error) -> bool;
    let refused: [(&str, _, IsRight); 8] = [
        ("NaN", step(&spoiled, 3, &[0, 1, 0, 1], 0.1), |e| matches!(e, Error::NonFiniteLoss { .. })),
        ("a label 2", step(&good, 3, &[0, 1, 0, 2], 0.1), |e| {
            matches!(e, Error::Label { row: 3, label: 2, classes: 2 })
        }),
        ("four features", step(&good, 4, &[0, 1, 0], 0.1), |e| matches!(e, Error::Shape { .. })),
        ("no rows", step(&[], 3, &[], 0.1), |e| matches!(e, Error::Size { .. } | Error::Shape { .. })),
        ("a rate of 0", step(&good, 3, &[0, 1, 0, 1], 0.0), |e| matches!(e, Error::Setting { .. })),
        ("a negative rate", step(&good, 3, &[0, 1, 0, 1], -0.1), |e| matches!(e, Error::Setting { .. })),
        ("an infinite rate", step(&good, 3, &[0, 1, 0, 1], f64::INFINITY), |e| matches!(e, Error::Setting { .. })),
        ("a rate of NaN", step(&good, 3, &[0, 1, 0, 1], f64::NAN), |e| matches!(e, Error::Setting { .. })),
    ];
    for (what, (result, after), is_right) in refused {
        assert!(result.as_ref().is_err_and(is_right), "{what}: {result:?}");
        assert_eq!(after, model, "{what}");
    }
    let (loss, after) = step(&good, 3, &[0, 1, 0, 1], 0.1);
    assert!(loss.is_ok_and(f64::is_finite) && after != model, "a good step changes the model");
}

#[test]
fn parameters_of_other_lengths_or_no_size_are_refused() {
    let both = |w: &[f32], b: &[f32], features, classes| {
        [Parameters::from_row_major(w, b, features, classes), Parameters::from_class_major(w, b, features, classes)]
    };
    for len in [0, 5, 7, 12] {
        for found in both(&[0.0; 12][..len], &[0.0; 2], 3, 2) {
            assert!(found.is_err_and(|error| shape(len, 6)(&error)), "{len} values");
        }
    }
    for len in [0, 1, 3] {
        for found in both(&[0.0; 6], &[0.0; 3][..len], 3, 2) {
            assert!(found.is_err_and(|error| shape(len, 2)(&error)), "{len} biases");
        }
    }
    for (features, classes) in [(0, 2), (3, 0), (0, 0)] {
        for found in both(&[], &[], features, classes) {
            assert!(matches!(found, Err(Error::Size { found: 0, .. })), "{features} x {classes}");
        }
    }
    assert!(Parameters::from_row_major(&[0.0; 4], &[0.0; 2], usize::MAX, 2).is_err(), "the product overflows");
}

#[test]
fn top_k_starts_with_what_predict_says_whatever_the_logits() {
    let values = [-3e38, -0.0, 0.0, 1.0, 3e38];
    for bias in values.map(|a| values.map(|b| values.map(|c| [a, b, c]))).into_iter().flatten().flatten() {
        let model = SoftmaxRegression::from_row_major(&[0.0; 3], &bias, 1, 3).expect("one feature, three classes");
        let x = Matrix::from_f32(&[0.0], 1).expect("one row");
        let top = model.top_k(x, 3).expect("three of three");
        assert_eq!(top[..1], model.predict(x).expect("the model's shape"), "{bias:?}");
        assert_eq!(top.iter().sum::<u32>(), 3, "{bias:?}: each class once");
    }
}

/// Dimensions that no memory holds are errors where they come with data, and a panic that says so where the program gave
/// them; never an abort, and never less memory than they take.
#[test]
fn dimensions_that_no_memory_holds_are_refused() {
    for (features, classes) in [(1, usize::MAX), (usize::MAX, 1), (usize::MAX, usize::MAX), (1 << 60, 1), (1, 1 << 58)]
    {
        let found = SoftmaxRegression::try_zeros(features, classes);
        assert!(matches!(found, Err(Error::Memory { .. })), "{features} x {classes}: {found:?}");
        let panic = std::panic::catch_unwind(|| Parameters::zeros(features, classes)).expect_err("no such memory");
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.contains("no memory"), "{said}");
    }
    let found = softreg::metrics::confusion_matrix(&[], &[], 1 << 29);
    assert!(matches!(found, Err(Error::Memory { bytes, .. }) if bytes == 1 << 61), "2^58 counts: {found:?}");
    let found = softreg::metrics::confusion_matrix(&[], &[], usize::MAX);
    assert!(matches!(found, Err(Error::Memory { .. })), "{found:?}");
    let found = softreg::metrics::confusion_matrix(&[0], &[5], 5);
    assert!(matches!(found, Err(Error::Label { row: 0, label: 5, classes: 5 })), "{found:?}");
}

/// No rows of very many features have no index, and one row's takes no longer than its values are many.
#[test]
fn an_index_of_many_features_and_few_rows_is_soon_built() {
    let none = Dataset::from_u8(vec![], vec![], usize::MAX, 2).expect("no rows of any width");
    assert!(!none.skip_zeros().skips_zeros());
    let mut pixels = vec![0; 1 << 20];
    pixels.iter_mut().step_by(100).for_each(|pixel| *pixel = 1);
    let wide = Dataset::from_u8(pixels, vec![0], 1 << 20, 2).expect("one row").skip_zeros();
    assert!(wide.skips_zeros());
}

#[test]
fn a_length_that_is_no_multiple_names_the_width() {
    let found = Matrix::from_f32(&[0.0; 783], 784).expect_err("783 of 784");
    assert_eq!(found.to_string(), "matrix values: found 783 elements, expected a multiple of 784 (whole rows)");
}

/// `with_scale` multiplies what the values read as; bytes of another unit have a constructor of their own.
#[test]
fn a_scale_multiplies_pixels_as_it_multiplies_values() {
    for level in levels() {
        let one = Parameters::from_row_major(&[1.0], &[0.0], 1, 1).expect("1 x 1");
        let read = |x: Result<Matrix<'_>, Error>| {
            let mut logit = [0.0];
            kernel::forward(level, x.expect("one value"), &one, &mut logit).expect("the shapes fit");
            logit[0]
        };
        assert_eq!(read(Matrix::from_u8(&[255], 1)), 1.0, "{level}");
        assert_eq!(read(Matrix::from_u8(&[255], 1).map(|x| x.with_scale(2.0))), 2.0, "{level}");
        assert_eq!(read(Matrix::from_u8_scaled(&[255], 1, 2.0)), 510.0, "{level}");
        assert_eq!(read(Matrix::from_u8_scaled(&[3], 1, 1.0).map(|x| x.with_scale(0.5))), 1.5, "{level}");
        assert_eq!(read(Matrix::from_f32(&[3.0], 1).map(|x| x.with_scale(2.0).with_scale(2.0))), 12.0, "{level}");
    }
}
