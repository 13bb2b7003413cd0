//! Pictures as people have them, given to `predict`: MNIST's test digits altered in every way that framing undoes, and
//! how many of them are still known.

use crate::common::*;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA};
use serde_json::Value;
use std::fs;
use std::io::Cursor;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Digits that each alteration is tried on.
const DIGITS: usize = 500;
/// A larger picture's width and height.
const LARGE: u32 = 280;

/// The model that `softreg train` makes by default.
fn model() -> &'static str {
    static MODEL: OnceLock<(TempDir, String)> = OnceLock::new();
    &MODEL
        .get_or_init(|| {
            let dir = scratch();
            let model = at(&dir, "model");
            words(&format!("train --save {model}")).plain();
            (dir, model)
        })
        .1
}

fn predict<'a>(options: &[&'a str], files: impl IntoIterator<Item = &'a str>) -> Run {
    softreg(["predict", "--model", model()].into_iter().chain(options.iter().copied()).chain(files))
}

fn gray(pixels: &[u8]) -> GrayImage {
    GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap()
}

fn inverted(mut image: GrayImage) -> GrayImage {
    imageops::invert(&mut image);
    image
}

fn enlarged(digit: &GrayImage) -> GrayImage {
    imageops::resize(digit, LARGE, LARGE, FilterType::CatmullRom)
}

/// The digit moved by `x` and `y`, cut at the border.
fn moved(digit: &GrayImage, x: i64, y: i64) -> GrayImage {
    let mut image = GrayImage::new(28, 28);
    imageops::overlay(&mut image, digit, x, y);
    image
}

fn halved(digit: &GrayImage) -> GrayImage {
    let mut image = GrayImage::new(28, 28);
    imageops::overlay(&mut image, &imageops::resize(digit, 14, 14, FilterType::Triangle), 7, 7);
    image
}

/// Ink on paper that is lit from one corner: the brightest of it is twice and a half as bright as the darkest.
fn lit(digit: &GrayImage) -> GrayImage {
    GrayImage::from_fn(digit.width(), digit.height(), |x, y| {
        let [x_part, y_part] =
            [(x, digit.width()), (y, digit.height())].map(|(at, side)| at as f32 / (side - 1) as f32);
        let paper = 160.0 + 90.0 * x_part - 60.0 * y_part;
        Luma([(paper * (1.0 - 0.8 * f32::from(digit.get_pixel(x, y).0[0]) / 255.0)) as u8])
    })
}

/// Lines of one pixel where the strokes were. (T. Y. Zhang, C. Y. Suen, "A fast parallel algorithm for thinning digital
/// patterns", 1984.)
fn thinned(image: &GrayImage) -> GrayImage {
    // Nothing lies at the border then, so that every pixel of ink has eight neighbours.
    let mut padded = GrayImage::new(image.width() + 2, image.height() + 2);
    imageops::overlay(&mut padded, image, 1, 1);
    let image = &padded;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut ink: Vec<bool> = image.iter().map(|&pixel| pixel > 127).collect();
    let around = [(0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)]
        .map(|(x, y): (isize, isize)| x + y * width as isize);
    let mut steps_without = 0;
    for step in 0.. {
        let removed: Vec<usize> = (0..width * height)
            .filter(|&place| ink[place])
            .filter(|&place| {
                let n = around.map(|offset| ink[(place as isize + offset) as usize]);
                let count = n.iter().filter(|&&ink| ink).count();
                let starts = (0..8).filter(|&i| !n[i] && n[(i + 1) % 8]).count();
                let [north, east, south, west] = [n[0], n[2], n[4], n[6]];
                let side = if step % 2 == 0 {
                    !(east && south && (north || west))
                } else {
                    !(north && west && (east || south))
                };
                (2..=6).contains(&count) && starts == 1 && side
            })
            .collect();
        removed.iter().for_each(|&place| ink[place] = false);
        steps_without = if removed.is_empty() { steps_without + 1 } else { 0 };
        if steps_without == 2 {
            break;
        }
    }
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        Luma([255 * u8::from(ink[x as usize + y as usize * width])])
    })
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png_of(image: GrayImage) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

fn jpeg_of(image: &GrayImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 60).encode_image(image).unwrap();
    bytes
}

