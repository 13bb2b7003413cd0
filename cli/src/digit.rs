//! Reads a user's PNG as MNIST has its digits: 28x28 bytes, the stroke bright, the ground 0. Any colour type and
//! depth that PNG has is taken; another size is an error, not resized: MNIST's digits are also centred and scaled in
//! their own way, which a resize would not give.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use png::{ColorType, DecodingError, Transformations};

use crate::text::excerpt;

/// Width and height.
const SIDE: usize = 28;
/// The first bytes of every PNG.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Where the pixels differ by less, nobody sees a stroke: a tenth of what they could.
const FAINTEST_STROKE: u8 = 26;
/// Brighter than this is nearer to the stroke than to the ground.
const MIDDLE: u8 = 127;

/// Reads one picture, `[28 * 28]` row by row. With `invert` it shows a dark stroke on a bright ground.
///
/// The error names no file; it says what was found, what was expected.
pub(crate) fn read(path: &Path, invert: bool) -> Result<Vec<u8>, String> {
    if path.is_dir() {
        return Err("found a directory, expected a PNG picture".to_owned());
    }
    let mut file = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    check_format(file.fill_buf().map_err(|error| error.to_string())?)?;
    let mut decoder = png::Decoder::new(file);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    // Nothing here reads them, and they may unpack to much more than their size.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(describe)?;

    let (width, height) = reader.info().size();
    if [width, height].map(usize::try_from) != [Ok(SIDE); 2] {
        return Err(format!("found a picture of {width}x{height} pixels, expected {SIDE}x{SIDE}"));
    }
    let size = reader.output_buffer_size().ok_or("found a picture too large to read")?;
    let mut samples = Vec::new();
    samples.try_reserve_exact(size).map_err(|error| error.to_string())?;
    samples.resize(size, 0);
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

/// Why an answer about these pixels, as [`read`] gives them, may mean nothing; `None` where they look like a digit of
/// MNIST.
pub(crate) fn doubt(pixels: &[u8], inverted: bool) -> Option<String> {
    let darkest = pixels.iter().min()?;
    let brightest = pixels.iter().max()?;
    let found = if brightest - darkest < FAINTEST_STROKE {
        "the picture is blank where it can be seen"
    } else if is_bright_at_the_border(pixels) {
        "the picture is mostly bright at its border, and the model knows bright digits on a dark ground only"
    } else {
        return None;
    };
    let hint = if inverted { "try without --invert" } else { "try --invert, which is for dark digits" };
    Some(format!("{found}; {hint}"))
}

/// Whether most of the outermost pixels are bright. All of MNIST's are dark.
fn is_bright_at_the_border(pixels: &[u8]) -> bool {
    let at_the_border = |&(place, _): &(usize, &u8)| {
        let (x, y) = (place % SIDE, place / SIDE);
        [x, y].iter().any(|&along| along == 0 || along == SIDE - 1)
    };
    let border = pixels.iter().enumerate().filter(at_the_border);
    let (all, bright) =
        border.fold((0, 0), |(all, bright), (_, &pixel)| (all + 1, bright + usize::from(pixel > MIDDLE)));
    2 * bright > all
}

/// Refuses a file whose start is not a PNG's, and names its format if it has a known one.
fn check_format(start: &[u8]) -> Result<(), String> {
    // A pipe may give less than the signature at first; the decoder reads on.
    let length = start.len().min(SIGNATURE.len());
    if length > 0 && start[..length] == SIGNATURE[..length] {
        return Ok(());
    }
    let expected = format!("expected a PNG picture of {SIDE}x{SIDE} pixels");
    if start.is_empty() {
        return Err(format!("found an empty file, {expected}"));
    }
    Err(match infer::get(start) {
        Some(kind) => {
            let format = match kind.extension() {
                "jpg" => "JPEG".to_owned(),
                "tif" => "TIFF".to_owned(),
                "webp" => "WebP".to_owned(),
                extension => extension.to_uppercase(),
            };
            format!("found a {format} file ({}), {expected}; convert it to PNG first", kind.mime_type())
        }
        None => {
            format!(
                "found no PNG picture but a file that starts with \"{}\", {expected}",
                start[..length].escape_ascii()
            )
        }
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
        other => format!("found no PNG picture that can be read ({})", excerpt(&other.to_string())),
    }
}
