//! A drawing as a list of shapes, in pixels of a page from its upper left corner. What they show is the pictures' own
//! business; `svg` and `raster` render them.

/// Red, green and blue.
pub(crate) type Rgb = [u8; 3];

/// The largest width or height of an image within a drawing; more cells than that, nobody sees on a page.
const LONGEST_SIDE: usize = 256;

/// Shapes on a sheet of white, the first one at the bottom.
pub(crate) struct Drawing {
    /// What it shows, for those who do not see it.
    pub(crate) title: String,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

/// One thing to draw.
pub(crate) enum Shape {
    Rect {
        at: [f64; 2],
        size: [f64; 2],
        fill: Rgb,
    },
    /// Lines from each point to the next.
    Line {
        points: Vec<[f64; 2]>,
        stroke: Rgb,
        width: f64,
        dashed: bool,
    },
    Disc {
        at: [f64; 2],
        radius: f64,
        fill: Rgb,
    },
    Image {
        at: [f64; 2],
        size: [f64; 2],
        cells: Cells,
    },
    Text(Text),
}

/// A line of text. `at` is on its base line.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) at: [f64; 2],
    pub(crate) text: String,
    /// Of an em, in pixels.
    pub(crate) size: f64,
    pub(crate) fill: Rgb,
    pub(crate) anchor: Anchor,
    pub(crate) bold: bool,
    /// Reads upwards.
    pub(crate) upright: bool,
}

/// Which point of a text is at its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Text {
    /// Text of 12 pixels in ink, centred.
    pub(crate) fn new(at: [f64; 2], text: impl Into<String>) -> Self {
        Self {
            at,
            text: text.into(),
            size: 12.0,
            fill: super::colour::INK,
            anchor: Anchor::Middle,
            bold: false,
            upright: false,
        }
    }

    pub(crate) const fn size(mut self, size: f64) -> Self {
        self.size = size;
        self
    }

    pub(crate) const fn fill(mut self, fill: Rgb) -> Self {
        self.fill = fill;
        self
    }

    pub(crate) const fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    pub(crate) const fn bold(mut self) -> Self {
        self.bold = true;
        self
    }

    pub(crate) const fn upright(mut self) -> Self {
        self.upright = true;
        self
    }
}

/// Coloured cells, `[height, width]`.
pub(crate) struct Cells {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<Rgb>,
}

impl Cells {
    /// The colours of values `[height, width]`; where they are more than a page shows, means of neighbours. Missing
    /// values have the colour of NaN.
    pub(crate) fn new(values: &[f32], [height, width]: [usize; 2], colour: impl Fn(f32) -> Rgb) -> Self {
        let pixels = (0..height * width).map(|i| colour(values.get(i).copied().unwrap_or(f32::NAN))).collect();
        let whole = Self { width, height, pixels };
        let longest = width.max(height);
        if longest <= LONGEST_SIDE {
            return whole;
        }
        let shrunk = |side: usize| (side * LONGEST_SIDE / longest).max(1);
        let (new_width, new_height) = (shrunk(width), shrunk(height));
        let pixels = (0..new_height * new_width)
            .map(|i| {
                let part = |place: usize, new: usize| [place as f64 / new as f64, (place + 1) as f64 / new as f64];
                whole.mean(part(i % new_width, new_width), part(i / new_width, new_height))
            })
            .collect();
        Self { width: new_width, height: new_height, pixels }
    }

    /// The mean colour of a part of the image, from and to shares of its width and height.
    pub(crate) fn mean(&self, x: [f64; 2], y: [f64; 2]) -> Rgb {
        let (columns, rows) = (overlaps(x, self.width), overlaps(y, self.height));
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for &(row, height) in &rows {
            for &(column, width) in &columns {
                let Some(pixel) = self.pixels.get(row * self.width + column) else { continue };
                weight += width * height;
                for (sum, &value) in sum.iter_mut().zip(pixel) {
                    *sum += width * height * f64::from(value);
                }
            }
        }
        if weight > 0.0 { sum.map(|sum| (sum / weight).round() as u8) } else { super::colour::PAPER }
    }

    /// Whether all cells are gray.
    pub(crate) fn is_gray(&self) -> bool {
        self.pixels.iter().all(|[r, g, b]| r == g && g == b)
    }
}

