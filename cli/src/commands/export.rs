//! `softreg export`: a saved model as another program's file. The formats are [`export`](crate::export)'s.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use indicatif::HumanCount;
use serde::Serialize;
use softreg::ModelFile;

use crate::data::PIXELS;
use crate::export::{npz, onnx};
use crate::memory;
use crate::model_file::{self, Contents};
use crate::output_file::OutputFile;
use crate::report::{Failure, Output, note};
use crate::text::{excerpt, shown};

/// Options of `softreg export`.
#[derive(Args)]
#[command(group = ArgGroup::new("format").required(true).args(["onnx", "npz"]))]
pub(crate) struct ExportArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Write an ONNX graph (opset 13): the preprocessing of pixels, the classes and their probabilities
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Write NumPy arrays: weight [classes, features], bias, classes and settings
    #[arg(long, value_name = "FILE")]
    npz: Option<PathBuf>,
    /// Type of the graph's input [default: uint8 where the model takes pixels, float32 elsewhere]
    #[arg(long, value_enum, value_name = "TYPE", conflicts_with = "npz")]
    input: Option<onnx::Input>,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    model: String,
    format: &'static str,
    file: String,
    bytes: usize,
    features: usize,
    classes: usize,
    /// `null` where the file is no graph.
    input: Option<Input>,
}

/// The graph's input.
#[derive(Serialize)]
struct Input {
    name: &'static str,
    r#type: onnx::Input,
}

pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let (flag, format, path) = target(args)?;
    let target = OutputFile::check_beside(flag, path, &[&args.model])?;
    let file = load(&args.model)?;
    memory::check("export the model in")?;
    let fail = |message: String| Failure::Failed(format!("{}: {message}", args.model.display()));
    let (bytes, input) = match &args.onnx {
        Some(_) => {
            let input = args.input.unwrap_or_else(|| onnx::Input::of(&file));
            (onnx::to_bytes(&file, input).map_err(fail)?, Some(input))
        }
        None => (npz::to_bytes(&file).map_err(fail)?, None),
    };
    target.write(&bytes)?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: args.model.display().to_string(),
        format,
        file: path.display().to_string(),
        bytes: bytes.len(),
        features: file.model.features(),
        classes: file.model.classes(),
        input: input.map(|input| Input { name: input.name(&file), r#type: input }),
    };
    say(args, path, &file, &report)?;
    if let (Some(_), Some(preprocessing)) = (input, foreign_preprocessing(&file)) {
        note(&format!(
            "the graph does not do the model's preprocessing, {:?}: its input takes the values after it",
            excerpt(preprocessing)
        ));
    }
    Ok(())
}

/// The option that names the file, the format and the file.
fn target(args: &ExportArgs) -> Result<(&'static str, &'static str, &Path), Failure> {
    match (&args.onnx, &args.npz) {
        (Some(path), _) => Ok(("--onnx", "onnx", path)),
        (_, Some(path)) => Ok(("--npz", "npz", path)),
        (None, None) => Err(Failure::Usage("found no file to write, expected --onnx FILE or --npz FILE".to_owned())),
    }
}

fn load(path: &Path) -> Result<ModelFile, Failure> {
    match model_file::open(path)? {
        Contents::Model(file) => Ok(file),
        Contents::State(_) => Err(Failure::Failed(format!(
            "{}: found the state of a training, expected a model; save the trainer's model as a file of its own",
            path.display()
        ))),
    }
}

/// A preprocessing that the graph leaves to its user.
fn foreign_preprocessing(file: &ModelFile) -> Option<&str> {
    file.metadata.get("preprocessing").map(String::as_str).filter(|&found| found != PIXELS)
}

fn say(args: &ExportArgs, path: &Path, file: &ModelFile, report: &Report) -> Result<(), Failure> {
    let mut out = Output::new();
    if args.json {
        return out.json(report);
    }
    let (saved, bytes) = (shown(path), HumanCount(report.bytes as u64));
    let Report { features, classes, .. } = report;
    let Some(Input { name, r#type }) = &report.input else {
        out.line(format_args!("saved    {saved}, {bytes} bytes, for numpy.load"))?;
        return out.line(format_args!("arrays   weight [{classes}, {features}], bias [{classes}], classes, settings"));
    };
    let element = match r#type {
        onnx::Input::Uint8 => "uint8",
        onnx::Input::Float32 => "float32",
    };
    let scaled = if onnx::takes_pixels(file) { ", from 0 to 255, divided by 255 in the graph" } else { "" };
    out.line(format_args!("saved    {saved}, {bytes} bytes, ONNX, opset {}", onnx::OPSET))?;
    out.line(format_args!("input    {name} {element} [n, {features}]{scaled}"))?;
    out.line(format_args!("outputs  class int64 [n], probabilities float32 [n, {classes}]"))
}
