//! Full passes over many rows, steps on shuffled batches, and one wide row, beside the same composed from gemm and,
//! with the features `faer` and `openblas`, from those: `cargo bench --features faer,openblas --bench passes`. A line a
//! job: our time at the best level, each rival's, and how many times ours that is. Above 1 ours is faster.
//!
//! - `full`: a pass over MNIST's 60,000 training images, 784 x 10: the forward pass, the gradient of a given residual,
//!   and the sweep, which is loss and gradient together. Rivals hand all rows to a product at once.
//! - `blocks`: the same where rivals gain by handing over fewer rows at a time: their sweep reads each row once then.
//! - `shuffled`: a step on a batch that is picked from the 60,000 images. Rivals bring its rows together first.
//! - `row`: one row of 4096 features, 1000 classes: the forward pass, and a whole step. The weights are 16 MB.
//!
//! Everyone runs by turns in one process on one thread, as `softreg_bench::sampling` has it, over contiguous f32 rows
//! that start at a cache line. Rivals choose their instructions themselves. Each runs with weights
//! `[classes, features]` and with `[features, classes]`, since neither is the better one in every job, and the better
//! time counts. Every result is checked against the f64 reference before anything is timed.
//!
//! `cargo bench --bench passes -- full row/step` takes only the lines in whose names one of these occurs.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, everything is checked on 2,000 images and runs once,
//! and no times are printed.

mod support;

use softreg::{Batch, Dataset, Level, Matrix, Targets, kernel};
use softreg_bench::sampling::{Case, Sampling, take_turns};
use std::cell::LazyCell;
use std::hint::black_box;
use std::time::Duration;
use support::check::{Answer, Parameters};
use support::data::{Element, Gathered, Images};
use support::expect::wide;
use support::lines::{CACHE_LINE, CacheLines};
use support::random::Random;
use support::rivals::{Passes, composed};
use support::{CLASSES, FEATURES, learning_rate};

#[global_allocator]
static ALLOCATOR: CacheLines = CacheLines;

/// What `--test` checks.
const FEW: usize = 2_000;

/// Rows that a rival hands to a product at a time: of 64 to 4000 the best or within a tenth of it for each of them (Zen
/// 3, L2 512 KB). A forward pass is 1.4 times as fast by it and a sweep 2 to 3 times; a gradient gains nothing.
const FORWARD_BLOCK: usize = 512;
const SWEEP_BLOCK: usize = 64;

/// A sample is one pass.
const PASS: Sampling = Sampling { length: Duration::ZERO, fewest: 12, time: Duration::from_secs(3) };

/// A sample is shorter than an epoch, so that the best one has no shuffling in it.
const STEP: Sampling = Sampling { length: Duration::from_millis(2), fewest: 12, time: Duration::from_secs(2) };

/// Everyone's weights displace the others' from the last cache, so that a sample is of several runs.
const WIDE: Sampling = Sampling { length: Duration::from_millis(10), fewest: 12, time: Duration::from_secs(3) };

/// The one row, and the learning rate on its loss: however often it is trained on, its logits stay small.
const WIDE_FEATURES: usize = 4096;
const WIDE_CLASSES: usize = 1000;
const WIDE_RATE: f32 = 1e-4;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let measure = flag("--bench") && !flag("--test");
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |line: &str| names.is_empty() || names.iter().any(|name| line.contains(*name));

    let level = Level::best();
    let images = if measure { Images::all() } else { Images::all().first(FEW) };
    let dataset = LazyCell::new(|| images.dataset(Element::F32));
    let all = LazyCell::new(|| Rows::<FEATURES, CLASSES>::images(level, &images));
    let row = Random::new(1).numbers(WIDE_FEATURES, 1.0);
    let one = LazyCell::new(|| Rows::<WIDE_FEATURES, WIDE_CLASSES>::one(level, &row));

    let rows = images.rows();
    let jobs: [Job<'_>; 9] = [
        ("full/forward", PASS, &|| all.forward(rows)),
        ("full/gradient", PASS, &|| all.gradient(rows)),
        ("full/sweep", PASS, &|| all.sweep(rows)),
        ("blocks/forward", PASS, &|| all.forward(FORWARD_BLOCK)),
        ("blocks/sweep", PASS, &|| all.sweep(SWEEP_BLOCK)),
        ("shuffled/100", STEP, &|| shuffled(level, &images, &dataset, 100)),
        ("shuffled/1000", STEP, &|| shuffled(level, &images, &dataset, 1_000)),
        ("row/forward", WIDE, &|| one.forward(1)),
        ("row/step", WIDE, &|| one.step(WIDE_RATE)),
    ];
    let jobs = jobs.into_iter().filter(|(name, ..)| wanted(name));
    let lines: Vec<_> = jobs.map(|(name, sampling, line)| (name, sampling, line())).collect();
    if measure {
        print_table(level, lines);
    } else {
        lines.into_iter().for_each(|(.., mut line)| line.take_turns(Sampling::ONCE));
        println!("passes: everyone's results are right");
    }
}

