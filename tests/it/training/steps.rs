//! Steps of any optimizer against the f64 reference: every kind of rows and targets, clipped, averaged, on threads.

use super::{BATCH, CLASSES, FEATURES, ROWS, STEPS, Weighted, datasets, start};
use crate::support::descent::{Descent, Kind};
use crate::support::levels::levels;
use crate::support::reference;
use softreg::{Adam, Batch, Dataset, Level, Matrix, Optimizer, Reduction, Sgd, SoftmaxRegression, Trainer};

/// What trains, and how.
struct Table {
    kind: Kind,
    reduction: Reduction,
    clip: Option<f64>,
}

impl Table {
    fn rate(&self) -> f64 {
        let adaptive = !matches!(self.kind, Kind::Sgd | Kind::DecayedSgd | Kind::Momentum | Kind::Nesterov);
        match (adaptive, self.reduction) {
            (true, _) => 0.02,
            (false, Reduction::Mean) => 0.3,
            (false, Reduction::Sum) => 0.001,
        }
    }

    fn trainer(&self, level: Level, threads: usize) -> Trainer {
        let model = start().with_level(level).with_threads(threads);
        let trainer = Trainer::new(model, self.kind.settings(self.rate())).reduction(self.reduction);
        match self.clip {
            Some(largest) => trainer.clip_norm(largest),
            None => trainer,
        }
    }

    /// Losses of some steps, and the parameters after them, in f64.
    fn expected(&self, data: &Dataset, exact: &[f64], weighted: &Weighted) -> (Vec<f64>, Vec<f64>) {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        let model = start();
        let mut descent = Descent::new(self.kind, self.rate(), &wide(&model.to_row_major()), &wide(model.bias()));
        let (labels, mut losses) = (data.labels(), Vec::new());
        for step in 0..STEPS {
            let rows: Vec<usize> = (step * BATCH..(step + 1) * BATCH).map(|row| row % ROWS).collect();
            let x: Vec<f64> = rows.iter().flat_map(|row| exact[row * FEATURES..][..FEATURES].to_vec()).collect();
            let (mut targets, mut weight) = (Vec::new(), 0.0);
            for &row in &rows {
                let (t, w) = weighted.written_out(row, labels[row] as usize);
                targets.extend(t);
                weight += w;
            }
            let (w, b) = descent.parameters.split_at(FEATURES * CLASSES);
            let (row_losses, residual) = reference::cross_entropy(&reference::forward(&x, w, b), &targets, CLASSES);
            let divisor = if self.reduction == Reduction::Mean { weight } else { 1.0 };
            losses.push(row_losses.iter().sum::<f64>() / divisor);
            let (w, b) = reference::gradient(&x, &residual, FEATURES, CLASSES);
            let mut gradient: Vec<f64> = w.iter().chain(&b).map(|g| g / divisor).collect();
            if let Some(largest) = self.clip {
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                gradient.iter_mut().for_each(|g| *g *= (largest / (norm + 1e-6)).min(1.0));
            }
            descent.step(&gradient);
        }
        (losses, descent.parameters)
    }
}

/// Runs work within a pool of two threads, where small work is shared out too.
fn two_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    #[cfg(feature = "rayon")]
    return rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads").install(work);
    #[cfg(not(feature = "rayon"))]
    work()
}

