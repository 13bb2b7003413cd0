//! The trainer and the model against the kernels they are made of: what a step does to the parameters and returns, to
//! the bit; how rows are counted as right; that the losses are added in the order of the rows. What the kernels compute
//! is `kernels.rs`'s business.

use crate::support::compare::same_bits;
use crate::support::data::concat;
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{Batch, Error, Level, Matrix, Parameters, Reduction, Sgd, SoftmaxRegression, Targets, Trainer, kernel};

const FEATURES: usize = 37;
const CLASSES: usize = 10;

/// Of different sizes in turn: nothing of a batch may be left for the next.
const BATCHES: [usize; 8] = [5, 64, 1, 17, 100, 99, 2, 33];

const LEARNING_RATE: f32 = 0.3;

/// Parameters, and the kernels' own step on them.
struct ByHand {
    level: Level,
    parameters: Parameters,
}

impl ByHand {
    /// Returns the loss as the reduction wants it: for the mean, rate and loss are divided by the rows.
    fn step(&mut self, x: Matrix<'_>, targets: Targets<'_>, reduction: Reduction) -> f64 {
        let (mut logits, mut losses) = (vec![0.0; x.rows() * CLASSES], vec![0.0; x.rows()]);
        kernel::forward(self.level, x, &self.parameters, &mut logits).expect("the shapes fit");
        let sum =
            kernel::cross_entropy(self.level, targets, CLASSES, &mut logits, &mut losses).expect("the shapes fit");
        let (rate, loss) = match reduction {
            Reduction::Sum => (LEARNING_RATE, sum),
            Reduction::Mean => (LEARNING_RATE / x.rows() as f32, sum / x.rows() as f64),
        };
        kernel::sgd_step(self.level, x, &logits, rate, &mut self.parameters).expect("the shapes fit");
        loss
    }
}

#[test]
fn a_step_is_the_kernels_step_at_the_rate_of_its_reduction() {
    for (level, reduction) in
        levels().into_iter().flat_map(|level| [Reduction::Sum, Reduction::Mean].map(|r| (level, r)))
    {
        let mut random = Random::new(1);
        let (w, bias) = (random.numbers(FEATURES * CLASSES, 0.1), random.numbers(CLASSES, 0.1));
        let model = SoftmaxRegression::from_row_major(&w, &bias, FEATURES, CLASSES).expect("the lengths fit");
        let mut trainer = Trainer::new(model.with_level(level), Sgd::new(LEARNING_RATE.into())).reduction(reduction);
        let parameters = Parameters::from_row_major(&w, &bias, FEATURES, CLASSES).expect("the lengths fit");
        let mut by_hand = ByHand { level, parameters };
        for rows in BATCHES {
            let (values, labels) = (random.numbers(rows * FEATURES, 0.3), random.labels(rows, CLASSES));
            let x = Matrix::from_f32(&values, FEATURES).expect("whole rows");
            let targets = Targets::from_u32(&labels);
            let loss = trainer.step(Batch::new(x, targets).expect("rows agree")).expect("a step");
            let expected = by_hand.step(x, targets, reduction);
            assert_eq!(loss.to_bits(), expected.to_bits(), "{level}, {reduction:?} of {rows}: {loss} for {expected}");
        }
        let model = trainer.into_model();
        let (found, expected) = (concat(model.parameters()), concat(&by_hand.parameters));
        same_bits(&found, &expected).unwrap_or_else(|error| panic!("{level}, {reduction:?}: {error}"));
    }
}

/// The same step from batches of the same rows, once and three times over: a mean does not depend on the number of rows,
/// a sum is in proportion to it. Stated without the kernels, whose rounding it allows for.
#[test]
fn a_mean_does_not_depend_on_the_number_of_rows_and_a_sum_is_in_proportion() {
    let mut random = Random::new(2);
    let (values, labels) = (random.numbers(16 * FEATURES, 1.0), random.labels(16, CLASSES));
    let x = Matrix::from_f32(&values, FEATURES).expect("whole rows");
    for level in levels() {
        for (reduction, factor) in [(Reduction::Mean, 1.0), (Reduction::Sum, 3.0)] {
            let step = |times: usize| {
                let rows: Vec<usize> = (0..times).flat_map(|_| 0..16).collect();
                let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
                let mut trainer = Trainer::new(model, Sgd::new(LEARNING_RATE.into())).reduction(reduction);
                let targets = Targets::from_u32(&labels).select(&rows).expect("indices in range");
                let batch = Batch::new(x.select(&rows).expect("indices in range"), targets).expect("rows agree");
                let loss = trainer.step(batch).expect("a step");
                (loss, trainer.into_model().to_row_major())
            };
            let ((once, w_once), (thrice, w_thrice)) = (step(1), step(3));
            assert!((thrice - factor * once).abs() < 1e-6 * thrice, "{level}, {reduction:?}: {thrice} for {once}");
            for (once, thrice) in w_once.into_iter().zip(w_thrice) {
                let expected = factor as f32 * once;
                assert!((thrice - expected).abs() <= 1e-5, "{level}, {reduction:?}: {thrice} for {expected}");
            }
        }
    }
}

