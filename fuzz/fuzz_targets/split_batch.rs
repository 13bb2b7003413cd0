//! A batch cut into parts anywhere, as slices or as selections, gives what the whole gives: logits, losses and residuals
//! to the bit, accumulated gradients within their budget.
#![no_main]

#[path = "../../tests/support/compare.rs"]
mod compare;
#[path = "../../tests/support/expect.rs"]
mod expect;
#[path = "../../tests/support/reference.rs"]
mod reference;

use compare::same_bits;
use expect::wide;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::{Level, Matrix, Parameters, Targets, kernel};
use softreg_fuzz::numbers::Stream;

#[derive(Arbitrary, Debug)]
struct Input {
    rows: u8,
    features: u8,
    classes: u8,
    level: u8,
    soft: bool,
    cuts: Vec<u8>,
    bytes: Vec<u8>,
}

/// A batch's stored data.
struct Data {
    features: usize,
    classes: usize,
    values: Vec<f32>,
    labels: Vec<u32>,
    probabilities: Option<Vec<f32>>,
    parameters: Parameters,
}

/// What one part contributes.
#[derive(Default)]
struct Outcome {
    logits: Vec<f32>,
    losses: Vec<f64>,
    residual: Vec<f32>,
}

impl Data {
    fn run(&self, level: Level, x: Matrix<'_>, targets: Targets<'_>, gradient: &mut Parameters) -> Outcome {
        let mut logits = vec![f32::NAN; x.rows() * self.classes];
        kernel::forward(level, x, &self.parameters, &mut logits).expect("the shapes fit");
        let (mut residual, mut losses) = (logits.clone(), vec![f64::NAN; x.rows()]);
        kernel::cross_entropy(level, targets, self.classes, &mut residual, &mut losses).expect("the shapes fit");
        kernel::gradient_accumulate(level, x, &residual, gradient).expect("the shapes fit");
        Outcome { logits, losses, residual }
    }

    fn targets(&self, rows: std::ops::Range<usize>) -> Targets<'_> {
        match &self.probabilities {
            None => Targets::from_u32(&self.labels[rows]),
            Some(t) => {
                let cells = rows.start * self.classes..rows.end * self.classes;
                Targets::from_probabilities(&t[cells], self.classes).expect("whole rows")
            }
        }
    }

    fn x(&self, rows: std::ops::Range<usize>) -> Matrix<'_> {
        let cells = rows.start * self.features..rows.end * self.features;
        Matrix::from_f32(&self.values[cells], self.features).expect("whole rows")
    }
}

fn assert_same(whole: &Outcome, parts: &Outcome) {
    same_bits(&parts.logits, &whole.logits).unwrap_or_else(|error| panic!("logits: {error}"));
    same_bits(&parts.residual, &whole.residual).unwrap_or_else(|error| panic!("residual: {error}"));
    let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&parts.losses), bits(&whole.losses), "losses");
}

fuzz_target!(|input: Input| {
    let levels = Level::available();
    let level = levels[usize::from(input.level) % levels.len()];
    let (rows, features) = (usize::from(input.rows) % 80, usize::from(input.features) % 70 + 1);
    let classes = usize::from(input.classes) % 80 + 1;
    let mut numbers = Stream::new(&input.bytes);
    let data = Data {
        features,
        classes,
        values: numbers.small(rows * features),
        labels: numbers.below(rows, classes).into_iter().map(|label| label as u32).collect(),
        probabilities: input.soft.then(|| numbers.positive(rows * classes)),
        parameters: Parameters::from_row_major(
            &numbers.small(features * classes),
            &numbers.small(classes),
            features,
            classes,
        )
        .expect("the lengths fit"),
    };
    let start = || Parameters::zeros(features, classes);

    let mut gradient = start();
    let whole = data.run(level, data.x(0..rows), data.targets(0..rows), &mut gradient);
    let (mut w_expected, mut b_expected) =
        expect::gradient(&wide(&data.values), &wide(&whole.residual), features, classes);
    w_expected = w_expected.around(&gradient.to_row_major());
    b_expected = b_expected.around(gradient.bias());

    let mut cuts: Vec<usize> = input.cuts.iter().take(8).map(|&cut| usize::from(cut) % (rows + 1)).collect();
    cuts.extend([0, rows]);
    cuts.sort_unstable();
    let all: Vec<usize> = (0..rows).collect();
    for selected in [false, true] {
        let mut gradient = start();
        let mut parts = Outcome::default();
        for part in cuts.windows(2).map(|cut| cut[0]..cut[1]) {
            let (x, targets) = match selected {
                false => (data.x(part.clone()), data.targets(part)),
                true => {
                    let select = &all[part];
                    let x = data.x(0..rows).select(select).expect("indices in range");
                    (x, data.targets(0..rows).select(select).expect("indices in range"))
                }
            };
            let part = data.run(level, x, targets, &mut gradient);
            parts.logits.extend(part.logits);
            parts.losses.extend(part.losses);
            parts.residual.extend(part.residual);
        }
        assert_same(&whole, &parts);
        w_expected.check(&gradient.to_row_major()).unwrap_or_else(|error| panic!("gradient: {error}"));
        b_expected.check(gradient.bias()).unwrap_or_else(|error| panic!("bias gradient: {error}"));
    }
});
