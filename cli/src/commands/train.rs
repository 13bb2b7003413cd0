//! `softreg train`: reads the data, trains, tests, saves. The default command, with the tutorial's settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use serde::Serialize;
use softreg::metrics::Evaluation;
use softreg::mnist::Mnist;
use softreg::{Dataset, Error, Reduction, Sgd, SoftmaxRegression, Trainer};

use super::{ComputeArgs, whole_number};
use crate::data_source::DataArgs;
use crate::memory;
use crate::model_file::{self, CLASSES, FEATURES};
use crate::output_file::OutputFile;
use crate::picture;
use crate::progress::Progress;
use crate::report::{Failure, Output, finite, note};
use crate::text::{shown, visible};

/// A loss that grew by more than this over its first shows no noise any more, and no start from zeros.
const DIVERGED: f64 = 1000.0;

/// A batch needs memory for every row of it, and more rows than this are a typo.
const LARGEST_BATCH: usize = 1_000_000;

/// Options of `softreg train`.
#[derive(Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Training steps; 0 leaves a model of zeros
    #[arg(long, value_name = "N", default_value = "1000", allow_negative_numbers = true)]
    steps: u64,
    /// Rows in each step
    #[arg(long, value_name = "ROWS", default_value = "100", allow_negative_numbers = true, value_parser = batch)]
    batch: usize,
    /// Learning rate
    #[arg(long = "lr", value_name = "RATE", default_value = "0.01", allow_negative_numbers = true, value_parser = learning_rate)]
    learning_rate: f64,
    /// Loss over the rows of a batch; the mean wants a --lr larger by the factor --batch
    #[arg(long, value_name = "LOSS", default_value = "sum")]
    loss: Loss,
    /// Seed of the shuffling; one seed gives one result, to the last bit
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
    /// Order of the training rows; shuffled anew each epoch
    #[arg(long, value_name = "ORDER", default_value = "shuffled")]
    order: Order,
    /// First training rows to set aside for validation [default: 5000, or a twelfth of fewer than 60,000]
    #[arg(long, value_name = "ROWS", allow_negative_numbers = true)]
    validation: Option<usize>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Save the model as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Draw the weights as a PNG, one picture a digit: blue speaks for it, red against it
    #[arg(long, value_name = "FILE")]
    weights_png: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Loss {
    Sum,
    Mean,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Shuffled,
    File,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shuffled => "shuffled",
            Self::File => "file",
        })
    }
}

/// What `--json` prints. The settings first, then the times in seconds, then the results.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    data: String,
    level: &'static str,
    threads: usize,
    train_rows: usize,
    validation_rows: usize,
    steps: u64,
    batch: usize,
    learning_rate: f64,
    loss: Loss,
    order: Order,
    seed: u64,
    load_seconds: f64,
    train_seconds: f64,
    /// Of the last step, before its update; `null` without steps.
    final_loss: Option<f64>,
    /// `null` without validation rows.
    validation_accuracy: Option<f64>,
    test_rows: usize,
    test_correct: usize,
    test_accuracy: f64,
    /// Mean over the rows, in nats.
    test_log_loss: f64,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    args.compute.run(|| run_here(args))
}

fn run_here(args: &TrainArgs) -> Result<(), Failure> {
    let (save, weights_png) = output_files(args)?;
    let has_files = save.is_some() || weights_png.is_some();
    let mut out = Output::new();

    let start = Instant::now();
    let data = args.data.load_split(args.validation)?;
    let load_seconds = start.elapsed().as_secs_f64();
    if !args.json {
        say_settings(args, &data, load_seconds, &mut out)?;
    }

    memory::check("train in")?;
    let start = Instant::now();
    let Some((model, losses)) = train(args, &data, has_files, &mut out)? else {
        return Ok(());
    };
    let train_seconds = start.elapsed().as_secs_f64();
    memory::check("test the model in")?;
    let Scores { validation_accuracy, test } = score(&model, &data)?;

    // The files come before the report: a reader who closes the pipe early still gets them.
    if let Some(file) = &save {
        file.write(&model_file::to_bytes(&model, &settings(args, &data))?)?;
    }
    if let Some(file) = &weights_png {
        file.write(&picture::weights_png(&model.to_class_major())?)?;
    }

    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        data: args.data.name(),
        level: args.compute.level.name(),
        threads: args.compute.threads,
        train_rows: data.train.rows(),
        validation_rows: data.validation.rows(),
        steps: args.steps,
        batch: args.batch,
        learning_rate: args.learning_rate,
        loss: args.loss,
        order: args.order,
        seed: args.seed,
        load_seconds,
        train_seconds,
        final_loss: losses.map(|losses| losses.last),
        validation_accuracy,
        test_rows: test.rows,
        test_correct: test.correct,
        test_accuracy: test.accuracy(),
        test_log_loss: test.log_loss,
    };
    if args.json {
        out.json(&report)?
    } else {
        say_results(args, &report, &mut out)?
    }
    if let Some(message) = losses.and_then(|losses| divergence(args, losses, test.log_loss)) {
        note(&message);
    }
    Ok(())
}

