//! Each step of framing on pictures made in memory. What framed digits are taken for is tested from outside.

use image::LumaA;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A picture from gray values.
fn picture(width: u32, height: u32, gray: impl Fn(u32, u32) -> u8) -> GrayAlphaImage {
    GrayAlphaImage::from_fn(width, height, |x, y| LumaA([gray(x, y), 255]))
}

/// A stroke like an L, lying, of 10 pixels in 120x80 of 200x150.
fn is_stroke(x: u32, y: u32) -> bool {
    let (width, height) = (40..160, 30..110);
    width.contains(&x) && height.contains(&y) && (x < 50 || y >= 100)
}

fn pixels(picture: &GrayAlphaImage) -> Vec<u8> {
    frame(picture, false).expect("a digit").pixels
}

/// The largest difference of two framed digits.
fn difference(a: &[u8], b: &[u8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// Width and height of what is not quite black.
fn extent(pixels: &[u8]) -> [usize; 2] {
    [|place| place % SIDE, |place: usize| place / SIDE].map(|along: fn(usize) -> usize| {
        let places = || (0..pixels.len()).filter(|&place| pixels[place] > 12).map(along);
        places().max().unwrap() - places().min().unwrap() + 1
    })
}

fn centre(pixels: &[u8]) -> [f32; 2] {
    let map = Map::from_fn(SIDE as u32, SIDE as u32, |x, y| Luma([f32::from(pixels[(x + 28 * y) as usize])]));
    centre_of_mass(&map).unwrap()
}

#[test]
fn polarity_and_transparency_make_no_difference() {
    let white = pixels(&picture(200, 150, |x, y| if is_stroke(x, y) { 255 } else { 0 }));
    let ways: [(&str, [u8; 2], [u8; 2]); 6] = [
        ("black on white", [0, 255], [255, 255]),
        ("grey on grey", [90, 255], [170, 255]),
        ("black on nothing", [0, 255], [0, 0]),
        ("white on nothing", [255, 255], [255, 0]),
        ("black on nothing, white below", [0, 255], [255, 0]),
        ("a hole in white", [255, 0], [255, 255]),
    ];
    for (name, stroke, ground) in ways {
        let other = GrayAlphaImage::from_fn(200, 150, |x, y| LumaA(if is_stroke(x, y) { stroke } else { ground }));
        match (name, frame(&other, false)) {
            // There is nothing to see: the border's own colour is what shows through.
            ("a hole in white", found) => assert!(found.is_none()),
            (_, found) => assert!(difference(&found.unwrap().pixels, &white) <= 3, "{name}"),
        }
    }
    let dark = picture(200, 150, |x, y| if is_stroke(x, y) { 0 } else { 255 });
    assert!(difference(&frame(&dark, true).unwrap().pixels, &white) <= 3);
    let bright = picture(200, 150, |x, y| if is_stroke(x, y) { 255 } else { 0 });
    assert!(frame(&bright, true).is_none(), "nothing is dark on bright there");
}

#[test]
fn aspect_ratio_is_kept_and_the_stroke_is_white() {
    for (width, height) in [(200, 150), (1000, 750), (4000, 3000)] {
        let scale = width / 200;
        let found = pixels(&picture(width, height, |x, y| if is_stroke(x / scale, y / scale) { 255 } else { 0 }));
        let [across, down] = extent(&found);
        assert_eq!(across, 20, "{width}");
        assert!((13..=14).contains(&down), "120x80 are 20x13.3: {down}");
        assert_eq!(found.iter().max(), Some(&255));
    }
}

/// The same stroke anywhere, under any light, is the same digit.
#[test]
fn place_and_light_make_little_difference() {
    let plain = pixels(&picture(200, 150, |x, y| if is_stroke(x, y) { 0 } else { 255 }));
    let away = picture(500, 400, |x, y| if is_stroke(x.wrapping_sub(250), y.wrapping_sub(40)) { 0 } else { 255 });
    assert!(difference(&pixels(&away), &plain) <= 3);
    let slope = |x: u32, y: u32| 120 + x / 2 + y / 5;
    let light = picture(200, 150, |x, y| (slope(x, y) / if is_stroke(x, y) { 4 } else { 1 }) as u8);
    assert!(difference(&pixels(&light), &plain) <= 25, "{}", difference(&pixels(&light), &plain));
    // Noise of a few grey levels, by a generator of one line.
    let noise = |x: u32, y: u32| (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)).wrapping_mul(2_654_435_761) >> 28;
    let noisy = picture(200, 150, |x, y| (if is_stroke(x, y) { 40 } else { 200 } + noise(x, y)) as u8);
    assert!(difference(&pixels(&noisy), &plain) <= 40, "{}", difference(&pixels(&noisy), &plain));
    // Dust is no part of the digit.
    let dusty = picture(200, 150, |x, y| if is_stroke(x, y) || x / 3 == 60 && y / 3 == 2 { 0 } else { 255 });
    assert_eq!(pixels(&dusty), plain);
}

#[test]
fn lines_of_one_pixel_are_as_thick_as_mnists() {
    for side in [100, 300, 1000, 4000] {
        let line = |at: u32| at == side / 4;
        let inside = |at: u32| (side / 4..side * 3 / 4).contains(&at);
        let thin = picture(side, side, |x, y| if line(x) && inside(y) || line(y) && inside(x) { 0 } else { 255 });
        let found = pixels(&thin);
        let white = found.iter().map(|&pixel| f32::from(pixel) / 255.0).sum::<f32>();
        // Two strokes of 20 pixels.
        assert!((1.7..3.0).contains(&(white / 38.0)), "{side}: {}", white / 38.0);
        assert_eq!(extent(&found), [20, 20], "{side}");
    }
}

#[test]
fn blank_pictures_have_no_digit() {
    for (width, height) in [(1, 1), (1, 10_000), (10_000, 1), (28, 28), (300, 200)] {
        for gray in [0, 1, 127, 254, 255] {
            for alpha in [0, 100, 255] {
                let blank = GrayAlphaImage::from_pixel(width, height, LumaA([gray, alpha]));
                assert!(frame(&blank, false).is_none() && frame(&blank, true).is_none(), "{width}x{height} {gray}");
            }
        }
    }
    let faint = picture(200, 150, |x, y| if is_stroke(x, y) { 12 } else { 0 });
    assert!(frame(&faint, false).is_none());
    let slope = picture(300, 200, |x, y| (x / 2 + y / 4) as u8);
    assert!(frame(&slope, false).is_none());
    let noise = picture(300, 200, |x, y| {
        let mixed = (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)).wrapping_mul(2_654_435_761);
        100 + ((mixed >> 24) % 64) as u8
    });
    assert!(frame(&noise, false).is_none());
}

