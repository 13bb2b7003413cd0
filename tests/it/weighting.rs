//! Row weights, class weights, label smoothing and ignored labels, alone and together, on labels and probabilities: the
//! targets that they stand for, written out in f64, give the same losses and gradients. What a row's weight does to means
//! is `row_weights`' subject.

use crate::support::expect::{self, wide};
use crate::support::levels::levels;
use crate::support::targets::Ingredients;
use proptest::prelude::*;
use softreg::{Batch, Dataset, Error, Matrix, Sgd, SoftmaxRegression, Targets, Trainer, kernel};

const IGNORED: u32 = 77;

/// Rows, and what their targets are made of.
#[derive(Clone, Debug)]
struct Made {
    classes: usize,
    labels: Vec<u32>,
    of: Ingredients,
    logits: Vec<f32>,
}

impl Made {
    fn targets(&self) -> Result<Targets<'_>, Error> {
        self.of.targets(&self.labels, self.classes)
    }

    /// The target of each row for each class.
    fn written_out(&self) -> Vec<f64> {
        self.smoothed(f64::from(self.of.smoothing.unwrap_or(0.0)))
    }

    /// The same with so much smoothing.
    fn smoothed(&self, smoothing: f64) -> Vec<f64> {
        let mut all = Vec::new();
        for (row, &label) in self.labels.iter().enumerate() {
            let base: Vec<f64> = match &self.of.soft {
                Some(soft) => wide(&soft[row * self.classes..][..self.classes]),
                None => (0..self.classes).map(|class| f64::from(u8::from(class == label as usize))).collect(),
            };
            let share = smoothing * base.iter().sum::<f64>() / self.classes as f64;
            let ignored = self.of.soft.is_none() && self.of.ignored == Some(label);
            let row_weight = if ignored { 0.0 } else { self.of.rows.as_ref().map_or(1.0, |rows| f64::from(rows[row])) };
            all.extend(base.iter().enumerate().map(|(class, t)| {
                let class_weight = self.of.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[class]));
                ((1.0 - smoothing) * t + share) * class_weight * row_weight
            }));
        }
        all
    }
}

fn made() -> impl Strategy<Value = Made> {
    let weight = || prop_oneof![1 => Just(0.0f32), 4 => 0.01f32..8.0];
    (1usize..40, prop_oneof![2usize..6, Just(10), Just(33)]).prop_flat_map(move |(rows, classes)| {
        let label = prop_oneof![6 => 0..classes as u32, 1 => Just(IGNORED)];
        (
            prop::collection::vec(label, rows),
            prop::option::of(prop::collection::vec(weight(), rows * classes)),
            prop::option::of(prop::collection::vec(weight(), rows)),
            prop::option::of(prop::collection::vec(weight(), classes)),
            prop::option::of(prop_oneof![Just(0.0f32), 0.0f32..=1.0, Just(1.0)]),
            prop::collection::vec(-8.0f32..8.0, rows * classes),
        )
            .prop_map(move |(mut labels, soft, rows, class_weights, smoothing, logits)| {
                let ignored = labels.contains(&IGNORED).then_some(IGNORED);
                if soft.is_some() {
                    labels.fill(0);
                }
                let of = Ingredients { soft, rows, class_weights, smoothing, ignored };
                Made { classes, labels, of, logits }
            })
    })
}

