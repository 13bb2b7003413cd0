//! The metrics against naive double precision, scikit-learn's own table, and the edges: no rows, one class, ties, rows
//! without weight, and an error for everything that does not fit.

use proptest::prelude::*;
use softreg::metrics::{
    self, ClassificationReport, brier_score, confusion_matrix, expected_calibration_error, top_k_accuracy,
};
use softreg::{Batch, Error, Matrix, SoftmaxRegression, Targets};

/// 18 rows of four classes, of which none is good at all that is asked.
const TRUTH: [u32; 18] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3];
const PREDICTED: [u32; 18] = [0, 0, 0, 0, 0, 0, 1, 2, 1, 1, 1, 0, 2, 2, 2, 1, 0, 2];

fn report(truth: &[u32], predicted: &[u32], classes: usize) -> ClassificationReport {
    ClassificationReport::new(truth, predicted, classes).expect("the classes fit")
}

/// What scikit-learn 1.9 prints: `classification_report(truth, predicted, zero_division=0)`.
#[test]
fn a_report_prints_as_scikit_learns() {
    let expected = "              precision    recall  f1-score   support

           0       0.75      0.75      0.75         8
           1       0.60      0.60      0.60         5
           2       0.40      0.67      0.50         3
           3       0.00      0.00      0.00         2

    accuracy                           0.61        18
   macro avg       0.44      0.50      0.46        18
weighted avg       0.57      0.61      0.58        18
";
    assert_eq!(report(&TRUTH, &PREDICTED, 4).to_string(), expected);
}

/// `classification_report(truth, predicted, labels=range(5), zero_division=0, ...)`: with `digits=3`, and with
/// `target_names`.
#[test]
fn digits_and_names_are_scikit_learns_too() {
    let report = report(&TRUTH, &PREDICTED, 5);
    let expected = "              precision    recall  f1-score   support

           0      0.750     0.750     0.750         8
           1      0.600     0.600     0.600         5
           2      0.400     0.667     0.500         3
           3      0.000     0.000     0.000         2
           4      0.000     0.000     0.000         0

    accuracy                          0.611        18
   macro avg      0.350     0.403     0.370        18
weighted avg      0.567     0.611     0.583        18
";
    assert_eq!(format!("{report:.3}"), expected);
    let names = ["cat", "dog", "éléphant d'Afrique", "horse", "yak"];
    let expected = "                    precision    recall  f1-score   support

               cat       0.75      0.75      0.75         8
               dog       0.60      0.60      0.60         5
éléphant d'Afrique       0.40      0.67      0.50         3
             horse       0.00      0.00      0.00         2
               yak       0.00      0.00      0.00         0

          accuracy                           0.61        18
         macro avg       0.35      0.40      0.37        18
      weighted avg       0.57      0.61      0.58        18
";
    assert_eq!(report.with_names(&names).expect("five names").to_string(), expected);
    for wrong in [&names[..4], &["a"; 6]] {
        let refused = report.with_names(wrong).map(|named| named.to_string());
        assert!(matches!(refused, Err(Error::Shape { what: "class names", expected: 5, .. })), "{refused:?}");
    }
}

/// With `digits=14` the columns are wider than the words; with `digits=0` there is no point.
#[test]
fn very_many_digits_and_none() {
    let report = report(&[0, 0, 0, 0, 1, 1, 1, 1], &[0, 1, 1, 1, 1, 1, 1, 0], 2);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let found = lines(&format!("{report:.14}"));
    assert_eq!(found[0], "                precision    recall  f1-score   support");
    assert_eq!(found[2], "             0  0.50000000000000 0.25000000000000 0.33333333333333         4");
    assert_eq!(found[5], "      accuracy                      0.50000000000000         8");
    assert_eq!(lines(&format!("{report:.0}"))[2], "           0          0         0         0         4");
    // More than a formatter's width can say.
    let long = "x".repeat(70_000);
    let named = report.with_names(&[long.as_str(), "b"]).expect("two names").to_string();
    assert!(named.contains(&format!("{long}       0.50      0.25      0.33         4\n")), "a ragged column");
}