/// The cells that lie in a part of a side, and how much of each.
fn overlaps([from, to]: [f64; 2], cells: usize) -> Vec<(usize, f64)> {
    let (from, to) = (from * cells as f64, to * cells as f64);
    let range = from.floor().max(0.0) as usize..(to.ceil().max(0.0) as usize).min(cells);
    let overlap = |cell: usize| (to.min(cell as f64 + 1.0) - from.max(cell as f64)).max(0.0);
    // Rounding leaves slivers of cells that only touch.
    range.map(|cell| (cell, overlap(cell))).filter(|&(_, part)| part > 1e-6).collect()
}

impl Drawing {
    /// An empty sheet.
    pub(crate) fn new(title: impl Into<String>, width: f64, height: f64) -> Self {
        Self { title: title.into(), width, height, shapes: Vec::new() }
    }

    pub(crate) fn rect(&mut self, at: [f64; 2], size: [f64; 2], fill: Rgb) {
        self.shapes.push(Shape::Rect { at, size, fill });
    }

    /// A thin line in this colour.
    pub(crate) fn rule(&mut self, from: [f64; 2], to: [f64; 2], stroke: Rgb) {
        self.shapes.push(Shape::Line { points: vec![from, to], stroke, width: 1.0, dashed: false });
    }

    pub(crate) fn line(&mut self, points: Vec<[f64; 2]>, stroke: Rgb, width: f64) {
        self.shapes.push(Shape::Line { points, stroke, width, dashed: false });
    }

    pub(crate) fn dashes(&mut self, from: [f64; 2], to: [f64; 2], stroke: Rgb) {
        self.shapes.push(Shape::Line { points: vec![from, to], stroke, width: 1.0, dashed: true });
    }

    pub(crate) fn disc(&mut self, at: [f64; 2], radius: f64, fill: Rgb) {
        self.shapes.push(Shape::Disc { at, radius, fill });
    }

    pub(crate) fn image(&mut self, at: [f64; 2], size: [f64; 2], cells: Cells) {
        self.shapes.push(Shape::Image { at, size, cells });
    }

    pub(crate) fn text(&mut self, text: Text) {
        self.shapes.push(Shape::Text(text));
    }
}

/// The size at which an image of this shape is drawn: whole pixels a cell where it is smaller than `target`, or shrunk to
/// it.
pub(crate) fn drawn_size([height, width]: [usize; 2], target: f64) -> [f64; 2] {
    let longest = height.max(width).max(1) as f64;
    let scale = if longest <= target { (target / longest).floor() } else { target / longest };
    [(width as f64 * scale).max(1.0).round(), (height as f64 * scale).max(1.0).round()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_shrink_to_the_means_of_neighbours() {
        let side = 2 * LONGEST_SIDE;
        let values: Vec<f32> = (0..side * side).map(|i| (i % 2) as f32).collect();
        let cells = Cells::new(&values, [side, side], |value| [if value > 0.5 { 200 } else { 100 }; 3]);
        assert_eq!((cells.width, cells.height), (LONGEST_SIDE, LONGEST_SIDE));
        assert!(cells.pixels.iter().all(|&pixel| pixel == [150; 3]));
        // Of three columns two are made: one and a half each.
        let width = LONGEST_SIDE / 2 * 3;
        let columns: Vec<f32> = (0..width).map(|i| f32::from(u8::from(i % 3 == 1))).collect();
        let cells = Cells::new(&columns, [1, width], |value| [if value > 0.5 { 200 } else { 100 }; 3]);
        assert!(cells.pixels.iter().all(|&pixel| pixel == [133; 3]), "{:?}", &cells.pixels[..3]);
        let line = Cells::new(&vec![1.0; 10_000], [1, 10_000], |_| [7; 3]);
        assert_eq!((line.width, line.height), (LONGEST_SIDE, 1));
    }

    #[test]
    fn sizes_are_whole_multiples_or_fit() {
        assert_eq!(drawn_size([28, 28], 112.0), [112.0, 112.0]);
        assert_eq!(drawn_size([28, 30], 112.0), [90.0, 84.0]);
        assert_eq!(drawn_size([1000, 500], 100.0), [50.0, 100.0]);
        assert_eq!(drawn_size([0, 0], 100.0), [1.0, 1.0]);
        assert_eq!(drawn_size([1, 1_000_000], 100.0), [100.0, 1.0]);
    }
}