/// Rows whose losses are of such different sizes that their sum tells the order in which they were added: each row's
/// logits are 0, but for one.
fn losses_of_all_sizes(rows: usize) -> (Vec<f32>, Vec<u32>) {
    let mut random = Random::new(3);
    let logits = (0..rows * CLASSES)
        .map(|at| if at % CLASSES == 0 { (2.0 * random.below(90) as f32).exp2().min(1e25) } else { 0.0 })
        .collect();
    (logits, (0..rows).map(|_| 1 + random.below(CLASSES - 1) as u32).collect())
}

fn added_in_order(losses: &[f64]) -> f64 {
    let forwards = losses.iter().fold(0.0, |sum, loss| sum + loss);
    let backwards = losses.iter().rev().fold(0.0, |sum, loss| sum + loss);
    assert_ne!(forwards, backwards, "the order shows");
    forwards
}

#[test]
fn losses_are_added_in_the_order_of_the_rows() {
    // Enough work for two threads.
    let rows = 20_000;
    let (logits, labels) = losses_of_all_sizes(rows);
    let targets = Targets::from_u32(&labels);
    // Weights of the unit matrix hand the rows on as logits.
    let mut unit = vec![0.0; CLASSES * CLASSES];
    unit.iter_mut().step_by(CLASSES + 1).for_each(|diagonal| *diagonal = 1.0);
    let model = SoftmaxRegression::from_row_major(&unit, &[0.0; CLASSES], CLASSES, CLASSES).expect("the lengths fit");
    let x = Matrix::from_f32(&logits, CLASSES).expect("whole rows");
    let batch = Batch::new(x, targets).expect("rows agree");
    for level in levels() {
        let (mut residual, mut losses) = (logits.clone(), vec![0.0; rows]);
        let sum = kernel::cross_entropy(level, targets, CLASSES, &mut residual, &mut losses).expect("the shapes fit");
        assert_eq!(sum, added_in_order(&losses), "{level}: cross_entropy");
        for threads in [1, 2] {
            let model = model.clone().with_level(level).with_threads(threads);
            let mean = model.log_loss(batch).expect("the shapes fit");
            assert_eq!(mean, sum / rows as f64, "{level}, {threads} threads: log_loss");
            let sgd = Sgd::new(1e-30);
            let loss = Trainer::new(model.clone(), sgd).reduction(Reduction::Sum).step(batch).expect("a step");
            assert_eq!(loss, sum, "{level}, {threads} threads: a step");
            let loss = Trainer::new(model, sgd).step(batch).expect("a step");
            assert_eq!(loss, mean, "{level}, {threads} threads: a step on the mean");
        }
    }
}

/// The class of soft targets is the most probable one, the lowest of several; labels are their own.
#[test]
fn rows_are_right_where_the_most_probable_class_is_the_targets() {
    let (rows, classes) = (60, 5);
    let mut random = Random::new(4);
    let values = random.numbers(rows * 7, 1.0);
    let (w, b) = (random.numbers(7 * classes, 1.0), random.numbers(classes, 1.0));
    let x = Matrix::from_f32(&values, 7).expect("whole rows");
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&w, &b, 7, classes).expect("the lengths fit").with_level(level);
        let predicted = model.predict(x).expect("the shapes fit");
        let zeros = predicted.iter().filter(|&&class| class == 0).count();
        assert!(zeros > 0 && zeros < rows / 2, "{level}: {predicted:?} are of several classes");
        // The first 41 rows are right.
        let class = |row: usize| if row < 41 { predicted[row] } else { (predicted[row] + 1) % classes as u32 };
        let labels: Vec<u32> = (0..rows).map(class).collect();
        let mut soft = random.soft_targets(rows, classes);
        for (row, soft) in soft.chunks_exact_mut(classes).enumerate() {
            soft[class(row) as usize] = 1.5;
            // A tie with a higher class decides nothing.
            if let Some(last) = soft.last_mut() {
                *last = 1.5;
            }
        }
        for (name, targets) in [
            ("labels", Targets::from_u32(&labels)),
            ("soft targets", Targets::from_probabilities(&soft, classes).expect("whole rows")),
        ] {
            let batch = Batch::new(x, targets).expect("rows agree");
            let evaluation = model.evaluate(batch).expect("the shapes fit");
            assert_eq!((evaluation.rows, evaluation.correct), (rows, 41), "{level}, {name}");
            if name == "labels" {
                assert_eq!(model.accuracy(batch).expect("the shapes fit"), 41.0 / rows as f64, "{level}");
            }
        }
    }
}

