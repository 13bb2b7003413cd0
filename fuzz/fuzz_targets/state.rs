//! A training's state with some of its bytes changed: never a panic; what is refused leaves the trainer as it was, and what is
//! taken goes on with finite parameters or an error, and is saved and taken again.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::{
    Adagrad, Adam, AdamW, Batch, Error, Matrix, Optimizer, Plateau, RmsProp, Schedule, Sgd, SoftmaxRegression, Trainer,
};

#[derive(Arbitrary, Debug)]
struct Input {
    optimizer: u8,
    steps: u8,
    /// Exclusive or, at places of the file.
    damage: Vec<(u16, u8)>,
    /// Digits in place of others.
    digits: Vec<(u16, u8)>,
    cut: u8,
}

fn trainer(optimizer: u8) -> Trainer {
    let optimizer: Optimizer = match optimizer % 6 {
        0 => Sgd::new(0.5).into(),
        1 => Sgd::new(0.5).momentum(0.5).nesterov(true).weight_decay(0.1).into(),
        2 => Adagrad::new(0.5).into(),
        3 => RmsProp::new(0.5).centred(true).momentum(0.5).into(),
        4 => Adam::new(0.5).into(),
        _ => AdamW::new(0.5).into(),
    };
    let plateau = Schedule::on_plateau(Plateau::default()).warm_up(2, 0.5);
    Trainer::new(SoftmaxRegression::zeros(3, 2), optimizer).schedule(plateau).averaging(1)
}

fn batch(x: &[f32; 6]) -> Batch<'_> {
    Batch::new(Matrix::from_f32(x, 3).expect("two rows"), &[0u8, 1][..]).expect("a label a row")
}

fuzz_target!(|input: Input| {
    let x = [1.0, -0.5, 0.0, 0.25, 2.0, 0.0];
    let mut whole = trainer(input.optimizer);
    for _ in 0..input.steps % 4 {
        whole.step(batch(&x)).expect("a step");
        whole.observe(1.0).expect("a finite loss");
    }
    let mut bytes = whole.to_bytes().expect("a state");
    let digits: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
    for (at, digit) in &input.digits {
        bytes[digits[usize::from(*at) % digits.len()]] = b'0' + digit % 10;
    }
    for (at, change) in &input.damage {
        let at = usize::from(*at) % bytes.len();
        bytes[at] ^= change;
    }
    bytes.truncate(bytes.len() - usize::from(input.cut) % bytes.len());

    let mut resumed = trainer(input.optimizer);
    if resumed.resume_from_bytes(&bytes).is_err() {
        assert_eq!((resumed.steps(), resumed.model()), (0, &SoftmaxRegression::zeros(3, 2)));
        let whole = input.damage.is_empty() && input.digits.is_empty() && input.cut == 0;
        assert!(!whole, "a whole state was refused");
        return;
    }
    let before = resumed.model().clone();
    match resumed.step(batch(&x)) {
        Ok(loss) => {
            assert!(loss.is_finite());
            let model = resumed.model();
            assert!(model.to_row_major().iter().chain(model.bias()).all(|value| value.is_finite()));
        }
        Err(Error::Setting { .. } | Error::NonFiniteStep | Error::NonFiniteLoss { .. }) => {
            assert_eq!(resumed.model(), &before);
        }
        Err(other) => panic!("{other:?}"),
    }
    if let Ok(saved) = resumed.to_bytes() {
        trainer(input.optimizer).resume_from_bytes(&saved).expect("what was saved is taken");
    }
});
