//! Puts a digit of any picture as MNIST has its digits: bright on a ground of 0, fitted into 20x20 with its aspect ratio
//! kept, its centre of mass in the middle of 28x28. (Y. LeCun, C. Cortes, C. Burges, "The MNIST database": "size
//! normalized to fit in a 20x20 pixel box while preserving their aspect ratio [...] centered in a 28x28 image by
//! computing the center of mass of the pixels".)
//!
//! Pixels in memory only: no files, no options. The steps, each on what the one before gave:
//!
//! 1. [`ground`]: transparency becomes ground, a large picture is reduced, a smooth ground is estimated and subtracted,
//!    the stroke is what is darker or brighter than it;
//! 2. [`blobs`]: specks are dropped, the rest is cropped, several digits are noticed;
//! 3. [`stroke`]: a stroke thinner than MNIST's is drawn anew as thick as those;
//! 4. here: the crop is resampled to 20 pixels, brought to full white and put in its place.

mod blobs;
mod ground;
mod stroke;
#[cfg(test)]
mod tests;

use image::imageops::{self, FilterType};
use image::{GrayAlphaImage, ImageBuffer, Luma};

use crate::digit;

/// Width and height of MNIST's pictures.
pub(crate) const SIDE: usize = 28;
/// The box that a digit fits into.
const BOX: usize = 20;
/// The pixel where MNIST's centres of mass are: all 70,000 are within half a pixel of it, both ways.
const CENTRE: f32 = 14.0;
/// Brighter than this is nearer to the stroke than to the ground.
const MIDDLE: u8 = 127;
/// What part of the strokes' pixels is brighter than what becomes full white: their edges are grey.
const BRIGHT_PART: f32 = 0.15;
/// A stroke's pixels are those above it.
const STROKE: f32 = 0.3;

/// How much of a stroke each pixel is, from 0 to 1.
type Map = ImageBuffer<Luma<f32>, Vec<f32>>;

/// A digit as the model knows them.
pub(crate) struct Framed {
    /// 28x28, row by row.
    pub(crate) pixels: Vec<u8>,
    /// The picture shows more digits than one.
    pub(crate) has_several: bool,
}

/// Frames the digit of a picture. With `invert` it is known to be dark on a bright ground, else that is found out.
///
/// `None` where no digit stands out from the ground.
pub(crate) fn frame(picture: &GrayAlphaImage, invert: bool) -> Option<Framed> {
    let gray = ground::reduced(&ground::over_ground(picture, invert));
    let blobs::Found { digit, has_several } = blobs::crop(ground::ink(&gray, invert)?)?;
    let pixels = placed(&fitted(&stroke::thickened(digit)))?;
    Some(Framed { pixels, has_several })
}

/// The pixels of a picture that needs no framing, but at most the exchange of dark and bright, to the last bit.
pub(crate) fn framed_already(picture: &GrayAlphaImage, invert: bool) -> Option<Vec<u8>> {
    let ways: &[bool] = if invert { &[true] } else { &[false, true] };
    ways.iter().filter_map(|&invert| digit::as_it_is(picture, invert, [SIDE; 2])).find(|pixels| is_framed(pixels))
}

/// Whether most of the outermost pixels of 28x28 are bright. Nearly all of MNIST's are 0.
pub(crate) fn is_bright_at_the_border(pixels: &[u8]) -> bool {
    let at_the_border = |&(place, _): &(usize, &u8)| {
        let (x, y) = (place % SIDE, place / SIDE);
        [x, y].iter().any(|&along| along == 0 || along == SIDE - 1)
    };
    let border = pixels.iter().enumerate().filter(at_the_border);
    let (all, bright) =
        border.fold((0, 0), |(all, bright), (_, &pixel)| (all + 1, bright + usize::from(pixel > MIDDLE)));
    2 * bright > all
}

/// Whether 28x28 pixels are a digit as MNIST has them. The bounds are a little wider than its 70,000 digits need.
fn is_framed(pixels: &[u8]) -> bool {
    /// A tenth of white: fainter is no stroke. MNIST's longest sides are 18 to 20 pixels above it.
    const FAINT: u8 = 25;
    const LONGEST_SIDES: std::ops::RangeInclusive<usize> = 18..=BOX;
    /// MNIST's need 0.5.
    const OFF_CENTRE: f32 = 0.75;
    /// MNIST's brightest pixels are at least 254.
    const WHITE: u8 = 230;

    let span = |along: fn(usize) -> usize| {
        let places = || pixels.iter().enumerate().filter(|&(_, &pixel)| pixel > FAINT).map(|(place, _)| along(place));
        Some(places().max()? - places().min()? + 1)
    };
    let (Some(width), Some(height)) = (span(|place| place % SIDE), span(|place| place / SIDE)) else {
        return false;
    };
    let map = Map::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        Luma([f32::from(pixels.get(y as usize * SIDE + x as usize).copied().unwrap_or(0))])
    });
    let is_centred =
        centre_of_mass(&map).is_some_and(|centre| centre.iter().all(|along| (along - CENTRE).abs() <= OFF_CENTRE));
    LONGEST_SIDES.contains(&width.max(height))
        && is_centred
        && pixels.iter().any(|&pixel| pixel >= WHITE)
        && !is_bright_at_the_border(pixels)
}

/// The digit with 20 pixels on its longest side, anti-aliased: the filter is as wide as what it reduces.
fn fitted(digit: &Map) -> Map {
    let longest = digit.width().max(digit.height()).max(1) as f32;
    let [width, height] =
        [digit.width(), digit.height()].map(|side| ((side as f32 * BOX as f32 / longest).round() as u32).max(1));
    imageops::resize(digit, width, height, FilterType::Triangle)
}

/// The fitted digit at full white, its centre of mass in the middle; `None` where nothing is left of it.
fn placed(digit: &Map) -> Option<Vec<u8>> {
    let mut bright: Vec<f32> = digit.iter().copied().filter(|&value| value > STROKE).collect();
    let white = match bright.len() {
        0 => digit.iter().copied().fold(0.0, f32::max),
        _ => quantile(&mut bright, 1.0 - BRIGHT_PART),
    };
    let centre = centre_of_mass(digit)?;
    let [left, top] = [(centre[0], digit.width()), (centre[1], digit.height())]
        .map(|(centre, side)| (CENTRE - centre).round().clamp(0.0, (SIDE - side as usize) as f32) as usize);
    let mut pixels = vec![0; SIDE * SIDE];
    for (x, y, value) in digit.enumerate_pixels() {
        pixels[(top + y as usize) * SIDE + left + x as usize] = ((value.0[0] / white).min(1.0) * 255.0).round() as u8;
    }
    Some(pixels)
}

/// Along x and along y, the first pixel at 0. `None` where there is no mass.
fn centre_of_mass(map: &Map) -> Option<[f32; 2]> {
    let mut sums = [0.0; 3];
    for (x, y, value) in map.enumerate_pixels() {
        for (sum, weight) in sums.iter_mut().zip([x as f32, y as f32, 1.0]) {
            *sum += weight * value.0[0];
        }
    }
    (sums[2] > 0.0).then(|| [sums[0] / sums[2], sums[1] / sums[2]])
}

/// The value that this part of all is below; 0 of none. Their order is lost.
fn quantile(values: &mut [f32], part: f32) -> f32 {
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let place = ((last as f32 * part) as usize).min(last);
    *values.select_nth_unstable_by(place, f32::total_cmp).1
}
