//! Settings and reports through JSON and back: the same value, to the last bit of every number.

use serde::Serialize;
use serde::de::DeserializeOwned;
use softreg::kernel::Loss;
use softreg::metrics::{ClassificationReport, Evaluation};
use softreg::{
    Adagrad, Adam, AdamW, Batch, Dataset, EarlyStopping, Matrix, Optimizer, Reduction, RmsProp, Sgd, SoftmaxRegression,
    Targets,
};
use std::fmt::Debug;

/// The JSON of a value that comes back as it was.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).expect("plain data");
    let again: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(&again, value, "{text}");
    text
}

/// Not the default's, and none that a few digits hold.
const NUMBER: f64 = 1.0 / 3.0;

fn data() -> Dataset {
    let x = (0..60).map(|i| ((i * 37 % 23) as f32).sin()).collect();
    Dataset::from_f32(x, (0..20).map(|i| i * i % 3).collect(), 3, 3).expect("the lengths fit")
}

#[test]
fn settings_come_back() {
    round_trip(&Sgd::new(NUMBER).momentum(0.9).nesterov(true).weight_decay(1e-4));
    round_trip(&Reduction::Sum);
    round_trip(&EarlyStopping::new(3).min_delta(NUMBER));
    let optimizers: [Optimizer; 5] = [
        Sgd::new(NUMBER).into(),
        Adagrad::new(NUMBER).into(),
        RmsProp::new(NUMBER).into(),
        Adam::new(NUMBER).into(),
        AdamW::new(NUMBER).into(),
    ];
    let texts: Vec<String> = optimizers.iter().map(round_trip).collect();
    assert!(texts.iter().all(|text| text.contains("0.333333333333333")), "{texts:?}");
}

#[test]
fn reports_on_predictions_come_back() {
    let data = data();
    let model = SoftmaxRegression::from_row_major(&[0.3, -0.2, 0.1, 0.7, 0.4, -0.5, 0.2, 0.1, 0.6], &[0.0; 3], 3, 3);
    let model = model.expect("nine weights");
    let report: ClassificationReport = model.report(&data).expect("a report");
    let text = round_trip(&report);
    assert!(text.contains(r#""classes":[{"precision":"#) && text.contains(r#""macro_average":{"#), "{text}");
    round_trip(&report.classes[1]);
    round_trip(&report.weighted_average);
    let evaluation: Evaluation = model.evaluate(&data).expect("an evaluation");
    round_trip(&evaluation);
    round_trip(&Loss { sum: NUMBER, weight: 20.0 });
}

#[cfg(feature = "fit")]
#[test]
fn fits_come_back() {
    use softreg::{Lbfgs, Pass, Report, Scoring, Stop};
    use std::time::Duration;

    let settings = Lbfgs::default()
        .l2(NUMBER)
        .standardize(true)
        .tolerance(1e-5)
        .loss_tolerance(0.0)
        .max_passes(17)
        .max_time(Duration::from_millis(1500))
        .memory(4);
    let text = round_trip(&settings);
    assert!(text.contains("\"max_passes\":17") && !text.contains("exec"), "{text}");
    // Level and threads are the machine's.
    let text = serde_json::to_string(&settings.clone().threads(3)).expect("plain data");
    assert_eq!(serde_json::from_str::<Lbfgs>(&text).expect("settings"), settings);

    let report: Report = Lbfgs::default().l2(0.01).fit(&data()).expect("a fit").report;
    assert!(report.history.len() > 1);
    let text = round_trip(&report);
    assert!(text.contains("\"history\":[{\"pass\":1,"), "{text}");
    round_trip(&report.history[1]);
    for stop in [Stop::Gradient, Stop::Loss, Stop::Precision, Stop::Passes, Stop::Time, Stop::Caller] {
        round_trip(&stop);
    }
    round_trip(&Scoring::Accuracy);

    // A trial that f32 could not hold: JSON has no infinity.
    let text = r#"{"pass":2,"loss":null,"objective":null,"gradient_norm":0.5,"seconds":0.25}"#;
    let pass: Pass = serde_json::from_str(text).expect("a pass");
    assert!(pass.loss == f64::INFINITY && pass.objective == f64::INFINITY, "{pass:?}");
    assert_eq!(round_trip(&pass), text);
}

/// What is read is checked where it is used, as what is set by hand.
#[cfg(feature = "fit")]
#[test]
fn settings_out_of_range_are_refused_where_they_are_used() {
    let text = serde_json::to_string(&softreg::Lbfgs::default()).expect("plain data");
    let text = text.replace("\"memory\":10", "\"memory\":0");
    let settings: softreg::Lbfgs = serde_json::from_str(&text).expect("a number");
    let batch = Batch::new(Matrix::from_f32(&[0.0, 1.0], 1).expect("two rows"), Targets::from_u8(&[0, 1]));
    let found = settings.fit(batch.expect("rows agree"));
    assert!(matches!(found, Err(softreg::Error::Setting { name: "memory", .. })), "{found:?}");
}
