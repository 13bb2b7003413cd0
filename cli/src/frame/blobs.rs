//! The connected pieces of ink: which are the digit, where it is, and whether there are several digits.

use image::{Luma, imageops};

use super::Map;

/// Ink that belongs to a piece, and so to the crop. MNIST's digits reach 20 pixels with their faintest pixels counted,
/// but a blurred picture has a faint rim that is none of theirs: with 0.05 digits of half the size, halved by a soft
/// filter, are known 3 in 100 less often, and other pictures as often as with 0.15.
const FAINT: f32 = 0.15;
/// A piece with less of the largest one's ink is a speck. Parts of broken digits have more.
const SPECK_PART: f32 = 0.04;
/// Digits beside or above each other are each at least this part as high as the highest. Of MNIST's 10,000 test digits,
/// some of them broken, 8 have such parts.
const HEIGHT_PART: f32 = 0.5;

/// What was found in a picture.
pub(super) struct Found {
    /// The digit's ink, cropped.
    pub(super) digit: Map,
    pub(super) has_several: bool,
}

/// A connected piece: its bounds, the last ones included, and its ink.
#[derive(Clone, Copy)]
struct Blob {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    mass: f32,
}

impl Blob {
    fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    /// Whether a straight gap, upright or level, lies between the two.
    fn is_apart_from(&self, other: &Self) -> bool {
        self.right < other.left || other.right < self.left || self.bottom < other.top || other.bottom < self.top
    }
}

/// Crops the ink to what is no speck. `None` where there is no ink.
pub(super) fn crop(mut ink: Map) -> Option<Found> {
    let (labels, blobs) = label(&ink);
    let largest = blobs.iter().map(|blob| blob.mass).fold(0.0, f32::max);
    let is_kept = |blob: &Blob| blob.mass >= SPECK_PART * largest;
    for (value, &label) in ink.iter_mut().zip(&labels) {
        let is_kept = label.checked_sub(1).and_then(|index| blobs.get(index)).is_some_and(is_kept);
        *value = if is_kept { *value } else { 0.0 };
    }
    let kept: Vec<Blob> = blobs.into_iter().filter(is_kept).collect();
    let all = kept.iter().copied().reduce(|a, b| Blob {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
        mass: a.mass + b.mass,
    })?;
    let highest = kept.iter().map(Blob::height).max()?;
    let high: Vec<&Blob> = kept.iter().filter(|blob| blob.height() as f32 >= HEIGHT_PART * highest as f32).collect();
    // Many are no row of digits but a pattern, and comparing them all would take long; several they are.
    let has_several =
        high.len() > 100 || high.iter().enumerate().any(|(i, a)| high[..i].iter().any(|b| a.is_apart_from(b)));
    let digit =
        imageops::crop_imm(&ink, all.left, all.top, all.right - all.left + 1, all.bottom - all.top + 1).to_image();
    Some(Found { digit, has_several })
}

/// Numbers the pieces from 1, and each pixel with its piece, 0 for none. Pixels that touch at a corner are connected.
fn label(ink: &Map) -> (Vec<usize>, Vec<Blob>) {
    let (width, height) = ink.dimensions();
    let index = |x: u32, y: u32| y as usize * width as usize + x as usize;
    let mut labels = vec![0; ink.as_raw().len()];
    let mut blobs = Vec::new();
    let mut open = Vec::new();
    for (x, y, &Luma([value])) in ink.enumerate_pixels() {
        if value <= FAINT || labels[index(x, y)] != 0 {
            continue;
        }
        let mut blob = Blob { left: x, top: y, right: x, bottom: y, mass: 0.0 };
        let number = blobs.len() + 1;
        labels[index(x, y)] = number;
        open.push((x, y));
        while let Some((x, y)) = open.pop() {
            blob.left = blob.left.min(x);
            blob.right = blob.right.max(x);
            blob.top = blob.top.min(y);
            blob.bottom = blob.bottom.max(y);
            blob.mass += ink.get_pixel(x, y).0[0];
            for y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    if labels[index(x, y)] == 0 && ink.get_pixel(x, y).0[0] > FAINT {
                        labels[index(x, y)] = number;
                        open.push((x, y));
                    }
                }
            }
        }
        blobs.push(blob);
    }
    (labels, blobs)
}
