//! One seed gives one result, to the last bit, at any thread count. Whether the result is right is asked elsewhere.

use crate::support::cases::Shape;
use crate::support::levels::levels;
use crate::support::random::Random;
use softreg::{Dataset, Level, Reduction, Sgd, SoftmaxRegression, Trainer};

const THREADS: [usize; 4] = [1, 2, 3, 8];

/// Images whose label can be learnt: each class has a bright band of its own.
fn pixels(shape: Shape, seed: u64) -> Dataset {
    let mut random = Random::new(seed);
    let labels: Vec<u8> = random.labels(shape.rows, shape.classes).into_iter().map(|label| label as u8).collect();
    let mut pixels = random.pixels(shape.rows * shape.features);
    for (row, &label) in pixels.chunks_exact_mut(shape.features).zip(&labels) {
        row.iter_mut().skip(usize::from(label)).step_by(shape.classes).for_each(|pixel| *pixel |= 0x80);
    }
    Dataset::from_u8(pixels, labels, shape.features, shape.classes).expect("the lengths fit")
}

fn values(shape: Shape, seed: u64) -> Dataset {
    let mut random = Random::new(seed);
    let labels = random.labels(shape.rows, shape.classes);
    let values = random.numbers(shape.rows * shape.features, 1.0);
    Dataset::from_f32(values, labels, shape.features, shape.classes).expect("the lengths fit")
}

/// Everything that a run computes, as bits.
#[derive(Debug, PartialEq)]
struct Outcome {
    losses: Vec<u64>,
    weights: Vec<u32>,
    probabilities: Vec<u32>,
    log_probabilities: Vec<u32>,
    log_loss: u64,
    correct: usize,
}

/// How a run is made.
struct Run<'a> {
    data: &'a Dataset,
    level: Level,
    threads: usize,
    batch: usize,
    steps: usize,
    seed: u64,
}

impl Run<'_> {
    fn outcome(&self) -> Outcome {
        let model = SoftmaxRegression::zeros(self.data.features(), self.data.classes());
        let model = model.with_level(self.level).with_threads(self.threads);
        let mut trainer = Trainer::new(model, Sgd::new(0.05)).reduction(Reduction::Mean);
        let mut batches = self.data.batches(self.batch).seed(self.seed);
        let step = |_| trainer.step(batches.next_batch()).expect("the shapes fit and the loss is finite").to_bits();
        let losses = (0..self.steps).map(step).collect();
        let model = trainer.into_model();
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let evaluation = model.evaluate(self.data).expect("the shapes fit");
        Outcome {
            losses,
            weights: bits(&[model.to_row_major(), model.bias().to_vec()].concat()),
            probabilities: bits(&model.predict_proba(self.data.x()).expect("the shapes fit")),
            log_probabilities: bits(&model.predict_log_proba(self.data.x()).expect("the shapes fit")),
            log_loss: evaluation.log_loss.to_bits(),
            correct: evaluation.correct,
        }
    }
}

/// The same outcome for every thread count, and for the same thread count twice.
fn check(data: &Dataset, batch: usize, steps: usize) {
    for level in levels() {
        let outcome = |threads| Run { data, level, threads, batch, steps, seed: 7 }.outcome();
        let serial = outcome(1);
        for threads in THREADS {
            assert!(outcome(threads) == serial, "{level}, {threads} threads, batches of {batch} from {data:?}");
        }
    }
}

#[test]
fn batches_of_100_images_train_to_the_same_bits_at_any_thread_count() {
    check(&pixels(Shape { rows: 1500, features: 784, classes: 10 }, 1), 100, 12);
}

#[test]
fn batches_of_1000_images_train_to_the_same_bits_at_any_thread_count() {
    check(&pixels(Shape { rows: 2300, features: 784, classes: 10 }, 2), 1000, 4);
}

#[test]
fn ragged_shapes_train_to_the_same_bits_at_any_thread_count() {
    for (rows, features, classes, batch) in [
        (500, 785, 11, 333),
        (300, 33, 3, 129),
        (40, 1, 2, 7),
        (700, 1030, 26, 257),
        (260, 300, 130, 130),
        (520, 17, 2050, 512), // lanes along the classes, many of them
    ] {
        let shape = Shape { rows, features, classes };
        check(&values(shape, rows as u64), batch, 3);
        check(&pixels(shape, rows as u64), batch, 3);
    }
}

/// Large enough that every part of the work is split, the softmax included.
#[test]
fn a_batch_of_20000_trains_to_the_same_bits_at_any_thread_count() {
    check(&pixels(Shape { rows: 20_000, features: 40, classes: 10 }, 3), 20_000, 2);
}

#[test]
fn one_seed_gives_one_result_and_another_seed_another() {
    let data = pixels(Shape { rows: 1500, features: 784, classes: 10 }, 4);
    for level in levels() {
        let outcome = |seed| Run { data: &data, level, threads: 2, batch: 100, steps: 12, seed }.outcome();
        assert!(outcome(0) == outcome(0), "{level}: seed 0 twice");
        assert!(outcome(0) != outcome(1), "{level}: seeds 0 and 1 agree, so the seed is not used");
    }
}