#[test]
fn what_a_report_divides_by_nothing_is_zero() {
    let none = report(&[], &[], 2);
    assert_eq!((none.accuracy, none.support, none.classes.len()), (0.0, 0, 2));
    for averages in [none.macro_average, none.weighted_average] {
        assert_eq!((averages.precision, averages.recall, averages.f1), (0.0, 0.0, 0.0));
    }
    assert!(!none.to_string().contains("NaN"));
    // Class 1 is nobody's and nobody gets it; class 2 is only predicted, class 0 only true.
    let apart = report(&[0, 0], &[2, 2], 3);
    for class in &apart.classes {
        assert_eq!((class.precision, class.recall, class.f1), (0.0, 0.0, 0.0));
    }
    let one = report(&[0, 0, 0], &[0, 0, 0], 1);
    let class = one.classes[0];
    assert_eq!((class.precision, class.recall, class.f1, class.support, one.accuracy), (1.0, 1.0, 1.0, 3, 1.0));
}

#[test]
fn classes_that_do_not_fit_a_report_are_refused() {
    let new = ClassificationReport::new;
    assert!(matches!(new(&[0, 1], &[0, 2], 2), Err(Error::Label { row: 1, label: 2, classes: 2 })));
    assert!(matches!(new(&[0, 2], &[0, 1], 2), Err(Error::Label { row: 1, label: 2, classes: 2 })));
    assert!(matches!(new(&[0], &[0, 1], 2), Err(Error::Shape { found: 2, expected: 1, .. })));
    assert!(matches!(new(&[], &[], 0), Err(Error::Size { what: "classes", found: 0, .. })));
    assert!(matches!(new(&[], &[], usize::MAX), Err(Error::Memory { .. })));
}

/// A model whose logits are its rows.
fn unit(classes: usize) -> SoftmaxRegression {
    let mut w = vec![0.0; classes * classes];
    w.iter_mut().step_by(classes + 1).for_each(|diagonal| *diagonal = 1.0);
    SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], classes, classes).expect("a square")
}

#[test]
fn a_model_reports_on_every_row_that_has_a_weight() {
    let model = unit(3);
    let values = [9.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0];
    let x = Matrix::from_f32(&values, 3).expect("whole rows");
    let labels = [0_u32, 1, 2, 2];
    let batch = Batch::new(x, &labels[..]).expect("rows agree");
    assert_eq!(model.report(batch).expect("the shapes fit"), report(&labels, &[0, 1, 1, 2], 3));
    // The third row has no weight; the others' do not matter.
    let soft = [2.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1];
    let targets = Targets::from_probabilities(&soft, 3).expect("whole rows");
    let found = model.report(Batch::new(x, targets).expect("rows agree")).expect("the shapes fit");
    assert_eq!(found, report(&[0, 1, 2], &[0, 1, 2], 3), "ties go to the lowest");
    // As in an evaluation, the share of the rows that are right.
    assert_eq!(model.report(batch).expect("fits").accuracy, model.accuracy(batch).expect("fits"));

    let nothing = Targets::from_probabilities(&[0.0; 12], 3).expect("whole rows");
    let refused = model.report(Batch::new(x, nothing).expect("rows agree"));
    assert!(matches!(refused, Err(Error::NoWeight { rows: 4 })), "{refused:?}");
    let refused = model.report(Batch::new(x, &[0_u32, 1, 2, 3][..]).expect("rows agree"));
    assert!(matches!(refused, Err(Error::Label { row: 3, label: 3, classes: 3 })), "{refused:?}");
    let mut bad = values;
    bad[4] = f32::NAN;
    let x = Matrix::from_f32(&bad, 3).expect("whole rows");
    let refused = model.report(Batch::new(x, &labels[..]).expect("rows agree"));
    assert!(matches!(refused, Err(Error::NonFinite { what: "logits", row: 1, .. })), "{refused:?}");
    let none = Batch::new(Matrix::from_f32(&[], 3).expect("no rows"), &[0_u32; 0][..]).expect("rows agree");
    assert_eq!(model.report(none).expect("no rows"), report(&[], &[], 3));
}

