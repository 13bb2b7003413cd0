//! `softreg train`: reads the data, trains, tests, saves. The default command, with the tutorial's settings. The loop over
//! the steps is `train/training.rs`'s.

mod checkpoint;
mod files;
mod training;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use serde::Serialize;
use softreg::metrics::Evaluation;
use softreg::{Dataset, Reduction, SoftmaxRegression};

use self::files::{Files, csv, interruption};
use self::training::{Losses, Trained, Training};
use super::{ComputeArgs, whole_number};
use crate::data::{Aside, Schema, Split, TrainingArgs};
use crate::memory;
use crate::model_file::{self, Loaded};
use crate::optimizer::{self, OptimizerArgs};
use crate::picture;
use crate::report::{Failure, Output, finite, note};

use crate::temporary;
use crate::text::{excerpt, shown, visible};
use crate::weighting::WeightingArgs;

/// A loss that grew by more than this over its first shows no noise any more, and no start from zeros.
const DIVERGED: f64 = 1000.0;

/// A batch needs memory for every row of it, and more rows than this are a typo.
const LARGEST_BATCH: usize = 1_000_000;

/// Options of `softreg train`.
#[derive(Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    data: TrainingArgs,
    /// Training steps; 0 leaves a model of zeros
    #[arg(long, value_name = "N", default_value = "1000", allow_negative_numbers = true)]
    steps: u64,
    /// Passes over the training rows, instead of steps; the last batch of each has the rows that are left
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "steps")]
    epochs: Option<u64>,
    /// Epochs without a better loss of the validation rows, after which the training ends with the best model; 100 epochs at
    /// most, unless told
    #[arg(long, value_name = "PATIENCE", allow_negative_numbers = true, value_parser = patience, conflicts_with = "steps")]
    early_stopping: Option<u32>,
    /// Rows in each step
    #[arg(long, value_name = "ROWS", default_value = "100", allow_negative_numbers = true, value_parser = batch)]
    batch: usize,
    #[command(flatten)]
    optimizer: OptimizerArgs,
    #[command(flatten)]
    weighting: WeightingArgs,
    /// Learn as if each feature had mean 0 and variance 1 over the training rows; the saved model takes the rows as they are
    #[arg(long)]
    standardize: bool,
    /// Loss over the rows of a batch; the mean wants a --lr larger by the factor --batch
    #[arg(long, value_name = "LOSS", default_value = "sum")]
    loss: Loss,
    /// Seed of the shuffling; one seed gives one result, to the last bit
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
    /// Order of the training rows; shuffled anew each epoch
    #[arg(long, value_name = "ORDER", default_value = "shuffled")]
    order: Order,
    /// Training rows to set aside for validation, a number or a share: of MNIST the first ones, of your own of each class its
    /// share [default: a twelfth, at most 5000]
    #[arg(long, value_name = "ROWS", allow_negative_numbers = true, value_parser = Aside::parse)]
    validation: Option<Aside>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Begin with the weights of a saved model, of the same features and classes, instead of zeros
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Save the state of the training here at its end and when it is interrupted; where the file is there, go on from it, to
    /// the same bits
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Save the state every so many steps too
    #[arg(long, value_name = "STEPS", allow_negative_numbers = true, requires = "checkpoint",
        value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Save the model as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Write losses and accuracies as CSV: a line for each tenth of the steps, or for each epoch
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
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
        f.write_str(&optimizer::name(self))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&optimizer::name(self))
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
    features: usize,
    classes: usize,
    steps: u64,
    /// `null` where steps were asked for.
    epochs: Option<u64>,
    batch: usize,
    optimizer: optimizer::Name,
    schedule: optimizer::Course,
    learning_rate: f64,
    loss: Loss,
    order: Order,
    seed: u64,
    load_seconds: f64,
    train_seconds: f64,
    /// Of the last step, before its update; `null` without steps, and of epochs the last one's mean.
    final_loss: Option<f64>,
    /// `null` without validation rows.
    validation_accuracy: Option<f64>,
    /// The rest is `null` without test rows.
    test_rows: Option<usize>,
    test_correct: Option<usize>,
    test_accuracy: Option<f64>,
    /// Mean over the rows, in nats.
    test_log_loss: Option<f64>,
}

