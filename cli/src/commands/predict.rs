//! `softreg predict`: which digit each picture shows, and how sure the model is.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use softreg::{Matrix, SoftmaxRegression};

use crate::digit;
use crate::model_file::{self, CLASSES, FEATURES};
use crate::report::{Failure, Output, complain};

/// How many classes the plain output shows.
const SHOWN: usize = 3;

/// Options of `softreg predict`.
#[derive(Args)]
pub(crate) struct PredictArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// PNG pictures of 28x28 pixels: a white digit on black, as MNIST has them
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The digits are black on white
    #[arg(long)]
    invert: bool,
    /// Print one JSON object a line for each picture that could be read, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    file: String,
    class: usize,
    probability: f32,
    /// By class.
    probabilities: Vec<f32>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let model = model_file::load(&args.model)?;
    let mut out = Output::new();
    let mut failed = false;
    let width = args.images.iter().map(|path| path.display().to_string().chars().count()).max().unwrap_or(0);
    for path in &args.images {
        if out.is_closed() {
            break;
        }
        match predict(&model, path, args.invert) {
            Ok(report) if args.json => out.json(&report)?,
            Ok(report) => out.line(plain(&report, width))?,
            // The other pictures are still worth an answer.
            Err(message) => {
                complain(&format!("{}: {message}", path.display()));
                failed = true;
            }
        }
    }
    if failed { Err(Failure::AlreadyTold) } else { Ok(()) }
}

fn predict(model: &SoftmaxRegression, path: &Path, invert: bool) -> Result<Report, String> {
    let pixels = digit::read(path, invert)?;
    let mut probabilities = vec![0.0; CLASSES];
    let x = Matrix::from_u8(&pixels, FEATURES).map_err(|error| error.to_string())?;
    model.predict_proba_into(x, &mut probabilities).map_err(|error| error.to_string())?;
    let class = best_first(&probabilities)[0];
    Ok(Report { file: path.display().to_string(), class, probability: probabilities[class], probabilities })
}

/// The classes, the most probable first; ties go to the lowest class.
fn best_first(probabilities: &[f32]) -> [usize; CLASSES] {
    let mut classes = std::array::from_fn(|class| class);
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes
}

fn plain(report: &Report, width: usize) -> String {
    let mut line = format!("{:width$}  {}  ", report.file, report.class);
    for class in best_first(&report.probabilities).into_iter().take(SHOWN) {
        line.push_str(&format!("  {class} {:5.1} %", 100.0 * report.probabilities[class]));
    }
    line
}