/// An infinite loss is no NaN, and is refused all the same.
#[test]
fn an_infinite_loss_is_refused_and_the_model_stays() {
    // A logit of -infinity.
    let w = [0.0, -3e38, 0.5];
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&w, &[0.0; 3], 1, 3).expect("1 x 3").with_level(level);
        let x = Matrix::from_f32(&[3.0; 2], 1).expect("two rows");
        let mut trainer = Trainer::new(model.clone(), Sgd::new(0.1));
        let refused = trainer.step(Batch::new(x, Targets::from_u8(&[0, 1])).expect("rows agree"));
        assert!(matches!(refused, Err(Error::NonFiniteLoss { loss: f64::INFINITY })), "{level}: {refused:?}");
        assert_eq!(trainer.into_model(), model, "{level}");
        let fine =
            Trainer::new(model, Sgd::new(0.1)).step(Batch::new(x, Targets::from_u8(&[0, 2])).expect("rows agree"));
        assert!(fine.is_ok_and(f64::is_finite), "{level}: a class of probability 0 that no row has");
    }
}

#[test]
fn models_are_equal_in_shape_weights_and_bias_and_in_nothing_else() {
    let model = |w: &[f32], b: &[f32], features| {
        SoftmaxRegression::from_row_major(w, b, features, b.len()).expect("the lengths fit")
    };
    let one = model(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0], 2);
    assert_eq!(one, one.clone().with_level(Level::from_name("portable").expect("every CPU has it")).with_threads(7));
    assert_ne!(one, model(&[1.0, 2.0, 3.0, -4.0], &[5.0, 6.0], 2));
    assert_ne!(one, model(&[1.0, 2.0, 3.0, 4.0], &[5.0, -6.0], 2));
    assert_ne!(one, model(&[1.0, 2.0], &[5.0, 6.0], 1), "fewer features");
    assert_ne!(Parameters::zeros(2, 3), Parameters::zeros(3, 2));
    assert_ne!(Parameters::zeros(2, 3), Parameters::zeros(4, 3));
}

#[test]
fn no_threads_are_one() {
    let model = SoftmaxRegression::zeros(1, 2);
    assert_eq!([0, 1, 5].map(|threads| model.clone().with_threads(threads).threads()), [1, 1, 5]);
}

#[test]
fn no_rows_have_neither_accuracy_nor_loss() {
    let batch = Batch::new(Matrix::from_f32(&[], 3).expect("no rows"), Targets::from_u8(&[])).expect("rows agree");
    let model = SoftmaxRegression::zeros(3, 2);
    let evaluation = model.evaluate(batch).expect("the shapes fit");
    assert_eq!((evaluation.rows, evaluation.correct), (0, 0));
    assert!(evaluation.accuracy().is_nan() && evaluation.log_loss.is_nan(), "{evaluation:?}");
}

#[test]
fn the_best_of_no_classes_or_of_too_many_are_refused() {
    let (model, x) = (SoftmaxRegression::zeros(1, 3), Matrix::from_f32(&[1.0], 1).expect("one row"));
    for k in [0, 4, usize::MAX] {
        assert!(matches!(model.top_k(x, k), Err(Error::Size { found, .. }) if found == k), "{k}");
    }
    assert_eq!(model.top_k(x, 2).expect("two of three"), [0, 1], "ties go to the lowest");
}