/// Four rows of three classes, and what scikit-learn 1.9 makes of them: `top_k_accuracy_score`, and `brier_score_loss` with
/// `scale_by_half=False`.
const PROBA: [f32; 12] = [0.5, 0.25, 0.25, 0.125, 0.625, 0.25, 0.25, 0.25, 0.5, 0.75, 0.125, 0.125];
const LABELS: [u32; 4] = [0, 2, 2, 1];

#[test]
fn scores_are_scikit_learns() {
    assert_eq!(brier_score(&PROBA, 3, &LABELS[..]).expect("fits"), 0.765625);
    let top = [1, 2, 3].map(|k| top_k_accuracy(&PROBA, 3, &LABELS[..], k).expect("fits"));
    // scikit-learn counts the last row's tie of two as a miss, though one of them is in the best two.
    assert_eq!(top, [0.5, 1.0, 1.0]);
}

/// Confidences 0.5, 0.625, 0.5, 0.75, of which the first and the third are right.
#[test]
fn calibration_by_hand() {
    let ece = |bins| expected_calibration_error(&PROBA, 3, &LABELS[..], bins).expect("fits");
    assert_eq!(ece(1), (2.375_f64 - 2.0) / 4.0);
    assert_eq!(ece(2), (1.0 + 0.625 + 0.75) / 4.0, "0.5 is in the lower of two bins");
    assert_eq!(ece(4), (1.0 + 0.625 + 0.75) / 4.0, "0.75 is in the third of four");
    assert_eq!(ece(1 << 16), ece(4));
    // Right or wrong with certainty, and without any.
    let certain = |p: &[f32], label: u32| expected_calibration_error(p, p.len(), &[label][..], 15).expect("fits");
    assert_eq!((certain(&[1.0, 0.0], 0), certain(&[1.0, 0.0], 1)), (0.0, 1.0));
    assert_eq!((certain(&[0.0, 0.0], 0), certain(&[1.0], 0)), (1.0, 0.0));
}

#[test]
fn ties_go_to_the_lowest_class() {
    let p = [0.25; 4];
    for class in 0..4_u32 {
        let top = |k| top_k_accuracy(&p, 4, &[class][..], k).expect("fits");
        let expected = |k| f64::from(u8::from(class < k));
        assert_eq!([1, 2, 3, 4].map(|k| top(k as usize)), [1, 2, 3, 4].map(expected), "class {class}");
        let error = if class == 0 { 0.75 } else { 0.25 };
        assert_eq!(expected_calibration_error(&p, 4, &[class][..], 10).expect("fits"), error);
    }
    let tie = Targets::from_probabilities(&[0.0, 0.5, 0.5], 3).expect("one row");
    assert_eq!(top_k_accuracy(&[0.1, 0.8, 0.1], 3, tie, 1).expect("fits"), 1.0);
}

#[test]
fn scores_that_are_no_probabilities_have_an_order_all_the_same() {
    let logits = [-5.0, 12.0, 3.0, 1e30, -1e30, 0.0];
    assert_eq!(top_k_accuracy(&logits, 3, &[2_u8, 0][..], 2).expect("fits"), 1.0);
    assert!(matches!(
        brier_score(&logits, 3, &[2_u8, 0][..]),
        Err(Error::Probability { row: 0, class: 0, value: -5.0 })
    ));
}