#[test]
fn several_digits_are_noticed() {
    let stroke =
        |left: u32, top: u32| move |x: u32, y: u32| (left..left + 8).contains(&x) && (top..top + 60).contains(&y);
    let several = |second: (u32, u32)| {
        let (a, b) = (stroke(40, 20), stroke(second.0, second.1));
        frame(&picture(200, 200, |x, y| if a(x, y) || b(x, y) { 0 } else { 255 }), false).unwrap().has_several
    };
    assert!(several((100, 20)), "beside");
    assert!(several((40, 100)), "above");
    assert!(!several((40, 20)), "the same");
    assert!(!several((44, 50)), "touching");
    // A 5 whose bar is drawn apart.
    let five = picture(200, 200, |x, y| {
        let (bar, body) = ((60..120).contains(&x) && (40..48).contains(&y), stroke(60, 55)(x, y));
        if bar || body { 0 } else { 255 }
    });
    assert!(!frame(&five, false).unwrap().has_several);
}

/// All digits of MNIST's test set are framed already, however they are stored.
#[test]
fn mnists_own_digits_stay_to_the_last_bit() {
    let (name, bytes) = softreg_mnist::FILES[2];
    let images = softreg::idx::read(bytes, name).unwrap().data;
    for digit in images.chunks_exact(SIDE * SIDE) {
        let at = |x: u32, y: u32| digit[y as usize * SIDE + x as usize];
        let dark = picture(28, 28, |x, y| 255 - at(x, y));
        assert_eq!(framed_already(&picture(28, 28, at), false).as_deref(), Some(digit));
        assert_eq!(framed_already(&dark, false).as_deref(), Some(digit));
        assert_eq!(framed_already(&dark, true).as_deref(), Some(digit));
    }
    let digit = &images[..SIDE * SIDE];
    let glass = GrayAlphaImage::from_fn(28, 28, |x, y| LumaA([0, digit[y as usize * SIDE + x as usize]]));
    assert_eq!(framed_already(&glass, false).as_deref(), Some(digit));
    let moved = picture(28, 28, |x, y| digit[((y as usize + 3) % SIDE) * SIDE + x as usize]);
    assert_eq!(framed_already(&moved, false), None);
}

#[test]
fn quantiles() {
    assert_eq!(quantile(&mut [], 0.5), 0.0);
    assert_eq!(quantile(&mut [3.0], 1.0), 3.0);
    assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any picture is a digit or none; a digit is white and lies within a pixel of the middle, but where it would leave the
    /// picture: whole pixels cost half of one, and what is cut off above white moves the centre of mere noise.
    #[test]
    fn any_bytes_are_framed(
        (width, bytes) in (1u32..60, 1u32..60).prop_flat_map(|(width, height)| {
            let bytes = prop_oneof![
                vec(any::<u8>(), (2 * width * height) as usize),
                vec(prop_oneof![4 => Just(255u8), 1 => Just(0u8)], (2 * width * height) as usize),
            ];
            (Just(width), bytes)
        }),
        invert: bool,
    ) {
        let height = bytes.len() as u32 / 2 / width;
        let picture = GrayAlphaImage::from_raw(width, height, bytes).unwrap();
        if let Some(framed) = frame(&picture, invert) {
            prop_assert_eq!(framed.pixels.len(), SIDE * SIDE);
            prop_assert_eq!(framed.pixels.iter().max(), Some(&255));
            let touches = |place: usize| [place % SIDE, place / SIDE].iter().any(|&at| at == 0 || at == SIDE - 1);
            let at_the_border = (0..SIDE * SIDE).any(|place| framed.pixels[place] > 0 && touches(place));
            for along in centre(&framed.pixels) {
                prop_assert!(at_the_border || (along - CENTRE).abs() < 1.0, "{}", along);
            }
        }
    }

    /// Long and narrow ones, which are reduced to one pixel.
    #[test]
    fn any_stripe_is_framed(length in 1u32..20_000, upright: bool, period in 1u32..300) {
        let (width, height) = if upright { (1, length) } else { (length, 1) };
        let stripe = picture(width, height, |x, y| if (x + y) % period == 0 { 0 } else { 255 });
        let _ = frame(&stripe, false);
    }
}
