//! A page of HTML that stands alone: headings, words, tables and pictures, with nothing from outside and no script. What
//! is said on it is the caller's business.

use std::fmt::Write;

use crate::picture::{Drawing, escaped};
use crate::report::Failure;

/// Nothing is fetched and nothing runs, whatever a name in a file says.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("page.css");

/// A page in the making. All text is escaped.
pub(crate) struct Page {
    title: String,
    body: String,
}

impl Page {
    /// A page with this title and a line below it.
    pub(crate) fn new(title: &str, below: &str) -> Self {
        let mut page = Self { title: escaped(title), body: String::new() };
        let title = page.title.clone();
        page.put(format_args!("<header><h1>{title}</h1><p>{}</p></header>\n", escaped(below)));
        page
    }

    /// Starts a section.
    pub(crate) fn heading(&mut self, text: &str) {
        self.put(format_args!("<h2>{}</h2>\n", escaped(text)));
    }

    /// A paragraph.
    pub(crate) fn words(&mut self, text: &str) {
        self.put(format_args!("<p>{}</p>\n", escaped(text)));
    }

    /// The figures that one looks for first, each with its name.
    pub(crate) fn figures(&mut self, figures: &[(&str, String)]) {
        self.body.push_str("<dl class=\"figures\">");
        for (name, value) in figures {
            self.put(format_args!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value)));
        }
        self.body.push_str("</dl>\n");
    }

    /// Names with their values.
    pub(crate) fn settings(&mut self, settings: &[(String, String)]) {
        self.body.push_str("<table class=\"settings\"><tbody>");
        for (name, value) in settings {
            self.put(format_args!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), escaped(value)));
        }
        self.body.push_str("</tbody></table>\n");
    }

    /// Rows of numbers, each with its name first; the last `sums` rows are set apart.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>], sums: usize) {
        self.body.push_str("<table class=\"numbers\"><thead><tr>");
        for name in head {
            self.put(format_args!("<th scope=\"col\">{}</th>", escaped(name)));
        }
        self.body.push_str("</tr></thead>");
        let (each, sums) = rows.split_at(rows.len().saturating_sub(sums));
        for (tag, rows) in [("tbody", each), ("tfoot", sums)] {
            self.put(format_args!("<{tag}>"));
            for row in rows {
                self.body.push_str("<tr>");
                for (i, cell) in row.iter().enumerate() {
                    let (open, close) = if i == 0 { ("th scope=\"row\"", "th") } else { ("td", "td") };
                    self.put(format_args!("<{open}>{}</{close}>", escaped(cell)));
                }
                self.body.push_str("</tr>");
            }
            self.put(format_args!("</{tag}>"));
        }
        self.body.push_str("</table>\n");
    }

    /// A picture, known by `id` within the page, and what it says.
    pub(crate) fn picture(&mut self, id: &str, drawing: &Drawing, caption: &str) -> Result<(), Failure> {
        let svg = drawing.to_inline_svg()?;
        let (id, caption) = (escaped(id), escaped(caption));
        self.put(format_args!(
            "<figure id=\"{id}\"><div class=\"paper\">{svg}</div><figcaption>{caption}</figcaption></figure>\n"
        ));
        Ok(())
    }

    /// The whole document; `end` is its last line.
    pub(crate) fn into_html(self, end: &str) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}<footer>{}</footer>\n</main>\n\
             </body>\n</html>\n",
            self.title,
            self.body,
            escaped(end)
        )
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = self.body.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_text_wherever_it_stands() {
        let evil = "</title></style><script src=\"x\">&'\u{0}\u{1b}";
        let mut page = Page::new(evil, evil);
        page.heading(evil);
        page.words(evil);
        page.figures(&[(evil, evil.to_owned())]);
        page.settings(&[(evil.to_owned(), evil.to_owned())]);
        page.table(&[evil], &[vec![evil.to_owned(); 2], vec![evil.to_owned(); 2]], 1);
        page.picture(evil, &Drawing::new(evil, 10.0, 10.0), evil).unwrap();
        let html = page.into_html(evil);
        assert!(!html.contains("<script") && !html.contains("src=\"") && !html.contains(['\0', '\u{1b}']), "{html}");
        assert_eq!(html.matches("</title>").count(), 2, "the page's own and the picture's");
        assert_eq!(html.matches("&lt;script src=&quot;x&quot;&gt;&amp;&#39;").count(), 18);
    }

    #[test]
    fn sums_stand_apart() {
        let mut page = Page::new("", "");
        page.table(&["class"], &[vec!["a".to_owned(), "1".to_owned()], vec!["all".to_owned(), "2".to_owned()]], 1);
        let html = page.into_html("");
        assert!(
            html.contains("<tbody><tr><th scope=\"row\">a</th><td>1</td></tr></tbody><tfoot><tr><th scope=\"row\">all")
        );
    }
}
