//! `softreg inspect`: what a model file holds, or the file of a training's state. Nothing is computed with the model but
//! norms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use softreg::{Error, ModelFile, SoftmaxRegression, Trainer};

use crate::model_file::{self, Contents};
use crate::report::{Failure, Output};
use crate::tensors::{self, Tensor};
use crate::text::{column, excerpt, shown, visible};

/// The entry of the metadata that the state of a run over epochs has.
const RUN: &str = "run";

/// Tensors that a page lists.
const MOST_TENSORS: usize = 8;

/// Options of `softreg inspect`.
#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Model saved by `softreg train --save FILE`, or by another program as safetensors
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    file: String,
    bytes: u64,
    /// All in the file, by their names.
    tensors: BTreeMap<String, Tensor>,
    features: usize,
    classes: usize,
    class_names: Option<Vec<String>>,
    preprocessing: Option<String>,
    norms: Norms,
    /// `null` where the file is a model and nothing else.
    state: Option<State>,
    /// All that the file says beside its tensors.
    metadata: BTreeMap<String, String>,
}

/// Sizes of the parameters, in double precision.
#[derive(Serialize)]
struct Norms {
    /// Frobenius norm.
    weight: f64,
    largest_weight: f32,
    smallest_bias: f32,
    largest_bias: f32,
    /// Euclidean norm of each class's weights.
    by_class: Vec<f64>,
}

/// A training that goes on from this file.
#[derive(Serialize)]
struct State {
    /// That of a run over epochs, and not of a trainer alone.
    is_run: bool,
    optimizer: &'static str,
    steps: u64,
    learning_rate: f64,
}

pub(crate) fn run(args: &InspectArgs) -> Result<(), Failure> {
    let (file, state) = load(&args.model)?;
    let fail = |error| Failure::Failed(format!("{}: {error}; it changed while it was read", args.model.display()));
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        file: args.model.display().to_string(),
        bytes: std::fs::metadata(&args.model).map_err(fail)?.len(),
        tensors: tensors::list(&args.model).map_err(fail)?,
        features: file.model.features(),
        classes: file.model.classes(),
        norms: Norms::of(&file.model),
        class_names: file.class_names,
        preprocessing: file.metadata.get("preprocessing").cloned(),
        state,
        metadata: file.metadata,
    };
    let mut out = Output::new();
    if args.json { out.json(&report) } else { say(&args.model, &report, &mut out) }
}

/// The model in a file, and the training's state if it is one's.
fn load(path: &Path) -> Result<(ModelFile, Option<State>), Failure> {
    match model_file::open(path)? {
        Contents::Model(file) => Ok((file, None)),
        Contents::State(file) => {
            let state = State::load(path, file.metadata.contains_key(RUN))?;
            Ok((file, Some(state)))
        }
    }
}

impl State {
    fn load(path: &Path, is_run: bool) -> Result<Self, Failure> {
        let trainer = Trainer::load(path).map_err(|error| match error {
            // Its own words for it expect what a program would call.
            Error::Format { file, found, .. } => Failure::Failed(format!(
                "{file}: found {found}, expected the state of a training that holds together; save it again"
            )),
            other => other.into(),
        })?;
        let (optimizer, steps, learning_rate) = (trainer.optimizer().name(), trainer.steps(), trainer.learning_rate());
        Ok(Self { is_run, optimizer, steps, learning_rate })
    }
}

impl Norms {
    fn of(model: &SoftmaxRegression) -> Self {
        let weight = model.to_class_major();
        let square = |row: &[f32]| row.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
        let squares: Vec<f64> = weight.chunks_exact(model.features()).map(square).collect();
        let bias = model.bias();
        Self {
            weight: squares.iter().sum::<f64>().sqrt(),
            largest_weight: weight.iter().fold(0.0, |largest, weight| largest.max(weight.abs())),
            smallest_bias: bias.iter().copied().fold(f32::INFINITY, f32::min),
            largest_bias: bias.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            by_class: squares.into_iter().map(f64::sqrt).collect(),
        }
    }
}

