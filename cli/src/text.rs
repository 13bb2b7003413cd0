//! Text from outside (paths, names in files, other programs' words) made fit for a line of ours: no control characters,
//! and never longer than a reader bears.

use std::path::Path;

/// Characters of a piece of foreign text within a message.
const LONGEST_EXCERPT: usize = 200;
/// Characters of a whole message. The longest path that a system opens, 4096 bytes, loses its middle.
const LONGEST_MESSAGE: usize = 3000;
/// What of a longer message is its end, which says what to try.
const MESSAGE_END: usize = 1000;

/// Columns that a path is padded to at most; a longer one stands out, and its row is no longer aligned.
const WIDEST_COLUMN: usize = 100;

/// The text with a space for each character that would do something to a terminal or to a line: control characters,
/// line separators, and those that turn the direction of what follows.
pub(crate) fn visible(text: &str) -> String {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

/// A path for a line of plain output.
pub(crate) fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

/// The start of a text, and its length where that is not all of it.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(LONGEST_EXCERPT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}

/// A message whose middle is left out where it is too long.
pub(crate) fn bounded(message: &str) -> String {
    let length = message.chars().count();
    if length <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let start: String = message.chars().take(LONGEST_MESSAGE - MESSAGE_END).collect();
    let end: String = message.chars().skip(length - MESSAGE_END).collect();
    format!("{start}… ({length} characters) …{end}")
}

/// The width of a column of these texts, in characters.
pub(crate) fn column<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).filter(|&width| width <= WIDEST_COLUMN).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_and_its_length_said() {
        let whole = "é".repeat(LONGEST_EXCERPT);
        assert_eq!(excerpt(&whole), whole);
        let longer = format!("{whole}x");
        assert_eq!(excerpt(&longer), format!("{whole}… (201 characters)"));

        let whole = "é".repeat(LONGEST_MESSAGE);
        assert_eq!(bounded(&whole), whole);
        let cut = bounded(&format!("start {whole} end"));
        assert!(cut.starts_with("start é") && cut.contains("… (3010 characters) …") && cut.ends_with("é end"), "{cut}");
        assert!(cut.chars().count() < LONGEST_MESSAGE + 50);
    }

    /// A formatting width has 16 bits; nothing in a column is wider than what a line bears.
    #[test]
    fn column_is_bounded() {
        let longest = "x".repeat(WIDEST_COLUMN);
        let longer = "x".repeat(1 << 16);
        assert_eq!(column(["a", "äöü", ""].into_iter()), 3);
        assert_eq!(column([longest.as_str(), &longer].into_iter()), WIDEST_COLUMN);
        assert_eq!(column([longer.as_str()].into_iter()), 0);
        let _ = format!("{:width$}", longer, width = column([longer.as_str(), "a"].into_iter()));
    }

    #[test]
    fn what_acts_on_a_terminal_is_a_space() {
        assert_eq!(visible("a\n\x1b[31m\u{9b}b\u{7f}\u{202e}c\u{2066}d\u{2028}é漢"), "a  [31m b  c d é漢");
    }
}
