//! `softreg fit`: fits a model to convergence, on MNIST or on the user's own rows, tests it and saves it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use serde::Serialize;
use softreg::{Batch, Dataset, Fit, Lbfgs, Pass, Path, Scoring, SoftmaxRegression};

use super::ComputeArgs;
use crate::data::{Aside, Rows, TrainingArgs, stratified, usual_share};
use crate::memory;
use crate::model_file;
use crate::optimizer::at_least_0;
use crate::output_file::OutputFile;
use crate::progress::Passes;
use crate::report::{Failure, Output, finite, note};
use crate::text::visible;
use crate::weighting::WeightingArgs;

/// The strengths of the penalty that are tried where none is given.
const STRENGTHS: [f64; 8] = [1e-1, 1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6];
/// A fit that only has to be scored ends once five steps lower the objective by less than this share.
const SCORED: f64 = 2e-2;

/// Options of `softreg fit`.
#[derive(Args)]
pub(crate) struct FitArgs {
    #[command(flatten)]
    data: TrainingArgs,
    /// Strength of the penalty l2/2 * |W|^2; without it, the best on the validation rows is taken
    #[arg(long, value_name = "L2", allow_negative_numbers = true, value_parser = at_least_0)]
    l2: Option<f64>,
    /// What is best on the validation rows
    #[arg(long, value_name = "SCORE", default_value = "log-loss")]
    scoring: Score,
    /// Rows to set aside for validation, of each class its share: a number of rows or a share [default: a twelfth, at most
    /// 5000, where --l2 is to be chosen]
    #[arg(long, value_name = "ROWS", allow_negative_numbers = true, value_parser = Aside::parse)]
    validation: Option<Aside>,
    /// Seed of the rows set aside
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true)]
    seed: u64,
    #[command(flatten)]
    weighting: WeightingArgs,
    /// Penalise the weights of the features standardised, each to mean 0 and variance 1
    #[arg(long)]
    standardize: bool,
    /// Most passes over the rows
    #[arg(long, value_name = "N", default_value = "1000", allow_negative_numbers = true, value_parser = passes)]
    max_passes: usize,
    /// Share of the objective by which five steps have to lower it
    #[arg(long, value_name = "SHARE", default_value = "1e-7", allow_negative_numbers = true, value_parser = at_least_0)]
    tolerance: f64,
    #[command(flatten)]
    compute: ComputeArgs,
    /// Save the model as safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Score {
    LogLoss,
    Accuracy,
}

/// What `--json` prints. The settings first, then the fit, then the test.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    data: String,
    level: &'static str,
    threads: usize,
    /// Of the final fit.
    train_rows: usize,
    validation_rows: usize,
    features: usize,
    classes: usize,
    l2: f64,
    standardize: bool,
    scoring: Score,
    seed: u64,
    /// The strengths that were tried.
    path: Vec<Tried>,
    objective: f64,
    train_loss: f64,
    gradient_norm: f64,
    /// Of the final fit.
    passes: usize,
    iterations: usize,
    stopped: &'static str,
    load_seconds: f64,
    /// Choosing the strength of the penalty included.
    train_seconds: f64,
    validation_accuracy: Option<f64>,
    validation_log_loss: Option<f64>,
    test_rows: Option<usize>,
    test_correct: Option<usize>,
    test_accuracy: Option<f64>,
    /// Mean over the rows, in nats.
    test_log_loss: Option<f64>,
}

/// A strength of the penalty that was tried.
#[derive(Serialize)]
struct Tried {
    l2: f64,
    passes: usize,
    validation_log_loss: f64,
    validation_accuracy: f64,
}

pub(crate) fn run(args: &FitArgs) -> Result<(), Failure> {
    args.compute.run(|| run_here(args))
}

