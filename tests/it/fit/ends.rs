//! How fits end, those without an optimum too: with a reason and finite weights; and what is refused.

use super::{Set, bits, noisy};
use crate::support::failures::{Failures, text};
use crate::support::levels::is_emulated;
use softreg::{Batch, Error, Lbfgs, Matrix, Report, SoftmaxRegression, Stop, Targets};
use std::ops::ControlFlow;
use std::time::Duration;

#[test]
fn fits_without_an_optimum_end_with_a_reason_and_finite_weights() {
    let separable = Set { x: vec![-1.0, -2.0, 3.0, 5.0], features: 1, labels: vec![0, 0, 1, 1], classes: 2 };
    let one_class = Set { x: vec![1.0, 2.0, 3.0], features: 1, labels: vec![1, 1, 1], classes: 2 };
    let alone = Set { x: vec![1.0, 2.0, 3.0], features: 1, labels: vec![0, 0, 0], classes: 1 };
    let one_row = Set { x: vec![1.0, 2.0, 0.0], features: 3, labels: vec![2], classes: 3 };
    let zeros = Set { x: vec![0.0; 12], features: 3, labels: vec![0, 1, 0, 1], classes: 2 };
    let constant =
        Set { x: [7.0, 1.0, 7.0, 2.0, 7.0, 4.0, 7.0, 3.0].to_vec(), features: 2, labels: vec![0, 1, 0, 1], classes: 2 };
    let huge = Set { x: vec![3e38, -3e38, 1e38, 2e38], features: 1, labels: vec![0, 1, 0, 1], classes: 2 };
    let tiny = Set { x: vec![1e-40, 3e-40, 2e-40, 5e-40], features: 1, labels: vec![0, 1, 0, 1], classes: 2 };
    let wide = noisy(3, 4096, 3, 5);
    let long = noisy(100_000, 2, 2, 6);
    // An emulator takes minutes for what a machine does in a second.
    let (rows, passes_of_many) = if is_emulated() { (20, 2) } else { (1100, 12) };
    let many = noisy(rows, 768, 1000, 7);
    let sets = [
        ("separable", separable),
        ("one class", one_class),
        ("a class alone", alone),
        ("one row", one_row),
        ("zeros", zeros),
        ("a constant", constant),
        ("huge", huge),
        ("tiny", tiny),
        ("wide", wide),
        ("long", long),
        ("many classes", many),
    ];
    let mut failures = Failures::default();
    for (name, set) in &sets {
        for l2 in [0.0, 1e-4] {
            failures.check(format!("{name}, l2 {l2}"), || {
                let most = if set.classes == 1000 { passes_of_many } else { 300 };
                let fit = Lbfgs::default().l2(l2).max_passes(most).fit(set.batch()).map_err(text)?;
                let Report { stopped, passes, objective, history, .. } = &fit.report;
                let finite = fit.model.to_row_major().iter().chain(fit.model.bias()).all(|w| w.is_finite());
                let first = history[0].objective;
                if !finite || *passes > most || objective.is_nan() || *objective > first || history.len() != *passes {
                    return Err(format!("{objective} from {first} after {passes} passes, {stopped}, finite: {finite}"));
                }
                if *stopped == Stop::Passes && *passes != most { Err(format!("{passes} passes")) } else { Ok(()) }
            });
        }
    }
    failures.finish();
}

/// What is separable is told apart, and one class alone is certain.
#[test]
fn fits_without_an_optimum_still_learn() {
    let separable = Set { x: vec![-1.0, -2.0, 3.0, 5.0], features: 1, labels: vec![0, 0, 1, 1], classes: 2 };
    let fit = Lbfgs::default().l2(0.0).fit(separable.batch()).expect("a fit");
    assert!(fit.report.loss < 1e-4, "{:?}", fit.report);
    assert_eq!(fit.model.predict(separable.x()).expect("finite"), separable.labels);
    let wide = noisy(3, 4096, 3, 5);
    let fit = Lbfgs::default().l2(1e-6).fit(wide.batch()).expect("a fit");
    assert!(fit.report.loss < 1e-2 && fit.report.passes < 60, "{:?}", fit.report);
}

