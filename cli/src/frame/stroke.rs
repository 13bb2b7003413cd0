//! How thick a digit's stroke is, and making it as thick as MNIST's. Widths are in pixels of a digit whose longest side
//! is 20, as MNIST's are.

use image::imageops::{self, FilterType};
use image::{GenericImage, Luma};

use super::{BOX, Map};

/// Thinner strokes are drawn anew. As [`width`] measures, a twentieth of MNIST's digits are thinner, and half of them
/// between 1.9 and 2.8.
const THIN: f32 = 1.4;
/// The width that they get: the mean of MNIST's.
const MEAN: f32 = 2.4;
/// The least longest side in pixels that a stroke is measured at: five for each that it ends with.
const LEAST_SIDE: f32 = 100.0;
/// Brighter is stroke, for the distances.
const MIDDLE: f32 = 0.5;
/// Pixels beside a stroke drawn anew, for its soft edge.
const MARGIN: u32 = 2;

/// The digit, cropped, its stroke drawn anew if it is too thin to be looked for.
pub(super) fn thickened(digit: Map) -> Map {
    let longest = digit.width().max(digit.height()).max(1) as f32;
    let scale = LEAST_SIDE / longest;
    let large = (scale > 1.0).then(|| {
        let [width, height] = [digit.width(), digit.height()].map(|side| ((side as f32 * scale).round() as u32).max(1));
        imageops::resize(&digit, width, height, FilterType::CatmullRom)
    });
    let large = large.as_ref().unwrap_or(&digit);
    match width(large) {
        Some(width) if width < THIN => drawn_anew(large, (MEAN - width) / 2.0),
        _ => digit,
    }
}

/// The mean width of a stroke. Within a straight one the distances to its edge are a quarter of its width in the mean.
/// `None` where nothing is bright.
fn width(digit: &Map) -> Option<f32> {
    let outside = padded(digit, 1);
    let is_outside: Vec<bool> = outside.iter().map(|&value| value <= MIDDLE).collect();
    let distances = distances(&is_outside, outside.width() as usize, f32::INFINITY);
    let (sum, count) = distances
        .iter()
        .filter(|&&distance| distance > 0.0)
        .fold((0.0, 0), |(sum, count), distance| (sum + distance, count + 1));
    // The edge lies half a pixel before the next one's middle; a line of one pixel has no pixels within.
    let width = (4.0 * (sum / count as f32 - 0.5)).max(1.0);
    (count > 0).then(|| width * BOX as f32 / digit.width().max(digit.height()) as f32)
}

/// A stroke `grown` wider on each side, with an edge of one pixel, cropped.
fn drawn_anew(digit: &Map, grown: f32) -> Map {
    let grown = grown * digit.width().max(digit.height()) as f32 / BOX as f32;
    let mut canvas = padded(digit, grown.ceil() as u32 + MARGIN);
    let is_stroke: Vec<bool> = canvas.iter().map(|&value| value > MIDDLE).collect();
    let distances = distances(&is_stroke, canvas.width() as usize, grown + MARGIN as f32);
    for (value, distance) in canvas.iter_mut().zip(distances) {
        // A stroke's own edge lies half a pixel from its pixels' middles.
        *value = (grown + 1.0 - distance).clamp(0.0, 1.0);
    }
    super::blobs::crop(canvas).map_or_else(|| digit.clone(), |found| found.digit)
}

fn padded(digit: &Map, margin: u32) -> Map {
    let mut canvas = Map::from_pixel(digit.width() + 2 * margin, digit.height() + 2 * margin, Luma([0.0]));
    // The canvas is larger by the margin on each side.
    let _ = canvas.copy_from(digit, margin, margin);
    canvas
}

/// Each pixel's distance to the nearest of the `marked` ones, at most `limit`; 0 in them. Exact: first along columns,
/// then along rows outwards, until no pixel further out can be nearer.
fn distances(marked: &[bool], width: usize, limit: f32) -> Vec<f32> {
    let mut distances: Vec<f32> = marked.iter().map(|&marked| if marked { 0.0 } else { limit }).collect();
    for place in width..distances.len() {
        distances[place] = distances[place].min(distances[place - width] + 1.0);
    }
    for place in (0..distances.len().saturating_sub(width)).rev() {
        distances[place] = distances[place].min(distances[place + width] + 1.0);
    }
    let mut columns = vec![0.0; width];
    for row in distances.chunks_exact_mut(width) {
        columns.copy_from_slice(row);
        for (x, nearest) in row.iter_mut().enumerate() {
            let mut squared = columns[x].powi(2);
            for across in 1..width {
                let across_squared = (across * across) as f32;
                if across_squared >= squared {
                    break;
                }
                let sides = [x.checked_sub(across), Some(x + across)];
                for &column in sides.into_iter().flatten().filter_map(|x| columns.get(x)) {
                    squared = squared.min(across_squared + column.powi(2));
                }
            }
            *nearest = squared.sqrt().min(limit);
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line across 100x100.
    fn line(thick: u32) -> Map {
        Map::from_fn(100, 100, |x, _| Luma([f32::from(u8::from(x >= 50 && x < 50 + thick))]))
    }

    #[test]
    fn distances_are_those_of_a_plain_search() {
        let (width, height) = (23, 17);
        let marked: Vec<bool> = (0..width * height).map(|place| place * 7919 % 61 == 3).collect();
        for limit in [f32::INFINITY, 3.5] {
            let found = distances(&marked, width, limit);
            for (place, &found) in found.iter().enumerate() {
                let (x, y) = ((place % width) as f32, (place / width) as f32);
                let expected = (0..width * height)
                    .filter(|&other| marked[other])
                    .map(|other| (x - (other % width) as f32).hypot(y - (other / width) as f32))
                    .fold(limit, f32::min);
                assert!((found - expected).abs() < 1e-5, "{place}: {found} for {expected}");
            }
        }
        assert!(distances(&[false; 6], 3, f32::INFINITY).iter().all(|distance| distance.is_infinite()));
    }

    #[test]
    fn width_is_measured() {
        for thick in [6, 10, 16] {
            let found = width(&line(thick)).unwrap();
            let expected = thick as f32 / 5.0;
            // The ends are edges too.
            assert!((found - expected).abs() < 0.1 * expected, "{thick}: {found} for {expected}");
        }
        assert_eq!(width(&line(0)), None);
    }

    #[test]
    fn thin_strokes_are_mnists_mean_and_others_stay() {
        for thick in 1..6 {
            let anew = thickened(line(thick));
            let found = anew.width() as f32 * BOX as f32 / anew.height() as f32;
            assert!((found - MEAN).abs() < 0.5, "{thick}: {found}");
        }
        for thick in [10, 20] {
            assert_eq!(thickened(line(thick)), line(thick));
        }
    }
}