fn run_here(args: &FitArgs) -> Result<(), Failure> {
    let save = args.save.as_deref().map(|path| OutputFile::check("--save", path)).transpose()?;
    let mut out = Output::new();
    let start = Instant::now();
    let data = args.data.load(args.seed)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let labels = data.train.labels();
    let aside = match (args.validation, args.l2) {
        (Some(aside), _) => aside,
        (None, Some(_)) => Aside::Count(0),
        (None, None) => usual_share(labels.len()),
    };
    let [training, validation] = stratified(&labels, aside.of(labels.len(), "--validation")?, args.seed);
    if args.l2.is_none() && validation.is_empty() {
        return Err(Failure::Usage(
            "no validation rows to choose the strength of the penalty on; give --l2, or a larger --validation"
                .to_owned(),
        ));
    }
    let weights = args.weighting.class_weights(&data.train, &data.schema.classes)?;
    if !args.json {
        say_data(&data, validation.len(), load_seconds, &mut out)?;
    }
    memory::check("fit in")?;
    let start = Instant::now();
    let mut passes = Passes::new(args.json);
    let mut failure = None;
    let mut watch = |pass: &Pass, l2: f64| {
        failure = failure.take().or_else(|| passes.pass(pass, l2, &mut out).err());
        let is_over = failure.is_some() || (out.is_closed() && save.is_none());
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let settings = Lbfgs::default()
        .standardize(args.standardize)
        .max_passes(args.max_passes)
        .level(args.compute.level)
        .threads(args.compute.threads);
    let whole = Batch::new(data.train.x(), args.weighting.targets(&data.train, &weights)?)?;
    let part = pick(whole, &training)?;
    let held_out = pick(data.train.as_batch(), &validation)?;
    let (path, fit) = match args.l2 {
        Some(l2) => {
            let settings = settings.l2(l2).loss_tolerance(args.tolerance);
            (None, settings.fit_with(None, part, |pass| watch(pass, l2))?)
        }
        None => {
            let scoring = match args.scoring {
                Score::LogLoss => Scoring::LogLoss,
                Score::Accuracy => Scoring::Accuracy,
            };
            let scored = settings.clone().loss_tolerance(SCORED.max(args.tolerance));
            let path = scored.path_with(&STRENGTHS, part, held_out, scoring, |l2, pass| watch(pass, l2))?;
            let l2 = path.best().l2;
            let settings = settings.l2(l2).loss_tolerance(args.tolerance);
            let start = Some(&path.best().fit.model);
            let fit = settings.fit_with(start, whole, |pass| watch(pass, l2))?;
            (Some(path), fit)
        }
    };
    passes.finish();
    if let Some(failure) = failure {
        return Err(failure);
    }
    let train_seconds = start.elapsed().as_secs_f64();
    if out.is_closed() && save.is_none() {
        return Ok(());
    }
    finish(args, &data, Fitted { path, fit, held_out, load_seconds, train_seconds }, save.as_ref(), &mut out)
}

/// What a run has come to before the test.
struct Fitted<'a> {
    /// `None` where the strength was given.
    path: Option<Path>,
    fit: Fit,
    held_out: Batch<'a>,
    load_seconds: f64,
    train_seconds: f64,
}

/// Tests, saves and reports.
fn finish(
    args: &FitArgs,
    data: &Rows,
    fitted: Fitted<'_>,
    save: Option<&OutputFile>,
    out: &mut Output,
) -> Result<(), Failure> {
    let Fitted { path, fit: Fit { model, report: fit, .. }, held_out, load_seconds, train_seconds } = fitted;
    let l2 = path.as_ref().map_or(args.l2.unwrap_or_default(), |path| path.best().l2);
    memory::check("test the model in")?;
    let hint = "the weights are too large; try a larger --l2";
    let test = data.test.as_ref().map(|test| model.evaluate(test)).transpose()?;
    if let Some(test) = &test {
        finite("test log loss", test.log_loss, hint)?;
    }
    // Where the strength was chosen, the model has seen the validation rows: their figures are the path's.
    let validation = match &path {
        Some(path) => Some((path.best().accuracy, path.best().log_loss)),
        None if held_out.x.rows() > 0 => {
            let found = model.evaluate(held_out)?;
            Some((found.accuracy(), found.log_loss))
        }
        None => None,
    };
    if let Some(file) = save {
        file.write(&model_file::to_bytes(&model, &data.schema, &settings(args, l2))?)?;
    }
    let tried = path.iter().flat_map(|path| &path.points).map(|point| Tried {
        l2: point.l2,
        passes: point.fit.report.passes,
        validation_log_loss: point.log_loss,
        validation_accuracy: point.accuracy,
    });
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        data: data.name.clone(),
        level: args.compute.level.name(),
        threads: args.compute.threads,
        train_rows: data.train.rows() - if path.is_some() { 0 } else { held_out.x.rows() },
        validation_rows: held_out.x.rows(),
        features: model.features(),
        classes: model.classes(),
        l2,
        standardize: args.standardize,
        scoring: args.scoring,
        seed: args.seed,
        path: tried.collect(),
        objective: fit.objective,
        train_loss: fit.loss,
        gradient_norm: fit.gradient_norm,
        passes: fit.passes,
        iterations: fit.iterations,
        stopped: fit.stopped.name(),
        load_seconds,
        train_seconds,
        validation_accuracy: validation.map(|(accuracy, _)| accuracy),
        validation_log_loss: validation.map(|(_, log_loss)| log_loss),
        test_rows: test.map(|test| test.rows),
        test_correct: test.map(|test| test.correct),
        test_accuracy: test.map(|test| test.accuracy()),
        test_log_loss: test.map(|test| test.log_loss),
    };
    if args.json {
        out.json(&report)?;
    } else {
        say_results(args, data, &model, &report, out)?;
    }
    if !fit.stopped.converged() {
        note(&format!(
            "the fit ended by its limit of {}, before it converged; --max-passes takes another",
            fit.stopped
        ));
    }
    if fit.loss_as_rounded > 1.01 * fit.loss + 1e-3 {
        note(&format!(
            "in f32 the model loses {:.4} a row for {:.4}: features lie too far from 0 for their deviation; \
             take a constant away from them",
            fit.loss_as_rounded, fit.loss
        ));
    }
    Ok(())
}

