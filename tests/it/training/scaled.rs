//! Steps in scaled coordinates over rows as they are.

use super::{CLASSES, FEATURES, datasets};
use crate::support::descent::Kind;
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{Batch, Dataset, Error, Matrix, Scaler, Sgd, SoftmaxRegression, Trainer};

/// Steps on scaled coordinates are those on scaled copies of the rows, and the model is that of the rows as they are.
#[test]
fn training_scaled_is_training_on_scaled_copies() {
    for data in datasets() {
        let scaler = Scaler::standard(data.x()).expect("finite rows");
        let copies = scaler.transform(data.x()).expect("memory");
        let copies = Dataset::from_f32(copies, data.labels(), FEATURES, CLASSES).expect("the lengths fit");
        for level in levels() {
            for (i, kind) in Kind::ALL.into_iter().enumerate() {
                let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
                let trainer = |batch: usize| {
                    let trainer = Trainer::new(model.clone(), kind.settings(0.05)).averaging(1);
                    if i % 2 == batch % 2 { trainer.clip_norm(0.25) } else { trainer }
                };
                for batch in [20, 21] {
                    let mut scaled = trainer(batch).scaled_by(scaler.clone()).expect("the features fit");
                    let mut other = trainer(batch);
                    let rows = data.clone().skip_zeros();
                    let (mut batches, mut copied) = (rows.batches(batch), copies.batches(batch));
                    for step in 0..6 {
                        let loss = scaled.step(batches.next_batch()).expect("a step");
                        let expected = other.step(copied.next_batch()).expect("a step");
                        assert!((loss - expected).abs() < 1e-4, "{level} {kind:?} {step}: {loss} for {expected}");
                    }
                    let averaged = scaled.averaged_model().expect("memory").expect("steps");
                    let expected = other.averaged_model().expect("memory").expect("steps");
                    let expected = scaler.fold(&expected).expect("finite");
                    let folded = scaler.fold(other.model()).expect("finite");
                    for (found, expected) in [(scaled.model(), &folded), (&averaged, &expected)] {
                        let found = found.predict_proba(data.x()).expect("the shapes fit");
                        let expected = expected.predict_proba(data.x()).expect("the shapes fit");
                        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                        assert!(off < 2e-3, "{level} {kind:?}: {off}");
                    }
                    scaled.add_class().expect("memory");
                    assert_eq!(scaled.model().classes(), CLASSES + 1);
                    scaled.step(batches.next_batch()).expect("a step");
                }
            }
        }
    }
}

/// A large batch is swept; one row, and a model that was trained before, are no other matter.
#[test]
fn a_scaled_step_of_any_size_is_the_same_step() {
    let mut random = Random::new(5);
    let rows = 3000;
    let x: Vec<f32> = random.numbers(rows * FEATURES, 1.0).iter().map(|x| 50.0 + 3.0 * x).collect();
    let data = Dataset::from_f32(x, random.labels(rows, CLASSES), FEATURES, CLASSES).expect("the lengths fit");
    let scaler = Scaler::standard(data.x()).expect("finite rows");
    let trained = SoftmaxRegression::from_row_major(
        &random.numbers(FEATURES * CLASSES, 0.01),
        &[0.0; CLASSES],
        FEATURES,
        CLASSES,
    );
    let trained = trained.expect("a model");
    for level in levels() {
        let mut trainer =
            Trainer::new(trained.clone().with_level(level), Sgd::new(0.1)).scaled_by(scaler.clone()).expect("fits");
        let unfolded = scaler.unfold(&trained).expect("finite").with_level(level);
        let copies = scaler.transform(data.x()).expect("memory");
        let mut other = Trainer::new(unfolded, Sgd::new(0.1));
        let x = Matrix::from_f32(&copies, FEATURES).expect("rows");
        let loss = trainer.step(data.as_batch()).expect("a step");
        let expected = other.step(Batch::new(x, data.targets()).expect("rows agree")).expect("a step");
        assert!((loss - expected).abs() < 1e-4, "{level}: {loss} for {expected}");
        let folded = scaler.fold(other.model()).expect("finite");
        for (found, expected) in trainer.model().to_row_major().into_iter().zip(folded.to_row_major()) {
            assert!((found - expected).abs() < 1e-5, "{level}: {found} for {expected}");
        }
        // What the weights stand for overflows before they do.
        let before = trainer.model().clone();
        trainer.set_learning_rate(3e38);
        assert!(matches!(trainer.step(data.as_batch()), Err(Error::NonFiniteStep | Error::NonFiniteLoss { .. })));
        assert_eq!(trainer.model(), &before);
        trainer.set_learning_rate(0.1);
        trainer.step(data.as_batch()).expect("a step");
        let few = Scaler::new(vec![0.0; 3], vec![1.0; 3]).expect("finite");
        assert!(matches!(Trainer::new(trained.clone(), Sgd::new(0.1)).scaled_by(few), Err(Error::Shape { .. })));
    }
}
