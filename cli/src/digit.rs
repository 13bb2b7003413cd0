//! Reads a user's picture: PNG, JPEG, BMP, WebP or TIFF, of any size within bounds, as gray values with their opacity,
//! the right way up. Making MNIST's 28x28 of it is [`frame`](crate::frame)'s work; here is only the picture that is
//! taken as it is.

use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::iter;
use std::path::Path;

use image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, GrayAlphaImage, ImageDecoder, ImageError, ImageFormat, ImageResult, Limits};

use crate::frame::is_bright_at_the_border;
use crate::nearest;
use crate::text::excerpt;

/// What is read, and how people call it.
const FORMATS: [(ImageFormat, &str); 5] = [
    (ImageFormat::Png, "PNG"),
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::Bmp, "BMP"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Tiff, "TIFF"),
];
const EXPECTED: &str = "expected a PNG, JPEG, BMP, WebP or TIFF picture";
/// Pixels of a picture: more than most cameras take, and 128 MB as gray and opacity.
const MOST_PIXELS: u64 = 64 << 20;
/// Width or height in pixels: as long as JPEG can say. What resamples the picture needs memory in proportion.
const LONGEST_SIDE: u32 = 65_535;
/// Bytes of a file.
const LARGEST_FILE: u64 = 256 << 20;
/// Bytes of the decoded picture and of what its decoder holds.
const DECODER_MEMORY: u64 = 512 << 20;
/// Where the pixels differ by less, nobody sees a stroke: a tenth of what they could.
const FAINTEST_STROKE: u8 = 26;

/// A picture the right way up.
pub(crate) struct Picture {
    /// Gray values as stored, and their opacity.
    pub(crate) pixels: GrayAlphaImage,
    /// It is the first of several that follow each other.
    pub(crate) is_animated: bool,
}

/// Reads one picture.
///
/// The error names no file; it says what was found, what was expected.
pub(crate) fn read(path: &Path) -> Result<Picture, String> {
    if path.is_dir() {
        return Err("found a directory, expected a picture".to_owned());
    }
    let file = File::open(path).map_err(|error| format!("{error}{}", nearest::hint(path)))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(format!(
            "found a file of more than {} MB, expected a picture; shrink it first",
            LARGEST_FILE >> 20
        ));
    }
    decode(&bytes)
}

/// The pixels of a picture of this height and width with nothing done but what `invert` asks for: what cannot be seen is
/// ground, whichever colour it has. `None` where the size is another.
pub(crate) fn as_it_is(picture: &GrayAlphaImage, invert: bool, size: [usize; 2]) -> Option<Vec<u8>> {
    let is_of_the_size = [picture.height(), picture.width()].map(|side| side as usize) == size;
    is_of_the_size.then(|| {
        let stroke = |gray: u8| u32::from(if invert { 255 - gray } else { gray });
        picture.pixels().map(|pixel| ((stroke(pixel.0[0]) * u32::from(pixel.0[1]) + 127) / 255) as u8).collect()
    })
}

/// Why an answer about these pixels, as [`as_it_is`] gives them, may mean nothing; `None` where they look like a digit
/// of MNIST.
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
    Some(format!("{found}; {hint}, or --frame auto"))
}

fn decode(bytes: &[u8]) -> Result<Picture, String> {
    let (format, name) = format(bytes)?;
    // The decoder would fill the rest with gray.
    if format == ImageFormat::Jpeg && !is_whole_jpeg(bytes) {
        return Err(cut_short(name));
    }
    let (mut decoder, is_animated) = decoder(bytes, format).map_err(|error| describe(&error, name))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MOST_PIXELS || width.max(height) > LONGEST_SIDE {
        return Err(format!(
            "found a picture of {width}x{height} pixels, expected at most {} million and {LONGEST_SIDE} a side; shrink \
             it first",
            MOST_PIXELS / 1_000_000
        ));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| describe(&error, name))?;
    let mut upright = DynamicImage::ImageLumaA8(gray_alpha(&image)?);
    drop(image);
    upright.apply_orientation(orientation);
    Ok(Picture { pixels: upright.into_luma_alpha8(), is_animated })
}

