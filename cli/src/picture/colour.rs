//! The colours of the pictures: paper and ink, the scale of signed values (blue for, red against), the scale of counts.
//! Which value has which colour on a page is the pictures' own business.

use super::drawing::Rgb;

/// The ground of every picture: it stays legible on a dark page too.
pub(crate) const PAPER: Rgb = [255, 255, 255];
/// Words and axes.
pub(crate) const INK: Rgb = [32, 36, 42];
/// Words that explain.
pub(crate) const FAINT: Rgb = [104, 112, 122];
/// Grid lines.
pub(crate) const GRID: Rgb = [226, 230, 234];
/// The first line of a chart, and bars.
pub(crate) const BLUE: Rgb = [33, 102, 172];
/// Bars behind lines.
pub(crate) const LIGHT_BLUE: Rgb = [198, 219, 239];
/// The second line of a chart.
pub(crate) const ORANGE: Rgb = [209, 92, 20];
/// Bars of counts.
pub(crate) const SLATE: Rgb = [134, 153, 176];
/// What is hardly wrong.
pub(crate) const PALE_RED: Rgb = [253, 238, 232];
/// What is wrong.
pub(crate) const RED: Rgb = [178, 24, 43];

/// A few values at the border are far larger than all others; below 1 the exponent lifts the rest to where shapes can be
/// seen.
const CURVE: f32 = 0.7;
const ZERO: Rgb = [247, 247, 247];
const POSITIVE: [Rgb; 2] = [[67, 147, 195], [5, 48, 97]];
const NEGATIVE: [Rgb; 2] = [[214, 96, 77], [103, 0, 31]];
/// What is no number: a gray that the scales do not have.
const NONE: Rgb = [160, 160, 160];
const FEW: Rgb = [239, 245, 251];
const MANY: Rgb = [8, 64, 129];

/// The colour of a value from -1 to 1: through a middle tone halfway, so that weak values show their sign too.
pub(crate) fn signed(value: f32) -> Rgb {
    if value.is_nan() {
        return NONE;
    }
    let [middle, end] = if value < 0.0 { NEGATIVE } else { POSITIVE };
    let strength = value.abs().min(1.0).powf(CURVE) * 2.0;
    if strength <= 1.0 { mix(ZERO, middle, strength) } else { mix(middle, end, strength - 1.0) }
}

/// The colour of a share from 0 to 1.
pub(crate) fn share(share: f32) -> Rgb {
    // Rare mistakes are what one looks for: the root lifts them.
    if share.is_nan() { NONE } else { mix(FEW, MANY, share.clamp(0.0, 1.0).sqrt()) }
}

/// The gray of a value from 0 to 1.
pub(crate) fn gray(value: f32) -> Rgb {
    // NaN becomes black, as nothing does.
    [(value.clamp(0.0, 1.0) * 255.0).round() as u8; 3]
}

/// The ink that can be read on this ground.
pub(crate) fn ink_on([r, g, b]: Rgb) -> Rgb {
    let light = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    if light < 140.0 { PAPER } else { INK }
}

/// The largest magnitude among the finite values, or 1 where all are 0.
pub(crate) fn largest(values: impl IntoIterator<Item = f32>) -> f32 {
    let finite = values.into_iter().map(f32::abs).filter(|value| value.is_finite());
    let largest = finite.fold(0.0, f32::max);
    if largest > 0.0 { largest } else { 1.0 }
}

/// A colour between two, this share of the way.
pub(crate) fn mix(from: Rgb, to: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| (f32::from(from[i]) + (f32::from(to[i]) - f32::from(from[i])) * share).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blue_is_for_and_red_against() {
        assert_eq!([signed(1.0), signed(f32::INFINITY)], [POSITIVE[1]; 2]);
        assert_eq!([signed(-1.0), signed(f32::NEG_INFINITY)], [NEGATIVE[1]; 2]);
        assert_eq!([signed(0.0), signed(-0.0)], [ZERO; 2]);
        assert_eq!([signed(f32::NAN), share(f32::NAN)], [NONE; 2]);
        for value in [0.01, 0.1, 0.5] {
            let ([r, _, b], [against_r, _, against_b]) = (signed(value), signed(-value));
            assert!(b > r && against_r > against_b, "{value}");
        }
    }

    #[test]
    fn ink_stands_out_from_every_ground() {
        let light = |[r, g, b]: Rgb| 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
        for ground in (0..=100).map(|i| share(i as f32 / 100.0)) {
            assert!((light(ink_on(ground)) - light(ground)).abs() > 90.0, "{ground:?}");
        }
    }

    #[test]
    fn largest_passes_over_what_is_not_finite() {
        assert_eq!(largest([1.0, f32::NAN, -3.0, f32::INFINITY]), 3.0);
        assert_eq!([largest([]), largest([0.0]), largest([f32::NAN])], [1.0; 3]);
    }
}