/// Some of the rows; all of them are the batch itself, whose rows follow each other in memory.
fn pick<'a>(batch: Batch<'a>, rows: &'a [usize]) -> Result<Batch<'a>, Failure> {
    if rows.len() == batch.x.rows() {
        return Ok(batch);
    }
    Ok(Batch::new(batch.x.select(rows)?, batch.targets.select(rows)?)?)
}

/// What the model file says about the fit: all that decides its values.
fn settings(args: &FitArgs, l2: f64) -> Vec<(&'static str, String)> {
    let mut settings = vec![("l2", format!("{l2:?}")), ("standardize", args.standardize.to_string())];
    settings.extend(args.weighting.settings());
    settings.push(("level", args.compute.level.name().to_owned()));
    settings
}

fn say_data(data: &Rows, validation: usize, load_seconds: f64, out: &mut Output) -> Result<(), Failure> {
    out.line(format_args!(
        "data        {}: {} rows to fit, {validation} of them for validation, {} to test, {} features, {} classes, read in \
         {load_seconds:.2} s",
        visible(&data.name),
        HumanCount(data.train.rows() as u64),
        HumanCount(data.test.as_ref().map_or(0, Dataset::rows) as u64),
        HumanCount(data.train.features() as u64),
        data.schema.classes.len(),
    ))
}

fn say_results(
    args: &FitArgs,
    data: &Rows,
    model: &SoftmaxRegression,
    report: &Report,
    out: &mut Output,
) -> Result<(), Failure> {
    for tried in &report.path {
        let best = if tried.l2 == report.l2 { "  <- the best" } else { "" };
        out.line(format_args!(
            "l2 {:<8e} {:>3} passes, validation log loss {:.4}, accuracy {:.4}{best}",
            tried.l2, tried.passes, tried.validation_log_loss, tried.validation_accuracy
        ))?;
    }
    out.line(format_args!(
        "fit         loss {:.6}, objective {:.6} with l2 {:e}, gradient norm {:.1e}; {} passes in {:.2} s, {} ({})",
        report.train_loss,
        report.objective,
        report.l2,
        report.gradient_norm,
        HumanCount(report.passes as u64),
        report.train_seconds,
        if report.stopped == "passes" || report.stopped == "time" { "not converged" } else { "converged" },
        report.stopped,
    ))?;
    if let (Some(accuracy), Some(log_loss)) = (report.validation_accuracy, report.validation_log_loss) {
        out.line(format_args!("validation  accuracy {accuracy:.4}, log loss {log_loss:.4}"))?;
    }
    if let (Some(test), Some(accuracy), Some(log_loss)) = (&data.test, report.test_accuracy, report.test_log_loss) {
        out.line(format_args!("test        accuracy {accuracy:.4}, log loss {log_loss:.4}"))?;
        out.line("")?;
        out.line(model.report(test)?.with_names(&data.schema.classes)?)?;
    }
    if let Some(path) = &args.save {
        out.line(format_args!("saved       {}", visible(&path.display().to_string())))?;
    }
    Ok(())
}

fn passes(text: &str) -> Result<usize, String> {
    super::whole_number(text, usize::MAX)
}