#[test]
fn limits_end_a_fit_where_they_say() {
    let set = noisy(500, 12, 4, 8);
    let settings = Lbfgs::default().l2(1e-5);
    for most in [1, 2, 5] {
        let report = settings.clone().max_passes(most).fit(set.batch()).expect("a fit").report;
        assert_eq!((report.stopped, report.passes, report.history.len()), (Stop::Passes, most, most));
        assert!(!report.stopped.converged());
    }
    let report = settings.clone().max_time(Duration::ZERO).fit(set.batch()).expect("a fit").report;
    assert_eq!((report.stopped, report.passes), (Stop::Time, 1));
    let mut seen = Vec::new();
    let fit = settings.fit_with(None, set.batch(), |pass| {
        seen.push(*pass);
        if pass.pass == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let report = fit.expect("a fit").report;
    assert_eq!((report.stopped, report.passes), (Stop::Caller, 4));
    assert_eq!(seen, report.history);
    assert!(seen.iter().zip(1..).all(|(pass, number)| pass.pass == number && pass.gradient_norm > 0.0));
    assert!((seen[0].loss - 4f64.ln()).abs() < 1e-6 && seen[0].objective == seen[0].loss);
    let loose = settings.clone().loss_tolerance(1e-2).fit(set.batch()).expect("a fit").report;
    let tight = settings.clone().loss_tolerance(1e-9).fit(set.batch()).expect("a fit").report;
    assert!(loose.stopped == Stop::Loss && loose.passes < tight.passes, "{} and {}", loose.passes, tight.passes);
    let objectives: Vec<f64> = loose.history.iter().map(|pass| pass.objective).collect();
    let five = objectives.windows(6).position(|five| five[0] - five[5] <= 1e-2 * five[5]);
    assert_eq!((loose.iterations, five.map(|start| start + 6)), (loose.passes - 1, Some(loose.passes)));
    let gradient = settings.tolerance(1e-2).loss_tolerance(0.0).fit(set.batch()).expect("a fit").report;
    assert_eq!(gradient.stopped, Stop::Gradient);
    assert!(gradient.gradient_norm <= 1e-2 * gradient.history[0].gradient_norm);
}

/// Where a limit is met by a trial that is worse, the fit ends where the step began.
#[test]
fn a_limit_takes_no_step_that_is_worse() {
    // Two classes of twenty have all the probability: their curvature is ten times that at weights of zero.
    let set = Set { x: vec![1.0, 2.0, 4.0, 3.0, 5.0], features: 1, labels: vec![0, 0, 0, 1, 1], classes: 20 };
    let bias: Vec<f32> = (0..20).map(|class| if class < 2 { 20.0 } else { 0.0 }).collect();
    let model = SoftmaxRegression::from_row_major(&[0.0; 20], &bias, 1, 20).expect("finite weights");
    let fit = Lbfgs::default().max_passes(2).fit_from(&model, set.batch()).expect("a fit");
    let [first, second] = fit.report.history[..] else { panic!("{:?}", fit.report) };
    assert!(second.objective > first.objective, "{second:?}");
    assert_eq!((fit.report.objective, fit.report.gradient_norm), (first.objective, first.gradient_norm));
    assert_eq!(bits(&fit.model), bits(&model));
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let set = noisy(20, 3, 2, 12);
    for bad in [-1e-9, f64::NAN, f64::INFINITY] {
        let settings = Lbfgs::default();
        for (name, settings) in [
            ("l2", settings.clone().l2(bad)),
            ("tolerance", settings.clone().tolerance(bad)),
            ("loss tolerance", settings.clone().loss_tolerance(bad)),
        ] {
            let found = settings.fit(set.batch()).map(drop);
            assert!(matches!(found, Err(Error::Setting { name: n, .. }) if n == name), "{found:?}");
        }
    }
    for (name, settings) in [("max passes", Lbfgs::default().max_passes(0)), ("memory", Lbfgs::default().memory(0))] {
        let found = settings.fit(set.batch()).map(drop);
        assert!(matches!(found, Err(Error::Setting { name: n, .. }) if n == name), "{found:?}");
    }
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for row in [0, 7, 19] {
            let mut x = set.x.clone();
            x[row * 3 + 2] = bad;
            let batch = Batch::new(Matrix::from_f32(&x, 3).expect("whole rows"), &set.labels[..]).expect("rows agree");
            let found = Lbfgs::default().fit(batch).map(drop);
            assert!(
                matches!(found, Err(Error::NonFinite { what: "features", row: r, column: 2, .. }) if r == row),
                "{found:?}"
            );
        }
    }
    let fit = |targets: Targets<'_>| Lbfgs::default().fit(Batch::new(set.x(), targets).expect("rows agree")).map(drop);
    let found = fit(Targets::from_u32(&set.labels).with_classes(1));
    assert!(matches!(found, Err(Error::Label { label: 1, classes: 1, .. })), "{found:?}");
    let found = fit(Targets::from_u32(&set.labels).with_row_weights(&[0.0; 20]).expect("twenty"));
    assert!(matches!(found, Err(Error::NoWeight { rows: 20 })), "{found:?}");
    let scaled = Batch::new(set.x().with_scale(f32::NAN), &set.labels[..]).expect("rows agree");
    let found = Lbfgs::default().fit(scaled).map(drop);
    assert!(matches!(found, Err(Error::Setting { name: "scale of x", .. })), "{found:?}");
    let empty = Batch::new(Matrix::from_f32(&[], 3).expect("no rows"), &[0u8; 0][..]).expect("no rows");
    let found = Lbfgs::default().fit(empty).map(drop);
    assert!(matches!(found, Err(Error::Size { what: "rows", .. })), "{found:?}");
}
