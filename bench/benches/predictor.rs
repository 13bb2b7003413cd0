//! Single rows, 784 x 10: `cargo bench --bench predictor`. What each method of a `Predictor` takes, over `logits_into` and
//! `kernel::softmax` into the caller's buffer, which is what it is made of; and four threads on one model, each with a
//! predictor of its own, over one.
//!
//! The rows are 16 images in turn, which stay in the second-level cache. Logits are checked against the f64 reference, and
//! everyone's answers against each other, before anything is timed. For the threads it takes cores to run on.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, everything is checked, runs once, and no table is printed.

mod support;

use softreg::{Level, Matrix, Predictor, Result, SoftmaxRegression, kernel};
use softreg_bench::sampling::{Case, Sampling, take_turns};
use std::hint::black_box;
use std::thread;
use std::time::Duration;
use support::check::{Answer, Parameters};
use support::compare::same_bits;
use support::data::{Element, Images};
use support::{CLASSES, FEATURES};

/// Rows in turn.
const ROWS: usize = 16;

/// Threads on one model.
const THREADS: usize = 4;

/// Times that a thread predicts all rows: long beside its start.
const ROUNDS: usize = 2_000;

const SAMPLING: Sampling = Sampling { length: Duration::from_millis(1), fewest: 300, time: Duration::ZERO };
const THREADED: Sampling = Sampling { length: Duration::ZERO, fewest: 30, time: Duration::ZERO };

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let measure = flag("--bench") && !flag("--test");
    let (sampling, threaded) = if measure { (SAMPLING, THREADED) } else { (Sampling::ONCE, Sampling::ONCE) };

    let (images, start) = (Images::all().first(ROWS), Parameters::start());
    let answer = Answer::new(&images, &start);
    if measure {
        println!("nanoseconds a row, the best of {} samples by turns; over logits + softmax", SAMPLING.fewest);
        print!("level     data  logits + softmax");
        METHODS.iter().for_each(|(name, _)| print!("  {name:>17}"));
        println!("  {THREADS} threads over one");
    }
    for level in Level::available() {
        let model = start.model(level);
        for element in Element::BOTH {
            check(&model, &images, element, &answer);
            let times = alone(&model, &images, element, sampling);
            let speed = shared(&model, &images, element, threaded);
            if measure {
                print!("{:<8}  {element:<4}  {:>16.1}", level.name(), times[0]);
                times[1..].iter().for_each(|time| print!("  {time:>10.1}  {:>5.2}", time / times[0]));
                println!("  {speed:>18.2}");
            }
        }
    }
    if !measure {
        println!("predictor: every method gives the right answer");
    }
}

/// One of a predictor's methods on a row.
type Method = fn(&mut Predictor<'_>, Row<'_>) -> Result<()>;

/// A row of either kind.
#[derive(Clone, Copy)]
enum Row<'a> {
    F32(&'a [f32]),
    U8(&'a [u8]),
}

/// Calls a method with a row of either kind.
macro_rules! on_row {
    ($row:expr, $values:ident => $call:expr) => {
        match $row {
            Row::F32($values) => $call,
            Row::U8($values) => $call,
        }
    };
}

const METHODS: [(&str, Method); 4] = [
    ("class", |predictor, row| on_row!(row, x => predictor.class(x).map(used))),
    ("probabilities", |predictor, row| on_row!(row, x => predictor.probabilities(x).map(used))),
    ("margin", |predictor, row| on_row!(row, x => predictor.margin(x).map(used))),
    ("top_k, 3", |predictor, row| on_row!(row, x => predictor.top_k(x, 3).map(used))),
];

/// Nothing computes a result that nobody uses.
fn used<T>(result: T) {
    black_box(result);
}

fn rows(images: &Images, element: Element) -> impl Iterator<Item = Row<'_>> {
    (0..ROWS).map(move |row| row * FEATURES..(row + 1) * FEATURES).map(move |cells| match element {
        Element::F32 => Row::F32(&images.values[cells]),
        Element::U8 => Row::U8(&images.pixels[cells]),
    })
}

/// What a predictor is made of.
fn logits_and_softmax(model: &SoftmaxRegression, row: Row<'_>, out: &mut [f32]) -> Result<()> {
    let x = match row {
        Row::F32(values) => Matrix::from_f32(values, FEATURES)?,
        Row::U8(pixels) => Matrix::from_u8(pixels, FEATURES)?,
    };
    model.logits_into(x, out)?;
    kernel::softmax(model.exec(), out, CLASSES)
}

fn check(model: &SoftmaxRegression, images: &Images, element: Element, answer: &Answer) {
    let (mut predictor, mut logits) = (model.predictor(), Vec::new());
    for row in rows(images, element) {
        let mut expected = [f32::NAN; CLASSES];
        logits_and_softmax(model, row, &mut expected).expect("one row");
        let found = on_row!(row, x => predictor.probabilities(x)).expect("one row");
        same_bits(found, &expected).expect("the same probabilities");
        logits.extend_from_slice(on_row!(row, x => predictor.logits(x)).expect("one row"));
    }
    answer.check_forward(&format!("{} {element}", model.level()), &logits);
}

/// Nanoseconds a row on one thread: of logits and softmax, and of each method.
fn alone(model: &SoftmaxRegression, images: &Images, element: Element, sampling: Sampling) -> Vec<f64> {
    let mut out = [0.0; CLASSES];
    let baseline = Case::new(move || {
        rows(images, element).try_for_each(|row| logits_and_softmax(model, row, black_box(&mut out)))
    });
    let methods = METHODS.iter().map(|(_, method)| {
        let mut predictor = model.predictor();
        Case::new(move || rows(images, element).try_for_each(|row| method(&mut predictor, row)))
    });
    let mut cases: Vec<_> = [baseline].into_iter().chain(methods).collect();
    take_turns(&mut cases.iter_mut().collect::<Vec<_>>(), sampling).expect("one row");
    cases.iter().map(|case| case.seconds() * 1e9 / ROWS as f64).collect()
}

/// How many times as many rows several threads on one model predict in a time as one thread does.
fn shared(model: &SoftmaxRegression, images: &Images, element: Element, sampling: Sampling) -> f64 {
    let work = move || {
        let mut predictor = model.predictor();
        let mut all = || rows(images, element).try_for_each(|row| on_row!(row, x => predictor.class(x)).map(drop));
        (0..ROUNDS).try_for_each(|_| all())
    };
    let mut cases = [1, THREADS].map(|threads| {
        Case::new(move || {
            thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
            })
        })
    });
    take_turns(&mut cases.iter_mut().collect::<Vec<_>>(), sampling).expect("one row");
    let [one, all] = cases.map(|case| case.seconds());
    THREADS as f64 * one / all
}
