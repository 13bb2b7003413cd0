//! The confusion matrix as a heat map: how often rows of each class got each class.

use super::MOST_CLASSES;
use super::axes::grouped;
use super::colour::{FAINT, INK, PALE_RED, PAPER, RED, ink_on, mix, share};
use super::drawing::{Anchor, Drawing, Rgb, Text};
use super::font::{fit, width};
use crate::report::Failure;

/// A name's space beside its row.
const WIDEST_NAME: f64 = 130.0;
/// So few classes have cells as wide as their names.
const FEW: usize = 6;
/// Letters of a count that nobody can read.
const SMALLEST_COUNT: f64 = 7.0;

/// Draws counts `[truth, predicted]`, `[classes, classes]`, one class per name. A cell's colour is its share of its row:
/// classes with few rows count as much as others.
pub(crate) fn confusion(counts: &[u64], names: &[String]) -> Result<Drawing, Failure> {
    let classes = names.len();
    if classes > MOST_CLASSES {
        return Err(Failure::Failed(format!(
            "the picture of the confusion matrix: found {classes} classes, expected at most {MOST_CLASSES}; leave it out"
        )));
    }
    let cell = (620 / classes.max(1)).clamp(8, if classes <= FEW { 88 } else { 52 }) as f64;
    let name_size = (cell * 0.8).clamp(6.5, 12.0);
    let shown: Vec<String> = names.iter().map(|name| fit(name, name_size, false, WIDEST_NAME)).collect();
    let widest = shown.iter().map(|name| width(name, name_size, false)).fold(0.0, f64::max);
    let side = cell * classes as f64;
    let turned = widest > cell - 3.0;
    let [left, top] = [(widest + 54.0).ceil(), if turned { widest.ceil() + 50.0 } else { 60.0 }];
    let mut drawing = Drawing::new("Confusion matrix", left + side + 24.0, top + side + 24.0);

    drawing.text(Text::new([left + side / 2.0, 24.0], "predicted class").bold());
    drawing.text(Text::new([24.0, top + side / 2.0], "true class").bold().upright());
    for (class, name) in shown.into_iter().enumerate() {
        let middle = (class as f64 + 0.5) * cell;
        let text = Text::new([0.0; 2], name).size(name_size);
        let base = name_size * 0.36;
        let above = text.clone();
        drawing.text(if turned {
            Text { at: [left + middle + base, top - 7.0], ..above.upright().anchor(Anchor::Start) }
        } else {
            Text { at: [left + middle, top - 8.0], ..above }
        });
        drawing.text(Text { at: [left - 8.0, top + middle + base], ..text.anchor(Anchor::End) });
    }

    let most = counts.iter().max().copied().unwrap_or(0);
    let count_size = count_size(cell, most);
    drawing.rect([left, top], [side, side], share(0.0));
    for truth in 0..classes {
        let row = counts.get(truth * classes..).unwrap_or(&[]);
        let row = &row[..classes.min(row.len())];
        let total: u64 = row.iter().sum();
        for (predicted, &count) in row.iter().enumerate().filter(|&(_, &count)| count > 0) {
            let at = [left + predicted as f64 * cell, top + truth as f64 * cell];
            let fill = ground(count as f32 / total as f32, truth == predicted);
            drawing.rect(at, [cell, cell], fill);
            if let Some(size) = count_size {
                let at = [at[0] + cell / 2.0, at[1] + cell / 2.0 + size * 0.36];
                drawing.text(Text::new(at, grouped(&count.to_string())).size(size).fill(ink_on(fill)));
            }
        }
    }
    grid(&mut drawing, [left, top], cell, classes);
    if classes == 0 {
        drawing.text(Text::new([left, top], "no classes").fill(FAINT));
    }
    Ok(drawing)
}

/// Blue for what is right, red for what is not.
fn ground(part: f32, right: bool) -> Rgb {
    if right {
        return share(part);
    }
    // A tenth of a class mistaken for one other is a lot.
    mix(PALE_RED, RED, (part * 10.0).min(1.0).powf(0.7) * 0.85)
}

/// The size of the counts' letters, `None` where they do not fit in a cell.
fn count_size(cell: f64, most: u64) -> Option<f64> {
    let widest = width(&grouped(&most.to_string()), 1.0, false);
    let size = ((cell - 4.0) / widest).min(cell * 0.6).min(13.0);
    (size >= SMALLEST_COUNT).then_some(size)
}

/// Lines of paper between the cells, and a frame.
fn grid(drawing: &mut Drawing, [left, top]: [f64; 2], cell: f64, classes: usize) {
    let side = cell * classes as f64;
    for i in 1..classes {
        let at = i as f64 * cell;
        drawing.rect([left + at - 0.5, top], [1.0, side], PAPER);
        drawing.rect([left, top + at - 0.5], [side, 1.0], PAPER);
    }
    let [right, bottom] = [left + side, top + side];
    drawing.line(vec![[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], INK, 1.0);
}