/// What the trained model is worth.
struct Scores {
    /// `None` without validation rows.
    validation_accuracy: Option<f64>,
    test: Evaluation,
}

/// Evaluates the model. A last step that ruined it is an error: no loss has shown it yet.
fn score(model: &SoftmaxRegression, data: &Mnist) -> Result<Scores, Failure> {
    let hint = "nothing was saved; try a smaller learning rate (--lr)";
    if model.to_class_major().iter().chain(model.bias()).any(|weight| !weight.is_finite()) {
        return Err(Failure::Failed(format!("the last step made the weights infinite or NaN, {hint}")));
    }
    let evaluate = |rows: &Dataset, what: &str| -> Result<Evaluation, Failure> {
        let found = model.evaluate(rows).map_err(|error| Failure::Failed(format!("{what} rows: {error}; {hint}")))?;
        finite(&format!("log loss of the {what} rows"), found.log_loss, hint)?;
        Ok(found)
    };
    let validation = (data.validation.rows() > 0).then(|| evaluate(&data.validation, "validation")).transpose()?;
    let test = evaluate(&data.test, "test")?;
    Ok(Scores { validation_accuracy: validation.map(|found| found.accuracy()), test })
}

/// Says that the training diverged, if it did: over its steps or, where there was but one, in what it left.
fn divergence(args: &TrainArgs, losses: Losses, test_log_loss: f64) -> Option<String> {
    let Losses { first, last } = losses;
    let first_of_a_row = match args.loss {
        Loss::Sum => first / args.batch as f64,
        Loss::Mean => first,
    };
    let grew = if last > DIVERGED * first {
        format!("from {first:.4} at the first step to {last:.4} at the last")
    } else if test_log_loss > DIVERGED * first_of_a_row {
        format!("from {first_of_a_row:.4} a row at the first step to {test_log_loss:.4} a row of the test set")
    } else {
        return None;
    };
    Some(format!("the loss grew {grew}: the training diverged, and a smaller --lr is the thing to try"))
}

/// Checks where the results will go, before anything else takes time.
fn output_files(args: &TrainArgs) -> Result<(Option<OutputFile>, Option<OutputFile>), Failure> {
    let save = args.save.as_deref().map(|path| OutputFile::check("--save", path)).transpose()?;
    let weights_png = args.weights_png.as_deref().map(|path| OutputFile::check("--weights-png", path)).transpose()?;
    if save.is_some() && save == weights_png {
        return Err(Failure::Usage("--save and --weights-png name the same file; choose two".to_owned()));
    }
    Ok((save, weights_png))
}

/// The losses of two steps, each before its update.
#[derive(Clone, Copy)]
struct Losses {
    first: f64,
    last: f64,
}

