//! Reads a user's PNG as MNIST has its digits: 28x28 bytes, the stroke bright, the ground 0. Any colour type and
//! depth that PNG has is taken; another size is an error, not resized: MNIST's digits are also centred and scaled in
//! their own way, which a resize would not give.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{ColorType, DecodingError, Transformations};

/// Width and height.
const SIDE: u32 = 28;

/// Reads one picture, `[28 * 28]` row by row. With `invert` it shows a dark stroke on a bright ground.
///
/// The error names no file; it says what was found, what was expected.
pub(crate) fn read(path: &Path, invert: bool) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        return Err("found a directory, expected a PNG picture".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    // Nothing here reads them, and they may unpack to much more than their size.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(describe)?;

    let (width, height) = reader.info().size();
    if (width, height) != (SIDE, SIDE) {
        return Err(format!("found a picture of {width}x{height} pixels, expected {SIDE}x{SIDE}"));
    }
    let size = reader.output_buffer_size().ok_or("found a picture too large to read")?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(describe)?;
    samples.truncate(frame.buffer_size());

    let pixel = |gray: u8, alpha: u8| {
        let stroke = if invert { 255 - gray } else { gray };
        // What cannot be seen is ground, whichever colour the ground has.
        ((u32::from(stroke) * u32::from(alpha) + 127) / 255) as u8
    };
    Ok(match frame.color_type {
        ColorType::Grayscale => samples.iter().map(|&gray| pixel(gray, 255)).collect(),
        ColorType::GrayscaleAlpha => samples.as_chunks().0.iter().map(|&[gray, alpha]| pixel(gray, alpha)).collect(),
        ColorType::Rgb => samples.as_chunks().0.iter().map(|&[r, g, b]| pixel(gray(r, g, b), 255)).collect(),
        ColorType::Rgba => samples.as_chunks().0.iter().map(|&[r, g, b, a]| pixel(gray(r, g, b), a)).collect(),
        ColorType::Indexed => return Err("found a palette that could not be expanded".to_owned()),
    })
}

/// Luma as ITU-R BT.601 weighs it.
fn gray(r: u8, g: u8, b: u8) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

fn describe(error: DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "found a PNG file cut short, expected a whole one".to_owned()
        }
        DecodingError::IoError(error) => error.to_string(),
        other => format!("found no PNG picture that can be read ({other})"),
    }
}