type Metric = fn(&[f32], usize, Targets<'_>) -> softreg::Result<f64>;

const METRICS: [(&str, Metric); 3] = [
    ("top_k_accuracy", |p, classes, targets| top_k_accuracy(p, classes, targets, 1)),
    ("brier_score", |p, classes, targets| brier_score(p, classes, targets)),
    ("expected_calibration_error", |p, classes, targets| expected_calibration_error(p, classes, targets, 15)),
];

#[test]
fn no_rows_have_no_score_and_no_weight_is_an_error() {
    for (name, metric) in METRICS {
        assert!(metric(&[], 3, Targets::from_u8(&[])).expect("no rows").is_nan(), "{name}");
        let nothing = Targets::from_probabilities(&[0.0; 12], 3).expect("whole rows");
        assert!(matches!(metric(&PROBA, 3, nothing), Err(Error::NoWeight { rows: 4 })), "{name}");
        let certain = metric(&[1.0; 5], 1, Targets::from_u8(&[0; 5])).expect("one class");
        assert_eq!(certain, if name == "top_k_accuracy" { 1.0 } else { 0.0 }, "{name} of one class");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let labels = Targets::from_u32(&LABELS);
    for (name, metric) in METRICS {
        let refused = |p: &[f32], classes, targets: Targets<'_>| metric(p, classes, targets).expect_err(name);
        assert!(matches!(refused(&PROBA[1..], 3, labels), Error::Shape { found: 11, expected: 12, .. }), "{name}");
        assert!(matches!(refused(&PROBA, 4, labels), Error::Shape { expected: 16, .. }), "{name}");
        assert!(matches!(refused(&PROBA, usize::MAX, labels), Error::Shape { .. }), "{name}");
        assert!(matches!(refused(&[], 0, Targets::from_u8(&[])), Error::Size { what: "classes", .. }), "{name}");
        let label = Targets::from_u8(&[0, 1, 2, 3]);
        assert!(matches!(refused(&PROBA, 3, label), Error::Label { row: 3, label: 3, .. }), "{name}");
        let soft = [0.5, 0.5, -1.0, 1.0];
        let soft = Targets::from_probabilities(&soft, 2).expect("whole rows");
        assert!(matches!(refused(&[0.5; 4], 2, soft), Error::Target { row: 1, class: 0, .. }), "{name}");
        assert!(matches!(refused(&[0.5; 6], 3, soft), Error::Shape { .. }), "{name}: classes of the targets");
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut p, mut soft) = (PROBA, [1.0; 12]);
            p[7] = value;
            // The row has no weight, and is looked at all the same.
            soft[6..9].fill(0.0);
            let soft = Targets::from_probabilities(&soft, 3).expect("whole rows");
            for targets in [labels, soft] {
                match refused(&p, 3, targets) {
                    Error::NonFinite { row: 2, column: 1, .. } if name == "top_k_accuracy" => {}
                    Error::Probability { row: 2, class: 1, .. } if name != "top_k_accuracy" => {}
                    other => panic!("{name}, {value}: {other:?}"),
                }
            }
        }
    }
    for k in [0, 4, usize::MAX] {
        let refused = top_k_accuracy(&PROBA, 3, labels, k);
        assert!(matches!(refused, Err(Error::Size { what: "k", found, .. }) if found == k), "{refused:?}");
    }
    for bins in [0, (1 << 16) + 1, usize::MAX] {
        let refused = expected_calibration_error(&PROBA, 3, labels, bins);
        assert!(matches!(refused, Err(Error::Size { what: "bins", found, .. }) if found == bins), "{refused:?}");
    }
    let error = brier_score(&[1.5, 0.0], 2, &[0_u8][..]).expect_err("no probability");
    assert_eq!(error.to_string(), "row 0: found 1.5 for class 0, expected a probability, 0 to 1");
    // A rounding error above 1 is none.
    assert!(brier_score(&[1.000_001, 0.0], 2, &[0_u8][..]).is_ok_and(|score| score < 1e-11));
    assert!(expected_calibration_error(&[1.000_001, 0.0], 2, &[0_u8][..], 15).is_ok_and(|error| error < 1e-5));
}

