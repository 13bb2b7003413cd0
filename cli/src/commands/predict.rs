//! `softreg predict`: which digit each picture shows, and how sure the model is.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use softreg::{Matrix, SoftmaxRegression};

use crate::digit;
use crate::model_file::{self, CLASSES, FEATURES};
use crate::report::{Failure, Output, complain, note};
use crate::text::{column, shown};

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

/// A picture's answer, and why it may mean nothing.
struct Answer {
    report: Report,
    doubt: Option<String>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let model = model_file::load(&args.model)?;
    let mut out = Output::new();
    let mut failed = false;
    let names: Vec<String> = args.images.iter().map(|path| shown(path)).collect();
    let width = column(names.iter().map(String::as_str));
    for (path, name) in args.images.iter().zip(&names) {
        if out.is_closed() {
            break;
        }
        match predict(&model, path, args.invert) {
            Ok(Answer { report, doubt }) => {
                if args.json {
                    out.json(&report)?
                } else {
                    out.line(plain(name, &report, width))?
                }
                if let Some(doubt) = doubt {
                    note(&format!("{name}: {doubt}"));
                }
            }
            // The other pictures are still worth an answer.
            Err(message) => {
                complain(&format!("{name}: {message}"));
                failed = true;
            }
        }
    }
    if failed { Err(Failure::AlreadyTold) } else { Ok(()) }
}

fn predict(model: &SoftmaxRegression, path: &Path, invert: bool) -> Result<Answer, String> {
    let pixels = digit::read(path, invert)?;
    let mut probabilities = vec![0.0; CLASSES];
    let x = Matrix::from_u8(&pixels, FEATURES).map_err(|error| error.to_string())?;
    model.predict_proba_into(x, &mut probabilities).map_err(|error| error.to_string())?;
    let [class, ..] = best_first(&probabilities)?;
    let report = Report { file: path.display().to_string(), class, probability: probabilities[class], probabilities };
    Ok(Answer { report, doubt: digit::doubt(&pixels, invert) })
}

/// The classes, the most probable first; ties go to the lowest. Numbers that are none have no order.
fn best_first(probabilities: &[f32]) -> Result<[usize; CLASSES], String> {
    if let Some(class) = probabilities.iter().position(|probability| !probability.is_finite()) {
        return Err(format!(
            "digit {class} got the probability {}, expected a finite one; the weights are too large, train the model \
             with a smaller --lr",
            probabilities[class]
        ));
    }
    let mut classes = std::array::from_fn(|class| class);
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    Ok(classes)
}

fn plain(name: &str, report: &Report, width: usize) -> String {
    let mut line = format!("{name:width$}  {}  ", report.class);
    for class in best_first(&report.probabilities).into_iter().flatten().take(SHOWN) {
        line.push_str(&format!("  {class} {:5.1} %", 100.0 * report.probabilities[class]));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_takes_ties_in_order_and_no_nan() {
        let mut probabilities = [0.125; CLASSES];
        probabilities[7] = 0.25;
        assert_eq!(best_first(&probabilities), Ok([7, 0, 1, 2, 3, 4, 5, 6, 8, 9]));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            probabilities[4] = bad;
            let error = best_first(&probabilities).unwrap_err();
            assert!(error.contains("digit 4") && error.contains("finite"), "{error}");
        }
    }
}
