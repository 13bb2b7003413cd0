//! Any shape, any level, any input type: every kernel within its budget of the reference.
#![no_main]

#[path = "../../tests/support/compare.rs"]
mod compare;
#[path = "../../tests/support/expect.rs"]
mod expect;
#[path = "../../tests/support/reference.rs"]
mod reference;

use compare::Expected;
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
    pixels: bool,
    selected: bool,
    soft: bool,
    learning_rate: i8,
    bytes: Vec<u8>,
}

fn assert_keeps<T: Copy + Into<f64>>(what: &str, expected: &Expected, got: &[T]) {
    expected.check(got).unwrap_or_else(|error| panic!("{what}: {error}"));
}

fuzz_target!(|input: Input| {
    let levels = Level::available();
    let level = levels[usize::from(input.level) % levels.len()];
    let (rows, features) = (usize::from(input.rows) % 40, usize::from(input.features) % 140 + 1);
    let classes = usize::from(input.classes) % 80 + 1;
    let mut numbers = Stream::new(&input.bytes);
    products(level, [rows, features, classes], &input, &mut numbers);
    rows_of_logits(level, [rows, classes], input.soft, &mut numbers);
    exponential(level, &numbers.any(rows));
});

fn products(level: Level, [rows, features, classes]: [usize; 3], input: &Input, numbers: &mut Stream<'_>) {
    let stored = rows + 1;
    let (values, pixels) = (numbers.small(stored * features), numbers.bytes(stored * features));
    let index = if input.selected { numbers.below(rows, stored) } else { (0..rows).collect() };
    let (w, b) = (numbers.small(features * classes), numbers.small(classes));
    let residual = numbers.small(rows * classes);
    let learning_rate = f32::from(input.learning_rate) / 64.0;

    let stored_x64: Vec<f64> = match input.pixels {
        true => pixels.iter().map(|&pixel| f64::from(pixel) * f64::from(1.0f32 / 255.0)).collect(),
        false => wide(&values),
    };
    let x64: Vec<f64> = index.iter().flat_map(|row| &stored_x64[row * features..][..features]).copied().collect();
    let len = if input.selected { stored } else { rows } * features;
    let x = match input.pixels {
        true => Matrix::from_u8(&pixels[..len], features),
        false => Matrix::from_f32(&values[..len], features),
    };
    let x = x.expect("whole rows");
    let x = if input.selected { x.select(&index).expect("indices in range") } else { x };

    let pack = || Parameters::from_row_major(&w, &b, features, classes).expect("the lengths fit");
    let (w64, b64, r64) = (wide(&w), wide(&b), wide(&residual));
    let mut logits = vec![f32::NAN; rows * classes];
    kernel::forward(level, x, &pack(), &mut logits).expect("the shapes fit");
    assert_keeps("forward", &expect::forward(&x64, &w64, &b64), &logits);

    let mut gradient = pack();
    kernel::gradient(level, x, &residual, &mut gradient).expect("the shapes fit");
    let expected = expect::gradient(&x64, &r64, features, classes);
    assert_keeps("gradient", &expected.0, &gradient.to_row_major());
    assert_keeps("bias gradient", &expected.1, gradient.bias());

    let mut gradient = pack();
    kernel::gradient_accumulate(level, x, &residual, &mut gradient).expect("the shapes fit");
    let expected = expect::sgd_step(&x64, &r64, -1.0, &w64, &b64);
    assert_keeps("accumulated gradient", &expected.0, &gradient.to_row_major());
    assert_keeps("accumulated bias gradient", &expected.1, gradient.bias());

    let mut parameters = pack();
    kernel::sgd_step(level, x, &residual, learning_rate, &mut parameters).expect("the shapes fit");
    let expected = expect::sgd_step(&x64, &r64, learning_rate.into(), &w64, &b64);
    assert_keeps("sgd_step", &expected.0, &parameters.to_row_major());
    assert_keeps("sgd_step bias", &expected.1, parameters.bias());
}

fn rows_of_logits(level: Level, [rows, classes]: [usize; 2], soft: bool, numbers: &mut Stream<'_>) {
    let logits = numbers.any(rows * classes);
    let z = wide(&logits);
    let mut p = logits.clone();
    kernel::softmax(level, &mut p, classes).expect("whole rows");
    assert_keeps("softmax", &expect::softmax(&z, classes), &p);
    let mut log_p = logits.clone();
    kernel::log_softmax(level, &mut log_p, classes).expect("whole rows");
    assert_keeps("log_softmax", &expect::log_softmax(&z, classes), &log_p);

    let labels: Vec<u32> = numbers.below(rows, classes).into_iter().map(|label| label as u32).collect();
    let mut t = numbers.positive(rows * classes);
    if !soft {
        t.fill(0.0);
        t.chunks_exact_mut(classes).zip(&labels).for_each(|(row, &label)| row[label as usize] = 1.0);
    }
    let targets =
        if soft { Targets::from_probabilities(&t, classes).expect("whole rows") } else { Targets::from_u32(&labels) };
    let (mut residual, mut losses) = (logits.clone(), vec![f64::NAN; rows]);
    let total = kernel::cross_entropy(level, targets, classes, &mut residual, &mut losses).expect("the shapes fit");
    let expected = expect::cross_entropy(&z, &wide(&t), classes);
    assert_keeps("losses", &expected.0, &losses);
    assert_keeps("residual", &expected.1, &residual);
    let in_order = losses.iter().fold(0.0, |sum, loss| sum + loss);
    assert!(total == in_order || (total.is_nan() && in_order.is_nan()), "{total} for {in_order}");
}

/// The budget that `kernel::exp` states.
fn exponential(level: Level, inputs: &[f32]) {
    let mut values = inputs.to_vec();
    kernel::exp(level, &mut values);
    for (&x, &got) in inputs.iter().zip(&values) {
        let exact = f64::from(x).exp();
        let want = if exact < f64::from(f32::MIN_POSITIVE) { 0.0 } else { exact as f32 };
        let budget = if want.is_normal() { 2 } else { 0 };
        assert!(compare::ulps(got, want) <= budget && !got.is_subnormal(), "exp({x:e}) is {got:e}, wanted {want:e}");
    }
}