/// A weight of 2 is the row twice over, and 0 is none.
#[test]
fn a_weight_is_the_row_as_often() {
    let soft = [2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.25];
    let soft = Targets::from_probabilities(&soft, 3).expect("whole rows");
    let rows = [0, 0, 1, 3];
    let twice: Vec<f32> = rows.iter().flat_map(|&row| &PROBA[3 * row..][..3]).copied().collect();
    let targets = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.75, 0.25];
    let targets = Targets::from_probabilities(&targets, 3).expect("whole rows");
    for (name, metric) in METRICS {
        let (found, expected) = (metric(&PROBA, 3, soft).expect("fits"), metric(&twice, 3, targets).expect("fits"));
        assert!((found - expected).abs() < 1e-12, "{name}: {found} for {expected}");
    }
}

/// Rows with scores and targets of few different values, so that ties and ends of bins are frequent.
#[derive(Clone, Debug)]
struct Case {
    classes: usize,
    labels: Vec<u32>,
    soft: Vec<f32>,
    proba: Vec<f32>,
    predicted: Vec<u32>,
}

fn cases() -> impl Strategy<Value = Case> {
    (1_usize..6, 1_usize..20).prop_flat_map(|(classes, rows)| {
        let sixteenths = |most: u8, len| prop::collection::vec((0..=most).prop_map(|n| f32::from(n) / 16.0), len);
        let labels = || prop::collection::vec(0..classes as u32, rows);
        let soft = prop::collection::vec(prop_oneof![3 => Just(0.0_f32), 1 => 0.0_f32..3.0], rows * classes);
        (labels(), soft, sixteenths(16, rows * classes), labels())
            .prop_map(move |(labels, soft, proba, predicted)| Case { classes, labels, soft, proba, predicted })
    })
}

/// A row as the naive code sees it: probabilities, weight, true class, target distribution.
struct Row {
    p: Vec<f64>,
    weight: f64,
    class: usize,
    y: Vec<f64>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

impl Case {
    fn with_labels(&self) -> Vec<Row> {
        let rows = self.proba.chunks(self.classes).zip(&self.labels);
        rows.map(|(p, &label)| {
            let mut y = vec![0.0; self.classes];
            y[label as usize] = 1.0;
            Row { p: wide(p), weight: 1.0, class: label as usize, y }
        })
        .collect()
    }

