//! Settings and steps that are refused, and change nothing.

use crate::support::descent::Kind;
use crate::support::levels::levels;
use softreg::{
    Adagrad, Adam, AdamW, Batch, Error, Matrix, Optimizer, Plateau, RmsProp, Schedule, Sgd, SoftmaxRegression, Targets,
    Trainer,
};

#[test]
fn settings_out_of_range_are_refused_and_nothing_changes() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let adam = || Adam::new(0.1);
    let cases: Vec<(Optimizer, &str)> = vec![
        (Sgd::new(0.0).into(), "learning rate: found 0, expected a finite number above 0"),
        (Sgd::new(-0.1).into(), "learning rate: found -0.1"),
        (Sgd::new(nan).into(), "learning rate: found NaN"),
        (Sgd::new(inf).into(), "learning rate: found inf"),
        (Sgd::new(1e-50).into(), "learning rate: found 0.0"),
        (Sgd::new(0.1).momentum(1.0).into(), "momentum: found 1, expected at least 0 and below 1"),
        (Sgd::new(0.1).momentum(-0.1).into(), "momentum: found -0.1"),
        (Sgd::new(0.1).momentum(nan).into(), "momentum: found NaN"),
        (Sgd::new(0.1).momentum(0.999_999_999_9).into(), "momentum: found 0.9999999999"),
        (Sgd::new(0.1).momentum(0.5).dampening(1.5).into(), "dampening: found 1.5, expected 0 to 1"),
        (Sgd::new(0.1).momentum(0.5).dampening(nan).into(), "dampening: found NaN"),
        (Sgd::new(0.1).nesterov(true).into(), "momentum: found 0, expected above 0 with Nesterov's step"),
        (Sgd::new(0.1).momentum(0.5).dampening(0.1).nesterov(true).into(), "dampening: found 0.1, expected 0 with"),
        (Sgd::new(0.1).weight_decay(-1.0).into(), "weight decay: found -1, expected a finite number of at least 0"),
        (Sgd::new(0.1).weight_decay(nan).into(), "weight decay: found NaN"),
        (Sgd::new(0.1).weight_decay(inf).into(), "weight decay: found inf"),
        (Adagrad::new(0.0).into(), "learning rate: found 0"),
        (Adagrad::new(0.1).learning_rate_decay(-1.0).into(), "learning rate decay: found -1"),
        (Adagrad::new(0.1).initial_accumulator(-1.0).into(), "initial accumulator: found -1"),
        (Adagrad::new(0.1).weight_decay(-1.0).into(), "weight decay: found -1"),
        (Adagrad::new(0.1).epsilon(0.0).into(), "epsilon: found 0, expected a finite number above"),
        (RmsProp::new(-1.0).into(), "learning rate: found -1"),
        (RmsProp::new(0.1).alpha(1.0).into(), "alpha: found 1"),
        (RmsProp::new(0.1).momentum(2.0).into(), "momentum: found 2"),
        (RmsProp::new(0.1).weight_decay(nan).into(), "weight decay: found NaN"),
        (RmsProp::new(0.1).epsilon(-1.0).into(), "epsilon: found -1"),
        (Adam::new(nan).into(), "learning rate: found NaN"),
        (adam().betas(1.0, 0.9).into(), "beta1: found 1"),
        (adam().betas(0.9, -0.1).into(), "beta2: found -0.1"),
        (adam().betas(0.9, nan).into(), "beta2: found NaN"),
        (adam().weight_decay(-1e-9).into(), "weight decay: found"),
        (adam().epsilon(1e-60).into(), "epsilon: found"),
        (AdamW::new(0.1).betas(1.5, 0.9).into(), "beta1: found 1.5"),
        (AdamW::new(0.1).weight_decay(inf).into(), "weight decay: found inf"),
        (AdamW::new(0.1).epsilon(nan).into(), "epsilon: found NaN"),
    ];
    let check = |trainer: Trainer, expected: &str| {
        let mut trainer = trainer;
        let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), &[0u8][..]).expect("a label");
        let error = trainer.step(batch).expect_err(expected);
        assert!(matches!(error, Error::Setting { .. }), "{error:?}");
        assert!(error.to_string().starts_with(expected), "{error}, expected {expected}");
        assert_eq!((trainer.steps(), trainer.into_model()), (0, SoftmaxRegression::zeros(1, 2)));
    };
    let trainer = |optimizer: Optimizer| Trainer::new(SoftmaxRegression::zeros(1, 2), optimizer);
    for (optimizer, expected) in cases {
        check(trainer(optimizer), expected);
    }
    let sgd = || trainer(Sgd::new(0.1).into());
    check(sgd().clip_norm(0.0), "largest norm of a gradient: found 0, expected a finite number above 0");
    check(sgd().clip_norm(nan), "largest norm of a gradient: found NaN");
    check(sgd().clip_value(-1.0), "largest element of a gradient: found -1");
    check(sgd().clip_value(inf), "largest element of a gradient: found inf");
    let plateau = Plateau::default();
    let schedules = [
        (Schedule::step(0, 0.5), "steps between two changes of the rate: found 0, expected at least 1"),
        (Schedule::step(5, 0.0), "factor of the schedule: found 0, expected a finite number above 0"),
        (Schedule::exponential(-0.5), "factor of the schedule: found -0.5"),
        (Schedule::exponential(nan), "factor of the schedule: found NaN"),
        (Schedule::inverse_scaling(-1.0), "power of the schedule: found -1"),
        (Schedule::cosine(0, 0.1), "steps of the schedule: found 0"),
        (Schedule::cosine(10, -0.1), "least factor of the schedule: found -0.1, expected 0 to 1"),
        (Schedule::cosine(10, 1.5), "least factor of the schedule: found 1.5, expected 0 to 1"),
        (Schedule::one_cycle(0), "steps of the schedule: found 0"),
        (Schedule::constant().warm_up(10, 0.0), "first factor of the warm-up: found 0"),
        (Schedule::constant().every(0), "steps that a schedule counts as one: found 0"),
        (Schedule::on_plateau(Plateau { factor: 1.0, ..plateau }), "factor of the plateau: found 1"),
        (Schedule::on_plateau(Plateau { factor: 0.0, ..plateau }), "factor of the plateau: found 0, expected above 0"),
        (Schedule::on_plateau(Plateau { threshold: 1.0, ..plateau }), "threshold of the plateau: found 1"),
        (Schedule::on_plateau(Plateau { least: 0.0, ..plateau }), "least factor of the plateau: found 0"),
    ];
    for (schedule, expected) in schedules {
        check(sgd().schedule(schedule), expected);
    }
}

