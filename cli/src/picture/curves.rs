//! The learning curves: the loss of the training and the validation rows and the accuracy of the latter, step by step.

use super::axes::Axes;
use super::colour::{BLUE, FAINT, INK, ORANGE};
use super::drawing::{Anchor, Drawing, Rgb, Text};

const PANEL: [f64; 2] = [340.0, 230.0];
const TOP: f64 = 48.0;
const LEFT: f64 = 76.0;
const BETWEEN: f64 = 98.0;
/// More points than a page has pixels are not seen.
const MOST_POINTS: usize = 1000;

/// Where a training was after some steps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct CurvePoint {
    pub(crate) steps: f64,
    /// In nats a row.
    pub(crate) training_loss: Option<f64>,
    /// In nats a row.
    pub(crate) validation_loss: Option<f64>,
    /// From 0 to 1.
    pub(crate) validation_accuracy: Option<f64>,
}

/// Draws points in the order of their steps; what is missing or no number is left out.
pub(crate) fn curves(points: &[CurvePoint]) -> Drawing {
    let every = points.len().div_ceil(MOST_POINTS).max(1);
    // The last point is where the model comes from.
    let kept: Vec<CurvePoint> = points.iter().rev().step_by(every).rev().copied().collect();
    let series = |value: fn(&CurvePoint) -> Option<f64>| -> Vec<[f64; 2]> {
        let places = kept.iter().filter_map(|point| Some([point.steps, value(point)?]));
        places.filter(|place| place.iter().all(|value| value.is_finite())).collect()
    };
    let [training, validation] = [series(|point| point.training_loss), series(|point| point.validation_loss)];
    let accuracy = series(|point| point.validation_accuracy);

    let width = 2.0 * (LEFT + PANEL[0]) + BETWEEN - LEFT + 24.0;
    let mut drawing = Drawing::new("Learning curves", width, TOP + PANEL[1] + 54.0);
    let loss = [("training", &training[..], BLUE), ("validation", &validation[..], ORANGE)];
    panel(&mut drawing, LEFT, "loss of a row, nats", &loss);
    panel(&mut drawing, LEFT + PANEL[0] + BETWEEN, "accuracy", &[("validation", &accuracy[..], ORANGE)]);
    drawing
}

fn panel(drawing: &mut Drawing, left: f64, name: &str, lines: &[(&str, &[[f64; 2]], Rgb)]) {
    let all = || lines.iter().flat_map(|(_, points, _)| points.iter());
    let axes = Axes {
        at: [left, TOP],
        size: PANEL,
        x: from_start(range(all().map(|point| point[0]), 0.0)),
        y: range(all().map(|point| point[1]), 0.06),
    };
    axes.draw(drawing, ["steps", name]);
    let mut x = left;
    for (name, points, colour) in lines.iter().filter(|(_, points, _)| !points.is_empty()) {
        let places: Vec<[f64; 2]> = points.iter().map(|&point| axes.place(point)).collect();
        if places.len() <= 40 {
            for &place in &places {
                drawing.disc(place, 2.6, *colour);
            }
        }
        drawing.line(places, *colour, 1.8);
        drawing.line(vec![[x, TOP - 18.0], [x + 20.0, TOP - 18.0]], *colour, 2.4);
        drawing.text(Text::new([x + 26.0, TOP - 14.0], *name).fill(INK).anchor(Anchor::Start));
        x += 110.0;
    }
    if all().next().is_none() {
        let middle = [left + PANEL[0] / 2.0, TOP + PANEL[1] / 2.0];
        drawing.text(Text::new(middle, "no values").fill(FAINT));
    }
}

/// Steps from 0, unless that leaves most of the axis empty.
fn from_start([from, to]: [f64; 2]) -> [f64; 2] {
    if from > 0.0 && from <= to / 2.0 { [0.0, to] } else { [from, to] }
}

/// From the least to the largest value, and a margin that is this share of it.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> [f64; 2] {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let length = high - low;
    if !length.is_finite() {
        return [0.0, 1.0];
    }
    if length <= low.abs().max(high.abs()) * 1e-9 {
        let around = low.abs().max(1.0) / 2.0;
        return [low - around, high + around];
    }
    [low - margin * length, high + margin * length]
}
