//! The pictures that the program makes, one file each: pure functions from numbers and names to a [`Drawing`], which
//! becomes SVG or PNG. Nothing here reads or writes files; that is `output_file`'s work.

mod axes;
mod colour;
mod confusion;
mod curves;
mod drawing;
mod evidence;
mod font;
mod mistakes;
mod raster;
mod reliability;
mod svg;
mod weights;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

pub(crate) use axes::grouped;
pub(crate) use confusion::confusion;
pub(crate) use curves::{CurvePoint, curves};
pub(crate) use drawing::Drawing;
pub(crate) use evidence::{Evidence, evidence};
pub(crate) use mistakes::{MOST_MISTAKES, Mistake, mistakes};
pub(crate) use reliability::{calibration_error, reliability};
pub(crate) use svg::escaped;
pub(crate) use weights::weights;

use crate::report::Failure;

/// More classes than that have no room on a page.
pub(crate) const MOST_CLASSES: usize = 200;

impl Drawing {
    /// The drawing as a PNG of twice its width and height.
    pub(crate) fn to_png(&self) -> Result<Vec<u8>, Failure> {
        raster::png(self)
    }

    /// The drawing as an SVG file.
    pub(crate) fn to_svg(&self) -> Result<String, Failure> {
        svg::file(self)
    }

    /// The drawing as SVG within an HTML page.
    pub(crate) fn to_inline_svg(&self) -> Result<String, Failure> {
        svg::inline(self)
    }
}

/// A PNG of the pixels that the model was given.
pub(crate) fn input_png(pixels: &[u8], [height, width]: [usize; 2]) -> Result<Vec<u8>, Failure> {
    encode("the picture of the input", pixels, [width, height], ExtendedColorType::L8)
}

fn encode(
    what: &str,
    pixels: &[u8],
    [width, height]: [usize; 2],
    color: ExtendedColorType,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    // Flat colours are smallest as they are.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::NoFilter);
    let result = encoder.write_image(pixels, width as u32, height as u32, color);
    result.map_err(|error| Failure::Failed(format!("cannot make {what}: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