    fn with_soft_targets(&self) -> Vec<Row> {
        let rows = self.proba.chunks(self.classes).zip(self.soft.chunks(self.classes));
        rows.map(|(p, t)| {
            let (t, weight) = (wide(t), wide(t).iter().sum::<f64>());
            let class = best_first(&t)[0];
            Row { p: wide(p), weight, class, y: t.iter().map(|t| t / weight).collect() }
        })
        .filter(|row| row.weight > 0.0)
        .collect()
    }
}

/// The classes in the order of their scores; sorting is stable.
fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

fn weighted_mean(rows: &[Row], score: impl Fn(&Row) -> f64) -> f64 {
    rows.iter().map(|row| row.weight * score(row)).sum::<f64>() / rows.iter().map(|row| row.weight).sum::<f64>()
}

fn naive_calibration_error(rows: &[Row], bins: usize) -> f64 {
    let total: f64 = rows.iter().map(|row| row.weight).sum();
    let confidence = |row: &Row| row.p[best_first(&row.p)[0]];
    let inside = |bin: usize| {
        // Sixteenths times the number of bins are exact.
        let holds = move |x: f64| (x > bin as f64 || bin == 0) && x <= (bin + 1) as f64;
        rows.iter().filter(move |row| holds(confidence(row) * bins as f64))
    };
    let gap = |bin| {
        let weight: f64 = inside(bin).map(|row| row.weight).sum();
        let right = |row: &&Row| best_first(&row.p)[0] == row.class;
        let accuracy = inside(bin).filter(right).map(|row| row.weight).sum::<f64>() / weight;
        let mean = inside(bin).map(|row| row.weight * confidence(row)).sum::<f64>() / weight;
        if weight > 0.0 { weight / total * (accuracy - mean).abs() } else { 0.0 }
    };
    (0..bins).map(gap).sum()
}

fn near(found: f64, expected: f64) -> Result<(), TestCaseError> {
    prop_assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "found {}, expected {}", found, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scores_of_probabilities_are_the_naive_ones(case in cases(), k in 1_usize..6, bins in 1_usize..18) {
        let (k, classes) = (k.min(case.classes), case.classes);
        let soft = Targets::from_probabilities(&case.soft, classes).unwrap();
        for (targets, rows) in
            [(Targets::from_u32(&case.labels), case.with_labels()), (soft, case.with_soft_targets())]
        {
            let top = top_k_accuracy(&case.proba, classes, targets, k);
            if rows.is_empty() {
                prop_assert!(matches!(top, Err(Error::NoWeight { .. })), "{:?}", top);
                continue;
            }
            let among = |row: &Row| f64::from(u8::from(best_first(&row.p)[..k].contains(&row.class)));
            near(top.unwrap(), weighted_mean(&rows, among))?;
            let distance = |row: &Row| row.p.iter().zip(&row.y).map(|(p, y)| (p - y).powi(2)).sum();
            near(brier_score(&case.proba, classes, targets).unwrap(), weighted_mean(&rows, distance))?;
            let error = expected_calibration_error(&case.proba, classes, targets, bins).unwrap();
            near(error, naive_calibration_error(&rows, bins))?;
        }
    }

    #[test]
    fn a_report_is_the_confusion_matrixs(case in cases()) {
        let classes = case.classes;
        let report = report(&case.labels, &case.predicted, classes);
        let counts = confusion_matrix(&case.labels, &case.predicted, classes).unwrap();
        let count = |truth: usize, predicted: usize| counts[truth * classes + predicted] as f64;
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let (mut sums, mut weighted, total) = ([0.0; 3], [0.0; 3], case.labels.len() as f64);
        for class in 0..classes {
            let support: f64 = (0..classes).map(|other| count(class, other)).sum();
            let precision = share(count(class, class), (0..classes).map(|other| count(other, class)).sum());
            let recall = share(count(class, class), support);
            let f1 = share(2.0 * precision * recall, precision + recall);
            let found = report.classes[class];
            prop_assert_eq!(found.support as f64, support);
            for (at, (found, expected)) in
                [(found.precision, precision), (found.recall, recall), (found.f1, f1)].into_iter().enumerate()
            {
                near(found, expected)?;
                sums[at] += expected / classes as f64;
                weighted[at] += expected * support / total;
            }
        }
        for (found, expected) in [(report.macro_average, sums), (report.weighted_average, weighted)] {
            near(found.precision, expected[0])?;
            near(found.recall, expected[1])?;
            near(found.f1, expected[2])?;
        }
        near(report.accuracy, (0..classes).map(|class| count(class, class)).sum::<f64>() / total)?;
        prop_assert_eq!((report.support, report.classes.len()), (case.labels.len() as u64, classes));
    }

    /// The best one is what an evaluation counts as right.
    #[test]
    fn the_accuracy_of_the_best_one_is_the_models(case in cases()) {
        let model = unit(case.classes);
        let x = Matrix::from_f32(&case.proba, case.classes).unwrap();
        let soft = Targets::from_probabilities(&case.soft, case.classes).unwrap();
        for targets in [Targets::from_u32(&case.labels), soft] {
            let batch = Batch::new(x, targets).unwrap();
            let (found, expected) = (metrics::top_k_accuracy(&case.proba, case.classes, targets, 1), model.accuracy(batch));
            match (found, expected) {
                (Ok(found), Ok(expected)) => near(found, expected)?,
                (found, expected) => prop_assert!(found.is_err() && expected.is_err()),
            }
        }
    }
}
