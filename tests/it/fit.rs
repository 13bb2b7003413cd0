//! The solver against float64 optima (`golden/optimum.py` and `golden/weighting.py` made them), and what holds of every
//! fit: it ends with a reason and finite weights, whatever the rows; the same bits at any number of threads.
#![cfg(feature = "fit")]

use crate::support::failures::{Failures, text};
use crate::support::levels::{is_emulated, levels};
use crate::support::npy;
use crate::support::random::Random;
use crate::support::reference;
use serde_json::Value;
use softreg::{
    Batch, Dataset, Error, Fit, Lbfgs, Matrix, PathPoint, Report, Scoring, SoftmaxRegression, Stop, Targets,
};
use std::ops::ControlFlow;
use std::time::Duration;

const OPTIMA: &str = include_str!("../golden/optimum.json");
const WEIGHTING: &str = include_str!("../golden/weighting.json");

/// The optimum is met within this share of the objective.
const CLOSE: f64 = 1e-5;
/// An optimum that no weights attain, since a class without rows has a bias of minus infinity there.
const UNATTAINED: f64 = 1e-4;

macro_rules! sets {
    ($($name:literal)+) => {
        &[$(($name, include_bytes!(concat!("../golden/sets/", $name, ".npy")))),+]
    };
}

/// Features and labels by name.
const SETS: &[(&str, &[u8])] = sets!("digits" "iris" "wine" "cancer" "iris_scaled" "iris_scaled_only" "wine_scaled"
    "wine_scaled_only" "cancer_scaled" "cancer_scaled_only" "digits_labels" "iris_labels" "wine_labels" "cancer_labels");

/// A data set of scikit-learn's.
struct Set {
    x: Vec<f32>,
    features: usize,
    labels: Vec<u32>,
    classes: usize,
}

impl Set {
    fn read(name: &str) -> Self {
        let file = |name: &str| SETS.iter().find(|(known, _)| *known == name).expect("a set").1;
        let plain = name.split('_').next().expect("a name");
        let (x, features) = npy::read(file(name));
        let labels: Vec<u32> =
            npy::read(file(&format!("{plain}_labels"))).0.iter().map(|&label| label as u32).collect();
        let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self { x, features, labels, classes }
    }

    fn x(&self) -> Matrix<'_> {
        Matrix::from_f32(&self.x, self.features).expect("whole rows")
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(self.x(), Targets::from_u32(&self.labels)).expect("rows agree")
    }

    /// One-hot targets.
    fn one_hot(&self) -> Vec<f64> {
        let hot = |&label: &u32| (0..self.classes).map(move |class| f64::from(u8::from(class == label as usize)));
        self.labels.iter().flat_map(hot).collect()
    }
}

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
struct Weighted {
    soft: Option<Vec<f32>>,
    row_weights: Option<Vec<f32>>,
    class_weights: Option<Vec<f32>>,
    smoothing: Option<f32>,
    ignored: Option<u32>,
}

impl Weighted {
    fn read(entry: &Value, set: &Set, rows: usize) -> Self {
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
        Self {
            soft,
            row_weights: (entry["row_weights"] == true).then(|| (0..rows).map(weight).collect()),
            class_weights: (!entry["class_weights"].is_null()).then_some(given),
            smoothing: entry["smoothing"].as_f64().filter(|&smoothing| smoothing > 0.0).map(|s| s as f32),
            ignored,
        }
    }

