//! `softreg predict`: the class of each picture or row, and how sure the model is. Here are the pictures; rows of arrays and
//! tables are in `predict/rows.rs`.

mod rows;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use softreg::Matrix;

use crate::data::{PIXELS, Schema, SourceArgs};
use crate::model_file::{self, Loaded};
use crate::output_file::OutputFile;
use crate::report::{Failure, Output, complain, note};
use crate::text::{column, excerpt, shown, visible};
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
    #[arg(value_name = "IMAGE", required_unless_present_any = ["features", "csv"],
        conflicts_with_all = ["features", "csv", "data"])]
    images: Vec<PathBuf>,
    #[command(flatten)]
    data: SourceArgs,
    /// Put the digit as MNIST has its digits: white on black, cropped, fitted into 20x20 pixels, centred in 28x28 by its
    /// centre of mass
    #[arg(long, value_enum, default_value_t = Framing::Auto)]
    frame: Framing,
    /// The digits are dark on a bright ground; where they are framed, this is found out
    #[arg(long)]
    invert: bool,
    /// Save the pixels that the model saw as a PNG picture; for one IMAGE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["features", "csv"])]
    show_input: Option<PathBuf>,
    /// Save a PNG picture of why: what each pixel speaks for the answer (blue) or against it (red); for one IMAGE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["features", "csv"])]
    explain: Option<PathBuf>,
    /// Print one JSON object a line for each picture that could be read, or for each row, and nothing else
    #[arg(long)]
    json: bool,
}

/// When pictures are framed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Framing {
    /// Take the pixels as they are, in the model's size only
    Never,
    /// Frame all but digits of 28x28 pixels that are as MNIST has them
    Auto,
    /// Frame every picture
    Always,
}

/// What `--json` prints of a picture.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    class: usize,
    name: &'a str,
    probability: f32,
    /// By class.
    probabilities: Vec<f32>,
    /// The model saw other pixels than the picture has.
    framed: bool,
}

