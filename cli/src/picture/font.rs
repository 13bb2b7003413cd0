//! The letters of the pictures: how wide a text is, and its pixels. Where it stands is the drawing's business.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

/// What stands for the end of a text that is too long.
const ELLIPSIS: char = '…';

fn font(bold: bool) -> &'static FontRef<'static> {
    static FONTS: [OnceLock<FontRef<'static>>; 2] = [const { OnceLock::new() }; 2];
    FONTS[usize::from(bold)].get_or_init(|| {
        let bytes = if bold { notosans::BOLD_TTF } else { notosans::REGULAR_TTF };
        FontRef::try_from_slice(bytes).expect("the embedded font is whole")
    })
}

/// The library scales the height of a line; sizes are those of an em, as in CSS.
fn scale(font: &FontRef<'_>, size: f64) -> PxScale {
    let ems = font.units_per_em().map_or(1.0, |em| font.height_unscaled() / em);
    PxScale::from(size as f32 * ems)
}

/// Each glyph of a text with its place on the base line, and the text's width.
fn glyphs(text: &str, size: f64, bold: bool) -> (Vec<(GlyphId, f32)>, f32) {
    let font = font(bold);
    let scaled = font.as_scaled(scale(font, size));
    let (mut glyphs, mut x, mut last) = (Vec::new(), 0.0, None);
    for id in text.chars().map(|c| scaled.glyph_id(c)) {
        x += last.map_or(0.0, |last| scaled.kern(last, id));
        glyphs.push((id, x));
        x += scaled.h_advance(id);
        last = Some(id);
    }
    (glyphs, x)
}

/// The width of a text in pixels.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    f64::from(glyphs(text, size, bold).1)
}

/// As much of a text as is not wider than this.
pub(crate) fn fit(text: &str, size: f64, bold: bool, widest: f64) -> String {
    // No letter that one sees is narrower; a longer text need not be measured.
    let most = (widest / size * 8.0) as usize + 1;
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() == text.len() && width(text, size, bold) <= widest {
        return shown;
    }
    while !shown.is_empty() && width(&format!("{shown}{ELLIPSIS}"), size, bold) > widest {
        shown.pop();
    }
    shown.push(ELLIPSIS);
    shown
}

/// Calls `pixel` with the place, from the start of the base line, and the coverage of each pixel that a text touches.
pub(crate) fn rasterize(text: &str, size: f64, bold: bool, mut pixel: impl FnMut([i64; 2], f32)) {
    let font = font(bold);
    let scale = scale(font, size);
    for (id, x) in glyphs(text, size, bold).0 {
        let glyph = id.with_scale_and_position(scale, point(x, 0.0));
        let Some(outlined) = font.outline_glyph(glyph) else { continue };
        let corner = outlined.px_bounds().min;
        let (left, top) = (corner.x.floor() as i64, corner.y.floor() as i64);
        outlined.draw(|x, y, coverage| pixel([left + i64::from(x), top + i64::from(y)], coverage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(fit("seven", 12.0, false, 100.0), "seven");
        let cut = fit(&"m".repeat(100_000), 12.0, false, 60.0);
        assert!(cut.ends_with(ELLIPSIS) && width(&cut, 12.0, false) <= 60.0 && cut.chars().count() > 3, "{cut}");
        assert_eq!(fit("seven", 12.0, false, 0.0), "…");
        assert_eq!(fit("", 12.0, false, 10.0), "");
    }

    /// An em is as many pixels as asked for.
    #[test]
    fn sizes_are_those_of_an_em() {
        let (mut top, mut bottom, mut ink) = (i64::MAX, i64::MIN, 0.0);
        rasterize("H", 100.0, false, |[_, y], coverage| {
            if coverage > 0.5 {
                (top, bottom, ink) = (top.min(y), bottom.max(y), ink + coverage);
            }
        });
        // Capitals of this font are 0.714 em high.
        assert!((70..=73).contains(&(bottom - top + 1)) && bottom == -1, "{top} {bottom}");
        assert!(ink > 500.0);
        assert!(width("HH", 50.0, true) > 1.9 * width("H", 50.0, true));
    }
}