proptest! {
    #[test]
    fn together_they_are_the_targets_that_they_stand_for(made in made()) {
        let (logits, classes, rows) = (&made.logits, made.classes, made.labels.len());
        let targets = made.targets().expect("they fit");
        let written_out = made.written_out();
        let (expected_losses, expected) = expect::cross_entropy(&wide(logits), &written_out, classes);
        let weight: f64 = made.smoothed(0.0).iter().sum();
        let x = vec![0.0; rows];
        let batch = Batch::new(Matrix::from_f32(&x, 1).expect("one feature"), targets).expect("rows agree");
        for level in levels() {
            let (mut residual, mut losses) = (logits.clone(), vec![f64::NAN; rows]);
            kernel::cross_entropy(level, targets, classes, &mut residual, &mut losses).expect("they fit");
            expected_losses.check(&losses).map_err(|e| TestCaseError::fail(format!("{level} losses: {e}")))?;
            expected.check(&residual).map_err(|e| TestCaseError::fail(format!("{level} residual: {e}")))?;
            let parameters = softreg::Parameters::zeros(1, classes);
            let mut gradient = softreg::Parameters::zeros(1, classes);
            let found = kernel::Sweep::new().run(level, batch, &parameters, &mut losses, &mut gradient);
            let found = found.expect("finite losses");
            prop_assert!((found.weight - weight).abs() <= 1e-12 * weight, "{}, expected {weight}", found.weight);
        }
    }

    /// Selected rows, parts of a batch on threads and the whole see the same weights.
    #[test]
    fn selected_rows_keep_their_weights(made in made(), seed in any::<u64>()) {
        let rows = made.labels.len();
        let picked: Vec<usize> = (0..2 * rows).map(|i| (i * 7 + seed as usize % 1000) % rows).collect();
        let pick = |all: &[f32], width: usize| -> Vec<f32> {
            picked.iter().flat_map(|&row| all[row * width..][..width].to_vec()).collect()
        };
        let copied = Made {
            labels: picked.iter().map(|&row| made.labels[row]).collect(),
            of: Ingredients {
                soft: made.of.soft.as_ref().map(|soft| pick(soft, made.classes)),
                rows: made.of.rows.as_ref().map(|rows| pick(rows, 1)),
                ..made.of.clone()
            },
            logits: pick(&made.logits, made.classes),
            ..made.clone()
        };
        let losses = |targets: Targets<'_>| {
            let (mut logits, mut losses) = (copied.logits.clone(), vec![f64::NAN; picked.len()]);
            kernel::cross_entropy(levels()[0], targets, made.classes, &mut logits, &mut losses).expect("they fit");
            (losses, logits)
        };
        let selected = made.targets().and_then(|targets| targets.select(&picked)).expect("the indices exist");
        prop_assert_eq!(losses(selected), losses(copied.targets().expect("they fit")));
    }
}

/// Weight 2 is the row twice, and an ignored row is none.
#[test]
fn a_step_sees_weights_as_repetition() {
    let x = [0.5, -1.0, 2.0, 0.25];
    let labels = [0u32, 1, 9, 1];
    let step = |x: &[f32], targets: Targets<'_>| {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 3), Sgd::new(0.5));
        let batch = Batch::new(Matrix::from_f32(x, 1).expect("one feature"), targets).expect("rows agree");
        let loss = trainer.step(batch).expect("a step");
        (loss, trainer.into_model())
    };
    let weights = [1.0, 2.0, 5.0, 0.0];
    let weighted = Targets::from_u32(&labels).with_row_weights(&weights).expect("four rows").with_ignored_label(9);
    let (loss, model) = step(&x, weighted);
    let (expected, repeated) = step(&[0.5, -1.0, -1.0], Targets::from_u32(&[0, 1, 1]));
    assert!((loss - expected).abs() < 1e-12);
    for (found, expected) in model.to_row_major().iter().zip(repeated.to_row_major()) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

#[test]
fn balanced_weights_make_classes_count_alike() {
    let targets = Targets::from_u8(&[0, 0, 0, 1, 3]);
    // 5 / (3 classes * count)
    let weights = targets.balanced_class_weights(4).expect("labels below 4");
    assert_eq!(weights, [5.0 / 9.0, 5.0 / 3.0, 0.0, 5.0 / 3.0]);
    let twice = targets.with_row_weights(&[1.0, 1.0, 1.0, 3.0, 0.0]).expect("five rows");
    assert_eq!(twice.balanced_class_weights(4).expect("labels below 4"), [1.0, 1.0, 0.0, 0.0]);
    let soft = Targets::from_probabilities(&[0.5, 0.5, 1.0, 0.0], 2).expect("two classes");
    assert_eq!(soft.balanced_class_weights(2).expect("two classes"), [2.0 / 3.0, 2.0]);
    let none = targets.with_row_weights(&[0.0; 5]).expect("five rows").balanced_class_weights(4);
    assert!(matches!(none, Err(Error::NoWeight { rows: 5 })), "{none:?}");
    let label = Targets::from_u8(&[0, 4]).balanced_class_weights(4);
    assert!(matches!(label, Err(Error::Label { row: 1, label: 4, classes: 4 })), "{label:?}");
}

