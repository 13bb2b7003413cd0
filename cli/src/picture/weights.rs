//! The picture of the weights: for each class, which parts of an image speak for it (blue) and which against it (red).

use super::MOST_CLASSES;
use super::colour::{FAINT, largest, signed};
use super::drawing::{Anchor, Cells, Drawing, Text, drawn_size};
use super::font::fit;
use crate::report::Failure;

const MARGIN: f64 = 16.0;
const GAP: f64 = 14.0;
/// Of a class's name above its tile.
const NAME: f64 = 20.0;
/// Cells of the scale below.
const SCALE_CELLS: usize = 101;

/// Draws weights `[classes, height * width]`, a tile of `[height, width]` a class, one class per name.
///
/// One scale holds for all classes: the largest weight of any of them has the full colour.
pub(crate) fn weights(weights: &[f32], image: [usize; 2], names: &[String]) -> Result<Drawing, Failure> {
    let classes = names.len();
    if classes > MOST_CLASSES {
        return Err(Failure::Failed(format!(
            "the picture of the weights: found {classes} classes, expected at most {MOST_CLASSES}; leave it out"
        )));
    }
    let columns = columns(classes);
    let [width, height] = drawn_size(image, if classes <= 20 { 112.0 } else { 84.0 });
    // A narrow tile leaves room for a name.
    let pitch = [width.max(40.0) + GAP, height + GAP + NAME];
    let sheet = |tiles: usize, pitch: f64| 2.0 * MARGIN + tiles as f64 * pitch - GAP;
    let rows = classes.div_ceil(columns).max(1);
    let [sheet_width, tiles_end] = [sheet(columns, pitch[0]).max(360.0), sheet(rows, pitch[1]) - MARGIN];
    let mut drawing = Drawing::new("Weights of each class", sheet_width, tiles_end + 46.0);

    let largest = largest(weights.iter().copied());
    let left = (sheet_width - sheet(columns, pitch[0])) / 2.0 + MARGIN;
    let mut tiles = weights.chunks(image[0].saturating_mul(image[1]).max(1));
    for (class, name) in names.iter().enumerate() {
        let x = left + (class % columns) as f64 * pitch[0];
        let y = MARGIN + (class / columns) as f64 * pitch[1];
        let name = fit(name, 13.0, true, pitch[0] - 4.0);
        drawing.text(Text::new([x + (pitch[0] - GAP) / 2.0, y + 12.0], name).size(13.0).bold());
        let cells = Cells::new(tiles.next().unwrap_or(&[]), image, |weight| signed(weight / largest));
        drawing.image([(x + (pitch[0] - GAP - width) / 2.0).round(), y + NAME], [width, height], cells);
    }
    scale(&mut drawing, [sheet_width / 2.0, tiles_end + 16.0], largest, ["against", "for the class"]);
    Ok(drawing)
}

/// Draws the scale of signed values, from the largest against to the largest for; `at` is the middle of its upper edge.
pub(crate) fn scale(drawing: &mut Drawing, [x, y]: [f64; 2], largest: f32, [against, for_it]: [&str; 2]) {
    let width = 120.0;
    let values: Vec<f32> = (0..SCALE_CELLS).map(|i| i as f32 / 50.0 - 1.0).collect();
    let left = (x - width / 2.0).round();
    drawing.image([left, y], [width, 10.0], Cells::new(&values, [1, SCALE_CELLS], signed));
    let digits = if largest >= 100.0 { 0 } else { 2 };
    let small = |at, text: String| Text::new(at, text).size(11.0).fill(FAINT);
    let number = if (0.005..1e6).contains(&largest) { format!("{largest:.digits$}") } else { format!("{largest:.1e}") };
    drawing.text(small([left - 6.0, y + 9.0], format!("{against} −{number}")).anchor(Anchor::End));
    drawing.text(small([left + width + 6.0, y + 9.0], format!("+{number} {for_it}")).anchor(Anchor::Start));
}

/// The number of columns that leaves the fewest tiles empty, on a sheet somewhat wider than high.
fn columns(tiles: usize) -> usize {
    let root = (tiles.max(1) as f64).sqrt();
    let fits = |columns: &usize| {
        let empty = tiles.div_ceil(*columns) * columns - tiles;
        (empty, ((*columns as f64 - 1.3 * root).abs() * 1000.0) as u64)
    };
    (root.ceil() as usize..=(2.0 * root).floor() as usize).min_by_key(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_full_where_they_can_be() {
        assert_eq!([0, 1, 2, 3, 10, 26, 49, 62, 200].map(columns), [1, 1, 2, 3, 5, 9, 7, 9, 20]);
    }
}