/// A decoder that has read the header, and whether more pictures follow the first.
fn decoder(bytes: &[u8], format: ImageFormat) -> ImageResult<(Box<dyn ImageDecoder + '_>, bool)> {
    let bytes = Cursor::new(bytes);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_MEMORY);
    let (mut decoder, is_animated): (Box<dyn ImageDecoder + '_>, bool) = match format {
        ImageFormat::Jpeg => (Box::new(JpegDecoder::new(bytes)?), false),
        ImageFormat::Bmp => (Box::new(BmpDecoder::new(bytes)?), false),
        ImageFormat::Tiff => (Box::new(TiffDecoder::new(bytes)?), false),
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(bytes)?;
            let is_animated = decoder.has_animation();
            (Box::new(decoder), is_animated)
        }
        _ => {
            let decoder = PngDecoder::with_limits(bytes, limits.clone())?;
            let is_animated = decoder.is_apng()?;
            (Box::new(decoder), is_animated)
        }
    };
    decoder.set_limits(limits)?;
    Ok((decoder, is_animated))
}

/// Gray values and opacity of any kind of pixels, 8 bits each. Of 16 bits the upper 8 are kept.
fn gray_alpha(image: &DynamicImage) -> Result<GrayAlphaImage, String> {
    let channels = usize::from(image.color().channel_count());
    let sample_bytes = usize::from(image.color().bytes_per_pixel()) / channels;
    let mut samples = Vec::new();
    let count = image.as_bytes().len() / (channels * sample_bytes) * 2;
    samples.try_reserve_exact(count).map_err(|error| error.to_string())?;
    for pixel in image.as_bytes().chunks_exact(channels * sample_bytes) {
        let at = |channel: usize| match pixel[channel * sample_bytes..][..sample_bytes] {
            [byte] => byte,
            [a, b] => (u16::from_ne_bytes([a, b]) >> 8) as u8,
            [a, b, c, d] => (f32::from_ne_bytes([a, b, c, d]) * 255.0).round() as u8,
            _ => 0,
        };
        samples.extend(match channels {
            1 => [at(0), 255],
            2 => [at(0), at(1)],
            3 => [gray(at(0), at(1), at(2)), 255],
            _ => [gray(at(0), at(1), at(2)), at(3)],
        });
    }
    GrayAlphaImage::from_raw(image.width(), image.height(), samples).ok_or("found a picture cut short".to_owned())
}

/// Luma as ITU-R BT.601 weighs it.
fn gray(r: u8, g: u8, b: u8) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// The format that the file's start says, or what it is instead.
fn format(bytes: &[u8]) -> Result<(ImageFormat, &'static str), String> {
    if bytes.is_empty() {
        return Err(format!("found an empty file, {EXPECTED}"));
    }
    let known = image::guess_format(bytes).ok().and_then(|format| FORMATS.into_iter().find(|known| known.0 == format));
    // A PNG may be cut within its signature.
    if let Some(known) = known.or_else(|| b"\x89PNG\r\n\x1a\n".starts_with(bytes).then_some(FORMATS[0])) {
        return Ok(known);
    }
    Err(match infer::get(bytes) {
        Some(kind) => {
            let format = kind.extension().to_uppercase();
            format!("found a {format} file ({}), {EXPECTED}; convert it to PNG first", kind.mime_type())
        }
        None => {
            let start = bytes[..bytes.len().min(8)].escape_ascii();
            format!("found no picture but a file that starts with \"{start}\", {EXPECTED}")
        }
    })
}

