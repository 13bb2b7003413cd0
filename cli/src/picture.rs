//! The pictures that the program makes: the weights, what each digit's row of the model looks for (blue) and what speaks
//! against it (red); and what the model saw of a user's picture. Only draws and encodes; writing the file is
//! `output_file`'s work.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::report::Failure;

/// A class's picture is this many pixels wide and high.
const SIDE: usize = 28;
/// Each weight becomes a square of this many pixels a side: large enough to look at, small enough for a page.
const SCALE: usize = 5;
const COLUMNS: usize = 5;
const ROWS: usize = 2;
const TILE: usize = SIDE * SCALE;
const GAP: usize = 12;
/// A few weights at the border are far larger than all others; below 1 the exponent lifts the rest to where the
/// digits' shapes can be seen.
const CURVE: f32 = 0.7;
const WIDTH: usize = COLUMNS * TILE + (COLUMNS + 1) * GAP;
const HEIGHT: usize = ROWS * TILE + (ROWS + 1) * GAP;

type Rgb = [u8; 3];
const GROUND: Rgb = [255, 255, 255];
const ZERO: Rgb = [247, 247, 247];
const POSITIVE: [Rgb; 2] = [[67, 147, 195], [5, 48, 97]];
const NEGATIVE: [Rgb; 2] = [[214, 96, 77], [103, 0, 31]];

/// Draws ten classes, in two rows of five, from weights `[10, 784]`; returns a PNG.
///
/// One scale holds for all classes: the largest weight of any of them has the full colour.
pub(crate) fn weights_png(weights: &[f32]) -> Result<Vec<u8>, Failure> {
    let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    let mut pixels: Vec<u8> = GROUND.repeat(WIDTH * HEIGHT);
    for (class, weights) in weights.chunks_exact(SIDE * SIDE).take(COLUMNS * ROWS).enumerate() {
        let left = GAP + class % COLUMNS * (TILE + GAP);
        let top = GAP + class / COLUMNS * (TILE + GAP);
        for y in 0..TILE {
            let row = (top + y) * WIDTH + left;
            let pixels = pixels[3 * row..3 * (row + TILE)].chunks_exact_mut(3);
            for (x, pixel) in pixels.enumerate() {
                let weight = weights[y / SCALE * SIDE + x / SCALE];
                pixel.copy_from_slice(&colour(if largest > 0.0 { weight / largest } else { 0.0 }));
            }
        }
    }
    encode("the weights' picture", &pixels, [WIDTH, HEIGHT], ExtendedColorType::Rgb8)
}

/// A PNG of the pixels that the model was given.
pub(crate) fn input_png(pixels: &[u8], [height, width]: [usize; 2]) -> Result<Vec<u8>, Failure> {
    encode("the picture of the input", pixels, [width, height], ExtendedColorType::L8)
}

/// The colour of a weight from -1 to 1: through a middle tone halfway, so that weak weights show their sign too.
fn colour(weight: f32) -> Rgb {
    let [middle, end] = if weight < 0.0 { NEGATIVE } else { POSITIVE };
    let strength = weight.abs().min(1.0).powf(CURVE) * 2.0;
    if strength <= 1.0 { mix(ZERO, middle, strength) } else { mix(middle, end, strength - 1.0) }
}

fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| (f32::from(from[i]) + (f32::from(to[i]) - f32::from(from[i])) * share).round() as u8)
}

fn encode(
    what: &str,
    pixels: &[u8],
    [width, height]: [usize; 2],
    color: ExtendedColorType,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = PngEncoder::new(&mut bytes).write_image(pixels, width as u32, height as u32, color);
    result.map_err(|error| Failure::Failed(format!("cannot make {what}: {error}")))?;
    Ok(bytes)
}