#[test]
fn a_schedule_that_ends_at_0_says_so_and_a_new_rate_is_checked() {
    let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), &[0u8][..]).expect("a label");
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(0.5)).schedule(Schedule::cosine(3, 0.0));
    for _ in 0..3 {
        trainer.step(batch).expect("a step");
    }
    let before = trainer.model().clone();
    let error = trainer.step(batch).expect_err("the schedule is over").to_string();
    assert_eq!(
        error,
        "learning rate that the schedule gives: found 0, expected a finite number above 0: give the schedule more steps, \
         or a least factor"
    );
    assert_eq!(trainer.model(), &before);
    assert_eq!(trainer.steps(), 3);
    for loss in [f64::NAN, f64::INFINITY] {
        assert!(matches!(trainer.observe(loss), Err(Error::NonFiniteLoss { .. })));
    }

    let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Adam::new(0.5)).schedule(Schedule::step(2, 0.5));
    trainer.step(batch).expect("a step");
    trainer.set_learning_rate(f64::NAN);
    assert!(matches!(trainer.step(batch), Err(Error::Setting { name: "learning rate", .. })));
    trainer.set_learning_rate(0.25);
    assert_eq!((trainer.learning_rate(), trainer.steps()), (0.25, 1));
    trainer.step(batch).expect("a step");
    assert_eq!(trainer.learning_rate(), 0.125);
    assert_eq!(trainer.optimizer().learning_rate(), 0.25);
}

