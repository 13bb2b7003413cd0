//! The solver's optima: the float64 ones that `golden/optimum.py` and `golden/weighting.py` made, in any units and under
//! weights, smoothing and ignored labels in every pair.

use super::{CLOSE, Set};
use crate::support::failures::{Failures, text};
use crate::support::levels::{is_emulated, levels};
use crate::support::reference;
use crate::support::targets::Ingredients;
use serde_json::Value;
use softreg::{Batch, Fit, Lbfgs, Matrix, SoftmaxRegression};

const OPTIMA: &str = include_str!("../../golden/optimum.json");
const WEIGHTING: &str = include_str!("../../golden/weighting.json");

/// An optimum that no weights attain, since a class without rows has a bias of minus infinity there.
const UNATTAINED: f64 = 1e-4;

/// The objective of a model in f64: of `targets [n, classes]`, which need not sum to 1.
fn objective(set: &Set, rows: usize, targets: &[f64], model: &SoftmaxRegression, l2: f64, standardized: bool) -> f64 {
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let (x, w) = (wide(&set.x[..rows * set.features]), wide(&model.to_row_major()));
    let logits = reference::forward(&x, &w, &wide(model.bias()));
    let (losses, _) = reference::cross_entropy(&logits, targets, set.classes);
    let weights: Vec<f64> = targets.chunks_exact(set.classes).map(|t| t.iter().sum()).collect();
    let weight: f64 = weights.iter().sum();
    let mut penalty = 0.0;
    for (feature, w) in w.chunks_exact(set.classes).enumerate() {
        let column = || x.chunks_exact(set.features).map(|row| row[feature]).zip(&weights);
        let mean = column().map(|(x, weight)| x * weight).sum::<f64>() / weight;
        let variance = column().map(|(x, weight)| (x - mean).powi(2) * weight).sum::<f64>() / weight;
        penalty += w.iter().map(|w| w * w).sum::<f64>() * if standardized { variance } else { 1.0 };
    }
    losses.iter().sum::<f64>() / weight + l2 / 2.0 * penalty
}

/// Both what the fit says and what its model is worth in f64 lie at the optimum.
fn check(fit: &Fit, in_f64: f64, optimum: f64, tolerance: f64) -> Result<(), String> {
    let off = |value: f64| (value / optimum - 1.0).abs();
    let report = &fit.report;
    let history = report.history.last().map(|pass| pass.pass);
    if !report.stopped.converged() || history != Some(report.passes) {
        return Err(format!("ended by {} after {} passes", report.stopped, report.passes));
    }
    if off(report.objective) > tolerance || off(in_f64) > tolerance {
        let (said, found) = (report.objective / optimum - 1.0, in_f64 / optimum - 1.0);
        return Err(format!("{said:e} off by its report, {found:e} in f64, {} passes", report.passes));
    }
    Ok(())
}

#[test]
fn small_sets_converge_to_their_optima_in_any_units() {
    let optima: Value = serde_json::from_str(OPTIMA).expect("the optima are JSON");
    let mut failures = Failures::default();
    let mut seen = 0;
    for entry in optima["optima"].as_array().expect("a list") {
        let name = entry["data"].as_str().expect("a name");
        if name == "mnist" {
            continue;
        }
        let set = Set::read(name);
        let (l2, standardized) = (entry["l2"].as_f64().expect("l2"), entry["standardized"] == true);
        let optimum = entry["objective"].as_f64().expect("an objective");
        // Shifted by up to a million deviations: the fit gets there, and no f32 weights of the features as they are do.
        let far = name.ends_with("_scaled");
        for level in levels() {
            let fit = Lbfgs::default().l2(l2).standardize(standardized).level(level).fit(set.batch());
            let what = format!("{level}, {name}, standardized: {standardized}");
            failures.check(&what, || {
                let fit = fit.map_err(text)?;
                let in_f64 = objective(&set, set.labels.len(), &set.one_hot(), &fit.model, l2, standardized);
                let in_f64 = if far { optimum } else { in_f64 };
                check(&fit, in_f64, optimum, CLOSE)?;
                let rounded = fit.report.loss_as_rounded / fit.report.loss - 1.0;
                if far || rounded == 0.0 { Ok(()) } else { Err(format!("{rounded:e} lost by rounding")) }
            });
            seen += 1;
        }
    }
    assert_eq!(seen, 20 * levels().len());
    failures.finish();
}

