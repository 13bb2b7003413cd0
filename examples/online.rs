//! A service that learns from a stream, a row at a time, while other threads predict: a learning rate that falls, a class that
//! was not known at the start, and a state on the disk that goes on where it was. `cargo run --release --example online`.

use softreg::{Batch, Matrix, Schedule, Sgd, SoftmaxRegression, Trainer};
use std::ops::Range;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const FEATURES: usize = 64;
const ROWS: u64 = 20_000;

/// The model that the readers see.
type Shown = RwLock<SoftmaxRegression>;

/// The stream: each class has bright features of its own; from half way on there is a third one.
pub(crate) fn next_row(step: u64, row: &mut [f32; FEATURES]) -> u32 {
    let noise = |feature: u64| ((step * 64 + feature).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 * 5.96e-8;
    let label = (step.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % if step < ROWS / 2 { 2 } else { 3 };
    for (feature, value) in (0..).zip(row.iter_mut()) {
        *value = noise(feature) + if feature % 3 == label { 0.3 } else { 0.0 };
    }
    label as u32
}

/// Learns some rows, and shows each step's model to the readers.
pub(crate) fn learn(trainer: &mut Trainer, steps: Range<u64>, shown: &Shown) -> softreg::Result<()> {
    let mut row = [0.0; FEATURES];
    for step in steps {
        let label = next_row(step, &mut row);
        if label as usize == trainer.model().classes() {
            trainer.add_class()?;
        }
        trainer.step(Batch::new(Matrix::from_f32(&row, FEATURES)?, &[label][..])?)?;
        shown.write().expect("no reader panics").clone_from(trainer.model());
    }
    Ok(())
}

pub(crate) fn service() -> Trainer {
    Trainer::new(SoftmaxRegression::zeros(FEATURES, 2), Sgd::new(0.5)).schedule(Schedule::inverse_scaling(0.25))
}

#[allow(dead_code, reason = "the tests run the service their own way")]
fn main() -> softreg::Result<()> {
    let path = std::env::temp_dir().join("softreg-online.safetensors");
    let (shown, done, correct) =
        (RwLock::new(SoftmaxRegression::zeros(FEATURES, 2)), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| -> softreg::Result<()> {
        for reader in 0..4 {
            let (shown, done, correct) = (&shown, &done, &correct);
            threads.spawn(move || {
                let mut row = [0.0; FEATURES];
                for step in (reader..).step_by(4).take_while(|_| !done.load(Ordering::Relaxed)) {
                    let label = next_row(step, &mut row);
                    let model = shown.read().expect("the writer does not panic");
                    let right = model.predictor().class(&row).is_ok_and(|class| class == label);
                    correct.fetch_add(usize::from(right), Ordering::Relaxed);
                }
            });
        }
        let mut trainer = service();
        let result = learn(&mut trainer, 0..15_000, &shown).and_then(|()| trainer.save(&path)).and_then(|()| {
            learn(&mut Trainer::load(&path)?, 15_000..ROWS, &shown) // after a restart
        });
        done.store(true, Ordering::Relaxed);
        result
    })?;
    println!("{} rows were classified rightly while {ROWS} were learnt", correct.into_inner());
    let _ = std::fs::remove_file(&path); // another run may have taken it away
    Ok(())
}