pub(crate) fn run(args: &TrainArgs) -> Result<(), Failure> {
    args.compute.run(|| run_here(args))
}

fn run_here(args: &TrainArgs) -> Result<(), Failure> {
    let files = Files::check(args)?;
    let mut out = Output::new();

    let start = Instant::now();
    let data = args.data.load_split(args.validation, args.seed)?;
    let load_seconds = start.elapsed().as_secs_f64();
    if args.weights_png.is_some() {
        check_weights_picture(&data)?;
    }
    let start_model = args.from.as_deref().map(|path| start_model(path, &data)).transpose()?;
    let training = Training::new(args, &data, start_model, files.checkpoint.as_ref())?;
    if !args.json {
        say_settings(&training, load_seconds, &mut out)?;
    }

    memory::check("train in")?;
    let start = Instant::now();
    if files.any() {
        temporary::interrupt_in_order();
    }
    let Some(Trained { model, losses, steps, epochs, history }) = training.run(files.any(), &mut out)? else {
        return Ok(());
    };
    let train_seconds = start.elapsed().as_secs_f64();
    memory::check("test the model in")?;
    let Scores { validation, test } = score(&model, &data)?;

    // The files come before the report: a reader who closes the pipe early still gets them.
    if let Some(file) = &files.save {
        file.write(&model_file::to_bytes(&model, &data.schema, &training.settings())?)?;
    }
    if let Some(file) = &files.weights_png {
        // That there is an image was checked before the training.
        let drawing =
            picture::weights(&model.to_class_major(), data.schema.image.unwrap_or_default(), &data.schema.classes)?;
        file.write(&drawing.to_png()?)?;
    }
    if let Some(file) = &files.history {
        file.write(csv(&history, args.batch, data.train.rows()).as_bytes())?;
    }
    if temporary::is_interrupted() {
        return Err(Failure::Interrupted(interruption(args, steps)));
    }

    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        data: data.name.clone(),
        level: args.compute.level.name(),
        threads: args.compute.threads,
        train_rows: data.train.rows(),
        validation_rows: data.validation.rows(),
        features: model.features(),
        classes: model.classes(),
        steps,
        epochs,
        batch: args.batch,
        optimizer: args.optimizer.optimizer,
        schedule: args.optimizer.schedule,
        learning_rate: args.optimizer.learning_rate(),
        loss: args.loss,
        order: args.order,
        seed: args.seed,
        load_seconds,
        train_seconds,
        final_loss: losses.map(|losses| losses.last),
        validation_accuracy: validation.map(|found| found.accuracy()),
        test_rows: test.map(|found| found.rows),
        test_correct: test.map(|found| found.correct),
        test_accuracy: test.map(|found| found.accuracy()),
        test_log_loss: test.map(|found| found.log_loss),
    };
    if args.json {
        out.json(&report)?
    } else {
        say_results(args, &report, &mut out)?
    }
    if let Some(message) = losses.zip(test).and_then(|(losses, test)| divergence(args, losses, test.log_loss)) {
        note(&message);
    }
    Ok(())
}

/// Whether weights of these rows can be drawn: they have to be images, and of not too many classes.
fn check_weights_picture(data: &Split) -> Result<(), Failure> {
    if data.schema.image.is_none() {
        return Err(Failure::Usage(
            "--weights-png: found rows that are no images; --image HEIGHTxWIDTH says of which size they are".to_owned(),
        ));
    }
    let (classes, most) = (data.schema.classes.len(), picture::MOST_CLASSES);
    if classes > most {
        return Err(Failure::Usage(format!("--weights-png: found {classes} classes, expected at most {most}")));
    }
    Ok(())
}

