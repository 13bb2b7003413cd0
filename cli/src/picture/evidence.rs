//! The evidence map of one picture: how much each pixel speaks for the answered class (blue) or against it (red), beside
//! the picture itself.
//!
//! The evidence of a pixel is its value times its weight for the class less the mean of its weights over all classes.
//! Softmax does not change when every class gets the same: only what a class gets beyond the mean moves its probability.
//! The evidence of all pixels and of the bias sums up to the class's logit less the mean logit.

use super::colour::{FAINT, gray, largest, signed};
use super::drawing::{Cells, Drawing, Text, drawn_size};
use super::font::fit;
use super::mistakes::percent;
use super::weights::scale;

const MARGIN: f64 = 24.0;
const GAP: f64 = 28.0;
const TOP: f64 = 76.0;
const TARGET: f64 = 224.0;

/// What a model makes of one picture.
pub(crate) struct Evidence<'a> {
    /// What the model was given, `[height, width]`, from 0 to 1.
    pub(crate) pixels: &'a [f32],
    pub(crate) image: [usize; 2],
    /// `[classes, height * width]`.
    pub(crate) weights: &'a [f32],
    /// `[classes]`.
    pub(crate) bias: &'a [f32],
    /// The class to explain, and its name.
    pub(crate) class: usize,
    pub(crate) name: &'a str,
    pub(crate) probability: f32,
}

/// Draws the picture and its evidence.
pub(crate) fn evidence(evidence: &Evidence<'_>) -> Drawing {
    let Evidence { pixels, image, name, probability, .. } = *evidence;
    let found = of_pixels(evidence);
    let largest = largest(found.iter().copied());
    let [width, height] = drawn_size(image, TARGET);
    let column = width.max(150.0);
    let size = [2.0 * MARGIN + 2.0 * column + GAP, TOP + height + 68.0];
    let title = format!("{}: {}", fit(name, 16.0, true, size[0] - 140.0), percent(probability));
    let mut drawing = Drawing::new(format!("Evidence for {title}"), size[0], size[1]);
    drawing.text(Text::new([size[0] / 2.0, 32.0], title).size(16.0).bold());
    let tiles = [
        ("what the model saw", Cells::new(pixels, image, gray)),
        ("evidence of each pixel", Cells::new(&found, image, |value| signed(value / largest))),
    ];
    for (i, (words, cells)) in tiles.into_iter().enumerate() {
        let middle = MARGIN + column / 2.0 + i as f64 * (column + GAP);
        drawing.text(Text::new([middle, TOP - 10.0], words).fill(FAINT));
        drawing.image([(middle - width / 2.0).round(), TOP], [width, height], cells);
    }
    scale(&mut drawing, [size[0] / 2.0, TOP + height + 16.0], largest, ["against", "for it"]);
    let sums = format!(
        "all pixels {:+.2}, bias {:+.2}, in nats beyond the mean class",
        found.iter().sum::<f32>(),
        beyond_mean(evidence.bias, 1, 0, evidence.class)
    );
    drawing.text(Text::new([size[0] / 2.0, TOP + height + 52.0], sums).size(11.0).fill(FAINT));
    drawing
}

/// The evidence of each pixel for the class.
fn of_pixels(evidence: &Evidence<'_>) -> Vec<f32> {
    let features = evidence.pixels.len();
    let weight = |i| beyond_mean(evidence.weights, features, i, evidence.class);
    evidence.pixels.iter().enumerate().map(|(i, pixel)| pixel * weight(i)).collect()
}

/// Of values `[classes, features]`, a feature's of the class less its mean over the classes.
fn beyond_mean(values: &[f32], features: usize, feature: usize, class: usize) -> f32 {
    let column = || values.iter().skip(feature).step_by(features.max(1));
    let mean = column().sum::<f32>() / column().count().max(1) as f32;
    column().nth(class).map_or(0.0, |value| value - mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every class gets moves no probability, and is no evidence.
    #[test]
    fn evidence_sums_to_the_logit_beyond_the_mean() {
        let (pixels, bias) = ([0.5, 1.0, 0.0, 0.25], [0.5, -1.0, 2.0]);
        let weights: Vec<f32> = (0..12).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
        let shifted: Vec<f32> = weights.iter().enumerate().map(|(i, weight)| weight + (i % 4) as f32).collect();
        let logits: Vec<f32> = weights
            .chunks_exact(4)
            .zip(bias)
            .map(|(row, bias)| row.iter().zip(pixels).map(|(w, x)| w * x).sum::<f32>() + bias)
            .collect();
        let mean = logits.iter().sum::<f32>() / 3.0;
        for (class, logit) in logits.iter().enumerate() {
            let of = |weights: &[f32]| {
                let image = [2, 2];
                of_pixels(&Evidence { pixels: &pixels, image, weights, bias: &bias, class, name: "", probability: 1.0 })
            };
            let sum = of(&weights).iter().sum::<f32>() + beyond_mean(&bias, 1, 0, class);
            assert!((sum - (logit - mean)).abs() < 1e-5, "{class}");
            assert!(of(&weights).iter().zip(of(&shifted)).all(|(a, b)| (a - b).abs() < 1e-5));
            assert_eq!(of(&weights)[2], 0.0, "a black pixel says nothing");
        }
    }
}
