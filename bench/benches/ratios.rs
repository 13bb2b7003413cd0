//! How many times as fast as other crates, as a table: `cargo bench --bench ratios`. Ours at each level and every rival
//! run by turns in one process, as `softreg_bench::sampling` has it.
//!
//! Everyone's logits and first step are checked against the f64 reference before anything is timed. Rivals compute on
//! contiguous f32 rows, whatever the rows are stored as: a batch that stays the same is given to them so, a batch that
//! is picked they bring together themselves. They choose their instructions themselves and do not run at our levels.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, everyone is checked, runs once, and no table is printed.

mod support;

use softreg::{Dataset, Level, Result};
use softreg_bench::sampling::{self, Sampling, take_turns};
use std::hint::black_box;
use std::time::Duration;
use support::check::{Answer, Parameters};
use support::data::{Element, Gathered, Images};
use support::{CLASSES, learning_rate, rivals};

/// One request, the tutorial's batch, and one that leaves the first-level cache far behind.
const BATCHES: [usize; 3] = [1, 100, 1_000];
const SAMPLING: Sampling = Sampling { length: Duration::from_millis(2), fewest: 200, time: Duration::ZERO };

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let measure = flag("--bench") && !flag("--test");

    let (images, start) = (Images::all(), Parameters::start());
    let datasets = Element::BOTH.map(|element| {
        let dataset = images.dataset(element);
        (element, [dataset.clone(), dataset.skip_zeros()])
    });
    let batches = BATCHES.map(|rows| images.first(rows));
    let answers = batches.each_ref().map(|batch| Answer::new(batch, &start));
    let (mut forwards, mut steps, mut picked) = (Vec::new(), Vec::new(), Vec::new());
    for (batch, answer) in batches.iter().zip(&answers) {
        for (element, datasets) in &datasets {
            forwards.push(forward(batch, *element, &start, answer));
            steps.push(step(batch, *element, &start, answer));
            picked.push(shuffled(&images, datasets, *element, batch.rows(), &start));
        }
    }
    let tables = [
        ("forward pass, the same batch again and again", forwards),
        ("whole step, the same batch again and again", steps),
        ("whole step, batches picked from 60,000 shuffled rows", picked),
    ];
    if measure {
        println!(
            "microseconds on one thread, the best of {} samples of at least {} ms by turns; a rival's with its multiple of ours",
            SAMPLING.fewest,
            SAMPLING.length.as_millis()
        );
        tables.into_iter().for_each(|(title, matches)| print_table(title, matches));
    } else {
        tables.into_iter().flat_map(|(_, matches)| matches).for_each(|mut them| them.take_turns(Sampling::ONCE));
        println!("ratios: every case gives the right logits and the right step");
    }
}

/// Someone's way to do what a table times, once.
struct Case<'a> {
    name: String,
    time: sampling::Case<'a>,
}

impl<'a> Case<'a> {
    fn new(name: impl Into<String>, run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { name: name.into(), time: sampling::Case::new(run) }
    }

    /// The best sample, in microseconds a run.
    fn microseconds(&self) -> f64 {
        self.time.seconds() * 1e6
    }
}

/// All who do the same on the same rows: ours, of which each becomes a line of the table, and the rivals, which become
/// its columns.
struct Match<'a> {
    rows: usize,
    element: Element,
    ours: Vec<Case<'a>>,
    rivals: Vec<Case<'a>>,
}

fn forward<'a>(batch: &'a Images, element: Element, start: &Parameters, answer: &Answer) -> Match<'a> {
    let ours = Level::available().into_iter().map(|level| {
        let (model, x) = (start.model(level), batch.x(element));
        let mut logits = vec![f32::NAN; batch.rows() * CLASSES];
        model.logits_into(x, &mut logits).expect("the shapes fit");
        answer.check_forward(&format!("{level} {element}"), &logits);
        Case::new(level.name(), move || model.logits_into(x, black_box(&mut logits)))
    });
    let rivals = rivals::all(start).into_iter().map(|mut rival| {
        answer.check_forward(rival.name(), rival.forward(&batch.values));
        Case::new(rival.name(), move || {
            black_box(rival.forward(&batch.values));
            Ok(())
        })
    });
    Match { rows: batch.rows(), element, ours: ours.collect(), rivals: rivals.collect() }
}

fn step<'a>(images: &'a Images, element: Element, start: &Parameters, answer: &Answer) -> Match<'a> {
    let (rows, batch) = (images.rows(), images.batch(element));
    let ours = Level::available().into_iter().map(|level| {
        let mut trainer = start.trainer(level, rows);
        let loss = trainer.step(batch).expect("a batch of the model's shape");
        answer.check_step(&format!("{level} {element}"), loss, &Parameters::of(trainer.model()));
        Case::new(level.name(), move || trainer.step(batch).map(drop))
    });
    let rivals = rivals::all(start).into_iter().map(|mut rival| {
        let loss = rival.step(&images.values, &images.labels, learning_rate(rows));
        answer.check_step(rival.name(), loss, &rival.parameters());
        Case::new(rival.name(), move || {
            black_box(rival.step(&images.values, &images.labels, learning_rate(rows)));
            Ok(())
        })
    });
    Match { rows, element, ours: ours.collect(), rivals: rivals.collect() }
}

/// The steps are those that `step` checked; ours over the rows as they are, and with their zeros skipped. A sample is
/// shorter than an epoch, so that the best one has no shuffling in it: neither ours nor the rivals'.
fn shuffled<'a>(
    images: &'a Images,
    datasets: &'a [Dataset; 2],
    element: Element,
    rows: usize,
    start: &Parameters,
) -> Match<'a> {
    let levels = Level::available().into_iter();
    let ours = levels.flat_map(|level| datasets.iter().map(move |dataset| (level, dataset))).map(|(level, dataset)| {
        let (mut trainer, mut batches) = (start.trainer(level, rows), dataset.batches(rows));
        let name = if dataset.skips_zeros() { format!("{level} skip") } else { level.to_string() };
        Case::new(name, move || trainer.step(batches.next_batch()).map(drop))
    });
    let rivals = rivals::all(start).into_iter().map(|mut rival| {
        let mut batches = Gathered::new(images, element, rows);
        Case::new(rival.name(), move || {
            let (x, labels) = batches.next_batch();
            black_box(rival.step(x, labels, learning_rate(rows)));
            Ok(())
        })
    });
    Match { rows, element, ours: ours.collect(), rivals: rivals.collect() }
}

impl Match<'_> {
    fn take_turns(&mut self, sampling: Sampling) {
        let everyone = self.ours.iter_mut().chain(&mut self.rivals);
        let mut everyone: Vec<_> = everyone.map(|case| &mut case.time).collect();
        take_turns(&mut everyone, sampling).expect("a batch of the model's shape");
    }
}

/// One line for each of ours, printed as it is measured: our time, and each rival's with its multiple of ours.
fn print_table(title: &str, matches: Vec<Match<'_>>) {
    print!("\n{title}\n batch  data  level             ours");
    for rival in matches.iter().take(1).flat_map(|them| &them.rivals) {
        print!("  {:>15}", rival.name);
    }
    println!();
    for mut them in matches {
        them.take_turns(SAMPLING);
        for case in &them.ours {
            let ours = case.microseconds();
            print!("{:>6}  {:<4}  {:<13}{ours:>9.2}", them.rows, them.element, case.name);
            for rival in them.rivals.iter().map(Case::microseconds) {
                print!("  {rival:>8.2} {:>6.2}", rival / ours);
            }
            println!();
        }
    }
}
