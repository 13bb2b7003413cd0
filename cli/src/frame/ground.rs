//! What is ground and what is stroke: from a picture to how much of a stroke each pixel is. Which strokes are a digit is
//! not decided here.

use image::imageops::{self, FilterType};
use image::{GrayAlphaImage, GrayImage, Luma};

use super::{MIDDLE, Map, quantile};

/// The longest side of the picture that is worked on. A digit that takes a tenth of a photo still has 50 pixels, more
/// than twice what it ends with; a line of one pixel in 4000 keeps an eighth of its contrast.
const WORK_SIDE: u32 = 512;
/// Coefficients of the ground: 1, x, y, xx, xy, yy. Lamps and lenses give slopes and bowls; more terms would follow the
/// strokes.
const TERMS: usize = 6;
/// The ground is fitted to at most this many pixels along each side.
const FITTED: u32 = 64;
/// Rounds of the fit; each weighs pixels by how near they were to the last. The weights settle within six.
const ROUNDS: usize = 8;
/// The border is this part of the shorter side: MNIST's digits leave 4 of 28, people leave less.
const BORDER_PART: u32 = 14;
/// How much a pixel within counts beside one at the border, where few people draw: at first, and in later rounds.
const INNER_WEIGHTS: [f64; 2] = [0.05, 0.5];
/// The least deviation that the weights take for the ground's own, 4 of 255: flat pictures have none.
const LEAST_DEVIATION: f64 = 4.0 / 255.0;
/// What makes the fit solvable where a picture is too small for its terms.
const RIDGE: f64 = 1e-3;
/// Contrast is counted as a part of what the ground leaves room for, because light scales ink and paper alike; where it
/// leaves less than this, noise would be blown up.
const LEAST_ROOM: f32 = 0.25;
/// Fainter ink is not looked for: a twentieth of the contrast that could be. A line of one pixel in a photo has a tenth
/// left when the photo is reduced; what compression adds to blank paper has a hundredth.
const FAINTEST: f32 = 0.05;
/// Ink stands out from the ground's noise by so many of its deviations. What chance brings above its own threshold has
/// about two.
const ABOVE_NOISE: f32 = 4.0;
/// The ground ends at this many deviations of its noise, at least at the first part of the full ink (what compression
/// leaves around strokes), at most at the second.
const GROUND_DEVIATIONS: f32 = 3.0;
const GROUND_PARTS: [f32; 2] = [0.04, 0.4];
/// The part of the ink's pixels that is fainter than full ink: edges are.
const FULL_INK: f32 = 0.8;
/// From the median of absolute deviations to the standard deviation of a normal distribution.
const NORMAL: f32 = 1.4826;