/// The model to begin with, which has to be one of these rows.
fn start_model(path: &Path, data: &Split) -> Result<SoftmaxRegression, Failure> {
    let Loaded { model, schema } = model_file::load(path)?;
    let fail = |found: &str, expected: &str| {
        Failure::Failed(format!("--from {}: found {found}, expected {expected}, as the data has", path.display()))
    };
    let shape = |features: usize, classes: usize| format!("{features} features and {classes} classes");
    let (found, expected) =
        (shape(model.features(), model.classes()), shape(data.train.features(), data.train.classes()));
    if found != expected {
        return Err(fail(&found, &expected));
    }
    let names = |what: &str, names: &[String]| format!("the {what} {}", excerpt(&names.join(", ")));
    if schema.classes != data.schema.classes {
        return Err(fail(&names("classes", &schema.classes), &names("classes", &data.schema.classes)));
    }
    // A model from elsewhere may say nothing of its features.
    if let (Some(found), Some(expected)) = (&schema.columns, &data.schema.columns)
        && found != expected
    {
        return Err(fail(&names("features", found), &names("features", expected)));
    }
    let preprocessing =
        |schema: &Schema| format!("the preprocessing {:?}", schema.preprocessing.as_deref().map(excerpt));
    if schema.preprocessing.is_some() && schema.preprocessing != data.schema.preprocessing {
        return Err(fail(&preprocessing(&schema), &preprocessing(&data.schema)));
    }
    Ok(model)
}

/// What the trained model is worth.
struct Scores {
    /// `None` without validation rows.
    validation: Option<Evaluation>,
    /// `None` without test rows.
    test: Option<Evaluation>,
}

/// Evaluates the model. A last step that ruined it is an error: no loss has shown it yet.
fn score(model: &SoftmaxRegression, data: &Split) -> Result<Scores, Failure> {
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
    let test = data.test.as_ref().map(|test| evaluate(test, "test")).transpose()?;
    Ok(Scores { validation, test })
}

/// Says that the training diverged, if it did: over its steps or, where there was but one, in what it left.
fn divergence(args: &TrainArgs, losses: Losses, test_log_loss: f64) -> Option<String> {
    let Losses { first, last } = losses;
    let first_of_a_row = match args.loss {
        Loss::Sum if !args.counts_epochs() => first / args.batch as f64,
        _ => first,
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

impl TrainArgs {
    const fn counts_epochs(&self) -> bool {
        self.epochs.is_some() || self.early_stopping.is_some()
    }

    const fn reduction(&self) -> Reduction {
        match self.loss {
            Loss::Sum => Reduction::Sum,
            Loss::Mean => Reduction::Mean,
        }
    }
}

fn say_settings(training: &Training<'_>, load_seconds: f64, out: &mut Output) -> Result<(), Failure> {
    let Training { args, data, .. } = training;
    out.line(format_args!(
        "data        {}: {} training, {} validation, {} test rows, read in {load_seconds:.2} s",
        visible(&data.name),
        HumanCount(data.train.rows() as u64),
        HumanCount(data.validation.rows() as u64),
        HumanCount(data.test.as_ref().map_or(0, Dataset::rows) as u64),
    ))?;
    let order = match args.order {
        Order::Shuffled => format!("shuffled by seed {}", args.seed),
        Order::File => "in file order".to_owned(),
    };
    let length = match training.epochs {
        Some(epochs) => format!("{} epochs", HumanCount(epochs)),
        None => format!("{} steps", HumanCount(args.steps)),
    };
    let optimizer = optimizer::name(&args.optimizer.optimizer);
    let schedule = optimizer::name(&args.optimizer.schedule);
    out.line(format_args!(
        "training    {length} of {} rows {order}, {optimizer} with {schedule} learning rate {:?} on the {} of the loss",
        HumanCount(args.batch as u64),
        args.optimizer.learning_rate(),
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
    for (what, path) in [("model", &args.save), ("weights", &args.weights_png), ("history", &args.history)] {
        if let Some(path) = path {
            out.line(format_args!("{what:<12}{}", shown(path)))?;
        }
    }
    if let Some(accuracy) = report.validation_accuracy {
        out.line(format_args!("validation  accuracy {accuracy:.4}"))?;
    }
    let Report { test_rows: Some(rows), test_correct: Some(correct), .. } = report else { return Ok(()) };
    let (Some(accuracy), Some(log_loss)) = (report.test_accuracy, report.test_log_loss) else { return Ok(()) };
    out.line(format_args!(
        "test        accuracy {accuracy:.4} ({} of {}), log loss {log_loss:.4}",
        HumanCount(*correct as u64),
        HumanCount(*rows as u64),
    ))
}

fn batch(text: &str) -> Result<usize, String> {
    whole_number(text, LARGEST_BATCH)
}

fn patience(text: &str) -> Result<u32, String> {
    whole_number(text, u32::MAX as usize).map(|patience| patience as u32)
}
