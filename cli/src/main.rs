//! The command line `softreg`: parses the arguments, runs one command, turns its end into an exit code.
//! What the commands do is in [`commands`]; what they compute is in the library.

#![forbid(unsafe_code)]

mod commands;
mod data;
mod digit;
mod examples;
mod export;
mod frame;
mod history;
mod memory;
mod model_file;
mod nearest;
mod optimizer;
mod output_file;
mod page;
mod picture;
mod progress;
mod report;
mod roofline;
mod temporary;
mod tensors;
mod text;
mod weighting;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use commands::{bench, completions, eval, fit, info, inspect, man, predict, report_page, train};
use report::{Failure, complain, written};

/// Softmax regression on MNIST, at the speed of the machine; without a command it is `softreg train`
#[derive(Parser)]
#[command(
    name = env!("CARGO_BIN_NAME"),
    version,
    args_conflicts_with_subcommands = true,
    after_help = examples::ALL
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: train::TrainArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model and test it (the default)
    #[command(after_help = examples::TRAIN)]
    Train(train::TrainArgs),
    /// Fit a model to convergence and test it; on MNIST or on your own features
    #[command(after_help = examples::FIT)]
    Fit(fit::FitArgs),
    /// Test a saved model
    #[command(after_help = examples::EVAL)]
    Eval(eval::EvalArgs),
    /// Say which digit each picture shows
    #[command(after_help = examples::PREDICT)]
    Predict(predict::PredictArgs),
    /// Show what a model file holds
    Inspect(inspect::InspectArgs),
    /// Write a saved model as another program's file: ONNX or NumPy's .npz
    Export(commands::export::ExportArgs),
    /// Make a page of what a saved model is worth, with pictures
    Report(report_page::ReportArgs),
    /// Measure every kernel beside what the machine gives
    Bench(bench::BenchArgs),
    /// Show the version, the instruction sets and the threads
    Info(info::InfoArgs),
    /// Print what a shell needs to complete options by the tab key
    Completions(completions::CompletionsArgs),
    /// Print the manual page, of softreg or of one command
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    let result = memory::prepare().and_then(|()| match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => answer(&error),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::AlreadyTold) => ExitCode::from(1),
        Err(Failure::Failed(message)) => {
            complain(&message);
            ExitCode::from(1)
        }
        Err(Failure::Interrupted(message)) => {
            complain(&message);
            ExitCode::from(130)
        }
        Err(Failure::Usage(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
    }
}

/// What clap ends with instead of arguments: help and the version, which are asked for, or what is wrong with them.
fn answer(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            written(error.print().and_then(|()| io::stdout().flush())).map(drop)
        }
        _ => Err(Failure::Usage(one_line(&error.render().to_string()))),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        None => train::run(&cli.train),
        Some(Command::Train(args)) => train::run(&args),
        Some(Command::Fit(args)) => fit::run(&args),
        Some(Command::Eval(args)) => eval::run(&args),
        Some(Command::Predict(args)) => predict::run(&args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Export(args)) => commands::export::run(&args),
        Some(Command::Report(args)) => report_page::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Info(args)) => info::run(&args),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
    }
}

/// Folds clap's message of several paragraphs (what is wrong, tips, usage, where to read more) into one line:
/// scripts and logs keep one line for one error.
fn one_line(rendered: &str) -> String {
    let mut line = String::new();
    for paragraph in rendered.split("\n\n") {
        let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.starts_with("Usage:") || words.starts_with("For more information") || words.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push_str("; ");
        }
        line.push_str(words.strip_prefix("error: ").unwrap_or(&words));
    }
    line.push_str("; --help lists what there is");
    line
}
