//! Optimizers and schedules against PyTorch's own, in float64: tests/golden/{optimizers,schedules}.py.

use crate::support::levels::levels;
use serde_json::Value;
use softreg::{
    Adagrad, Adam, AdamW, Batch, Matrix, Optimizer, Plateau, RmsProp, Schedule, Sgd, SoftmaxRegression, Trainer,
};

#[path = "../../examples/pytorch_loop.rs"]
mod pytorch_loop;

fn golden(text: &str) -> Value {
    serde_json::from_str(text).expect("a JSON file")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|value| value.as_f64().expect("a number")).collect()
}

fn f32s(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|value| value as f32).collect()
}

/// The rows, their labels, and the model that all cases start from.
struct Problem {
    x: Vec<f32>,
    labels: Vec<u8>,
    features: usize,
    batch: usize,
    model: SoftmaxRegression,
}

impl Problem {
    fn new(file: &Value) -> Self {
        let size = |name: &str| file[name].as_u64().expect("a size") as usize;
        let x = file["x"].as_array().expect("rows").iter().flat_map(f32s).collect();
        let labels = numbers(&file["labels"]).into_iter().map(|label| label as u8).collect();
        let (w, b) = (f32s(&file["weights"]), f32s(&file["bias"]));
        let model = SoftmaxRegression::from_row_major(&w, &b, size("features"), size("classes")).expect("a model");
        Self { x, labels, features: size("features"), batch: size("batch"), model }
    }

    /// The batch of a step: in file order, over and over.
    fn batch(&self, step: usize) -> Batch<'_> {
        let first = step * self.batch % self.labels.len();
        let x = &self.x[first * self.features..(first + self.batch) * self.features];
        Batch::new(Matrix::from_f32(x, self.features).expect("rows"), &self.labels[first..first + self.batch])
            .expect("fits")
    }
}

fn optimizer(name: &str, settings: &Value) -> Optimizer {
    let get = |name: &str| settings[name].as_f64().expect("a number");
    let is = |name: &str| settings[name].as_bool().expect("true or false");
    match name {
        "sgd" => Sgd::new(get("lr"))
            .momentum(get("momentum"))
            .dampening(get("dampening"))
            .nesterov(is("nesterov"))
            .weight_decay(get("weight_decay"))
            .into(),
        "adagrad" => Adagrad::new(get("lr"))
            .learning_rate_decay(get("lr_decay"))
            .weight_decay(get("weight_decay"))
            .initial_accumulator(get("initial_accumulator_value"))
            .epsilon(get("eps"))
            .into(),
        "rmsprop" => RmsProp::new(get("lr"))
            .alpha(get("alpha"))
            .epsilon(get("eps"))
            .weight_decay(get("weight_decay"))
            .momentum(get("momentum"))
            .centred(is("centered"))
            .into(),
        "adam" => Adam::new(get("lr"))
            .betas(get("beta1"), get("beta2"))
            .epsilon(get("eps"))
            .weight_decay(get("weight_decay"))
            .into(),
        "adamw" => AdamW::new(get("lr"))
            .betas(get("beta1"), get("beta2"))
            .epsilon(get("eps"))
            .weight_decay(get("weight_decay"))
            .into(),
        _ => panic!("an optimizer named {name}"),
    }
}

fn trainer(model: SoftmaxRegression, case: &Value) -> Trainer {
    let name = case["optimizer"].as_str().expect("a name");
    let mut trainer = Trainer::new(model, optimizer(name, &case["settings"]));
    if let Some(largest) = case["clip_norm"].as_f64() {
        trainer = trainer.clip_norm(largest);
    }
    if let Some(largest) = case["clip_value"].as_f64() {
        trainer = trainer.clip_value(largest);
    }
    if let Some(gamma) = case["schedule"]["gamma"].as_f64() {
        trainer = trainer.schedule(Schedule::exponential(gamma));
    }
    trainer
}

/// The largest difference, over the largest magnitude of what is expected.
fn relative(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    found.iter().zip(expected).fold(0.0, |worst: f64, (&a, b)| worst.max((f64::from(a) - b).abs())) / largest
}

