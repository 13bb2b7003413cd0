//! What a step of each optimizer costs beside one of plain SGD, as a table: `cargo bench --bench optimizers`. One thread, all
//! by turns in one process, as `softreg_bench::sampling` has it. Whether the steps are right is the tests' business.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, everyone runs once, and no table is printed.

mod support;

use softreg::{Adagrad, Adam, AdamW, Dataset, Level, Optimizer, RmsProp, Sgd, SoftmaxRegression, Trainer};
use softreg_bench::sampling::{Case, Sampling, take_turns};
use std::time::Duration;
use support::data::{Element, Images};
use support::random::Random;

const SAMPLING: Sampling = Sampling { length: Duration::from_millis(1), fewest: 200, time: Duration::ZERO };

/// So small that no weight goes far, however long it is measured.
const RATE: f64 = 1e-7;

fn optimizers() -> [(&'static str, Optimizer); 9] {
    [
        ("Sgd", Sgd::new(RATE).into()),
        ("Sgd, weight decay", Sgd::new(RATE).weight_decay(1e-4).into()),
        ("Sgd, momentum", Sgd::new(RATE).momentum(0.9).into()),
        ("Sgd, Nesterov", Sgd::new(RATE).momentum(0.9).nesterov(true).into()),
        ("Adagrad", Adagrad::new(RATE).into()),
        ("RmsProp", RmsProp::new(RATE).into()),
        ("RmsProp, centred", RmsProp::new(RATE).centred(true).momentum(0.9).into()),
        ("Adam", Adam::new(RATE).into()),
        ("AdamW", AdamW::new(RATE).into()),
    ]
}

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let measure = flag("--bench") && !flag("--test");
    let images = Images::all();
    let mut shapes: Vec<(String, Dataset, usize)> = Vec::new();
    for rows in [1, 100, 1000] {
        for element in Element::BOTH {
            shapes.push((format!("784 x 10, {rows} rows, {element}"), images.dataset(element), rows));
        }
    }
    shapes.push(("768 x 100, 32 rows".to_owned(), random_rows(32, 768, 100), 32));
    shapes.push(("4096 x 1000, 1 row".to_owned(), random_rows(1, 4096, 1000), 1));
    if measure {
        println!("the same batch again and again; microseconds of plain SGD, and the others' as multiples of it\n");
    }
    for level in Level::available() {
        for (name, data, rows) in &shapes {
            let mut cases: Vec<Case<'_>> =
                optimizers().map(|(_, optimizer)| case(level, data, *rows, optimizer)).into();
            if !measure {
                take_turns(&mut cases.iter_mut().collect::<Vec<_>>(), Sampling::ONCE).expect("every step is finite");
                continue;
            }
            take_turns(&mut cases.iter_mut().collect::<Vec<_>>(), SAMPLING).expect("every step is finite");
            let plain = cases[0].seconds();
            println!("{level}, {name}: {:.2}", plain * 1e6);
            for ((name, _), case) in optimizers().iter().zip(&cases).skip(1) {
                println!("    {name:<20} {:.2}", case.seconds() / plain);
            }
        }
    }
    if !measure {
        println!("optimizers: every step is finite");
    }
}

fn random_rows(rows: usize, features: usize, classes: usize) -> Dataset {
    let mut random = Random::new(1);
    let (x, labels) = (random.numbers(rows * features, 1.0), random.labels(rows, classes));
    Dataset::from_f32(x, labels, features, classes).expect("the lengths fit")
}

fn case(level: Level, data: &Dataset, rows: usize, optimizer: Optimizer) -> Case<'_> {
    let model = SoftmaxRegression::zeros(data.features(), data.classes()).with_level(level);
    let mut trainer = Trainer::new(model, optimizer);
    let batch = data.split_at(rows).expect("so many rows").0;
    Case::new(move || trainer.step(batch.as_batch()).map(drop))
}