#[test]
fn targets_know_their_classes_or_count_them() {
    let labels = Targets::from_u8(&[0, 4, 2, 9]);
    assert_eq!(
        (labels.classes(), labels.with_ignored_label(9).classes(), labels.with_classes(12).classes()),
        (10, 5, 12)
    );
    assert_eq!(labels.select(&[2, 0]).expect("they exist").classes(), 3);
    assert_eq!(Targets::from_u32(&[]).classes(), 0);
    assert_eq!(Targets::from_probabilities(&[0.0; 6], 3).expect("two rows").classes(), 3);
    let data = Dataset::from_u8(vec![1, 2], vec![0, 1], 1, 7).expect("two rows");
    assert_eq!(data.targets().classes(), 7);
    assert_eq!(data.batches(1).next_batch().targets.classes(), 7);
}

/// Evaluation counts rows by their weight, and asks for their label, smoothed or not.
#[test]
fn evaluation_counts_by_weight() {
    let data = Dataset::from_f32(vec![1.0, -1.0, 3.0, 2.0], vec![0, 1, 1, 0], 1, 2).expect("four rows");
    let model = SoftmaxRegression::from_row_major(&[1.0, -1.0], &[0.0, 0.0], 1, 2).expect("one feature");
    let targets = data.targets().with_row_weights(&[1.0, 2.0, 1.0, 0.0]).expect("four rows");
    let smooth = targets.with_class_weights(&[3.0, 1.0]).with_label_smoothing(0.5).expect("a share");
    let found = model.evaluate(Batch::new(data.x(), targets).expect("rows agree")).expect("rows with a weight");
    assert_eq!((found.rows, found.correct, found.weight, found.correct_weight), (3, 2, 4.0, 3.0));
    // Class 0 counts 3, class 1 1, each times the row's weight, smoothed or not.
    let found = model.evaluate(Batch::new(data.x(), smooth).expect("rows agree")).expect("rows with a weight");
    assert_eq!((found.rows, found.correct, found.weight, found.correct_weight), (3, 2, 6.0, 5.0));
}

#[test]
fn weights_that_are_none_are_refused() {
    let x = Matrix::from_f32(&[1.0, 2.0, 3.0], 1).expect("one feature");
    let step = |targets: Targets<'_>| {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.5));
        trainer.step(Batch::new(x, targets).expect("rows agree"))
    };
    let labels = Targets::from_u8(&[0, 1, 1]);
    for bad in [-1.0, f32::NAN, f32::INFINITY, -1e-45] {
        let rows = [1.0, bad, 1.0];
        let found = step(labels.with_row_weights(&rows).expect("three rows"));
        assert!(matches!(found, Err(Error::Weight { of: "row", index: 1, .. })), "{found:?}");
        let classes = [1.0, bad];
        let found = step(labels.with_class_weights(&classes));
        assert!(matches!(found, Err(Error::Weight { of: "class", index: 1, .. })), "{found:?}");
    }
    for bad in [-0.1, 1.1, f32::NAN] {
        let found = labels.with_label_smoothing(bad);
        assert!(matches!(found, Err(Error::Setting { name: "label smoothing", .. })), "{found:?}");
    }
    let found = labels.with_row_weights(&[1.0]);
    assert!(matches!(found, Err(Error::Shape { what: "row weights", found: 1, expected: 3 })), "{found:?}");
    let found = labels.select(&[1]).expect("row 1").with_row_weights(&[1.0]).map(drop);
    assert!(matches!(found, Err(Error::Size { .. })), "{found:?}");
    let found = step(labels.with_class_weights(&[1.0; 3]));
    assert!(matches!(found, Err(Error::Shape { what: "class weights", found: 3, expected: 2 })), "{found:?}");
    let found = step(labels.with_row_weights(&[0.0; 3]).expect("three rows"));
    assert!(matches!(found, Err(Error::NoWeight { rows: 3 })), "{found:?}");
    let found = step(Targets::from_u8(&[0, 7, 1]).with_ignored_label(8));
    assert!(matches!(found, Err(Error::Label { row: 1, label: 7, classes: 2 })), "{found:?}");
}