/// A JPEG on its side whose EXIF says so: 6, the camera was turned to the left.
fn turned(image: &GrayImage) -> Vec<u8> {
    let mut bytes = jpeg_of(&imageops::rotate270(image));
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00";
    bytes.splice(2..2, exif.iter().copied());
    bytes
}

/// One process for each alteration of all digits; what it finds is told for all before any is judged.
#[test]
fn altered_digits_are_known() {
    type Alteration = fn(&GrayImage) -> Vec<u8>;
    let alterations: [(&str, Alteration, bool, f64); 11] = [
        ("as they are", |digit| png_of(digit.clone()), false, 0.905),
        ("black on white", |digit| png_of(inverted(digit.clone())), true, 0.905),
        (
            "black on nothing",
            |digit| {
                let glass = |x, y| LumaA([0, digit.get_pixel(x, y).0[0]]);
                encoded(GrayAlphaImage::from_fn(28, 28, glass), ImageFormat::Png)
            },
            true,
            0.905,
        ),
        ("moved by four", |digit| png_of(moved(digit, -4, 4)), true, 0.885),
        ("half the size", |digit| png_of(halved(digit)), true, 0.88),
        ("280x280", |digit| png_of(enlarged(digit)), true, 0.90),
        ("lit from a corner", |digit| png_of(lit(&enlarged(digit))), true, 0.90),
        ("JPEG", |digit| jpeg_of(&inverted(enlarged(digit))), true, 0.90),
        ("JPEG, lit from a corner", |digit| jpeg_of(&lit(&enlarged(digit))), true, 0.90),
        ("JPEG, turned", |digit| turned(&inverted(enlarged(digit))), true, 0.90),
        ("lines of a pixel", |digit| png_of(inverted(thinned(&enlarged(digit)))), true, 0.87),
    ];
    // An emulator takes minutes for all of them, and has no other pixels.
    let (count, slack) = if is_emulated() { (25, 0.2) } else { (DIGITS, 0.0) };
    let digits = mnist_test_images(count);
    let dir = scratch();
    let files: Vec<String> = (0..count).map(|number| at(&dir, &number.to_string())).collect();
    let mut found = Vec::new();
    for (name, alter, is_framed, least) in alterations {
        for (file, (pixels, _)) in files.iter().zip(&digits) {
            fs::write(file, alter(&gray(pixels))).unwrap();
        }
        let run = predict(&["--json"], files.iter().map(String::as_str));
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        let answers: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), count, "{name}");
        assert!(answers.iter().all(|answer| answer["framed"] == is_framed), "{name}");
        // Of 500 digits few are in pieces that look like several.
        assert!(run.stderr.lines().count() <= 2, "{name}: {}", run.stderr);
        let right = answers.iter().zip(&digits).filter(|(answer, (_, label))| answer["class"] == *label).count();
        found.push((name, right as f64 / count as f64, least - slack));
    }
    let lines: Vec<String> =
        found.iter().map(|(name, share, least)| format!("{name}: {share:.3}, expected {least}")).collect();
    println!("{}", lines.join("\n"));
    assert!(found.iter().all(|(_, share, least)| share >= least), "{lines:#?}");
}

/// `always` frames MNIST's own digits too, and loses little.
#[test]
fn frame_chooses() {
    let dir = scratch();
    let (pixels, _) = mnist_test_images(1).swap_remove(0);
    let digit = put(&dir, "digit.png", &png_of(gray(&pixels))).display().to_string();
    let paper = put(&dir, "paper.png", &png_of(inverted(gray(&pixels)))).display().to_string();
    let large = put(&dir, "large.webp", &encoded(enlarged(&gray(&pixels)), ImageFormat::WebP)).display().to_string();
    let answer = |options: &[&str], file: &str| predict(&[options, &["--json"]].concat(), [file]).json();
    let plain = answer(&[], &digit);
    assert_eq!((&plain["framed"], &plain["class"]), (&false.into(), &7.into()));
    assert_eq!(answer(&["--frame", "never"], &digit), plain);
    assert_eq!(answer(&["--frame", "always"], &digit)["framed"], true);
    assert_eq!(answer(&[], &paper)["probabilities"], plain["probabilities"]);
    assert_eq!(answer(&["--frame", "never", "--invert"], &paper)["probabilities"], plain["probabilities"]);
    assert!(!predict(&[], [digit.as_str()]).plain().contains("framed"));
    assert!(predict(&[], [large.as_str()]).plain().ends_with("framed\n"));

    let run = predict(&["--frame", "never"], [large.as_str()]);
    let line = run.silent_error(1);
    assert!(line.contains("found a picture of 280x280 pixels, expected 28x28; --frame auto"), "{line}");
    assert!(predict(&["--frame", "perhaps"], [large.as_str()]).silent_error(2).contains("never, auto, always"));
}