/// Optimizers by weights, by smoothing, by u8 and f32, by zeros skipped, by threads; and clipped, with each reduction.
#[test]
fn every_optimizer_on_every_kind_of_rows_and_targets_is_the_reference() {
    const BUDGET: f64 = 2e-5;
    for kind in Kind::ALL {
        for (i, (weighs, smooths)) in
            [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
        {
            let reduction = if i % 2 == 0 { Reduction::Mean } else { Reduction::Sum };
            let table = Table { kind, reduction, clip: (i >= 2).then_some(0.25) };
            let weighted = Weighted::new(weighs, smooths);
            for (data, scale) in datasets().into_iter().zip([f64::from(1.0f32 / 255.0), 1.0]) {
                let read = |&value: &f32| {
                    if scale == 1.0 { f64::from(value) } else { f64::from((value * 255.0).round()) * scale }
                };
                let exact: Vec<f64> = data.to_f32().iter().map(read).collect();
                let (losses, parameters) = table.expected(&data, &exact, &weighted);
                for data in [data.clone(), data.clone().skip_zeros()] {
                    for level in levels() {
                        let what = format!("{kind:?} {weighs} {smooths} {level} {data:?}");
                        let run = |threads| {
                            let mut trainer = table.trainer(level, threads);
                            let batches = data.batches(BATCH).targets(weighted.targets(&data)).expect("a target a row");
                            let mut batches = batches.in_file_order();
                            let step = |_| trainer.step(batches.next_batch()).expect("a step");
                            let losses: Vec<f64> = (0..STEPS).map(step).collect();
                            let model = trainer.into_model();
                            (losses, [model.to_row_major(), model.bias().to_vec()].concat())
                        };
                        let one = run(1);
                        for (found, expected) in one.0.iter().zip(&losses) {
                            assert!(
                                (found - expected).abs() < BUDGET * expected,
                                "{what}: loss {found} for {expected}"
                            );
                        }
                        for (&found, expected) in one.1.iter().zip(&parameters) {
                            assert!((f64::from(found) - expected).abs() < BUDGET, "{what}: {found} for {expected}");
                        }
                        assert!(two_threads(|| run(2)) == one, "{what}: two threads");
                    }
                }
            }
        }
    }
}

/// What is remembered follows the parameters from one order of the features to another.
#[test]
fn rows_that_skip_zeros_and_rows_that_do_not_take_turns() {
    let data = datasets()[0].clone();
    let sparse = data.clone().skip_zeros();
    for kind in Kind::ALL {
        let table = Table { kind, reduction: Reduction::Mean, clip: None };
        let train = |skips: fn(usize) -> bool| {
            let mut trainer = table.trainer(Level::best(), 1);
            let [mut dense, mut sparse] = [&data, &sparse].map(|data| data.batches(BATCH).in_file_order());
            for step in 0..6 {
                let batches = [dense.next_batch(), sparse.next_batch()];
                trainer.step(batches[usize::from(skips(step))]).expect("a step");
            }
            let model = trainer.into_model();
            [model.to_row_major(), model.bias().to_vec()].concat()
        };
        let expected = train(|_| false);
        for skips in [|_| true, |step| step % 2 == 0, |step| step % 3 > 0] {
            for (found, expected) in train(skips).iter().zip(&expected) {
                assert!((found - expected).abs() < 2e-5, "{kind:?}: {found} for {expected}");
            }
        }
    }
}

#[test]
fn the_average_is_the_mean_of_the_models_after_its_steps() {
    for data in [datasets()[0].clone(), datasets()[0].clone().skip_zeros(), datasets()[1].clone()] {
        for optimizer in [Optimizer::from(Sgd::new(0.5)), Adam::new(0.01).into()] {
            for weighs in [false, true] {
                let weighted = Weighted::new(weighs, weighs);
                let mut trainer = Trainer::new(start(), optimizer).averaging(3);
                let mut batches = data.batches(50).targets(weighted.targets(&data)).expect("a target a row");
                let mut sum = vec![0.0; FEATURES * CLASSES + CLASSES];
                for step in 0..8 {
                    assert_eq!(trainer.averaged_model().expect("memory").is_some(), step > 3);
                    trainer.step(batches.next_batch()).expect("a step");
                    if step >= 3 {
                        let model = trainer.model();
                        let all = [model.to_row_major(), model.bias().to_vec()].concat();
                        sum.iter_mut().zip(all).for_each(|(sum, value)| *sum += f64::from(value));
                    }
                }
                let mean = trainer.averaged_model().expect("memory").expect("five steps");
                for (found, sum) in [mean.to_row_major(), mean.bias().to_vec()].concat().into_iter().zip(sum) {
                    assert!((f64::from(found) - sum / 5.0).abs() < 1e-6, "{found} for {}", sum / 5.0);
                }
                assert_ne!(&mean, trainer.model());
            }
        }
    }
}

/// The gradient of the weights is (-1.5, 1.5), of the bias (-0.5, 0.5), and its norm the root of 5.
#[test]
fn clipping_by_the_norm_comes_before_clipping_by_value() {
    let batch = Batch::new(Matrix::from_f32(&[3.0], 1).expect("a row"), &[0u8][..]).expect("a label");
    let trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(1.0));
    let mut trainer = trainer.clip_norm(1.0).clip_value(0.5);
    trainer.step(batch).expect("a step");
    let bias = 0.5 / 5.0f32.sqrt();
    let found = [trainer.model().to_row_major(), trainer.model().bias().to_vec()].concat();
    for (found, expected) in found.into_iter().zip([0.5, -0.5, bias, -bias]) {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
}