/// A line's name, how its times are taken, and how everyone is brought together and checked.
type Job<'a> = (&'static str, Sampling, &'a dyn Fn() -> Line<'a>);

/// All who do the same: ours, and each rival both ways.
struct Line<'a> {
    ours: Case<'a>,
    rivals: Vec<(&'static str, [Case<'a>; 2])>,
}

impl<'a> Line<'a> {
    /// `case` checks what a rival computes, and is what it does then.
    fn new(ours: Case<'a>, rivals: Vec<[Box<dyn Passes>; 2]>, case: impl Fn(Box<dyn Passes>) -> Case<'a>) -> Self {
        let rivals = rivals.into_iter().map(|both| (both[0].name(), both.map(&case)));
        Self { ours, rivals: rivals.collect() }
    }

    fn take_turns(&mut self, sampling: Sampling) {
        let rivals = self.rivals.iter_mut().flat_map(|(_, both)| both);
        let mut everyone: Vec<_> = [&mut self.ours].into_iter().chain(rivals).collect();
        take_turns(&mut everyone, sampling).expect("shapes that fit");
    }
}

/// Rows of `F` features in `C` classes, the model that everyone starts from, and what must come of it.
struct Rows<'a, const F: usize, const C: usize> {
    level: Level,
    x: &'a [f32],
    labels: Vec<u8>,
    start: Parameters,
    answer: Answer,
    /// `p - y`, `[n, classes]`
    residual: Vec<f32>,
}

impl<'a> Rows<'a, FEATURES, CLASSES> {
    /// The answer is the gradient.
    fn images(level: Level, images: &'a Images) -> Self {
        assert!(images.values.as_ptr().addr().is_multiple_of(CACHE_LINE), "rows that start at a cache line");
        let start = Parameters::start();
        let answer = Answer::of_gradient(&images.wide(), &images.wide_one_hot(), &start);
        let residual = answer.residual();
        Self { level, x: &images.values, labels: images.labels.clone(), start, answer, residual }
    }
}

impl<'a> Rows<'a, WIDE_FEATURES, WIDE_CLASSES> {
    /// The answer is a step.
    fn one(level: Level, row: &'a [f32]) -> Self {
        let (start, label) = (Parameters::random(WIDE_FEATURES, WIDE_CLASSES), 7);
        let mut target = vec![0.0; WIDE_CLASSES];
        target[usize::from(label)] = 1.0;
        let answer = Answer::of_step(&wide(row), &target, WIDE_RATE, &start);
        let residual = answer.residual();
        Self { level, x: row, labels: vec![label], start, answer, residual }
    }
}

