//! One random batch and its parameters, and the kernels called on them with outputs of the right shape: what the laws
//! are stated in. Judges nothing.

use std::ops::Range;

use softreg::{Level, Matrix, Parameters, Targets, kernel};

use super::cases::{Kind, Shape};
use super::compare::Expected;
use super::expect::{self, wide};
use super::random::Random;

pub(crate) const LEARNING_RATE: f32 = 0.05;

pub(crate) const BOTH: [Kind; 2] = [Kind::F32, Kind::U8];

/// One batch of random rows, as f32 and as pixels, with weights, logits, residuals and targets of matching shapes.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) shape: Shape,
    pub(crate) values: Vec<f32>,
    pub(crate) pixels: Vec<u8>,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    /// Multiples of 1/8, so that adding a whole number up to 2^20 is exact.
    pub(crate) logits: Vec<f32>,
    pub(crate) residual: Vec<f32>,
    pub(crate) labels: Vec<u32>,
    pub(crate) soft: Vec<f32>,
}

impl Data {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let Shape { rows, features, classes } = shape;
        let mut random = Random::new(seed);
        Self {
            shape,
            values: random.numbers(rows * features, 1.0),
            pixels: random.pixels(rows * features),
            weights: random.numbers(features * classes, 1.0),
            bias: random.numbers(classes, 1.0),
            logits: (0..rows * classes).map(|_| random.below(161) as f32 / 8.0 - 10.0).collect(),
            residual: random.numbers(rows * classes, 1.0),
            labels: random.labels(rows, classes),
            soft: random.soft_targets(rows, classes),
        }
    }

    pub(crate) fn rows(&self, kind: Kind, rows: Range<usize>) -> Matrix<'_> {
        let cells = rows.start * self.shape.features..rows.end * self.shape.features;
        match kind {
            Kind::F32 => Matrix::from_f32(&self.values[cells], self.shape.features),
            Kind::U8 => Matrix::from_u8(&self.pixels[cells], self.shape.features),
        }
        .expect("whole rows")
    }

    pub(crate) fn x(&self, kind: Kind) -> Matrix<'_> {
        self.rows(kind, 0..self.shape.rows)
    }

    pub(crate) fn x64(&self, kind: Kind) -> Vec<f64> {
        match kind {
            Kind::F32 => wide(&self.values),
            Kind::U8 => self.pixels.iter().map(|&pixel| f64::from(pixel) / 255.0).collect(),
        }
    }

    pub(crate) fn soft(&self) -> Targets<'_> {
        Targets::from_probabilities(&self.soft, self.shape.classes).expect("whole rows")
    }

    pub(crate) fn pack(&self, weights: &[f32], bias: &[f32]) -> Parameters {
        Parameters::from_row_major(weights, bias, self.shape.features, self.shape.classes).expect("the lengths fit")
    }

    /// Weights and bias that follow each other.
    fn unpack(&self, start: &[f32]) -> Parameters {
        let (weights, bias) = start.split_at(self.weights.len());
        self.pack(weights, bias)
    }

    pub(crate) fn forward(&self, level: Level, x: Matrix<'_>) -> Vec<f32> {
        forward(level, x, &self.pack(&self.weights, &self.bias))
    }

    /// The gradient's weights and bias, row-major, one after the other.
    pub(crate) fn gradient(&self, level: Level, x: Matrix<'_>, residual: &[f32]) -> Vec<f32> {
        let mut gradient = self.pack(&self.weights, &self.bias);
        kernel::gradient(level, x, residual, &mut gradient).expect("the shapes fit");
        concat(&gradient)
    }

    /// As `gradient`, added to `start`.
    pub(crate) fn accumulate(&self, level: Level, x: Matrix<'_>, residual: &[f32], start: &[f32]) -> Vec<f32> {
        let mut gradient = self.unpack(start);
        kernel::gradient_accumulate(level, x, residual, &mut gradient).expect("the shapes fit");
        concat(&gradient)
    }

    /// The weights and bias after a step from `start`.
    pub(crate) fn step(&self, level: Level, x: Matrix<'_>, residual: &[f32], start: &[f32]) -> Vec<f32> {
        let mut parameters = self.unpack(start);
        kernel::sgd_step(level, x, residual, LEARNING_RATE, &mut parameters).expect("the shapes fit");
        concat(&parameters)
    }

    /// The expectation of a step or an accumulation, weights and bias one after the other.
    pub(crate) fn expect_step(&self, kind: Kind, learning_rate: f32, start: &[f32]) -> Expected {
        let (w, b) = start.split_at(self.weights.len());
        let (mut all, bias) =
            expect::sgd_step(&self.x64(kind), &wide(&self.residual), learning_rate.into(), &wide(w), &wide(b));
        all.values.extend(bias.values);
        all.tolerances.extend(bias.tolerances);
        all
    }

    pub(crate) fn start(&self) -> Vec<f32> {
        [&self.weights[..], &self.bias].concat()
    }
}

/// The weights, row-major, and the bias.
pub(crate) fn concat(parameters: &Parameters) -> Vec<f32> {
    [&parameters.to_row_major()[..], parameters.bias()].concat()
}

pub(crate) fn forward(level: Level, x: Matrix<'_>, parameters: &Parameters) -> Vec<f32> {
    let mut logits = vec![f32::NAN; x.rows() * parameters.classes()];
    kernel::forward(level, x, parameters, &mut logits).expect("the shapes fit");
    logits
}

/// Losses and residual of `targets.rows()` rows, of `logits.len() / targets.rows()` classes each. No rows have no number
/// of classes to tell, and give nothing.
pub(crate) fn cross_entropy(level: Level, targets: Targets<'_>, logits: &[f32]) -> (Vec<f64>, Vec<f32>) {
    let Some(classes) = logits.len().checked_div(targets.rows()) else { return (Vec::new(), Vec::new()) };
    let (mut losses, mut residual) = (vec![f64::NAN; targets.rows()], logits.to_vec());
    kernel::cross_entropy(level, targets, classes, &mut residual, &mut losses).expect("the shapes fit");
    (losses, residual)
}

pub(crate) fn softmax(level: Level, logits: &[f32], classes: usize) -> Vec<f32> {
    let mut p = logits.to_vec();
    kernel::softmax(level, &mut p, classes).expect("whole rows");
    p
}

pub(crate) fn log_softmax(level: Level, logits: &[f32], classes: usize) -> Vec<f32> {
    let mut log_p = logits.to_vec();
    kernel::log_softmax(level, &mut log_p, classes).expect("whole rows");
    log_p
}
