//! The sheet of the worst mistakes: pictures whose true class got the lowest probability. Which ones those are is the
//! caller's to find.

use super::colour::{BLUE, FAINT, RED, gray};
use super::drawing::{Cells, Drawing, Text, drawn_size};
use super::font::{fit, width};

/// Pictures on a sheet.
pub(crate) const MOST_MISTAKES: usize = 24;
/// Of a sheet, at most.
const COLUMNS: usize = 8;
const WIDEST: f64 = 836.0;
/// Of a name, in pixels.
const LONGEST_NAME: f64 = 90.0;
const MARGIN: f64 = 18.0;
const GAP: f64 = 16.0;
/// Of the words and the number beside a name.
const BESIDE: f64 = 76.0;
/// Of the two lines below a picture.
const WORDS: f64 = 38.0;

/// A picture with what was wrong about it.
pub(crate) struct Mistake {
    /// `[height, width]`.
    pub(crate) pixels: Vec<f32>,
    /// The name of its class.
    pub(crate) truth: String,
    /// The name of the class it was taken for.
    pub(crate) answer: String,
    /// What the answer got, from 0 to 1.
    pub(crate) probability: f32,
    /// What the true class got.
    pub(crate) truth_probability: f32,
}

/// Draws pictures of `[height, width]`, at most [`MOST_MISTAKES`]; the least pixel of all is black, the largest white.
pub(crate) fn mistakes(mistakes: &[Mistake], image: [usize; 2]) -> Drawing {
    let mistakes = &mistakes[..mistakes.len().min(MOST_MISTAKES)];
    let finite = || mistakes.iter().flat_map(|mistake| &mistake.pixels).copied().filter(|pixel| pixel.is_finite());
    let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    let shade = |pixel: f32| gray((pixel - low) / (high - low));

    let size = drawn_size(image, 84.0);
    let names = mistakes.iter().flat_map(|mistake| [&mistake.truth, &mistake.answer]);
    let longest = names.map(|name| width(&fit(name, 11.0, false, LONGEST_NAME), 11.0, false)).fold(0.0, f64::max);
    let pitch = [(longest + BESIDE).max(84.0).max(size[0]) + GAP, size[1] + WORDS + GAP];
    let columns = mistakes.len().clamp(1, COLUMNS).min((WIDEST / pitch[0]) as usize);
    let rows = mistakes.len().div_ceil(columns).max(1);
    let sheet = |count: usize, pitch: f64| 2.0 * MARGIN + count as f64 * pitch - GAP;
    let sheet_size = [sheet(columns, pitch[0]).max(220.0), sheet(rows, pitch[1])];
    let mut drawing = Drawing::new("Worst mistakes", sheet_size[0], sheet_size[1]);
    if mistakes.is_empty() {
        drawing.text(Text::new([sheet_size[0] / 2.0, sheet_size[1] / 2.0], "no mistakes").fill(FAINT));
    }
    for (i, mistake) in mistakes.iter().enumerate() {
        let x = MARGIN + (i % columns) as f64 * pitch[0];
        let y = MARGIN + (i / columns) as f64 * pitch[1];
        let middle = x + (pitch[0] - GAP) / 2.0;
        let cells = Cells::new(&mistake.pixels, image, shade);
        drawing.image([(middle - size[0] / 2.0).round(), y], size, cells);
        let line = |place: f64, name: &str, probability: f32, prefix: &str| {
            let number = percent(probability);
            let name = fit(name, 11.0, false, LONGEST_NAME);
            Text::new([middle, y + size[1] + place], format!("{prefix} {name}: {number}")).size(11.0)
        };
        drawing.text(line(16.0, &mistake.truth, mistake.truth_probability, "is").fill(BLUE));
        drawing.text(line(31.0, &mistake.answer, mistake.probability, "not").fill(RED));
    }
    drawing
}

/// A probability in percent, never rounded to none or to certainty.
pub(crate) fn percent(probability: f32) -> String {
    match f64::from(probability) * 100.0 {
        percent if !percent.is_finite() => "?".to_owned(),
        99.95.. => ">99.9 %".to_owned(),
        percent @ 0.1.. => format!("{percent:.1} %"),
        percent @ 0.0005.. => format!("{percent:.3} %"),
        _ => "<0.001 %".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_never_none_or_certain() {
        let found = [1.0, 0.9996, 0.999, 0.5, 0.0009, 0.000_012, 1e-9, 0.0, f32::NAN].map(percent);
        let expected = [">99.9 %", ">99.9 %", "99.9 %", "50.0 %", "0.090 %", "0.001 %", "<0.001 %", "<0.001 %", "?"];
        assert_eq!(found, expected);
    }
}