/// Both steps in one, the rows shared out among threads once: the kernels' own bits. Where features are few, the softmax is
/// most of the work.
#[test]
fn probabilities_are_the_softmax_of_the_logits_to_the_bit_at_any_thread_count() {
    let mut random = Random::new(12);
    for (rows, features, classes) in [(1, 37, 10), (3001, 37, 10), (20_003, 1, 3), (2051, 2, 100), (1, 5, 1), (0, 5, 3)]
    {
        let (w, b) = (random.numbers(features * classes, 3.0), random.numbers(classes, 3.0));
        let (values, pixels) = (random.numbers(rows * features, 3.0), random.pixels(rows * features));
        let model = SoftmaxRegression::from_row_major(&w, &b, features, classes).expect("the lengths fit");
        for x in [Matrix::from_f32(&values, features), Matrix::from_u8(&pixels, features)] {
            let x = x.expect("whole rows");
            for level in levels() {
                let mut logits = vec![0.0; rows * classes];
                model.clone().with_level(level).logits_into(x, &mut logits).expect("the shapes fit");
                let (mut proba, mut log_proba) = (logits.clone(), logits);
                kernel::softmax(level, &mut proba, classes).expect("whole rows");
                kernel::log_softmax(level, &mut log_proba, classes).expect("whole rows");
                for threads in [1, 2, 3] {
                    let model = model.clone().with_level(level).with_threads(threads);
                    let (mut found, mut log_found) = (vec![f32::NAN; rows * classes], vec![f32::NAN; rows * classes]);
                    model.predict_proba_into(x, &mut found).expect("the shapes fit");
                    model.predict_log_proba_into(x, &mut log_found).expect("the shapes fit");
                    for (found, expected) in [(&found, &proba), (&log_found, &log_proba)] {
                        same_bits(found, expected)
                            .unwrap_or_else(|error| panic!("{level}, {threads} threads, {rows} x {classes}: {error}"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_buffer_of_another_length_is_refused() {
    let (model, x) = (SoftmaxRegression::zeros(2, 3), Matrix::from_f32(&[1.0; 4], 2).expect("two rows"));
    let (narrow, mut floats) = (Matrix::from_f32(&[1.0; 4], 1).expect("four rows"), vec![7.0; 7]);
    for len in [0, 3, 5, 7] {
        let refused =
            |result: Result<(), Error>| matches!(result, Err(Error::Shape { found, expected: 6, .. }) if found == len);
        assert!(refused(model.logits_into(x, &mut floats[..len])), "{len} logits");
        assert!(refused(model.predict_proba_into(x, &mut floats[..len])), "{len} probabilities");
        assert!(refused(model.predict_log_proba_into(x, &mut floats[..len])), "{len} logarithms");
    }
    for refused in [model.predict_proba_into(narrow, &mut floats), model.predict_log_proba_into(narrow, &mut floats)] {
        assert!(matches!(refused, Err(Error::Shape { found: 1, expected: 2, .. })), "{refused:?}");
    }
    assert_eq!(floats, [7.0; 7], "nothing was written");
}

/// Probabilities that round to 0 have logarithms all the same.
#[test]
fn log_probabilities_are_finite_where_probabilities_are_not_positive() {
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&[0.0, 500.0], &[0.0; 2], 1, 2).expect("1 x 2").with_level(level);
        let x = Matrix::from_f32(&[1.0], 1).expect("one row");
        assert_eq!(model.predict_proba(x).expect("the shapes fit"), [0.0, 1.0], "{level}");
        assert_eq!(model.predict_log_proba(x).expect("the shapes fit"), [-500.0, 0.0], "{level}");
    }
}

/// Rows go through predictions in pieces: four at a time where the classes are this many.
#[test]
fn every_piece_of_rows_has_its_own_numbers_and_targets() {
    let (rows, classes) = (10, 1 << 18);
    let mut random = Random::new(10);
    let (w, mut values) = (random.numbers(classes, 1.0), random.numbers(rows, 1.0));
    let labels: Vec<u32> = (0..rows).map(|row| (row * 1000) as u32).collect();
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], 1, classes).expect("the lengths fit");
        let model = model.with_level(level);
        let x = Matrix::from_f32(&values, 1).expect("one feature");
        let targets = Targets::from_u32(&labels);
        let (mut logits, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
        kernel::forward(level, x, model.parameters(), &mut logits).expect("the shapes fit");
        let sum = kernel::cross_entropy(level, targets, classes, &mut logits, &mut losses).expect("the shapes fit");
        let mean = model.log_loss(Batch::new(x, targets).expect("rows agree")).expect("the shapes fit");
        assert_eq!(mean, sum / rows as f64, "{level}");
        let predicted = model.predict(x).expect("the shapes fit");
        assert!(predicted.iter().any(|class| *class != predicted[0]), "{level}: {predicted:?} are of several classes");
        let found = model.accuracy(Batch::new(x, &predicted[..]).expect("rows agree"));
        assert_eq!(found.expect("the shapes fit"), 1.0, "{level}");
    }
    values[9] = f32::NAN;
    let x = Matrix::from_f32(&values, 1).expect("one feature");
    let model = SoftmaxRegression::zeros(1, classes);
    for found in [
        model.predict(x).err(),
        model.top_k(x, 1).err(),
        model.evaluate(Batch::new(x, &labels[..]).expect("rows agree")).err(),
    ] {
        assert!(matches!(found, Some(Error::NonFinite { row: 9, .. })), "{found:?}");
    }
}

/// Predictions read rows as the kernels do, in their scale.
#[test]
fn a_scale_holds_in_predictions() {
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&[1.0, -1.0], &[-1.0, 0.0], 1, 2).expect("1 x 2");
        let model = model.with_level(level);
        let [pixels, values] = [Matrix::from_u8(&[255, 0], 1), Matrix::from_f32(&[1.0, 0.0], 1)];
        for x in [pixels.expect("two rows"), values.expect("two rows")] {
            for (scale, expected) in [(0.25, [1, 1]), (2.0, [0, 1])] {
                let x = x.with_scale(scale);
                assert_eq!(model.predict(x).expect("the shapes fit"), expected, "{level}, {scale}");
                let batch = Batch::new(x, &expected[..]).expect("rows agree");
                assert_eq!(model.accuracy(batch).expect("the shapes fit"), 1.0, "{level}, {scale}");
            }
        }
    }
}

/// The same rows selected from others: each piece goes on where the piece before it ends.
#[test]
fn every_piece_of_selected_rows_has_its_own_numbers_and_targets() {
    let (rows, classes) = (10, 1 << 18);
    let mut random = Random::new(11);
    let (w, values) = (random.numbers(classes, 1.0), random.numbers(rows, 1.0));
    let labels: Vec<u32> = (0..rows).map(|row| (row * 1000) as u32).collect();
    let order: Vec<usize> = (0..rows).rev().collect();
    let (turned, turned_labels): (Vec<f32>, Vec<u32>) = order.iter().map(|&row| (values[row], labels[row])).unzip();
    let (x, targets) = (Matrix::from_f32(&values, 1).expect("one feature"), Targets::from_u32(&labels));
    let selected = Batch::new(x.select(&order).expect("rows"), targets.select(&order).expect("rows"));
    let copied = Batch::new(Matrix::from_f32(&turned, 1).expect("one feature"), &turned_labels[..]);
    let (selected, copied) = (selected.expect("rows agree"), copied.expect("rows agree"));
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], 1, classes).expect("the lengths fit");
        let model = model.with_level(level);
        let [found, expected] = [selected, copied].map(|batch| model.predict(batch.x).expect("the shapes fit"));
        assert_eq!(found, expected, "{level}");
        let [found, expected] = [selected, copied].map(|batch| model.log_loss(batch).expect("the shapes fit"));
        assert_eq!(found, expected, "{level}");
    }
}

#[path = "../../examples/embedded/src/lib.rs"]
#[allow(unreachable_pub, reason = "a crate of its own elsewhere")]
mod embedded;

/// The example's own reader of its model file.
#[test]
fn a_model_within_the_program_reads_digits() {
    let model = embedded::model().expect("a model of 784 x 10");
    let test = softreg::mnist::read_files(softreg_mnist::FILES, 0).expect("the four files").test;
    let mut right = 0;
    for (row, &label) in test.labels().iter().enumerate().take(500) {
        let row = [row];
        let one = test.x().select(&row).expect("a row");
        right += usize::from(model.predict(one).expect("finite")[0] == label);
    }
    assert!(right > 430, "{right} of 500");
    let blank = [0; 784];
    assert_eq!(
        embedded::digit(&model, &blank).expect("a digit"),
        model.predict(Matrix::from_u8(&blank, 784).expect("a row")).expect("finite")[0]
    );
}