    fn targets<'a>(&'a self, labels: &'a [u32], classes: usize) -> Result<Targets<'a>, Error> {
        let mut targets = match &self.soft {
            Some(soft) => Targets::from_probabilities(soft, classes)?,
            None => Targets::from_u32(labels).with_classes(classes),
        };
        if let Some(weights) = &self.row_weights {
            targets = targets.with_row_weights(weights)?;
        }
        if let Some(weights) = &self.class_weights {
            targets = targets.with_class_weights(weights);
        }
        if let Some(smoothing) = self.smoothing {
            targets = targets.with_label_smoothing(smoothing)?;
        }
        Ok(match self.ignored {
            Some(label) => targets.with_ignored_label(label),
            None => targets,
        })
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
        let weighted = Weighted::read(entry, &set, rows);
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

/// Rows of some overlapping classes, features of different size.
fn noisy(rows: usize, features: usize, classes: usize, seed: u64) -> Set {
    let mut random = Random::new(seed);
    let labels: Vec<u32> = (0..rows).map(|row| ((row * 7 + row / 3) % classes) as u32).collect();
    let mut x = Vec::new();
    for &label in &labels {
        for feature in 0..features {
            let centre = if feature % classes == label as usize { 1.0 } else { 0.0 };
            x.push((centre + random.number(2.0)) * 10f32.powi(feature as i32 % 3 - 1));
        }
    }
    Set { x, features, labels, classes }
}

fn bits(model: &SoftmaxRegression) -> Vec<u32> {
    model.to_row_major().iter().chain(model.bias()).map(|value| value.to_bits()).collect()
}

#[test]
fn threads_change_no_bit() {
    let set = noisy(3000, 45, 5, 1);
    for level in levels() {
        let fit = |threads| {
            let settings = Lbfgs::default().l2(1e-3).level(level).threads(threads).standardize(threads % 2 == 0);
            settings.standardize(true).max_passes(25).fit(set.batch()).expect("a fit")
        };
        let one = fit(1);
        assert_eq!((one.model.level(), one.model.threads(), fit(3).model.threads()), (level, 1, 3));
        for threads in [2, 3, 8] {
            let other = fit(threads);
            assert_eq!(bits(&one.model), bits(&other.model), "{level}, {threads} threads");
            assert_eq!(one.report.objective.to_bits(), other.report.objective.to_bits());
        }
    }
}

/// The rows' weights, and how many there are, decide the optimum; not how often they stand there.
#[test]
fn a_weight_is_the_row_as_often() {
    let set = noisy(300, 9, 3, 2);
    let weights: Vec<f32> = (0..300).map(|row| (row % 3) as f32).collect();
    let repeated: Vec<usize> = (0..300).flat_map(|row| std::iter::repeat_n(row, row % 3)).collect();
    for standardize in [false, true] {
        let fit = |x: Matrix<'_>, targets: Targets<'_>| {
            let settings = Lbfgs::default().l2(1e-2).standardize(standardize);
            settings.fit(Batch::new(x, targets).expect("rows agree")).expect("a fit").report.objective
        };
        let targets = Targets::from_u32(&set.labels);
        let weighted = fit(set.x(), targets.with_row_weights(&weights).expect("a weight a row"));
        let x = set.x().select(&repeated).expect("they exist");
        let often = fit(x, targets.select(&repeated).expect("they exist"));
        assert!((weighted / often - 1.0).abs() < 1e-6, "{weighted} for {often}");
    }
}

/// Pixels, the same as f32, with their zeros skipped and picked in another order: one optimum.
#[test]
fn every_form_of_the_rows_has_one_optimum() {
    let set = noisy(700, 64, 8, 3);
    let pixels: Vec<u8> = set.x.iter().map(|&x| if x > 0.5 { (x * 20.0).min(255.0) as u8 } else { 0 }).collect();
    let pixels: Vec<u8> = pixels.iter().enumerate().map(|(i, &p)| if i / 16 % 3 == 0 { p } else { 0 }).collect();
    let labels: Vec<u8> = set.labels.iter().map(|&label| label as u8).collect();
    let data = Dataset::from_u8(pixels, labels, 64, 8).expect("a set");
    let floats = Dataset::from_f32(data.to_f32(), data.labels(), 64, 8).expect("a set");
    let skipping = data.clone().skip_zeros();
    assert!(skipping.skips_zeros());
    let reversed: Vec<usize> = (0..700).rev().collect();
    let Batch { x, targets } = data.as_batch();
    let picked = Batch::new(x.select(&reversed).expect("they exist"), targets.select(&reversed).expect("they exist"));
    let picked = picked.expect("rows agree");
    for level in levels() {
        let settings = Lbfgs::default().l2(1e-3).level(level);
        let fits = [settings.fit(&data), settings.fit(&floats), settings.fit(&skipping), settings.fit(picked)];
        let fits = fits.map(|fit| fit.expect("a fit"));
        let found = fits.each_ref().map(|fit| fit.report.objective);
        assert!(found.iter().all(|&objective| (objective / found[0] - 1.0).abs() < 1e-6), "{level}: {found:?}");
        // The model is the one that the report is of.
        for Fit { model, report, .. } in &fits {
            let loss = model.log_loss(&data).expect("finite");
            assert!((loss / report.loss - 1.0).abs() < 1e-5, "{level}: {loss} for {}", report.loss);
        }
    }
}

/// Scaling and shifting the features changes nothing of a standardised fit, and its model takes them as they are.
#[test]
fn units_do_not_matter_where_features_are_standardized() {
    let set = noisy(400, 6, 3, 4);
    let moved: Vec<f32> = set.x.iter().enumerate().map(|(i, x)| x * [0.5, 64.0, 1e-3][i % 3] + 8.0).collect();
    let moved = Set { x: moved, labels: set.labels.clone(), ..set };
    let fit = |set: &Set| Lbfgs::default().l2(1e-3).standardize(true).fit(set.batch()).expect("a fit");
    let (one, other) = (fit(&set), fit(&moved));
    assert!((one.report.objective / other.report.objective - 1.0).abs() < 1e-5);
    let predicted = |fit: &Fit, set: &Set| fit.model.predict_proba(set.x()).expect("finite");
    for (a, b) in predicted(&one, &set).iter().zip(predicted(&other, &moved)) {
        assert!((a - b).abs() < 1e-2, "{a} for {b}");
    }
}

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

/// A feature that is far from 0, and one that is constant, may be on either side of it.
#[test]
fn the_sign_of_a_far_feature_does_not_matter() {
    let set = noisy(300, 3, 3, 13);
    let x: Vec<f32> = set.x.iter().enumerate().map(|(i, x)| if i % 3 == 1 { 7.0 } else { x + 1e5 }).collect();
    let mirrored: Vec<f32> = x.iter().map(|x| -x).collect();
    let [one, other] = [&x, &mirrored].map(|x| {
        let batch = Batch::new(Matrix::from_f32(x, 3).expect("whole rows"), &set.labels[..]).expect("rows agree");
        let fit = Lbfgs::default().l2(1e-3).fit(batch).expect("a fit");
        assert_eq!(fit.report.loss_as_rounded, fit.model.log_loss(batch).expect("finite"));
        assert_ne!(fit.report.loss_as_rounded, fit.report.loss);
        fit.report.objective
    });
    assert!((one / other - 1.0).abs() < 1e-7, "{one} for {other}");
}

/// Pixels that are white in nearly all rows are far from 0 too, and scaled.
#[test]
fn far_pixels_are_scaled() {
    let pixels = (0..256).flat_map(|row| [if row % 64 == 5 { 254 } else { 255 }, (row * 37 % 251) as u8]).collect();
    let labels = (0..256).map(|row| u8::from(row % 64 == 5 || row % 3 == 0)).collect();
    let data = Dataset::from_u8(pixels, labels, 2, 2).expect("a set");
    let floats = Dataset::from_f32(data.to_f32(), data.labels(), 2, 2).expect("a set");
    let [one, other] = [&data, &floats].map(|data| Lbfgs::default().l2(1e-9).fit(data).expect("a fit").report.loss);
    assert!((one / other - 1.0).abs() < 1e-5, "{one} for {other}");
}

#[test]
fn a_fit_goes_on_from_a_model() {
    let set = noisy(500, 12, 4, 9);
    for standardize in [false, true] {
        let settings = Lbfgs::default().l2(1e-4).standardize(standardize);
        let first = settings.fit(set.batch()).expect("a fit");
        let again = settings.fit_from(&first.model, set.batch()).expect("a fit");
        assert!((again.report.history[0].objective / first.report.objective - 1.0).abs() < 1e-6);
        assert!(again.report.objective <= first.report.objective * (1.0 + 1e-6));
        assert!(2 * again.report.passes < first.report.passes, "{} passes", again.report.passes);
    }
    let found = Lbfgs::default().fit_from(&SoftmaxRegression::zeros(11, 4), set.batch());
    assert!(matches!(found, Err(Error::Shape { .. })), "{found:?}");
    let too_large = SoftmaxRegression::from_row_major(&[3e38; 48], &[0.0; 4], 12, 4).expect("finite weights");
    let found = Lbfgs::default().fit_from(&too_large, set.batch());
    assert!(matches!(found, Err(Error::NonFiniteLoss { .. })), "{found:?}");
}

#[test]
fn a_path_keeps_the_best_strength() {
    let (train, validation) = (noisy(120, 30, 3, 10), noisy(400, 30, 3, 11));
    let settings = Lbfgs::default().standardize(true);
    let strengths = [1e-6, 1.0, 1e-4, 1e-1, 1e-8, 1e-2, 1e-7];
    for scoring in [Scoring::LogLoss, Scoring::Accuracy] {
        let mut seen = Vec::new();
        let path = settings.path_with(&strengths, train.batch(), validation.batch(), scoring, |l2, pass| {
            seen.push((l2, pass.pass));
            ControlFlow::Continue(())
        });
        let path = path.expect("a path");
        let l2: Vec<f64> = path.points.iter().map(|point| point.l2).collect();
        assert!(l2.len() < strengths.len() && l2.is_sorted_by(|a, b| a > b) && l2[0] == 1.0, "{l2:?}");
        assert_eq!(path.best + 3, l2.len(), "two that are worse end it: {l2:?}");
        let score = |point: &PathPoint| if scoring == Scoring::LogLoss { -point.log_loss } else { point.accuracy };
        assert!(path.points.iter().all(|point| score(point) <= score(path.best())));
        for point in &path.points {
            let alone = settings.clone().l2(point.l2).fit(train.batch()).expect("a fit");
            assert!((alone.report.objective / point.fit.report.objective - 1.0).abs() < 1e-4, "{}", point.l2);
            let evaluation = point.fit.model.evaluate(validation.batch()).expect("finite");
            assert_eq!((evaluation.log_loss, evaluation.accuracy()), (point.log_loss, point.accuracy));
            assert_eq!(seen.iter().filter(|(l2, _)| *l2 == point.l2).count(), point.fit.report.passes);
        }
    }
    // Each goes on from the one before it, and of equal accuracies the least log loss is best.
    let apart = Set { x: vec![-2.0, -1.0, 1.0, 2.0], features: 1, labels: vec![0, 0, 1, 1], classes: 2 };
    let path = settings.path(&[1.0, 0.1, 0.01], apart.batch(), apart.batch(), Scoring::Accuracy).expect("a path");
    assert_eq!((path.best, path.points.len()), (2, 3));
    for points in path.points.windows(2) {
        let (end, start) = (points[0].fit.report.loss, points[1].fit.report.history[0].loss);
        assert!((start / end - 1.0).abs() < 1e-5, "{start} after {end}");
    }
    let none = settings.path(&[], train.batch(), validation.batch(), Scoring::default());
    assert!(matches!(none, Err(Error::Size { what: "strengths", .. })), "{none:?}");
    let empty = Batch::new(Matrix::from_f32(&[], 30).expect("no rows"), &[0u8; 0][..]).expect("no rows");
    let none = settings.path(&[1.0], train.batch(), empty, Scoring::default());
    assert!(matches!(none, Err(Error::Size { what: "validation rows", .. })), "{none:?}");
    let bad = settings.path(&[1.0, -1.0], train.batch(), validation.batch(), Scoring::default());
    assert!(matches!(bad, Err(Error::Setting { name: "l2", .. })), "{bad:?}");
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
