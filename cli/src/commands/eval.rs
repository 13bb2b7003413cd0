//! `softreg eval`: how well a saved model does on test rows, and what it takes for what.

use std::path::PathBuf;

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use softreg::metrics::{self, ClassificationReport};

use super::ComputeArgs;
use crate::data::{Labelled, SourceArgs};
use crate::memory;
use crate::model_file::{self, Loaded};
use crate::progress::Busy;
use crate::report::{Failure, Output, finite};
use crate::text::{column, excerpt, visible};

/// The most classes whose counts a terminal shows as a square.
const LARGEST_SQUARE: usize = 20;
/// How many of the commonest mistakes are shown instead.
const MISTAKES: usize = 10;

/// Options of `softreg eval`.
#[derive(Args)]
pub(crate) struct EvalArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: SourceArgs,
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
    let Loaded { model, schema } = model_file::load(&args.model)?;
    let model = model.with_level(args.compute.level).with_threads(args.compute.threads);
    let data = args.data.load_labelled(&schema)?;
    data.check_features(model.features())?;
    let Labelled { name, rows: test } = data;
    memory::check("test the model in")?;
    let busy = Busy::new("testing the model");
    let result = model.evaluate(&test)?;
    let (truth, predicted) = (test.labels(), model.predict(test.x())?);
    drop(busy);
    let hint = "the weights are too large, train the model with a smaller --lr";
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.model.display().to_string(),
        data: name,
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

    let counts = metrics::confusion_matrix(&truth, &predicted, model.classes())?;
    let names: Vec<String> = schema.classes.iter().map(|name| visible(&excerpt(name))).collect();
    out.line("")?;
    match names.len() {
        ..=LARGEST_SQUARE => say_confusion(&counts, &names, &mut out)?,
        _ => say_mistakes(&counts, &names, &mut out)?,
    }
    out.line("")?;
    out.line(ClassificationReport::new(&truth, &predicted, model.classes())?.with_names(&names)?)
}

/// How often each class was taken for each, `[truth, predicted]`: a row for each class that is there, a column for each
/// that the model saw in it. A dot stands for none, so that the mistakes stand out.
fn say_confusion(counts: &[u64], names: &[String], out: &mut Output) -> Result<(), Failure> {
    let most = counts.iter().max().map_or(1, |most| most.to_string().len());
    let longest = column(names.iter().map(String::as_str));
    let width = most.max(longest);
    let first = "taken for".len().max(2 + longest);
    let line = |start: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: String = cells.map(|cell| format!("  {cell:>width$}")).collect();
        format!("{start:<first$} {cells}")
    };
    out.line(line("taken for", &mut names.iter().cloned()))?;
    for (name, row) in names.iter().zip(counts.chunks_exact(names.len())) {
        let cell = |&count: &u64| if count == 0 { ".".to_owned() } else { count.to_string() };
        out.line(line(&format!("a {name}"), &mut row.iter().map(cell)))?;
    }
    Ok(())
}

/// What was taken for what most often, where there are too many classes to show all.
fn say_mistakes(counts: &[u64], names: &[String], out: &mut Output) -> Result<(), Failure> {
    let classes = names.len();
    let mistakes = counts.iter().enumerate().filter(|&(at, &count)| count > 0 && at / classes != at % classes);
    let mut mistakes: Vec<(usize, u64)> = mistakes.map(|(at, &count)| (at, count)).collect();
    // Of equal counts the first ones.
    mistakes.sort_by_key(|&(at, count)| (std::cmp::Reverse(count), at));
    mistakes.truncate(MISTAKES);
    if !mistakes.is_empty() {
        out.line("commonest mistakes")?;
    }
    for (at, count) in mistakes {
        out.line(format_args!(
            "{:>8}  a {} taken for {}",
            HumanCount(count).to_string(),
            names[at / classes],
            names[at % classes]
        ))?;
    }
    Ok(())
}
