//! A drawing as the pixels of a PNG, two for each of its own a side: sharp on fine screens and on paper.
//!
//! No plotting library draws these: tiles, heat maps and sheets of images are not its charts, and five shapes are fewer
//! lines here than the settings that would bend it to them. The letters' outlines are a library's.

use super::drawing::{Anchor, Drawing, Rgb, Shape, Text};
use super::{colour, encode, font};
use crate::report::Failure;
use crate::text::visible;

/// Pixels of the PNG for one of the drawing, a side.
pub(crate) const SCALE: f64 = 2.0;
/// Of a dashed line, drawn and left out.
const DASH: f64 = 4.0;

/// Renders a drawing.
pub(crate) fn png(drawing: &Drawing) -> Result<Vec<u8>, Failure> {
    let mut canvas = Canvas::new(drawing);
    for shape in &drawing.shapes {
        canvas.draw(shape);
    }
    let (size, pixels) = ([canvas.width, canvas.height], canvas.pixels.as_flattened());
    encode(&drawing.title, pixels, size, image::ExtendedColorType::Rgb8)
}

struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    fn new(drawing: &Drawing) -> Self {
        let [width, height] = [drawing.width, drawing.height].map(|side| (side * SCALE).ceil().max(1.0) as usize);
        Self { width, height, pixels: vec![colour::PAPER; width * height] }
    }

    /// Lays a colour over a pixel; what is beside the sheet is left out.
    fn blend(&mut self, [x, y]: [i64; 2], colour: Rgb, coverage: f32) {
        let [Ok(x), Ok(y)] = [x, y].map(usize::try_from) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let pixel = &mut self.pixels[y * self.width + x];
        let coverage = coverage.clamp(0.0, 1.0);
        for (below, above) in pixel.iter_mut().zip(colour) {
            *below = (f32::from(*below) + (f32::from(above) - f32::from(*below)) * coverage).round() as u8;
        }
    }

    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect { at, size, fill } => self.rect(*at, *size, |_, _| *fill),
            Shape::Image { at, size, cells } => self.rect(*at, *size, |x, y| cells.mean(x, y)),
            Shape::Line { points, stroke, width, dashed: false } => self.strokes(points, *width, *stroke),
            Shape::Line { points, stroke, width, dashed: true } => {
                for dash in points.windows(2).flat_map(|pair| dashes(pair[0], pair[1])) {
                    self.strokes(&dash, *width, *stroke);
                }
            }
            // A line of one point is a disc.
            Shape::Disc { at, radius, fill } => self.strokes(&[*at, *at], 2.0 * radius, *fill),
            Shape::Text(text) => self.text(text),
        }
    }

    /// Fills a rectangle, to whole pixels; `colour` is told which share of its width and height a pixel is.
    fn rect(&mut self, at: [f64; 2], size: [f64; 2], colour: impl Fn([f64; 2], [f64; 2]) -> Rgb) {
        let [left, top] = at.map(|place| (place * SCALE).round() as i64);
        let [right, bottom] = [at[0] + size[0], at[1] + size[1]].map(|place| (place * SCALE).round() as i64);
        let share = |place: i64, from: i64, to: i64| {
            let side = (to - from) as f64;
            [(place - from) as f64 / side, (place - from + 1) as f64 / side]
        };
        for y in top.max(0)..bottom.min(self.height as i64) {
            for x in left.max(0)..right.min(self.width as i64) {
                self.blend([x, y], colour(share(x, left, right), share(y, top, bottom)), 1.0);
            }
        }
    }

    /// Draws lines with round ends and joins. A pixel is covered by the nearest line only: where two overlap it is no
    /// darker.
    fn strokes(&mut self, points: &[[f64; 2]], width: f64, stroke: Rgb) {
        let points: Vec<[f64; 2]> = points
            .iter()
            .filter(|point| point.iter().all(|place| place.is_finite()))
            .map(|point| point.map(|place| place * SCALE))
            .collect();
        let reach = width * SCALE / 2.0;
        let mut covered = std::collections::BTreeMap::new();
        for pair in points.windows(2) {
            let bounds = |axis: usize, side: usize| {
                let (low, high) = (pair[0][axis].min(pair[1][axis]), pair[0][axis].max(pair[1][axis]));
                let last = side as i64 - 1;
                ((low - reach).floor() as i64 - 1).max(0)..=((high + reach).ceil() as i64 + 1).min(last)
            };
            for y in bounds(1, self.height) {
                for x in bounds(0, self.width) {
                    let distance = distance([x as f64 + 0.5, y as f64 + 0.5], pair[0], pair[1]);
                    let coverage = (reach + 0.5 - distance).clamp(0.0, 1.0) as f32;
                    if coverage > 0.0 {
                        let most = covered.entry([x, y]).or_insert(0.0f32);
                        *most = most.max(coverage);
                    }
                }
            }
        }
        for (place, coverage) in covered {
            self.blend(place, stroke, coverage);
        }
    }

    fn text(&mut self, text: &Text) {
        let (words, size) = (visible(&text.text), text.size * SCALE);
        let before = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => font::width(&words, size, text.bold) / 2.0,
            Anchor::End => font::width(&words, size, text.bold),
        };
        let [x, y] = text.at.map(|place| place * SCALE);
        let [x, y] = if text.upright { [x, y + before] } else { [x - before, y] }.map(|place| place.round() as i64);
        font::rasterize(&words, size, text.bold, |[along, down], coverage| {
            let place = if text.upright { [x + down, y - along] } else { [x + along, y + down] };
            self.blend(place, text.fill, coverage);
        });
    }
}

/// The pieces of a line that are drawn.
fn dashes(from: [f64; 2], to: [f64; 2]) -> Vec<[[f64; 2]; 2]> {
    let [x, y] = [to[0] - from[0], to[1] - from[1]];
    let length = x.hypot(y);
    if !length.is_finite() {
        return Vec::new();
    }
    let at = |place: f64| [from[0] + x * place / length, from[1] + y * place / length];
    let starts = (0..).map(|i| 2.0 * DASH * f64::from(i)).take_while(|&start| start < length);
    starts.map(|start| [at(start), at((start + DASH).min(length))]).collect()
}

/// How far a point is from the nearest of a line's.
fn distance(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let [x, y] = [to[0] - from[0], to[1] - from[1]];
    let [dx, dy] = [point[0] - from[0], point[1] - from[1]];
    let squared = x * x + y * y;
    let along = if squared > 0.0 { ((dx * x + dy * y) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (dx - along * x).hypot(dy - along * y)
}
