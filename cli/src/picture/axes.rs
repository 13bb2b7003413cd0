//! A chart's frame: where values are on the page, round numbers along both axes, grid lines. What is drawn in it is the
//! charts' business.

use super::colour::{FAINT, GRID, INK};
use super::drawing::{Anchor, Drawing, Text};

/// Numbers along an axis, about.
const TICKS: f64 = 5.0;

/// A part of the page with an axis to the right and one upwards.
pub(crate) struct Axes {
    /// The upper left corner.
    pub(crate) at: [f64; 2],
    pub(crate) size: [f64; 2],
    /// The values at the left and the right end.
    pub(crate) x: [f64; 2],
    /// The values at the bottom and the top.
    pub(crate) y: [f64; 2],
}

impl Axes {
    /// The place of a value on the page.
    pub(crate) fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let share = |value: f64, [from, to]: [f64; 2]| (value - from) / (to - from);
        [self.at[0] + share(x, self.x) * self.size[0], self.at[1] + (1.0 - share(y, self.y)) * self.size[1]]
    }

    /// Draws grid lines, the numbers beside them and the axes' names.
    pub(crate) fn draw(&self, drawing: &mut Drawing, [x_name, y_name]: [&str; 2]) {
        let [left, top] = self.at;
        let [right, bottom] = [left + self.size[0], top + self.size[1]];
        for (value, label) in ticks(self.x) {
            let x = self.place([value, self.y[0]])[0];
            drawing.rule([x, top], [x, bottom], GRID);
            drawing.text(Text::new([x, bottom + 16.0], label).size(11.0).fill(FAINT));
        }
        for (value, label) in ticks(self.y) {
            let y = self.place([self.x[0], value])[1];
            drawing.rule([left, y], [right, y], GRID);
            drawing.text(Text::new([left - 7.0, y + 4.0], label).size(11.0).fill(FAINT).anchor(Anchor::End));
        }
        drawing.line(vec![[left, top], [left, bottom], [right, bottom]], INK, 1.0);
        drawing.text(Text::new([(left + right) / 2.0, bottom + 36.0], x_name));
        drawing.text(Text::new([left - 52.0, (top + bottom) / 2.0], y_name).upright());
    }
}

/// Round values in a range, with their numbers.
pub(crate) fn ticks([from, to]: [f64; 2]) -> Vec<(f64, String)> {
    let raw = (to - from) / TICKS;
    if !raw.is_finite() || raw <= 0.0 {
        return Vec::new();
    }
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= 0.7 * raw);
    let step = step.unwrap_or(raw);
    let digits = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    // The ends belong to the range, whatever rounding made of them.
    let first = (from / step - 1e-9).ceil();
    let steps = ((to / step + 1e-9).floor() - first).clamp(-1.0, 4.0 * TICKS) as i64;
    (0..=steps).map(|i| (first + i as f64) * step).map(|value| (value, label(value, digits))).collect()
}

fn label(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if digits == 0 && value.abs() < 1e15 {
        grouped(&text)
    } else if text.len() > 8 {
        format!("{value:e}")
    } else {
        text
    }
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut grouped = sign.to_owned();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let labels = |range| ticks(range).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels([0.0, 1.0]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels([0.0, 1000.0]), ["0", "200", "400", "600", "800", "1,000"]);
        assert_eq!(labels([0.913, 0.927]), ["0.914", "0.916", "0.918", "0.920", "0.922", "0.924", "0.926"]);
        assert_eq!(labels([-2.0, 2.0]), ["-2", "-1", "0", "1", "2"]);
        for bad in [[1.0, 1.0], [1.0, 0.0], [f64::NAN, 1.0], [0.0, f64::INFINITY]] {
            assert!(ticks(bad).is_empty());
        }
        for range in [[0.0, f64::MAX], [f64::MIN_POSITIVE, 1e-300], [1e16, 1e16 + 4.0]] {
            assert!(ticks(range).len() <= 21);
        }
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            ["0", "999", "1000", "-123456", "1234567"].map(grouped),
            ["0", "999", "1,000", "-123,456", "1,234,567"]
        );
    }
}