/// What the model sees of a picture.
struct Input {
    /// Of the model's height and width.
    pixels: Vec<u8>,
    /// They are others than the picture's.
    is_framed: bool,
    /// Why the answer may mean nothing.
    doubts: Vec<String>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<(), Failure> {
    let check =
        |flag: &str, path: &Option<PathBuf>| path.as_deref().map(|path| output_file(flag, path, args)).transpose();
    let [show_input, explain] = [check("--show-input", &args.show_input)?, check("--explain", &args.explain)?];
    if show_input.is_some() && show_input == explain {
        return Err(Failure::Usage("--show-input and --explain name the same file; choose two".to_owned()));
    }
    let loaded = model_file::load(&args.model)?;
    if args.data.is_table() {
        return rows::run(&loaded, &args.data, args.json);
    }
    let image = image(args, &loaded)?;
    let mut out = Output::new();
    let mut failed = false;
    let names: Vec<String> = args.images.iter().map(|path| shown(path)).collect();
    let width = column(names.iter().map(String::as_str));
    for (path, name) in args.images.iter().zip(&names) {
        if out.is_closed() {
            break;
        }
        let answer = input(path, args, image).and_then(|input| Ok((predict(&loaded, path, &input)?, input)));
        match answer {
            Ok((report, input)) => {
                if args.json {
                    out.json(&report)?
                } else {
                    out.line(plain(name, &report, &loaded.schema, width))?
                }
                for doubt in &input.doubts {
                    note(&format!("{name}: {doubt}"));
                }
                if let Some(file) = &show_input {
                    file.write(&picture::input_png(&input.pixels, image)?)?;
                }
                if let Some(file) = &explain {
                    file.write(&explanation(&loaded, &report, &input, image)?)?;
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

/// Height and width of the model's images.
fn image(args: &PredictArgs, loaded: &Loaded) -> Result<[usize; 2], Failure> {
    let model = args.model.display();
    let Some(image) = loaded.schema.image else {
        let features = loaded.model.features();
        return Err(Failure::Failed(format!(
            "{model}: found a model of rows of {features} features, expected one of images; --features and --csv take rows"
        )));
    };
    match loaded.schema.preprocessing.as_deref() {
        None | Some(PIXELS) => Ok(image),
        Some(other) => Err(Failure::Failed(format!(
            "{model}: metadata preprocessing: found {:?}, expected {PIXELS:?}, as pictures are read; `softreg train --save \
             FILE` makes a model that fits",
            excerpt(other)
        ))),
    }
}

/// A PNG of the evidence for the answer.
fn explanation(
    Loaded { model, .. }: &Loaded,
    report: &Report<'_>,
    input: &Input,
    image: [usize; 2],
) -> Result<Vec<u8>, Failure> {
    let pixels: Vec<f32> = input.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let evidence = picture::Evidence {
        pixels: &pixels,
        image,
        weights: &model.to_class_major(),
        bias: model.bias(),
        class: report.class,
        name: report.name,
        probability: report.probability,
    };
    picture::evidence(&evidence).to_png()
}

/// Where a picture of the one IMAGE goes, checked before the work.
fn output_file(flag: &str, path: &Path, args: &PredictArgs) -> Result<OutputFile, Failure> {
    let [image] = args.images.as_slice() else {
        let found = args.images.len();
        return Err(Failure::Usage(format!("{flag}: found {found} pictures, expected one; give one at a time")));
    };
    OutputFile::check_beside(flag, path, &[image, &args.model])
}

/// Reads a picture and makes of it what the model knows.
fn input(path: &Path, args: &PredictArgs, image: [usize; 2]) -> Result<Input, String> {
    let read = digit::read(path)?;
    let picture = &read.pixels;
    let as_it_is = digit::as_it_is(picture, args.invert, image);
    let is_mnist = image == [frame::SIDE; 2];
    let (pixels, mut doubts) = match args.frame {
        Framing::Never => taken_as_it_is(as_it_is.as_deref(), picture, image, args.invert)?,
        Framing::Auto if !is_mnist => taken_as_it_is(as_it_is.as_deref(), picture, image, args.invert)?,
        Framing::Auto => match frame::framed_already(picture, args.invert) {
            Some(pixels) => (pixels, Vec::new()),
            None => framed(picture, args.invert)?,
        },
        Framing::Always if !is_mnist => {
            let [height, width] = image;
            return Err(format!(
                "found a model of {width}x{height} pixels, expected 28x28 to frame digits for; try --frame never"
            ));
        }
        Framing::Always => framed(picture, args.invert)?,
    };
    let is_framed = as_it_is.is_none_or(|as_it_is| as_it_is != pixels);
    if read.is_animated {
        doubts.push("the file has several pictures, one after the other; the answer is the first one's".to_owned());
    }
    Ok(Input { pixels, is_framed, doubts })
}

/// The picture's own pixels, which have to be of the model's size, and what is doubtful about them.
fn taken_as_it_is(
    as_it_is: Option<&[u8]>,
    picture: &image::GrayAlphaImage,
    [height, width]: [usize; 2],
    invert: bool,
) -> Result<(Vec<u8>, Vec<String>), String> {
    let is_mnist = [height, width] == [frame::SIDE; 2];
    let Some(pixels) = as_it_is else {
        let hint = if is_mnist { "--frame auto takes any size" } else { "scale it to that" };
        return Err(format!(
            "found a picture of {}x{} pixels, expected {width}x{height}; {hint}",
            picture.width(),
            picture.height(),
        ));
    };
    // Of other images than digits nothing is known.
    let doubt = if is_mnist { digit::doubt(pixels, invert) } else { None };
    Ok((pixels.to_vec(), Vec::from_iter(doubt)))
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

fn predict<'a>(loaded: &'a Loaded, path: &Path, input: &Input) -> Result<Report<'a>, String> {
    let Loaded { model, schema } = loaded;
    let mut probabilities = vec![0.0; model.classes()];
    let x = Matrix::from_u8(&input.pixels, model.features()).map_err(|error| error.to_string())?;
    model.predict_proba_into(x, &mut probabilities).map_err(|error| error.to_string())?;
    check(&probabilities, schema)?;
    let class = best_first(&probabilities).first().copied().unwrap_or(0);
    let (file, framed) = (path.display().to_string(), input.is_framed);
    Ok(Report { file, class, name: &schema.classes[class], probability: probabilities[class], probabilities, framed })
}

/// Numbers that are none have no order.
fn check(probabilities: &[f32], schema: &Schema) -> Result<(), String> {
    match probabilities.iter().position(|probability| !probability.is_finite()) {
        None => Ok(()),
        Some(class) => Err(format!(
            "class {} got the probability {}, expected a finite one; the weights are too large, train the model with a \
             smaller --lr",
            excerpt(&schema.classes[class]),
            probabilities[class]
        )),
    }
}

/// The classes, the most probable first; ties go to the lowest.
fn best_first(probabilities: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes
}

fn plain(name: &str, report: &Report<'_>, schema: &Schema, width: usize) -> String {
    let shown = |class: usize| visible(&excerpt(&schema.classes[class]));
    let mut line = format!("{name:width$}  {}  ", shown(report.class));
    for class in best_first(&report.probabilities).into_iter().take(SHOWN) {
        line.push_str(&format!("  {} {:5.1} %", shown(class), 100.0 * report.probabilities[class]));
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
        let mut probabilities = [0.125; 10];
        probabilities[7] = 0.25;
        assert_eq!(best_first(&probabilities), [7, 0, 1, 2, 3, 4, 5, 6, 8, 9]);
        let schema = Schema { classes: (0..10).map(|class| class.to_string()).collect(), ..Schema::default() };
        assert_eq!(check(&probabilities, &schema), Ok(()));
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY] {
            probabilities[4] = bad;
            let error = check(&probabilities, &schema).unwrap_err();
            assert!(error.contains("class 4") && error.contains("finite"), "{error}");
        }
    }
}
