//! `softreg predict`: which digit each picture shows, and how sure the model is.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use softreg::{Matrix, SoftmaxRegression};

use crate::model_file::{self, CLASSES, FEATURES};
use crate::output_file::OutputFile;
use crate::report::{Failure, Output, complain, note};
use crate::text::{column, shown};
use crate::{digit, frame, picture};

/// How many classes the plain output shows.
const SHOWN: usize = 3;

/// Options of `softreg predict`.
#[derive(Args)]
pub(crate) struct PredictArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Pictures of a digit each, drawn or photographed: PNG, JPEG, BMP, WebP or TIFF, of any size
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Put the digit as MNIST has its digits: white on black, cropped, fitted into 20x20 pixels, centred in 28x28 by its
    /// centre of mass
    #[arg(long, value_enum, default_value_t = Framing::Auto)]
    frame: Framing,
    /// The digits are dark on a bright ground; where they are framed, this is found out
    #[arg(long)]
    invert: bool,
    /// Save the 28x28 pixels that the model saw as a PNG picture; for one IMAGE
    #[arg(long, value_name = "FILE")]
    show_input: Option<PathBuf>,
    /// Print one JSON object a line for each picture that could be read, and nothing else
    #[arg(long)]
    json: bool,
}

/// When pictures are framed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Framing {
    /// Take 28x28 pixels as they are, and no others
    Never,
    /// Frame all but digits of 28x28 pixels that are as MNIST has them
    Auto,
    /// Frame every picture
    Always,
}

#[derive(Serialize)]
struct Report {
    file: String,
    class: usize,
    probability: f32,
    /// By class.
    probabilities: Vec<f32>,
    /// The model saw other pixels than the picture has.
    framed: bool,
}

/// What the model sees of a picture.
struct Input {
    /// 28x28.
    pixels: Vec<u8>,
    /// They are others than the picture's.
    is_framed: bool,
    /// Why the answer may mean nothing.
    doubts: Vec<String>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let show_input = args.show_input.as_deref().map(|path| input_file(path, args)).transpose()?;
    let model = model_file::load(&args.model)?;
    let mut out = Output::new();
    let mut failed = false;
    let names: Vec<String> = args.images.iter().map(|path| shown(path)).collect();
    let width = column(names.iter().map(String::as_str));
    for (path, name) in args.images.iter().zip(&names) {
        if out.is_closed() {
            break;
        }
        let answer = input(path, args).and_then(|input| Ok((predict(&model, path, &input)?, input)));
        match answer {
            Ok((report, input)) => {
                if args.json {
                    out.json(&report)?
                } else {
                    out.line(plain(name, &report, width))?
                }
                for doubt in &input.doubts {
                    note(&format!("{name}: {doubt}"));
                }
                if let Some(file) = &show_input {
                    file.write(&picture::input_png(&input.pixels)?)?;
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

/// Where the model's input goes, checked before the work.
fn input_file(path: &Path, args: &PredictArgs) -> Result<OutputFile, Failure> {
    let [image] = args.images.as_slice() else {
        let found = args.images.len();
        return Err(Failure::Usage(format!("--show-input: found {found} pictures, expected one; give one at a time")));
    };
    let is_same = |other: &Path| path.canonicalize().is_ok_and(|path| other.canonicalize().is_ok_and(|o| o == path));
    if is_same(image) || is_same(&args.model) {
        return Err(Failure::Usage(format!(
            "--show-input {}: found a file that is read, expected another; choose a new name",
            path.display()
        )));
    }
    OutputFile::check("--show-input", path)
}

/// Reads a picture and makes of it what the model knows.
fn input(path: &Path, args: &PredictArgs) -> Result<Input, String> {
    let read = digit::read(path)?;
    let picture = &read.pixels;
    let as_it_is = digit::as_it_is(picture, args.invert);
    let (pixels, mut doubts) = match args.frame {
        Framing::Never => {
            let pixels = as_it_is.clone().ok_or_else(|| {
                format!(
                    "found a picture of {}x{} pixels, expected {side}x{side}; --frame auto takes any size",
                    picture.width(),
                    picture.height(),
                    side = frame::SIDE
                )
            })?;
            let doubt = digit::doubt(&pixels, args.invert);
            (pixels, Vec::from_iter(doubt))
        }
        Framing::Auto => match frame::framed_already(picture, args.invert) {
            Some(pixels) => (pixels, Vec::new()),
            None => framed(picture, args.invert)?,
        },
        Framing::Always => framed(picture, args.invert)?,
    };
    let is_framed = as_it_is.is_none_or(|as_it_is| as_it_is != pixels);
    if read.is_animated {
        doubts.push("the file has several pictures, one after the other; the answer is the first one's".to_owned());
    }
    Ok(Input { pixels, is_framed, doubts })
}

/// The framed pixels and what is doubtful about them.
fn framed(picture: &image::GrayAlphaImage, invert: bool) -> Result<(Vec<u8>, Vec<String>), String> {
    let framed = frame::frame(picture, invert).ok_or_else(|| {
        let hint = if invert { "; try without --invert" } else { "" };
        format!(
            "found a picture that is blank where it can be seen, expected a digit that stands out from its ground{hint}"
        )
    })?;
    let doubt = "the picture seems to show several digits, and the model knows one at a time; cut them apart";
    let doubts = if framed.has_several { vec![doubt.to_owned()] } else { Vec::new() };
    Ok((framed.pixels, doubts))
}

fn predict(model: &SoftmaxRegression, path: &Path, input: &Input) -> Result<Report, String> {
    let mut probabilities = vec![0.0; CLASSES];
    let x = Matrix::from_u8(&input.pixels, FEATURES).map_err(|error| error.to_string())?;
    model.predict_proba_into(x, &mut probabilities).map_err(|error| error.to_string())?;
    let [class, ..] = best_first(&probabilities)?;
    let (file, framed) = (path.display().to_string(), input.is_framed);
    Ok(Report { file, class, probability: probabilities[class], probabilities, framed })
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
    if report.framed {
        line.push_str("   framed");
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
