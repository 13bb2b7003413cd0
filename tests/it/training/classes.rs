//! A class more, half way.

use crate::support::descent::Kind;
use softreg::{Adagrad, Batch, Error, Matrix, Sgd, SoftmaxRegression, Trainer};

/// The old classes go on as a model would that had the new one, at 0, from the start and never saw a row of it.
#[test]
fn a_class_more_starts_at_0_and_leaves_the_others() {
    let x = [1.0, 0.5, -1.0, 2.0, 0.25, -0.5];
    let x = Matrix::from_f32(&x, 2).expect("three rows");
    for optimizer in Kind::ALL.map(|kind| kind.settings(0.1)) {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), optimizer).averaging(0);
        let first = Batch::new(x, &[0u32, 1, 1][..]).expect("labels");
        for _ in 0..3 {
            trainer.step(first).expect("a step");
        }
        let before = trainer.model().clone();
        trainer.add_class().expect("memory");
        let after = trainer.model().clone();
        assert_eq!((after.classes(), after.features()), (3, 2));
        let row = |model: &SoftmaxRegression, class: usize| model.to_class_major()[class * 2..class * 2 + 2].to_vec();
        for class in 0..2 {
            assert_eq!((row(&after, class), after.bias()[class]), (row(&before, class), before.bias()[class]));
        }
        assert_eq!((row(&after, 2), after.bias()[2]), (vec![0.0; 2], 0.0));
        assert!(matches!(trainer.step(Batch::new(x, &[0u32, 3, 1][..]).expect("labels")), Err(Error::Label { .. })));
        let with_new = Batch::new(x, &[0u32, 2, 2][..]).expect("labels");
        let losses: Vec<f64> = (0..50).map(|_| trainer.step(with_new).expect("a step")).collect();
        assert!(losses[49] < losses[0], "{optimizer:?}: {losses:?}");
        assert_eq!(trainer.averaged_model().expect("memory").expect("steps").classes(), 3);
        assert_eq!(trainer.steps(), 53);
    }
}

/// What the optimizer remembers of the old classes stays: momentum carries them on, and Adagrad's sums keep them slow.
#[test]
fn a_class_more_keeps_what_is_remembered() {
    let x = [1.0];
    let batch = |label: &'static [u32]| Batch::new(Matrix::from_f32(&x, 1).expect("a row"), label).expect("a label");
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.1).momentum(0.5));
    trainer.step(batch(&[0])).expect("a step");
    trainer.add_class().expect("memory");
    trainer.step(batch(&[2])).expect("a step");
    // First gradient (-0.5, 0.5); then p of logits (0.1, -0.1, 0), the input being 1 and the bias alike.
    let exp = [0.1f64.exp(), (-0.1f64).exp(), 1.0];
    let p = exp.map(|e| e / exp.iter().sum::<f64>());
    let expected = [0.05 - 0.1 * (0.5 * -0.5 + p[0]), -0.05 - 0.1 * (0.5 * 0.5 + p[1]), -0.1 * (p[2] - 1.0)];
    for (found, expected) in trainer.model().to_row_major().into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

/// The sums of a new class begin as those of the others did.
#[test]
fn a_class_more_has_the_initial_accumulator() {
    let x = [1.0];
    let batch = |label: &'static [u32]| Batch::new(Matrix::from_f32(&x, 1).expect("a row"), label).expect("a label");
    let adagrad = Adagrad::new(0.1).initial_accumulator(1.0);
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), adagrad);
    trainer.step(batch(&[0])).expect("a step");
    trainer.add_class().expect("memory");
    trainer.step(batch(&[2])).expect("a step");
    // First gradient (-0.5, 0.5), of weights and bias alike.
    let first = 0.1 * 0.5 / 1.25f64.sqrt();
    let exp = [(2.0 * first).exp(), (-2.0 * first).exp(), 1.0];
    let p = exp.map(|e| e / exp.iter().sum::<f64>());
    let step = |g: f64, sum: f64| 0.1 * g / (sum + g * g).sqrt();
    let expected = [first - step(p[0], 1.25), -first - step(p[1], 1.25), -step(p[2] - 1.0, 1.0)];
    for (found, expected) in trainer.model().to_row_major().into_iter().zip(expected) {
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

#[test]
fn labels_of_a_byte_have_256_classes_at_most() {
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 256), Sgd::new(0.1));
    let x = Matrix::from_f32(&[1.0], 1).expect("a row");
    trainer.step(Batch::new(x, &[255u8][..]).expect("a label")).expect("a step");
    let before = trainer.model().clone();
    let error = trainer.add_class().expect_err("no u8 names class 256").to_string();
    assert_eq!(error, "classes with labels of u8: found 257, expected at most 256; step on labels of u32 first");
    assert_eq!(trainer.model(), &before);
    trainer.step(Batch::new(x, &[255u32][..]).expect("a label")).expect("a step");
    trainer.add_class().expect("labels of u32");
    assert_eq!(trainer.model().classes(), 257);
}
