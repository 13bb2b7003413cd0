//! The tutorial's run, 1000 steps of 100 images in file order, against the same run in float64 NumPy
//! (`golden/tutorial_in_file_order.json` says how it was made), at every level.
#![cfg(feature = "mnist")]

use crate::support::failures::Failures;
use crate::support::levels::levels;
use crate::support::npy;
use serde_json::Value;
use softreg::mnist::{self, Mnist};
use softreg::{Level, Reduction, Sgd, SoftmaxRegression, Trainer};

const RUN: &str = include_str!("../golden/tutorial_in_file_order.json");
const WEIGHTS: &[u8] = include_bytes!("../golden/tutorial_in_file_order_W.npy");

const STEPS: usize = 1000;

/// Plain f32 NumPy stays within 6e-7 of the losses and 1.4e-6 of the weights; these leave room for other orders of
/// summation, and none for another formula.
const LOSS_RELATIVE: f64 = 1e-5;
const WEIGHT_ABSOLUTE: f64 = 2e-5;
const LOG_LOSS_ABSOLUTE: f64 = 1e-5;
const CORRECT_APART: u64 = 1;

/// What the run should be.
struct Golden {
    losses: Vec<(usize, f64)>,
    weights: Vec<f64>,
    bias: Vec<f64>,
    correct: u64,
    log_loss: f64,
}

impl Golden {
    fn read() -> Self {
        let run: Value = serde_json::from_str(RUN).expect("the golden run is JSON");
        let number = |value: &Value| value.as_f64().expect("a number");
        let steps = run["loss_sum_at_step"].as_object().expect("losses by step");
        let (weights, width) = npy::read(WEIGHTS);
        assert_eq!((weights.len(), width), (7840, 10), "the golden weights");
        let losses = steps.iter().map(|(step, loss)| (step.parse().expect("a step"), number(loss)));
        Self {
            losses: losses.collect(),
            weights: weights.into_iter().map(f64::from).collect(),
            bias: run["b"].as_array().expect("ten biases").iter().map(number).collect(),
            correct: run["test_correct_of_10000"].as_u64().expect("a count"),
            log_loss: number(&run["test_mean_log_loss"]),
        }
    }
}

/// Trains at this level and says everything in which the run differs from the golden one.
fn run(level: Level, golden: &Golden, data: &Mnist, failures: &mut Failures) {
    let model = SoftmaxRegression::zeros(784, 10).with_level(level);
    let mut trainer = Trainer::new(model, Sgd::new(0.01)).reduction(Reduction::Sum);
    let mut batches = data.train.batches(100).in_file_order();
    let losses: Vec<f64> = (0..STEPS)
        .map(|_| trainer.step(batches.next_batch()).expect("the shapes fit and the loss is finite"))
        .collect();
    for &(step, want) in &golden.losses {
        let got = losses[step];
        failures.check(format!("{level}, loss at step {step}"), || {
            within((got - want) / want, LOSS_RELATIVE).map_err(|error| format!("{got} for {want}, relative {error}"))
        });
    }
    let model = trainer.model();
    let parameters =
        [("weights", model.to_row_major(), &golden.weights), ("bias", model.bias().to_vec(), &golden.bias)];
    for (name, got, want) in parameters {
        failures.check(format!("{level}, {name}"), || {
            if got.len() != want.len() {
                return Err(format!("{} values for {}", got.len(), want.len()));
            }
            let farthest = got.iter().zip(want).map(|(got, want)| (f64::from(*got) - want).abs()).fold(0.0, f64::max);
            println!("{level}: {name} within {farthest:.1e}");
            got.iter().zip(want).try_for_each(|(got, want)| within(f64::from(*got) - want, WEIGHT_ABSOLUTE))
        });
    }
    let evaluation = model.evaluate(&data.test).expect("the shapes fit");
    failures.check(format!("{level}, test set"), || {
        let apart = (evaluation.correct as u64).abs_diff(golden.correct);
        if evaluation.rows != 10_000 || apart > CORRECT_APART {
            return Err(format!("{} of {} right, wanted {}", evaluation.correct, evaluation.rows, golden.correct));
        }
        within(evaluation.log_loss - golden.log_loss, LOG_LOSS_ABSOLUTE)
            .map_err(|error| format!("log loss {}: {error}", evaluation.log_loss))
    });
}

/// NaN is never within.
fn within(error: f64, limit: f64) -> Result<(), String> {
    if error.abs() <= limit { Ok(()) } else { Err(format!("off by {error:e}, more than {limit:e}")) }
}

#[test]
fn the_tutorial_in_file_order_follows_float64_numpy_at_every_level() {
    let golden = Golden::read();
    let data = mnist::read_files(softreg_mnist::FILES, 0).expect("the embedded files are MNIST");
    assert_eq!((golden.losses.len(), golden.weights.len(), golden.bias.len()), (9, 7840, 10));
    let mut failures = Failures::default();
    for level in levels() {
        run(level, &golden, &data, &mut failures);
    }
    failures.finish();
}