/// Whether the picture's end mark follows its segments. (ITU-T T.81, annex B: a mark is 0xff and a byte that is neither
/// 0 nor 0xff; a segment's length follows its mark, and coded data have no marks but restarts.)
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut place = 2;
    while let Some(found) = bytes.get(place..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff)) {
        place += found + 1;
        match bytes.get(place..).unwrap_or_default() {
            [0xd9, ..] => return true,
            [0xff, ..] => {}
            [0 | 1 | 0xd0..=0xd8, ..] => place += 1,
            [_, a, b, ..] => place += 1 + usize::from(u16::from_be_bytes([*a, *b])),
            _ => return false,
        }
    }
    false
}

fn describe(error: &ImageError, name: &str) -> String {
    let is_end = |error: &io::Error| error.kind() == ErrorKind::UnexpectedEof;
    let mut causes = iter::successors(error.source(), |&error| error.source());
    if matches!(error, ImageError::IoError(error) if is_end(error))
        || causes.any(|cause| cause.downcast_ref().is_some_and(is_end))
    {
        return cut_short(name);
    }
    match error {
        ImageError::Limits(_) => format!(
            "found a {name} picture too large to read, expected at most {} million pixels; shrink it first",
            MOST_PIXELS / 1_000_000
        ),
        other => format!("found no {name} picture that can be read ({})", excerpt(&other.to_string())),
    }
}

fn cut_short(name: &str) -> String {
    format!("found a {name} file cut short, expected a whole one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    /// A picture with a light corner, in a format.
    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(40, 24, |x, y| image::Rgb(if x < 16 && y < 8 { [200; 3] } else { [40; 3] }));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_format_is_read_and_said_to_be_cut_short() {
        for (format, name) in FORMATS {
            let whole = encoded(format);
            let pixels = decode(&whole).unwrap().pixels;
            assert_eq!(pixels.dimensions(), (40, 24), "{name}");
            for (place, expected) in [((4, 4), 200), ((36, 20), 40)] {
                assert!(pixels.get_pixel(place.0, place.1).0[0].abs_diff(expected) < 4, "{name}");
            }
            for length in [whole.len() / 3, whole.len() / 2, whole.len() - 20] {
                let message = decode(&whole[..length]).err().unwrap_or_else(|| panic!("{name}, {length} bytes"));
                assert!(message.contains(name), "{name}: {message}");
            }
        }
    }

    /// Whatever is wrong within a file, it is a picture or one message.
    #[test]
    fn damaged_files_are_no_panic() {
        for (format, _) in FORMATS {
            let whole = encoded(format);
            for place in 0..whole.len().min(400) {
                for change in [0xff, 1] {
                    let mut bytes = whole.clone();
                    bytes[place] ^= change;
                    let _ = decode(&bytes);
                }
            }
        }
    }

    #[test]
    fn size_is_bounded_by_the_header() {
        // A BMP's header says its size; there is nothing behind it to read.
        for (width, height) in [(60_000u32, 60_000u32), (70_000, 1)] {
            let mut bytes = encoded(ImageFormat::Bmp);
            bytes[18..22].copy_from_slice(&width.to_le_bytes());
            bytes[22..26].copy_from_slice(&height.to_le_bytes());
            let message = decode(&bytes).err().unwrap();
            assert!(message.contains(&format!("{width}x{height}")) || message.contains("too large"), "{message}");
        }
    }

    #[test]
    fn sixteen_bits_and_floats_are_eight() {
        let wide = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![0x5aff, 0xffff]).unwrap();
        assert_eq!(gray_alpha(&DynamicImage::ImageLuma16(wide)).unwrap().into_raw(), [0x5a, 255, 255, 255]);
        let float = image::Rgb32FImage::from_raw(2, 1, vec![f32::NAN, f32::NAN, f32::NAN, 2.0, 2.0, 2.0]).unwrap();
        assert_eq!(gray_alpha(&DynamicImage::ImageRgb32F(float)).unwrap().into_raw(), [0, 255, 255, 255]);
        let plain = GrayImage::from_raw(2, 1, vec![3, 4]).unwrap();
        assert_eq!(gray_alpha(&DynamicImage::ImageLuma8(plain)).unwrap().into_raw(), [3, 255, 4, 255]);
    }
}
