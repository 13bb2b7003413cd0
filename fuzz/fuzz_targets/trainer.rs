//! A trainer driven in any way, over plain and indexed rows, numbers and pixels, whole datasets, splits and picked rows:
//! every step within its budget of the f64 reference's step from the same parameters, every prediction within its own;
//! a clone does what the trainer does, to the bit, and what fails changes nothing.
#![no_main]

#[path = "../../tests/support/compare.rs"]
mod compare;
#[path = "../../tests/support/expect.rs"]
mod expect;
#[path = "../../tests/support/reference.rs"]
mod reference;

use compare::{Expected, same_bits};
use expect::wide;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use softreg::{Batch, Dataset, Level, Matrix, Reduction, Sgd, SoftmaxRegression, Targets, Trainer};
use softreg_fuzz::numbers::Stream;

#[derive(Arbitrary, Debug)]
struct Input {
    rows: u8,
    features: u8,
    classes: u8,
    level: u8,
    mean: bool,
    /// Of four features or rows so many have no values.
    zeros: u8,
    actions: Vec<(Action, Place)>,
    bytes: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Action {
    Step,
    /// A clone takes the step first.
    StepTwice,
    /// A step that must be refused.
    Fail,
    Predict,
    /// On with a trainer of the model so far.
    Restart,
}

/// Where an action's rows come from.
#[derive(Arbitrary, Debug)]
struct Place {
    pixels: bool,
    other: bool,
    indexed: bool,
    /// Rows before the split, and whether those are meant.
    split: Option<(u8, bool)>,
    /// How many rows are picked; all, in their order, if `None`.
    picked: Option<u8>,
}

/// One dataset, with and without its index, and what the kernels read it as.
struct Data {
    plain: Dataset,
    indexed: Dataset,
    x64: Vec<f64>,
    labels: Vec<usize>,
}

impl Data {
    fn new(pixels: bool, [rows, features, classes]: [usize; 3], zeros: u8, numbers: &mut Stream<'_>) -> Self {
        let mut bytes = numbers.bytes(rows * features);
        let (of_row, of_feature) = (numbers.bytes(rows), numbers.bytes(features));
        for (at, byte) in bytes.iter_mut().enumerate() {
            let (row, feature) = (of_row[at / features], of_feature[at % features]);
            if (row ^ feature) % 4 < zeros % 5 {
                *byte = 0;
            }
        }
        let labels = numbers.below(rows, classes);
        let (plain, x64) = if pixels {
            let x64 = bytes.iter().map(|&pixel| f64::from(pixel) * f64::from(1.0f32 / 255.0)).collect();
            let labels = labels.iter().map(|&label| label as u8).collect();
            (Dataset::from_u8(bytes, labels, features, classes), x64)
        } else {
            let values: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte as i8) / 64.0).collect();
            let x64 = wide(&values);
            let labels = labels.iter().map(|&label| label as u32).collect();
            (Dataset::from_f32(values, labels, features, classes), x64)
        };
        let plain = plain.expect("the lengths fit");
        Self { indexed: plain.clone().skip_zeros(), plain, x64, labels }
    }

    /// The rows of an action: the dataset they are in, and their numbers in it and in the whole.
    fn rows(&self, place: &Place, numbers: &mut Stream<'_>) -> (Dataset, Option<Vec<usize>>, Vec<usize>) {
        let data = if place.indexed { &self.indexed } else { &self.plain };
        let (part, start) = match place.split {
            None => (data.clone(), 0),
            Some((at, first)) => {
                let at = usize::from(at) % (data.rows() + 1);
                let (before, after) = data.split_at(at).expect("no more than all rows");
                if first { (before, 0) } else { (after, at) }
            }
        };
        let picked = match place.picked {
            Some(len) if part.rows() > 0 => Some(numbers.below(usize::from(len), part.rows())),
            _ => None,
        };
        let all = (0..part.rows()).collect();
        let rows = picked.as_ref().unwrap_or(&all).iter().map(|row| start + row).collect();
        (part, picked, rows)
    }
}

/// A trainer's parameters, exactly.
fn parameters(trainer: &mut Trainer) -> (Vec<f32>, Vec<f32>) {
    let model = trainer.model();
    (model.to_row_major(), model.bias().to_vec())
}

