//! A trainer's life with any optimizer. In the folder: its steps, epochs, classes that come later, scaled coordinates, and
//! what is refused. Here is what they train on.

mod classes;
mod epochs;
mod refusals;
mod scaled;
mod steps;

use crate::support::random::Random;
use softreg::{Dataset, SoftmaxRegression, Targets};

const FEATURES: usize = 100;
const CLASSES: usize = 9;
const ROWS: usize = 240;
const BATCH: usize = 200;
const STEPS: usize = 4;

/// Rows of a few kinds, in each of which other features are zero.
fn datasets() -> [Dataset; 2] {
    let mut random = Random::new(7);
    let mut pixels = random.pixels(ROWS * FEATURES);
    for row in pixels.chunks_exact_mut(FEATURES) {
        let kind = random.below(4);
        row.iter_mut().enumerate().filter(|(feature, _)| feature * 7 % 4 != kind).for_each(|(_, pixel)| *pixel = 0);
    }
    let labels: Vec<u8> = random.labels(ROWS, CLASSES).into_iter().map(|label| label as u8).collect();
    let values = pixels.iter().map(|&pixel| f32::from(pixel) / 256.0).collect();
    let wide = labels.iter().copied().map(u32::from).collect();
    [Dataset::from_u8(pixels, labels, FEATURES, CLASSES), Dataset::from_f32(values, wide, FEATURES, CLASSES)]
        .map(|data| data.expect("the lengths fit"))
}

fn start() -> SoftmaxRegression {
    let mut random = Random::new(8);
    let (w, b) = (random.numbers(FEATURES * CLASSES, 0.5), random.numbers(CLASSES, 0.5));
    SoftmaxRegression::from_row_major(&w, &b, FEATURES, CLASSES).expect("a model")
}

/// Targets with weights or smoothing or neither, and the same written out, `[ROWS, CLASSES]`, with each row's weight.
struct Weighted {
    rows: Vec<f32>,
    classes: Vec<f32>,
    weighs: bool,
    smoothing: f32,
}

impl Weighted {
    fn new(weighs: bool, smooths: bool) -> Self {
        let rows = (0..ROWS).map(|row| (row % 5) as f32 / 2.0).collect();
        let classes = (0..CLASSES).map(|class| 0.5 + class as f32 / 4.0).collect();
        Self { rows, classes, weighs, smoothing: if smooths { 0.125 } else { 0.0 } }
    }

    fn targets<'a>(&'a self, data: &'a Dataset) -> Targets<'a> {
        let mut targets = data.targets();
        if self.weighs {
            targets = targets.with_row_weights(&self.rows).expect("a weight a row").with_class_weights(&self.classes);
        }
        if self.smoothing > 0.0 {
            targets = targets.with_label_smoothing(self.smoothing).expect("a share");
        }
        targets
    }

    fn written_out(&self, row: usize, label: usize) -> (Vec<f64>, f64) {
        let smoothing = f64::from(self.smoothing);
        let row_weight = if self.weighs { f64::from(self.rows[row]) } else { 1.0 };
        let class_weight = |class: usize| if self.weighs { f64::from(self.classes[class]) } else { 1.0 };
        let one_hot = |class: usize| f64::from(u8::from(class == label));
        let share = |class| (1.0 - smoothing) * one_hot(class) + smoothing / CLASSES as f64;
        let targets = (0..CLASSES).map(|class| share(class) * class_weight(class) * row_weight).collect();
        (targets, row_weight * class_weight(label))
    }
}