fn say(path: &Path, report: &Report, out: &mut Output) -> Result<(), Failure> {
    let Report { features, classes, norms, .. } = report;
    let mut rows = vec![
        ("file", format!("{}, {} bytes", shown(path), HumanCount(report.bytes))),
        ("tensors", listed(&report.tensors)),
        ("features", HumanCount(*features as u64).to_string()),
        ("classes", format!("{}: {}", HumanCount(*classes as u64), named(report.class_names.as_deref()))),
        ("preprocessing", quoted(report.preprocessing.as_deref().unwrap_or("none is named"))),
        ("norm of weight", figure(norms.weight)),
        ("largest |weight|", figure(norms.largest_weight.into())),
        ("bias from, to", format!("{}, {}", figure(norms.smallest_bias.into()), figure(norms.largest_bias.into()))),
    ];
    if let Some(state) = &report.state {
        let kind = if state.is_run { "a run over epochs" } else { "a trainer" };
        rows.push(("state of", format!("{kind}, which goes on from here; not a model to use")));
        rows.push(("optimizer", state.optimizer.to_owned()));
        rows.push(("steps", HumanCount(state.steps).to_string()));
        rows.push(("learning rate", format!("{:?}", state.learning_rate)));
    }
    let width = column(rows.iter().map(|(name, _)| *name));
    for (name, value) in &rows {
        out.line(format_args!("{name:width$}  {value}"))?;
    }
    let settings: Vec<(String, String)> = report
        .metadata
        .iter()
        .filter(|(name, _)| *name != "preprocessing")
        .map(|(name, value)| (quoted(name), quoted(value)))
        .collect();
    if settings.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let width = width.max(column(settings.iter().map(|(name, _)| name.as_str())));
    settings.iter().try_for_each(|(name, value)| out.line(format_args!("{name:width$}  {value}")))
}

/// A number of any size in a few characters.
fn figure(value: f64) -> String {
    if value == 0.0 || (1e-4..1e9).contains(&value.abs()) { format!("{value:.6}") } else { format!("{value:.6e}") }
}

/// A text of the file's, fit for a line.
fn quoted(text: &str) -> String {
    visible(&excerpt(text))
}

fn named(classes: Option<&[String]>) -> String {
    classes.map_or("without names".to_owned(), |names| quoted(&names.join(", ")))
}

/// The first tensors, and how many there are more.
fn listed(tensors: &BTreeMap<String, Tensor>) -> String {
    let shown = tensors.iter().take(MOST_TENSORS);
    let shown = shown.map(|(name, Tensor { dtype, shape })| excerpt(&format!("{} {dtype} {shape:?}", excerpt(name))));
    let shown = visible(&shown.collect::<Vec<_>>().join(", "));
    match tensors.len().saturating_sub(MOST_TENSORS) {
        0 => shown,
        more => format!("{shown} and {} more", HumanCount(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_those_of_the_classes() {
        let model = SoftmaxRegression::from_class_major(&[3.0, -4.0, 0.0, 12.0], &[-1.0, 2.0], 2, 2).unwrap();
        let norms = Norms::of(&model);
        assert_eq!(norms.by_class, [5.0, 12.0]);
        assert_eq!((norms.weight, norms.largest_weight), (13.0, 12.0));
        assert_eq!((norms.smallest_bias, norms.largest_bias), (-1.0, 2.0));
        let largest = SoftmaxRegression::from_class_major(&[f32::MAX; 4], &[0.0], 4, 1).unwrap();
        let norms = Norms::of(&largest);
        assert_eq!(norms.weight, 2.0 * f64::from(f32::MAX));
        let zeros = Norms::of(&SoftmaxRegression::zeros(3, 1));
        assert_eq!((zeros.weight, zeros.largest_weight, zeros.by_class), (0.0, 0.0, vec![0.0]));
        assert_eq!((zeros.smallest_bias, zeros.largest_bias), (0.0, 0.0));
    }
}
