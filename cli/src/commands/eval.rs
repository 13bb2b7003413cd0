//! `softreg eval`: how well a saved model does on the test images, and what it takes for what.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use softreg::metrics::{self, ClassificationReport};

use super::ComputeArgs;
use crate::data_source::DataArgs;
use crate::memory;
use crate::model_file::{self, CLASSES};
use crate::report::{Failure, Output, finite};

/// Options of `softreg eval`.
#[derive(Args)]
pub(crate) struct EvalArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    model: String,
    data: String,
    level: &'static str,
    threads: usize,
    test_rows: usize,
    test_correct: usize,
    test_accuracy: f64,
    /// Mean over the rows, in nats.
    test_log_loss: f64,
}

pub(crate) fn run(args: &EvalArgs) -> Result<(), Failure> {
    args.compute.run(|| run_here(args))
}

fn run_here(args: &EvalArgs) -> Result<(), Failure> {
    let model = model_file::load(&args.model)?.with_level(args.compute.level).with_threads(args.compute.threads);
    let test = args.data.load(0)?.test;
    memory::check("test the model in")?;
    let result = model.evaluate(&test)?;
    let hint = "the weights are too large, train the model with a smaller --lr";
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.model.display().to_string(),
        data: args.data.name(),
        level: args.compute.level.name(),
        threads: args.compute.threads,
        test_rows: result.rows,
        test_correct: result.correct,
        test_accuracy: result.accuracy(),
        test_log_loss: finite("test log loss", result.log_loss, hint)?,
    };
    let mut out = Output::new();
    if args.json {
        return out.json(&report);
    }
    out.line(format_args!(
        "test  accuracy {:.4} ({} of {}), log loss {:.4}",
        report.test_accuracy,
        HumanCount(report.test_correct as u64),
        HumanCount(report.test_rows as u64),
        report.test_log_loss
    ))?;

    let (truth, predicted) = (test.labels(), model.predict(test.x())?);
    say_confusion(&metrics::confusion_matrix(&truth, &predicted, CLASSES)?, &mut out)?;
    out.line("")?;
    out.line(ClassificationReport::new(&truth, &predicted, CLASSES)?)
}

/// How often each digit was taken for each, `[truth, predicted]`: a row for each digit shown, a column for each digit the model saw in it. A dot stands for none, so that the
/// mistakes stand out.
fn say_confusion(counts: &[u64], out: &mut Output) -> Result<(), Failure> {
    let width = counts.iter().max().map_or(1, |most| most.to_string().len());
    let columns: String = (0..CLASSES).map(|class| format!("  {class:>width$}")).collect();
    out.line("")?;
    out.line(format_args!("taken for {columns}"))?;
    for (class, row) in counts.chunks_exact(CLASSES).enumerate() {
        let cell = |&count: &u64| if count == 0 { ".".to_owned() } else { count.to_string() };
        let cells: String = row.iter().map(|count| format!("  {:>width$}", cell(count))).collect();
        out.line(format_args!("a {class}       {cells}"))?;
    }
    Ok(())
}