/// What an entry of `weighting.json` is made of.
fn ingredients(entry: &Value, set: &Set, rows: usize) -> Ingredients {
    let classes = set.classes;
    let ignored = entry["ignored"].as_u64().map(|label| label as u32);
    let soft = (entry["soft"] == true).then(|| {
        let mut soft = vec![0.0; rows * classes];
        for (row, &label) in set.labels[..rows].iter().enumerate().filter(|(_, label)| Some(**label) != ignored) {
            let factor = if row % 2 == 0 { 1.5 } else { 1.0 };
            for (step, share) in [(0, 0.7), (1, 0.2), (3, 0.1)] {
                let at = row * classes + (label as usize + step) % classes;
                soft[at] = (f64::from(soft[at]) + share * factor) as f32;
            }
        }
        soft
    });
    let weight = |row: usize| if row % 13 == 5 { 0.0 } else { 0.5 + (7 * row % 11) as f32 / 4.0 };
    let given = entry["class_weight_values"].as_array().expect("class weights");
    let given = given.iter().map(|weight| weight.as_f64().expect("a number") as f32).collect();
    Ingredients {
        soft,
        rows: (entry["row_weights"] == true).then(|| (0..rows).map(weight).collect()),
        class_weights: (!entry["class_weights"].is_null()).then_some(given),
        smoothing: entry["smoothing"].as_f64().filter(|&smoothing| smoothing > 0.0).map(|s| s as f32),
        ignored,
    }
}

#[test]
fn weighted_smoothed_and_ignored_rows_converge_to_their_optima() {
    let weighting: Value = serde_json::from_str(WEIGHTING).expect("the optima are JSON");
    let mut failures = Failures::default();
    let entries = weighting["optima"].as_array().expect("a list");
    let stride = if is_emulated() { 7 } else { 1 };
    for entry in entries.iter().step_by(stride) {
        let set = Set::read(entry["data"].as_str().expect("a name"));
        let rows = entry["rows"].as_u64().expect("rows") as usize;
        let (l2, standardized) = (entry["l2"].as_f64().expect("l2"), entry["standardized"] == true);
        let optimum = entry["objective"].as_f64().expect("an objective");
        let weighted = ingredients(entry, &set, rows);
        let (x, labels) = (&set.x[..rows * set.features], &set.labels[..rows]);
        let found = weighted.targets(labels, set.classes).and_then(|targets| {
            let batch = Batch::new(Matrix::from_f32(x, set.features)?, targets)?;
            Lbfgs::default().l2(l2).standardize(standardized).fit(batch)
        });
        failures.check(entry, || {
            let report = found.map_err(text)?.report;
            let off = report.objective / optimum - 1.0;
            let what = format!("{off:e} off, {} passes, {}", report.passes, report.stopped);
            let tolerance = if entry["attained"] == true { CLOSE } else { UNATTAINED };
            if off.abs() > tolerance || !report.stopped.converged() { Err(what) } else { Ok(()) }
        });
    }
    assert_eq!(entries.len(), 88);
    failures.finish();
}

/// MNIST's optimum, in as few passes as `docs/PERFORMANCE.md` says; a level's rounding changes them by one or two.
#[cfg(feature = "mnist")]
#[test]
fn mnist_converges_to_its_optimum_in_few_passes() {
    let optima: Value = serde_json::from_str(OPTIMA).expect("the optima are JSON");
    let data = softreg::mnist::read_files(softreg_mnist::FILES, 0).expect("the embedded files");
    if is_emulated() {
        // All rows take half an hour: some, at every level.
        let (some, _) = data.train.split_at(300).expect("so many");
        let fits = levels().into_iter().map(|level| Lbfgs::default().l2(0.1).level(level).fit(&some).expect("a fit"));
        let found: Vec<f64> = fits.map(|fit| fit.report.objective).collect();
        assert!(found.iter().all(|objective| (objective / found[0] - 1.0).abs() < CLOSE), "{found:?}");
        return;
    }
    let train = data.train.skip_zeros();
    let entries = optima["optima"].as_array().expect("a list").iter().filter(|entry| entry["data"] == "mnist");
    let mut seen = 0;
    for entry in entries {
        let (l2, optimum) = (entry["l2"].as_f64().expect("l2"), entry["objective"].as_f64().expect("an objective"));
        let Fit { model, report, .. } = Lbfgs::default().l2(l2).fit(&train).expect("a fit");
        assert!(
            (report.objective / optimum - 1.0).abs() < CLOSE && report.stopped.converged(),
            "{l2}: {}",
            report.objective
        );
        let correct = model.evaluate(&data.test).expect("finite").correct as u64;
        assert!(correct.abs_diff(entry["test_correct"].as_u64().expect("a count")) <= 3, "{l2}: {correct}");
        if l2 < 5e-5 {
            let passes = |gap: f64| report.history.iter().position(|pass| pass.objective <= optimum * (1.0 + gap));
            let passes = [1e-3, 1e-4, 1e-5].map(|gap| passes(gap).map_or(usize::MAX, |index| index + 1));
            assert!(passes[0] <= 50 && passes[1] <= 80 && passes[2] <= 110, "{passes:?}");
        } else {
            let early = Lbfgs::default().l2(l2).max_passes(15).fit(&train).expect("a fit");
            assert!(early.model.accuracy(&data.test).expect("finite") >= 0.925);
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}
