//! HTML by type: what is not written in this program is escaped, because there is no other way to add it.

use std::fmt::{Display, Write as _};

use super::shown::is_unseen;

/// HTML.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup of this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, escaped for content and for attributes in double quotes. Control characters, and those that change the
    /// direction of what follows, become `\u{FFFD}`.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                odd if is_unseen(odd) => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds text in which what stands between two backticks is code.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        let mut rest = text;
        while let Some((before, (code, after))) =
            rest.split_once('`').and_then(|(before, after)| Some((before, after.split_once('`')?)))
        {
            self.text(before).raw("<code>").text(code).raw("</code>");
            rest = after;
        }
        self.text(rest)
    }

    /// Adds what is shown, escaped.
    pub(super) fn shown(&mut self, value: impl Display) -> &mut Self {
        let mut text = String::new();
        let _ = write!(text, "{value}");
        self.text(&text)
    }

    /// Adds other HTML.
    pub(super) fn html(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// Adds a table with these headings in a frame that scrolls by itself. Each heading and row has a class, or an empty one;
    /// the first cell of a row is its heading.
    pub(super) fn table(
        &mut self,
        label: &'static str,
        headings: &[(&'static str, &'static str)],
        rows: &[TableRow],
    ) -> &mut Self {
        self.raw("<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"").raw(label);
        self.raw("\"><table><thead><tr>");
        for (class, heading) in headings {
            self.open("th scope=\"col\"", class).raw(heading).raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
        for TableRow(class, cells) in rows {
            self.open("tr", class);
            for (number, (cell, (class, _))) in cells.iter().zip(headings).enumerate() {
                self.open(if number == 0 { "th scope=\"row\"" } else { "td" }, class);
                self.html(cell).raw(if number == 0 { "</th>" } else { "</td>" });
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n")
    }

    /// Adds a list of facts, each with its name.
    pub(super) fn facts(&mut self, facts: &[(&'static str, Html)]) -> &mut Self {
        self.raw("<dl class=\"facts\">");
        for (name, value) in facts {
            self.raw("<div><dt>").raw(name).raw("</dt><dd>").html(value).raw("</dd></div>");
        }
        self.raw("</dl>\n")
    }

    /// Adds the beginning of an element, with a class unless that is empty.
    fn open(&mut self, element: &'static str, class: &'static str) -> &mut Self {
        self.raw("<").raw(element);
        if !class.is_empty() {
            self.raw(" class=\"").raw(class).raw("\"");
        }
        self.raw(">")
    }

    /// The text of it.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// A row of a table: its class, and its cells. The first is the heading of the row.
pub(super) struct TableRow(pub(super) &'static str, pub(super) Vec<Html>);

/// A cell of text.
pub(super) fn cell(value: impl Display) -> Html {
    let mut cell = Html::default();
    cell.shown(value);
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup_wherever_it_stands() {
        let mut html = Html::default();
        html.raw("<a title=\"").text("\"><script>alert('1')</script>&\u{1b}[31m\u{202e}").raw("\">");
        let expected =
            "<a title=\"&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;\u{fffd}[31m\u{fffd}\">";
        assert_eq!(html.into_string(), expected);
    }

    #[test]
    fn what_stands_in_backticks_is_code_and_escaped() {
        let mut html = Html::default();
        html.prose("set `a: <b>` and `c`, or `one alone");
        assert_eq!(html.into_string(), "set <code>a: &lt;b&gt;</code> and <code>c</code>, or `one alone");
    }
}