#[test]
fn what_cannot_be_framed_is_said() {
    let dir = scratch();
    let (digits, text) = (mnist_test_images(2), |name: &str| at(&dir, name));
    for (name, image) in [("black", GrayImage::new(300, 200)), ("white", inverted(GrayImage::new(28, 28)))] {
        fs::write(text(name), png_of(image)).unwrap();
        let file = text(name);
        let run = predict(&[], [file.as_str()]);
        let line = run.silent_error(1);
        assert!(line.starts_with(&file) && line.contains("blank where it can be seen, expected a digit"), "{line}");
    }
    // Two digits beside each other.
    let mut both = GrayImage::new(56, 28);
    imageops::overlay(&mut both, &gray(&digits[0].0), 0, 0);
    imageops::overlay(&mut both, &gray(&digits[1].0), 28, 0);
    let file = text("both");
    fs::write(&file, encoded(inverted(both), ImageFormat::Bmp)).unwrap();
    let run = predict(&["--json"], [file.as_str()]);
    assert!(run.note().contains("several digits") && run.stdout.lines().count() == 1, "{run:?}");
    // An inverted digit, which --invert is not for.
    let file = text("bright");
    fs::write(&file, png_of(enlarged(&gray(&digits[0].0)))).unwrap();
    assert!(predict(&["--invert"], [file.as_str()]).silent_error(1).contains("try without --invert"));
}

#[test]
fn show_input_saves_what_the_model_saw() {
    let dir = scratch();
    let (pixels, _) = mnist_test_images(1).swap_remove(0);
    let digit = put(&dir, "digit.png", &png_of(gray(&pixels))).display().to_string();
    let large = put(&dir, "large.tiff", &encoded(enlarged(&gray(&pixels)), ImageFormat::Tiff)).display().to_string();
    let shown = at(&dir, "shown.png");
    let saw = |file: &str| {
        predict(&["--show-input", &shown], [file]).plain();
        image::load_from_memory_with_format(&fs::read(&shown).unwrap(), ImageFormat::Png).unwrap().into_luma8()
    };
    assert_eq!(saw(&digit).into_raw(), pixels);
    let framed = saw(&large);
    assert_eq!(framed.dimensions(), (28, 28));
    let off = framed.iter().zip(&pixels).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / PIXELS as f64;
    assert!(off < 8.0, "the digit is where it was: {off}");

    let run = predict(&["--show-input", &shown], [digit.as_str(), &large]);
    assert!(run.silent_error(2).contains("--show-input: found 2 pictures, expected one"), "{run:?}");
    let before = fs::read(&digit).unwrap();
    let run = predict(&["--show-input", &digit], [digit.as_str()]);
    assert!(run.silent_error(2).contains("a file that is read"), "{run:?}");
    assert_eq!(fs::read(&digit).unwrap(), before);
    let nowhere = at(&dir, "nowhere/shown.png");
    assert!(predict(&["--show-input", &nowhere], [digit.as_str()]).silent_error(1).contains("nowhere"));
}

/// The first picture of an animation is answered, and said to be one.
#[test]
fn animations_get_a_note() {
    let dir = scratch();
    let (pixels, _) = mnist_test_images(1).swap_remove(0);
    let file = at(&dir, "moving.png");
    let mut encoder = png::Encoder::new(fs::File::create(&file).unwrap(), 28, 28);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    writer.write_image_data(&[0; PIXELS]).unwrap();
    writer.finish().unwrap();
    let run = predict(&["--json"], [file.as_str()]);
    assert!(run.note().contains("several pictures") && run.stdout.contains("\"class\":7"), "{run:?}");
}
