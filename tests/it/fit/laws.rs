//! What holds of every fit: threads change no bit, weights are repetition, the form and the units of the rows do not matter,
//! a fit goes on from a model, and a path keeps the best.

use super::{Set, bits, noisy};
use crate::support::levels::levels;
use softreg::{Batch, Dataset, Error, Fit, Lbfgs, Matrix, PathPoint, Scoring, SoftmaxRegression, Targets};
use std::ops::ControlFlow;

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