/// Steps that overflow change neither the model nor what is remembered: the next is as if they had not been.
#[test]
fn a_step_that_overflows_changes_nothing() {
    let small = [1.0f32, 0.5];
    for level in levels() {
        for kind in Kind::ALL {
            for large in [[1e20f32, 1e10], [1e38, 1e38], [1e18, 1.0]] {
                let rate = if kind == Kind::Sgd { 1e30 } else { 1e25 };
                let row = |x| Matrix::from_f32(x, 2).expect("a row");
                let batch = |x| Batch::new(row(x), &[0u8][..]).expect("a label");
                let wrong = Batch::new(row(&large), &[1u8][..]).expect("a label");
                let model = SoftmaxRegression::zeros(2, 2).with_level(level);
                let mut trainer = Trainer::new(model, kind.settings(0.1));
                trainer.step(batch(&small)).expect("a step");
                let mut other = trainer.clone();
                trainer.set_learning_rate(rate);
                let before = trainer.model().clone();
                match trainer.step(wrong) {
                    Ok(_) if large[0] == 1e18 => continue, // Adaptive steps of any gradient are as long as their rate.
                    Err(Error::NonFiniteStep | Error::NonFiniteLoss { .. }) => {}
                    other => panic!("{level} {kind:?} {large:?}: {other:?}"),
                }
                assert_eq!(trainer.model(), &before, "{level} {kind:?}");
                trainer.set_learning_rate(0.1);
                for _ in 0..3 {
                    let losses = [&mut trainer, &mut other].map(|trainer| trainer.step(batch(&small)).expect("a step"));
                    assert_eq!(losses[0].to_bits(), losses[1].to_bits());
                }
                assert_eq!(trainer.model(), other.model(), "{level} {kind:?}");
            }
        }
    }
}

/// A trainer whose last step must be refused, and leaves it as it was.
#[track_caller]
fn overflows(mut trainer: Trainer, x: f32) {
    let x = [x];
    let batch = Batch::new(Matrix::from_f32(&x, 1).expect("a row"), &[0u8][..]).expect("a label");
    let before = trainer.model().clone();
    let found = trainer.step(batch);
    assert!(matches!(found, Err(Error::NonFiniteStep)), "{found:?}, {:?}", trainer.optimizer());
    assert_eq!(trainer.model(), &before);
}

/// The gradient of the last step is small; what is remembered, or decay, makes it too long.
#[test]
fn a_small_gradient_overflows_too() {
    let batch = |x: &'static [f32]| Batch::new(Matrix::from_f32(x, 1).expect("a row"), &[0u8][..]).expect("a label");
    for level in levels() {
        let zeros = || SoftmaxRegression::zeros(1, 2).with_level(level);
        // The weights come to 2e38 in the first step; the second adds 0.9 times that.
        let mut trainer = Trainer::new(zeros(), Sgd::new(4e19).momentum(0.9));
        trainer.step(batch(&[1e19])).expect("within f32's range");
        overflows(trainer, 0.0);

        let mut trainer = Trainer::new(zeros(), Sgd::new(1e-3).momentum(0.9));
        trainer.step(batch(&[1e12])).expect("a step");
        trainer.set_learning_rate(1e27);
        overflows(trainer, 0.0);

        let model = SoftmaxRegression::from_row_major(&[1e10, 0.0], &[0.0; 2], 1, 2).expect("a model");
        overflows(Trainer::new(model.with_level(level), Sgd::new(1e-3).weight_decay(1e30)), 0.0);
    }
}

#[test]
fn squares_that_overflow_are_refused() {
    for level in levels() {
        for kind in [Kind::Adagrad, Kind::RmsProp, Kind::CentredRmsProp, Kind::Adam, Kind::AdamW] {
            overflows(Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), kind.settings(0.1)), 1e25);
        }
    }
}

/// Smoothing gives a share of the row to a class that weighs 1e30 times the label's.
#[test]
fn a_class_that_weighs_more_than_the_rows_own_overflows_too() {
    let targets = Targets::from_u8(&[0]).with_class_weights(&[1.0, 1e30]).with_label_smoothing(0.125).expect("a share");
    let batch = Batch::new(Matrix::from_f32(&[1.0], 1).expect("a row"), targets).expect("a label");
    for level in levels() {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2).with_level(level), Sgd::new(1e11));
        assert!(matches!(trainer.step(batch), Err(Error::NonFiniteStep)));
        assert_eq!(trainer.into_model(), SoftmaxRegression::zeros(1, 2).with_level(level));
    }
}
