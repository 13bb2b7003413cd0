//! Each kernel alone, at each level, over batches of MNIST's rows: `cargo bench --bench kernels`. Every result is
//! checked against the f64 reference before it is timed. Whole steps, and other crates beside them, are in `step.rs`.
//!
//! Rates are in elements and bytes. An element of a product is a multiply-add, two FLOP, and the bytes are those of the
//! rows; an element of what works on logits is one logit. What works in place is run over its own results again and
//! again: they stay finite, and no kernel's time depends on the values. Only `exp` would run off to infinity: it gets
//! its arguments back each time, and the copy is part of its time.

mod support;

use criterion::Criterion;
use softreg::{Level, Targets, kernel};
use std::hint::black_box;
use support::check::Parameters;
use support::compare::{Expected, ulps};
use support::data::{Element, Images};
use support::expect::{self, wide};
use support::rates::{self, id};
use support::{BATCHES, CLASSES, FEATURES};

/// Small enough that thousands of steps with one residual leave the weights within range.
const LEARNING_RATE: f32 = 1e-6;

fn main() {
    let mut criterion = rates::criterion();
    let images = Images::all();
    let cases = BATCHES.map(|rows| Case::new(images.first(rows)));
    for element in Element::BOTH {
        forward(&mut criterion, &cases, element);
        gradient(&mut criterion, &cases, element);
        sgd_step(&mut criterion, &cases, element);
    }
    softmax(&mut criterion, &cases);
    log_softmax(&mut criterion, &cases);
    cross_entropy(&mut criterion, &cases);
    exp(&mut criterion, &cases);
    criterion.final_summary();
}

/// One batch, and what each kernel should make of it.
struct Case {
    images: Images,
    packed: softreg::Parameters,
    logits: Vec<f32>,
    residual: Vec<f32>,
    expected: Answers,
}

struct Answers {
    logits: Expected,
    gradient: (Expected, Expected),
    stepped: (Expected, Expected),
    softmax: Expected,
    log_softmax: Expected,
    /// The losses and the residual.
    cross_entropy: (Expected, Expected),
}

impl Case {
    fn new(images: Images) -> Self {
        let start = Parameters::start();
        let packed = start.packed();
        let (x, w, b) = (images.wide(), wide(&start.w), wide(&start.b));
        let expected = expect::forward(&x, &w, &b);
        // From here on the inputs are the rounded outputs of the kernel before, so that each is judged alone.
        let logits: Vec<f32> = expected.values.iter().map(|logit| *logit as f32).collect();
        let cross_entropy = expect::cross_entropy(&wide(&logits), &images.wide_one_hot(), CLASSES);
        let residual: Vec<f32> = cross_entropy.1.values.iter().map(|residual| *residual as f32).collect();
        let gradient = expect::Gradient::new(&x, &wide(&residual), FEATURES, CLASSES);
        let expected = Answers {
            logits: expected,
            gradient: gradient.overwritten(),
            stepped: gradient.stepped(LEARNING_RATE.into(), &w, &b),
            softmax: expect::softmax(&wide(&logits), CLASSES),
            log_softmax: expect::log_softmax(&wide(&logits), CLASSES),
            cross_entropy,
        };
        Self { images, packed, logits, residual, expected }
    }

    fn rows(&self) -> usize {
        self.images.rows()
    }
}

/// Every case at every level.
fn each(cases: &[Case]) -> impl Iterator<Item = (Level, &Case)> {
    Level::available().into_iter().flat_map(move |level| cases.iter().map(move |case| (level, case)))
}

fn right(level: Level, case: &Case, kernel: &str, checks: &[Result<(), String>]) {
    for check in checks {
        check.as_ref().unwrap_or_else(|error| panic!("{kernel} at {level}, {} rows: {error}", case.rows()));
    }
}

fn forward(criterion: &mut Criterion, cases: &[Case], element: Element) {
    let mut group = criterion.benchmark_group(format!("forward/{element}"));
    for (level, case) in each(cases) {
        let (x, mut logits) = (case.images.x(element), vec![f32::NAN; case.logits.len()]);
        let run = |logits: &mut [f32]| {
            kernel::forward(level, x, &case.packed, logits).expect("the shapes fit");
        };
        run(&mut logits);
        right(level, case, "forward", &[case.expected.logits.check(&logits)]);
        group.throughput(rates::product(case.rows(), element));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut logits))));
    }
}