/// Trains from zeros; returns the model and the losses, if there are steps. `None` means that the reader of the output went
/// away and there is no file to finish for.
fn train(
    args: &TrainArgs,
    data: &Mnist,
    has_files: bool,
    out: &mut Output,
) -> Result<Option<(SoftmaxRegression, Option<Losses>)>, Failure> {
    let model =
        SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(args.compute.level).with_threads(args.compute.threads);
    let reduction = match args.loss {
        Loss::Sum => Reduction::Sum,
        Loss::Mean => Reduction::Mean,
    };
    let mut trainer = Trainer::new(model, Sgd::new(args.learning_rate)).reduction(reduction);
    let batches = data.train.batches(args.batch);
    let mut batches = match args.order {
        Order::Shuffled => batches.seed(args.seed),
        Order::File => batches.in_file_order(),
    };
    let mut progress = Progress::new(args.steps, args.json);
    let mut losses: Option<Losses> = None;
    for done in 1..=args.steps {
        let batch = batches.next_batch();
        if batch.x.rows() == 0 {
            return Err(Failure::Failed(format!(
                "a batch of {} rows: out of memory; try a smaller --batch",
                args.batch
            )));
        }
        let last = trainer.step(batch).map_err(|error| {
            progress.finish();
            at_step(done, &error)
        })?;
        losses = Some(Losses { first: losses.map_or(last, |losses| losses.first), last });
        progress.step(done, last, out)?;
        if out.is_closed() && !has_files {
            return Ok(None);
        }
    }
    progress.finish();
    Ok(Some((trainer.into_model(), losses)))
}

fn at_step(step: u64, error: &Error) -> Failure {
    Failure::Failed(format!("step {step}: {error}"))
}

/// What the model file says about its training: all that decides its values, and nothing that does not.
fn settings(args: &TrainArgs, data: &Mnist) -> [(&'static str, String); 8] {
    [
        ("steps", args.steps.to_string()),
        ("batch", args.batch.to_string()),
        ("learning_rate", format!("{:?}", args.learning_rate)),
        ("loss", args.loss.to_string()),
        ("order", args.order.to_string()),
        ("seed", args.seed.to_string()),
        ("validation_rows", data.validation.rows().to_string()),
        ("level", args.compute.level.name().to_owned()),
    ]
}

fn say_settings(args: &TrainArgs, data: &Mnist, load_seconds: f64, out: &mut Output) -> Result<(), Failure> {
    out.line(format_args!(
        "data        {}: {} training, {} validation, {} test rows, read in {load_seconds:.2} s",
        visible(&args.data.name()),
        HumanCount(data.train.rows() as u64),
        HumanCount(data.validation.rows() as u64),
        HumanCount(data.test.rows() as u64),
    ))?;
    let order = match args.order {
        Order::Shuffled => format!("shuffled by seed {}", args.seed),
        Order::File => "in file order".to_owned(),
    };
    out.line(format_args!(
        "training    {} steps of {} rows {order}, learning rate {:?} on the {} of the loss",
        HumanCount(args.steps),
        HumanCount(args.batch as u64),
        args.learning_rate,
        args.loss,
    ))
}

fn say_results(args: &TrainArgs, report: &Report, out: &mut Output) -> Result<(), Failure> {
    let threads = report.threads;
    let mut line = format!(
        "trained     in {:.3} s on {} with {threads} thread{}",
        report.train_seconds,
        report.level,
        if threads == 1 { "" } else { "s" }
    );
    if let Some(loss) = report.final_loss {
        let microseconds = report.train_seconds * 1e6 / report.steps as f64;
        line.push_str(&format!(", {microseconds:.0} µs a step, last loss {loss:.4}"));
    }
    out.line(line)?;
    if let Some(path) = &args.save {
        out.line(format_args!("model       {}", shown(path)))?;
    }
    if let Some(path) = &args.weights_png {
        out.line(format_args!("weights     {}", shown(path)))?;
    }
    if let Some(accuracy) = report.validation_accuracy {
        out.line(format_args!("validation  accuracy {accuracy:.4}"))?;
    }
    out.line(format_args!(
        "test        accuracy {:.4} ({} of {}), log loss {:.4}",
        report.test_accuracy,
        HumanCount(report.test_correct as u64),
        HumanCount(report.test_rows as u64),
        report.test_log_loss
    ))
}

fn batch(text: &str) -> Result<usize, String> {
    whole_number(text, LARGEST_BATCH)
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate as f32 > 0.0 && (rate as f32).is_finite() => Ok(rate),
        _ => Err("expected a finite number above 0".to_owned()),
    }
}
