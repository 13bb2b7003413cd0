//! A drawing as SVG text, which stands alone as a file and within a page. It names nothing outside of itself.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::drawing::{Anchor, Cells, Drawing, Rgb, Shape, Text};
use super::{colour, encode};
use crate::report::Failure;
use crate::text::visible;

/// The letters of the PNG pictures first; their widths are what the layout counts on.
const FONTS: &str = "'Noto Sans','DejaVu Sans',Helvetica,Arial,sans-serif";

/// The name that a file says it is XML of this kind by; within a page it has no use.
const NAMESPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";

/// Renders a drawing as a file of its own.
pub(crate) fn file(drawing: &Drawing) -> Result<String, Failure> {
    element(drawing, NAMESPACE)
}

/// Renders a drawing as a part of an HTML page.
pub(crate) fn inline(drawing: &Drawing) -> Result<String, Failure> {
    element(drawing, "")
}

fn element(drawing: &Drawing, namespace: &str) -> Result<String, Failure> {
    let [width, height] = [number(drawing.width), number(drawing.height)];
    let mut svg = format!(
        "<svg{namespace} width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" font-family=\"{FONTS}\"><title>{title}</title><rect width=\"{width}\" height=\"{height}\" \
         fill=\"{paper}\"/>",
        title = escaped(&drawing.title),
        paper = hex(colour::PAPER),
    );
    for shape in &drawing.shapes {
        push(&mut svg, shape)?;
    }
    svg.push_str("</svg>");
    Ok(svg)
}

/// Text for XML and HTML: no character acts on the document, and none is there that XML does not allow.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

fn push(svg: &mut String, shape: &Shape) -> Result<(), Failure> {
    match shape {
        Shape::Rect { at, size, fill } => {
            let [x, y, width, height] = [at[0], at[1], size[0], size[1]].map(number);
            put(
                svg,
                format_args!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>",
                    hex(*fill)
                ),
            );
        }
        Shape::Line { points, stroke, width, dashed } => {
            let points: Vec<String> = points.iter().map(|point| point.map(number).join(",")).collect();
            let dashes = if *dashed { " stroke-dasharray=\"4 4\"" } else { "" };
            put(
                svg,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dashes}/>",
                    points.join(" "),
                    hex(*stroke),
                    number(*width)
                ),
            );
        }
        Shape::Disc { at, radius, fill } => {
            let [x, y, radius] = [at[0], at[1], *radius].map(number);
            put(svg, format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{}\"/>", hex(*fill)));
        }
        Shape::Image { at, size, cells } => {
            let [x, y, width, height] = [at[0], at[1], size[0], size[1]].map(number);
            let enlarged = size[0] >= cells.width as f64;
            let rendering = if enlarged { " style=\"image-rendering:pixelated\"" } else { "" };
            put(
                svg,
                format_args!(
                    "<image x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" preserveAspectRatio=\"none\"{rendering} \
                     href=\"data:image/png;base64,{}\"/>",
                    STANDARD.encode(png(cells)?)
                ),
            );
        }
        Shape::Text(text) => push_text(svg, text),
    }
    Ok(())
}

fn push_text(svg: &mut String, text: &Text) {
    let [x, y, size] = [text.at[0], text.at[1], text.size].map(number);
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let weight = if text.bold { " font-weight=\"bold\"" } else { "" };
    let turn = if text.upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    let (fill, text) = (hex(text.fill), escaped(&text.text));
    put(
        svg,
        format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{fill}\"{anchor}{weight}{turn}>{text}</text>"
        ),
    );
}

/// The cells as a PNG of a pixel each.
fn png(cells: &Cells) -> Result<Vec<u8>, Failure> {
    let size = [cells.width, cells.height];
    if cells.is_gray() {
        let pixels: Vec<u8> = cells.pixels.iter().map(|[gray, ..]| *gray).collect();
        encode("an image of a picture", &pixels, size, image::ExtendedColorType::L8)
    } else {
        encode("an image of a picture", cells.pixels.as_flattened(), size, image::ExtendedColorType::Rgb8)
    }
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = svg.write_fmt(text);
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// To a hundredth of a pixel; what is no number is 0.
fn number(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_finite() {
        assert_eq!(
            [1.0, 1.5, 0.125, -0.001, 10.0, f64::NAN, f64::INFINITY].map(number),
            ["1", "1.5", "0.12", "0", "10", "0", "0"]
        );
    }

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(escaped("<a b=\"c\">&'\u{0}\u{1b}\u{ffff}\n"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;  \u{fffd} ");
        let mut drawing = Drawing::new("</title><script>", 10.0, 10.0);
        drawing.text(Text::new([f64::NAN, 5.0], "a<b>&\"\u{7}\u{fffe}"));
        let svg = file(&drawing).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let text =
            |name| document.descendants().find(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name))).unwrap();
        assert_eq!(text("title").text(), Some("</title><script>"));
        assert_eq!(text("text").text(), Some("a<b>&\" \u{fffd}"));
    }
}