fn gradient(criterion: &mut Criterion, cases: &[Case], element: Element) {
    let mut group = criterion.benchmark_group(format!("gradient/{element}"));
    for (level, case) in each(cases) {
        let (x, mut a) = (case.images.x(element), case.packed.clone());
        let run = |a: &mut softreg::Parameters| {
            kernel::gradient(level, x, &case.residual, a).expect("the shapes fit");
        };
        run(&mut a);
        let expected = &case.expected.gradient;
        right(level, case, "gradient", &[expected.0.check(&a.to_row_major()), expected.1.check(a.bias())]);
        group.throughput(rates::product(case.rows(), element));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut a))));
    }
}

fn sgd_step(criterion: &mut Criterion, cases: &[Case], element: Element) {
    let mut group = criterion.benchmark_group(format!("sgd_step/{element}"));
    for (level, case) in each(cases) {
        let (x, mut a) = (case.images.x(element), case.packed.clone());
        let run = |a: &mut softreg::Parameters| {
            kernel::sgd_step(level, x, &case.residual, LEARNING_RATE, a).expect("the shapes fit");
        };
        run(&mut a);
        let expected = &case.expected.stepped;
        right(level, case, "sgd_step", &[expected.0.check(&a.to_row_major()), expected.1.check(a.bias())]);
        group.throughput(rates::product(case.rows(), element));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut a))));
    }
}

fn softmax(criterion: &mut Criterion, cases: &[Case]) {
    let mut group = criterion.benchmark_group("softmax");
    for (level, case) in each(cases) {
        let mut logits = case.logits.clone();
        let run = |logits: &mut [f32]| kernel::softmax(level, logits, CLASSES).expect("whole rows");
        run(&mut logits);
        right(level, case, "softmax", &[case.expected.softmax.check(&logits)]);
        group.throughput(rates::rows_of_logits(case.rows()));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut logits))));
    }
}

fn log_softmax(criterion: &mut Criterion, cases: &[Case]) {
    let mut group = criterion.benchmark_group("log_softmax");
    for (level, case) in each(cases) {
        let mut logits = case.logits.clone();
        let run = |logits: &mut [f32]| kernel::log_softmax(level, logits, CLASSES).expect("whole rows");
        run(&mut logits);
        right(level, case, "log_softmax", &[case.expected.log_softmax.check(&logits)]);
        group.throughput(rates::rows_of_logits(case.rows()));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut logits))));
    }
}

fn cross_entropy(criterion: &mut Criterion, cases: &[Case]) {
    let mut group = criterion.benchmark_group("cross_entropy");
    for (level, case) in each(cases) {
        let targets = Targets::from_u8(&case.images.labels);
        let (mut logits, mut losses) = (case.logits.clone(), vec![f64::NAN; case.rows()]);
        let run = |logits: &mut [f32], losses: &mut [f64]| {
            kernel::cross_entropy(level, targets, CLASSES, logits, losses).expect("the shapes fit")
        };
        run(&mut logits, &mut losses);
        let expected = &case.expected.cross_entropy;
        right(level, case, "cross_entropy", &[expected.0.check(&losses), expected.1.check(&logits)]);
        group.throughput(rates::rows_of_logits(case.rows()));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut logits), &mut losses)));
    }
}

fn exp(criterion: &mut Criterion, cases: &[Case]) {
    let mut group = criterion.benchmark_group("exp");
    for (level, case) in each(cases) {
        let mut values = vec![f32::NAN; case.logits.len()];
        let run = |values: &mut [f32]| {
            values.copy_from_slice(&case.logits);
            kernel::exp(level, values);
        };
        run(&mut values);
        let worst = case.logits.iter().zip(&values).map(|(x, e)| ulps(*e, f64::from(*x).exp() as f32)).max();
        assert!(worst <= Some(2), "exp at {level}: {worst:?} units in the last place off");
        group.throughput(rates::rows_of_logits(case.rows()));
        group.bench_function(id(level, case.rows()), |bench| bench.iter(|| run(black_box(&mut values))));
    }
}