impl<const F: usize, const C: usize> Rows<'_, F, C> {
    fn matrix(&self) -> Matrix<'_> {
        Matrix::from_f32(self.x, F).expect("whole rows")
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(self.matrix(), Targets::from_u8(&self.labels)).expect("a label a row")
    }

    /// The rivals' products are of at most so many rows.
    fn forward(&self, rows: usize) -> Line<'_> {
        let (level, x, model) = (self.level, self.matrix(), self.start.packed());
        let mut logits = vec![f32::NAN; x.rows() * C];
        kernel::forward(level, x, &model, &mut logits).expect("the shapes fit");
        self.answer.check_forward("ours", &logits);
        let ours = Case::new(move || kernel::forward(level, x, &model, black_box(&mut logits)));
        Line::new(ours, composed::<F, C>(&self.start, rows), |mut rival| {
            self.answer.check_forward(rival.name(), rival.forward(self.x));
            Case::new(move || {
                black_box(rival.forward(self.x));
                Ok(())
            })
        })
    }

    fn gradient(&self, rows: usize) -> Line<'_> {
        let (level, x, residual) = (self.level, self.matrix(), &self.residual);
        let mut gradient = self.start.packed();
        kernel::gradient(level, x, residual, &mut gradient).expect("the shapes fit");
        self.answer.check_parameters("ours", &Parameters::unpacked(&gradient));
        let ours = Case::new(move || kernel::gradient(level, x, residual, black_box(&mut gradient)));
        Line::new(ours, composed::<F, C>(&self.start, rows), |mut rival| {
            rival.gradient(self.x, residual);
            self.answer.check_parameters(rival.name(), &rival.last_gradient());
            Case::new(move || {
                black_box(&mut rival).gradient(self.x, residual);
                Ok(())
            })
        })
    }

    fn sweep(&self, rows: usize) -> Line<'_> {
        let (level, batch, model) = (self.level, self.batch(), self.start.packed());
        let (mut sweep, mut losses, mut gradient) =
            (kernel::Sweep::new(), vec![f64::NAN; self.labels.len()], model.clone());
        let loss = sweep.run(level, batch, &model, &mut losses, &mut gradient).expect("the shapes fit");
        self.answer.check_step("ours", loss.sum, &Parameters::unpacked(&gradient));
        let ours = Case::new(move || {
            sweep.run(level, batch, &model, black_box(&mut losses), black_box(&mut gradient)).map(drop)
        });
        Line::new(ours, composed::<F, C>(&self.start, rows), |mut rival| {
            let loss = rival.sweep(self.x, &self.labels);
            self.answer.check_step(rival.name(), loss, &rival.last_gradient());
            Case::new(move || {
                black_box(rival.sweep(self.x, &self.labels));
                Ok(())
            })
        })
    }

    fn step(&self, learning_rate: f32) -> Line<'_> {
        let (batch, mut trainer) = (self.batch(), self.start.trainer_at(self.level, learning_rate));
        let loss = trainer.step(batch).expect("a batch of the model's shape");
        self.answer.check_step("ours", loss, &Parameters::of(trainer.model()));
        let ours = Case::new(move || trainer.step(batch).map(drop));
        Line::new(ours, composed::<F, C>(&self.start, self.labels.len()), |mut rival| {
            let loss = rival.step(self.x, &self.labels, learning_rate);
            self.answer.check_step(rival.name(), loss, &rival.parameters());
            Case::new(move || {
                black_box(rival.step(self.x, &self.labels, learning_rate));
                Ok(())
            })
        })
    }
}

/// The step that is checked is on the first rows.
fn shuffled<'a>(level: Level, images: &'a Images, dataset: &'a Dataset, rows: usize) -> Line<'a> {
    let (first, start, rate) = (images.first(rows), Parameters::start(), learning_rate(rows));
    let answer = Answer::new(&first, &start);
    let (mut trainer, mut batches) = (start.trainer(level, rows), dataset.batches(rows));
    let loss = trainer.step(first.batch(Element::F32)).expect("a batch of the model's shape");
    answer.check_step("ours", loss, &Parameters::of(trainer.model()));
    let ours = Case::new(move || trainer.step(batches.next_batch()).map(drop));
    Line::new(ours, composed::<FEATURES, CLASSES>(&start, rows), |mut rival| {
        let loss = rival.step(&first.values, &first.labels, rate);
        answer.check_step(rival.name(), loss, &rival.parameters());
        let mut batches = Gathered::new(images, Element::F32, rows);
        Case::new(move || {
            let (x, labels) = batches.next_batch();
            black_box(rival.step(x, labels, rate));
            Ok(())
        })
    })
}

/// Printed as it is measured.
fn print_table(level: Level, lines: Vec<(&str, Sampling, Line<'_>)>) {
    println!("level {level}, one thread; microseconds, and each rival's as a multiple of ours");
    #[cfg(feature = "openblas")]
    println!("{}", support::products::openblas::config());
    print!("\n                      ours");
    for (name, _) in lines.iter().take(1).flat_map(|(.., line)| &line.rivals) {
        print!("  {name:>16}");
    }
    println!();
    for (name, sampling, mut line) in lines {
        line.take_turns(sampling);
        let ours = line.ours.seconds() * 1e6;
        print!("{name:<15}{ours:>11.1}");
        for (_, both) in &line.rivals {
            let rival = both.iter().map(Case::seconds).fold(f64::INFINITY, f64::min) * 1e6;
            print!("  {rival:>10.1} {:>5.2}", rival / ours);
        }
        println!();
    }
}