/// Gray values with what is transparent shown over a ground: the border's gray if the border can be seen, else what
/// contrasts with the visible.
pub(super) fn over_ground(picture: &GrayAlphaImage, invert: bool) -> GrayImage {
    let (width, height) = picture.dimensions();
    let is_border = |x, y| x == 0 || y == 0 || x == width - 1 || y == height - 1;
    let (mut border_grays, mut border, mut opacity) = ([0u64; 256], 0, 0);
    let (mut seen, mut seen_gray) = (0, 0);
    for (x, y, &image::LumaA([gray, alpha])) in picture.enumerate_pixels() {
        seen += u64::from(alpha);
        seen_gray += u64::from(alpha) * u64::from(gray);
        if is_border(x, y) {
            border += 1;
            opacity += u64::from(alpha);
            border_grays[usize::from(gray)] += u64::from(alpha);
        }
    }
    let ground = if opacity > border * u64::from(MIDDLE) {
        let mut below = 0;
        let median = border_grays.iter().position(|&weight| {
            below += weight;
            2 * below >= opacity
        });
        median.unwrap_or(0) as u32
    } else if invert || seen_gray <= seen * u64::from(MIDDLE) {
        255
    } else {
        0
    };
    GrayImage::from_fn(width, height, |x, y| {
        let [gray, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        Luma([((gray * alpha + ground * (255 - alpha) + 127) / 255) as u8])
    })
}

/// Gray values from 0 to 1, at a size that can be worked on.
pub(super) fn reduced(gray: &GrayImage) -> Map {
    let (width, height) = gray.dimensions();
    let longest = width.max(height);
    let reduced = (longest > WORK_SIDE).then(|| {
        let [width, height] = [width, height].map(|side| {
            let side = (u64::from(side) * u64::from(WORK_SIDE) + u64::from(longest / 2)) / u64::from(longest);
            (side as u32).max(1)
        });
        imageops::resize(gray, width, height, FilterType::Triangle)
    });
    let gray = reduced.as_ref().unwrap_or(gray);
    Map::from_fn(gray.width(), gray.height(), |x, y| Luma([f32::from(gray.get_pixel(x, y).0[0]) / 255.0]))
}

/// How much ink each pixel has, 0 on the ground and 1 in the middle of strokes. `None` where nothing stands out.
pub(super) fn ink(gray: &Map, invert: bool) -> Option<Map> {
    let ground = ground(gray);
    let [bright, dark] = gray.iter().zip(ground.iter()).fold([0.0f64; 2], |[bright, dark], (&gray, &ground)| {
        let over = f64::from(gray - ground);
        [bright + over.max(0.0).powi(2), dark + over.min(0.0).powi(2)]
    });
    let is_dark = invert || dark > bright;
    let mut contrast = gray.clone();
    for (value, &ground) in contrast.iter_mut().zip(ground.iter()) {
        let room = if is_dark { ground } else { 1.0 - ground };
        let over = *value - ground;
        *value = if is_dark { -over } else { over } / room.max(LEAST_ROOM);
    }
    let mut deviations: Vec<f32> = contrast.iter().map(|value| value.abs()).collect();
    let noise = NORMAL * quantile(&mut deviations, 0.5);
    let threshold = otsu(&contrast);
    let mut inked: Vec<f32> = contrast.iter().copied().filter(|&value| value > threshold).collect();
    let full = quantile(&mut inked, FULL_INK);
    if full < FAINTEST.max(ABOVE_NOISE * noise) {
        return None;
    }
    let least = (GROUND_DEVIATIONS * noise).clamp(GROUND_PARTS[0] * full, GROUND_PARTS[1] * full);
    contrast.iter_mut().for_each(|value| *value = ((*value - least) / (full - least)).clamp(0.0, 1.0));
    Some(contrast)
}

/// The ground below the strokes: the smooth surface that most pixels are near to, those at the border above all. (A
/// reweighted least-squares fit, with the weights of Geman and McClure.)
fn ground(gray: &Map) -> Map {
    let (width, height) = gray.dimensions();
    let step = width.max(height).div_ceil(FITTED).max(1);
    let border = (width.min(height) / BORDER_PART).max(1);
    let samples: Vec<([f64; TERMS], f64, bool)> = (0..height)
        .step_by(step as usize)
        .flat_map(|y| (0..width).step_by(step as usize).map(move |x| (x, y)))
        .map(|(x, y)| {
            let is_border = x < border || y < border || x >= width - border || y >= height - border;
            (terms(x, y, width, height), f64::from(gray.get_pixel(x, y).0[0]), is_border)
        })
        .collect();
    let mut weights: Vec<f64> =
        samples.iter().map(|&(_, _, is_border)| if is_border { 1.0 } else { INNER_WEIGHTS[0] }).collect();
    let mut surface = [0.0; TERMS];
    for _ in 0..ROUNDS {
        surface = least_squares(&samples, &weights);
        let over: Vec<f64> = samples.iter().map(|(terms, gray, _)| gray - value(&surface, terms)).collect();
        let mut deviations: Vec<f32> = over.iter().map(|over| over.abs() as f32).collect();
        let deviation = f64::from(NORMAL * quantile(&mut deviations, 0.5)).max(LEAST_DEVIATION);
        for ((weight, over), &(_, _, is_border)) in weights.iter_mut().zip(over).zip(&samples) {
            let near = 1.0 / (1.0 + (over / (2.0 * deviation)).powi(2)).powi(2);
            *weight = near * if is_border { 1.0 } else { INNER_WEIGHTS[1] };
        }
    }
    Map::from_fn(width, height, |x, y| Luma([value(&surface, &terms(x, y, width, height)) as f32]))
}

fn terms(x: u32, y: u32, width: u32, height: u32) -> [f64; TERMS] {
    let [x, y] = [(x, width), (y, height)].map(|(at, side)| 2.0 * f64::from(at) / f64::from((side - 1).max(1)) - 1.0);
    [1.0, x, y, x * x, x * y, y * y]
}

fn value(surface: &[f64; TERMS], terms: &[f64; TERMS]) -> f64 {
    surface.iter().zip(terms).map(|(a, b)| a * b).sum()
}

/// The surface of least weighted squares, by elimination on the normal equations. The ridge keeps each pivot above 0;
/// the constant has none while any sample weighs something.
fn least_squares(samples: &[([f64; TERMS], f64, bool)], weights: &[f64]) -> [f64; TERMS] {
    // The last column is the right-hand side.
    let mut rows = [[0.0; TERMS + 1]; TERMS];
    for (i, row) in rows.iter_mut().enumerate().skip(1) {
        row[i] = RIDGE;
    }
    for (&(terms, gray, _), weight) in samples.iter().zip(weights) {
        for (row, term) in rows.iter_mut().zip(terms) {
            for (sum, other) in row.iter_mut().zip(terms.into_iter().chain([gray])) {
                *sum += weight * term * other;
            }
        }
    }
    for pivot in 0..TERMS {
        let (above, below) = rows.split_at_mut(pivot + 1);
        let row = above[pivot];
        for other in below {
            let factor = other[pivot] / row[pivot];
            other.iter_mut().zip(row).for_each(|(a, b)| *a -= factor * b);
        }
    }
    let mut solution = [0.0; TERMS];
    for (i, row) in rows.iter().enumerate().rev() {
        let known: f64 = row[i + 1..TERMS].iter().zip(&solution[i + 1..]).map(|(a, b)| a * b).sum();
        solution[i] = (row[TERMS] - known) / row[i];
    }
    solution
}

/// The threshold between ground and ink that leaves the least variance within the two. (N. Otsu, "A threshold selection
/// method from gray-level histograms", 1979.) What is below the ground counts as ground.
fn otsu(contrast: &Map) -> f32 {
    const BINS: usize = 256;
    let largest = contrast.iter().copied().fold(0.0, f32::max);
    if largest <= 0.0 {
        return 0.0;
    }
    let width = largest / BINS as f32;
    let mut counts = [0.0f64; BINS];
    contrast.iter().for_each(|value| counts[((value.max(0.0) / width) as usize).min(BINS - 1)] += 1.0);
    let middle = |bin: usize| bin as f64 + 0.5;
    let (total, sum) =
        counts.iter().enumerate().fold((0.0, 0.0), |(n, sum), (bin, count)| (n + count, sum + count * middle(bin)));
    let (mut below, mut sum_below, mut best, mut threshold) = (0.0, 0.0, 0.0, 0);
    for (bin, count) in counts.iter().enumerate() {
        below += count;
        sum_below += count * middle(bin);
        let above = total - below;
        if above <= 0.0 {
            break;
        }
        let between = (sum * below / total - sum_below).powi(2) / (below * above);
        if below > 0.0 && between > best {
            (best, threshold) = (between, bin + 1);
        }
    }
    threshold as f32 * width
}
