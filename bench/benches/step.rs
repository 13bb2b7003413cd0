//! The whole training step, ours at each level and other crates' on the same rows in the same run:
//! `cargo bench --bench step`. Forward pass, loss, gradient and update; every case's first step is checked against
//! the f64 reference before any is timed. For the ratios alone, measured side by side, see `ratios.rs`.
//!
//! `step/hot` trains on the same batch again and again: the arithmetic, for batches that fit into a cache.
//! `step/shuffled` picks each batch from all 60,000 rows, stored as f32 or as pixels: ours by index, the others' brought
//! together as f32, which is what a product over contiguous rows needs. There the memory takes its share.
//!
//! Rates are in multiply-adds of the two products (one is two FLOP) and in bytes of the rows, which both products read.

mod support;

use criterion::Criterion;
use softreg::Level;
use support::check::{Answer, Parameters};
use support::data::{Element, Gathered, Images};
use support::rates::{self, id};
use support::{BATCHES, learning_rate, rivals};

fn main() {
    let mut criterion = rates::criterion();
    let (images, start) = (Images::all(), Parameters::start());
    let batches = BATCHES.map(|rows| images.first(rows));
    for batch in &batches {
        check(batch, &start);
    }
    hot(&mut criterion, &batches, &start);
    shuffled(&mut criterion, &images, &start);
    criterion.final_summary();
}

/// Everyone's first step. Panics where one is wrong.
fn check(batch: &Images, start: &Parameters) {
    let answer = Answer::new(batch, start);
    for level in Level::available() {
        for element in Element::BOTH {
            let mut trainer = start.trainer(level, batch.rows());
            let loss = trainer.step(batch.batch(element)).expect("a batch of the model's shape");
            answer.check_step(&format!("{level} {element}"), loss, &Parameters::of(trainer.model()));
        }
    }
    for mut rival in rivals::all(start) {
        let loss = rival.step(&batch.values, &batch.labels, learning_rate(batch.rows()));
        answer.check_step(rival.name(), loss, &rival.parameters());
    }
}

fn hot(criterion: &mut Criterion, batches: &[Images], start: &Parameters) {
    let mut group = criterion.benchmark_group("step/hot");
    for batch in batches {
        let rows = batch.rows();
        for level in Level::available() {
            for element in Element::BOTH {
                let mut trainer = start.trainer(level, rows);
                group.throughput(rates::step(rows, element));
                group.bench_function(id(format!("{level} {element}"), rows), |bench| {
                    bench.iter(|| trainer.step(batch.batch(element)).expect("a batch of the model's shape"));
                });
            }
        }
        group.throughput(rates::step(rows, Element::F32));
        for mut rival in rivals::all(start) {
            group.bench_function(id(rival.name(), rows), |bench| {
                bench.iter(|| rival.step(&batch.values, &batch.labels, learning_rate(rows)));
            });
        }
    }
}

fn shuffled(criterion: &mut Criterion, images: &Images, start: &Parameters) {
    let mut group = criterion.benchmark_group("step/shuffled");
    let data = Element::BOTH.map(|element| (element, images.dataset(element)));
    for rows in BATCHES {
        for level in Level::available() {
            for (element, data) in &data {
                let (mut trainer, mut batches) = (start.trainer(level, rows), data.batches(rows));
                group.throughput(rates::step(rows, *element));
                group.bench_function(id(format!("{level} {element}"), rows), |bench| {
                    bench.iter(|| trainer.step(batches.next_batch()).expect("a batch of the model's shape"));
                });
            }
        }
        for element in Element::BOTH {
            for mut rival in rivals::all(start) {
                let mut batches = Gathered::new(images, element, rows);
                group.throughput(rates::step(rows, element));
                group.bench_function(id(format!("{} {element}", rival.name()), rows), |bench| {
                    bench.iter(|| {
                        let (x, labels) = batches.next_batch();
                        rival.step(x, labels, learning_rate(rows))
                    });
                });
            }
        }
    }
}
