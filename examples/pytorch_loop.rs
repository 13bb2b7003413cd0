//! A PyTorch training loop, ported line by line: what stands in comments is the original. `cargo run --release --example
//! pytorch_loop` prints the losses beside those that PyTorch 2.15 has in float64 (tests/golden/pytorch_loop.py).

use softreg::{AdamW, Dataset, Optimizer, Schedule, Sgd, SoftmaxRegression, Trainer};

/// The mean loss of each epoch.
pub(crate) fn train(
    data: &Dataset,           // loader = DataLoader(TensorDataset(x, y), batch_size=32)
    model: SoftmaxRegression, // model = nn.Linear(20, 5)
    (optimizer, schedule): (Optimizer, Schedule),
    class_weights: &[f32],
) -> softreg::Result<Vec<f64>> {
    // loss_of = CrossEntropyLoss(weight=class_weights, label_smoothing=0.1)
    let targets = data.targets().with_class_weights(class_weights).with_label_smoothing(0.1)?;
    let mut batches = data.batches(32).in_file_order().targets(targets)?;
    let schedule = schedule.every(batches.batches_per_epoch() as u64); // scheduler.step() once an epoch
    let mut trainer = Trainer::new(model, optimizer).schedule(schedule);
    let mut losses = Vec::new();
    for _ in 0..12 {
        // for epoch in range(12):
        let mut sum = 0.0;
        while let Some(batch) = batches.next_in_epoch() {
            //     for x, y in loader:
            sum += trainer.step(batch)?; //         loss = loss_of(model(x), y)
        } //         loss.backward(); optimizer.step()
        losses.push(sum / batches.batches_per_epoch() as f64);
    }
    Ok(losses)
}

/// `SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)` with `StepLR(4, 0.3)`, and
/// `AdamW(lr=0.01, weight_decay=0.01)` with `CosineAnnealingLR(12)`. The bias is not decayed.
pub(crate) fn optimizers() -> [(&'static str, (Optimizer, Schedule)); 2] {
    [
        ("sgd", (Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(1e-3).into(), Schedule::step(4, 0.3))),
        ("adamw", (AdamW::new(0.01).weight_decay(0.01).into(), Schedule::cosine(12, 0.0))),
    ]
}

/// An optimizer's name, and PyTorch's losses.
type Golden = (String, Vec<f64>);

/// Rows, model, class weights, and for each optimizer PyTorch's losses.
pub(crate) fn golden() -> (Dataset, SoftmaxRegression, Vec<f32>, Vec<Golden>) {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../tests/golden/pytorch_loop.json")).expect("a JSON file");
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
    };
    let f32s = |value| numbers(value).into_iter().map(|value| value as f32).collect::<Vec<_>>();
    let x = file["x"].as_array().expect("rows").iter().flat_map(f32s).collect();
    let labels = numbers(&file["labels"]).into_iter().map(|label| label as u32).collect();
    let data = Dataset::from_f32(x, labels, 20, 5).expect("the lengths fit");
    let model = SoftmaxRegression::from_class_major(&f32s(&file["weight"]), &f32s(&file["bias"]), 20, 5);
    let both = |run: &&serde_json::Value| !run["class_weights"].is_null() && !run["label_smoothing"].is_null();
    let runs: Vec<_> = file["runs"].as_array().expect("runs").iter().filter(both).collect();
    let losses =
        |run: &&serde_json::Value| (run["optimizer"].as_str().expect("a name").to_owned(), numbers(&run["losses"]));
    (data, model.expect("a model"), f32s(&runs[0]["class_weights"]), runs.iter().map(losses).collect())
}

#[allow(dead_code, reason = "the tests hold the losses against PyTorch's")]
fn main() -> softreg::Result<()> {
    let (data, model, class_weights, golden) = golden();
    for ((name, optimizer), (_, expected)) in optimizers().into_iter().zip(golden) {
        let losses = train(&data, model.clone(), optimizer, &class_weights)?;
        println!("{name}: {losses:.5?}\nPyTorch: {expected:.5?}");
    }
    Ok(())
}