fn assert_keeps<T: Copy + Into<f64>>(what: &str, expected: &Expected, got: &[T]) {
    expected.check(got).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// What a step from these parameters should return and leave.
struct Step {
    loss: Expected,
    weights: Expected,
    bias: Expected,
}

impl Step {
    /// A logit that is off by `e` changes a loss and a residual by at most `2 e`, the latter by no more than 1; the rest
    /// are the budgets of the kernels.
    fn expected(x: &[f64], labels: &[usize], (w, b): &(Vec<f32>, Vec<f32>), rate: f64, mean: bool) -> Self {
        let (w, b, rows, classes) = (wide(w), wide(b), labels.len(), b.len());
        let mut targets = vec![0.0; rows * classes];
        targets.chunks_exact_mut(classes).zip(labels).for_each(|(row, &label)| row[label] = 1.0);
        let logits = expect::forward(x, &w, &b);
        let (losses, residual) = expect::cross_entropy(&logits.values, &targets, classes);
        let worst = |row: &[f64]| 2.0 * row.iter().fold(0.0_f64, |worst, tolerance| worst.max(*tolerance));
        let by_row: Vec<f64> = logits.tolerances.chunks_exact(classes).map(worst).collect();

        let parts = if mean { rows as f64 } else { 1.0 };
        let tolerance = losses.tolerances.iter().chain(&by_row).sum::<f64>() / parts;
        let loss = Expected {
            values: vec![losses.values.iter().sum::<f64>() / parts],
            tolerances: vec![tolerance + 1e-12],
            columns: 1,
        };

        let off: Vec<f64> = (residual.tolerances.iter().enumerate())
            .map(|(at, tolerance)| tolerance + by_row[at / classes].min(1.0))
            .collect();
        let absolute: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        let (of_weights, of_bias) = reference::gradient(&absolute, &off, w.len() / classes, classes);
        let rate = f64::from((rate / parts) as f32);
        let (mut weights, mut bias) = expect::sgd_step(x, &residual.values, rate, &w, &b);
        // The rate itself rounds once more.
        let add = |to: &mut Expected, off: &[f64], before: &[f64]| {
            for (at, tolerance) in to.tolerances.iter_mut().enumerate() {
                *tolerance += rate * off[at] + 2.0 * compare::UNIT * (to.values[at] - before[at]).abs();
            }
        };
        add(&mut weights, &of_weights, &w);
        add(&mut bias, &of_bias, &b);
        Self { loss, weights, bias }
    }
}

fuzz_target!(|input: Input| {
    let levels = Level::available();
    let level = levels[usize::from(input.level) % levels.len()];
    let shape @ [_, features, classes] =
        [usize::from(input.rows) % 80 + 1, usize::from(input.features) % 120 + 1, usize::from(input.classes) % 40 + 1];
    let mut numbers = Stream::new(&input.bytes);
    let data = [[false, false], [false, true], [true, false], [true, true]]
        .map(|[pixels, other]| Data::new(pixels, shape, input.zeros.wrapping_add(other.into()), &mut numbers));
    let (w, b) = (numbers.small(features * classes), numbers.small(classes));
    let rate = 0.03125_f32;
    let reduction = if input.mean { Reduction::Mean } else { Reduction::Sum };
    let start = |w: &[f32], b: &[f32]| {
        let model = SoftmaxRegression::from_row_major(w, b, features, classes).expect("the lengths fit");
        Trainer::new(model.with_level(level), Sgd::new(rate.into())).reduction(reduction)
    };
    let mut trainer = start(&w, &b);

    for (action, place) in input.actions.iter().take(12) {
        let data = &data[2 * usize::from(place.pixels) + usize::from(place.other)];
        let (part, picked, rows) = data.rows(place, &mut numbers);
        let Batch { x, targets } = part.as_batch();
        let (x, targets) = match &picked {
            None => (x, targets),
            Some(picked) => {
                (x.select(picked).expect("indices in range"), targets.select(picked).expect("indices in range"))
            }
        };
        let batch = Batch::new(x, targets).expect("rows agree");
        let x64: Vec<f64> = rows.iter().flat_map(|row| &data.x64[row * features..][..features]).copied().collect();
        let labels: Vec<usize> = rows.iter().map(|&row| data.labels[row]).collect();
        let before = parameters(&mut trainer);
        match action {
            Action::Step | Action::StepTwice if rows.is_empty() => assert!(trainer.step(batch).is_err(), "no rows"),
            Action::Step | Action::StepTwice => {
                let clone = matches!(action, Action::StepTwice).then(|| {
                    let mut clone = trainer.clone();
                    (clone.step(batch).expect("a step").to_bits(), parameters(&mut clone))
                });
                let expected = Step::expected(&x64, &labels, &before, rate.into(), input.mean);
                let loss = trainer.step(batch).expect("a step");
                let after = parameters(&mut trainer);
                assert_keeps("loss", &expected.loss, &[loss]);
                assert_keeps("weights", &expected.weights, &after.0);
                assert_keeps("bias", &expected.bias, &after.1);
                assert!(clone.is_none_or(|clone| clone == (loss.to_bits(), after)), "a clone's step differs");
            }
            Action::Fail => {
                let wrong = vec![classes as u32; rows.len()];
                let refused = trainer.step(Batch { x, targets: Targets::from_u32(&wrong) });
                assert!(refused.is_err(), "labels out of range were accepted");
                let other = [0.0; 7];
                let other =
                    Matrix::from_f32(&other[..if features == 7 { 6 } else { 7 }], if features == 7 { 6 } else { 7 });
                let refused = trainer.step(Batch { x: other.expect("one row"), targets: Targets::from_u8(&[0]) });
                assert!(refused.is_err(), "other features were accepted");
                assert_eq!(parameters(&mut trainer), before);
            }
            Action::Predict => {
                let mut logits = vec![f32::NAN; rows.len() * classes];
                trainer.model().logits_into(x, &mut logits).expect("the shapes fit");
                assert_keeps("logits", &expect::forward(&x64, &wide(&before.0), &wide(&before.1)), &logits);
                assert_eq!(parameters(&mut trainer), before);
            }
            Action::Restart => {
                let model = trainer.into_model();
                same_bits(&model.to_row_major(), &before.0).unwrap_or_else(|error| panic!("weights: {error}"));
                trainer = start(&model.to_row_major(), model.bias());
            }
        }
    }
});