/// The budget is a tenth of what is asked of an optimizer, 1e-4: float32 in PyTorch itself is within 4e-6.
#[test]
fn every_optimizer_is_pytorchs_for_200_steps() {
    const BUDGET: f64 = 1e-5;
    let file = golden(include_str!("../golden/optimizers.json"));
    let problem = Problem::new(&file);
    let cases = file["cases"].as_array().expect("cases");
    assert!(cases.len() >= 20);
    for level in levels() {
        for case in cases {
            let name = &case["name"];
            let mut trainer = trainer(problem.model.clone().with_level(level), case);
            let snapshots = case["after"].as_array().expect("snapshots");
            let mut losses = Vec::new();
            for step in 0..200 {
                losses.push(trainer.step(problem.batch(step)).expect("a step"));
                for after in snapshots.iter().filter(|after| after["steps"] == step + 1) {
                    let model = trainer.model();
                    let off = relative(&model.to_row_major(), &numbers(&after["weights"]))
                        .max(relative(model.bias(), &numbers(&after["bias"])));
                    assert!(off < BUDGET, "{level} {name}: {off:e} off after {} steps", step + 1);
                }
            }
            for (at, expected) in numbers(&file["loss_steps"]).into_iter().zip(numbers(&case["losses"])) {
                let found = losses[at as usize];
                assert!(
                    (found - expected).abs() < BUDGET * expected,
                    "{level} {name}: {found} for {expected}, step {at}"
                );
            }
        }
    }
}

#[test]
fn schedules_are_pytorchs() {
    let file = golden(include_str!("../golden/schedules.json"));
    let base = file["base"].as_f64().expect("a rate");
    let mut names = Vec::new();
    for case in file["schedules"].as_array().expect("schedules") {
        let (name, settings) = (case["name"].as_str().expect("a name"), &case["settings"]);
        let get = |name: &str| settings[name].as_f64().expect("a number");
        let whole = |name: &str| settings[name].as_u64().expect("a whole number");
        let schedule = match name {
            "step" => Schedule::step(whole("step_size"), get("gamma")),
            "exponential" => Schedule::exponential(get("gamma")),
            "cosine" => Schedule::cosine(whole("T_max"), get("eta_min") / base),
            "linear" => Schedule::constant().warm_up(whole("total_iters"), get("start_factor")),
            "one_cycle" => Schedule::one_cycle(whole("total_steps")),
            "warmup_cosine" => {
                Schedule::cosine(whole("T_max"), get("eta_min") / base).warm_up(whole("warmup"), get("start_factor"))
            }
            "plateau" => Schedule::on_plateau(Plateau {
                factor: get("factor"),
                patience: whole("patience") as u32,
                threshold: get("threshold"),
                cooldown: whole("cooldown") as u32,
                least: get("min_lr") / base,
            }),
            _ => panic!("a schedule named {name}"),
        };
        let rates = numbers(&case["learning_rates"]);
        let x = [1.0];
        let batch = Batch::new(Matrix::from_f32(&x, 1).expect("a row"), &[0u8][..]).expect("a label");
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(1, 2), Sgd::new(base)).schedule(schedule);
        for (step, rate) in rates.into_iter().enumerate() {
            let found = trainer.learning_rate();
            assert!((found - rate).abs() <= 1e-12 * rate, "{name}: {found} for {rate} at step {step}");
            trainer.step(batch).expect("a step");
            if let Some(metric) = case["metrics"].get(step) {
                trainer.observe(metric.as_f64().expect("a number")).expect("a finite loss");
            }
        }
        names.push(name.to_owned());
    }
    assert_eq!(names, ["step", "exponential", "cosine", "linear", "one_cycle", "warmup_cosine", "plateau"]);
}

/// The example's port of a PyTorch loop: class weights and smoothing, a smaller last batch, momentum and AdamW, schedules by
/// the epoch.
#[test]
fn a_ported_loop_has_pytorchs_losses_at_every_epoch() {
    let (data, model, class_weights, golden) = pytorch_loop::golden();
    assert_eq!(golden.len(), 2);
    for level in levels() {
        for ((name, optimizer), (expected_name, expected)) in pytorch_loop::optimizers().into_iter().zip(&golden) {
            let model = model.clone().with_level(level);
            let losses = pytorch_loop::train(&data, model, optimizer, &class_weights).expect("it trains");
            assert_eq!((name, losses.len()), (expected_name.as_str(), 12));
            for (epoch, (found, expected)) in losses.iter().zip(expected).enumerate() {
                assert!((found - expected).abs() < 1e-5, "{level} {name}: {found} for {expected} in epoch {epoch}");
            }
        }
    }
}
