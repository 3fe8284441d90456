//! Templates of error bodies: the placeholders in them, and how values are escaped for the content type.

/// What is known of a refusal, for the placeholders of a template.
#[derive(Debug, Clone, Copy)]
pub struct ErrorValues<'a> {
    /// The status of the response.
    pub status: u16,
    /// The code, such as `404-01`.
    pub code: &'a str,
    /// A sentence for the caller's log.
    pub message: &'a str,
    /// The request id.
    pub request_id: &'a str,
}

/// A syntax into which values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON: values are parts of strings, or numbers.
    Json,
    /// HTML and XML.
    Markup,
    /// Plain text.
    Text,
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Value(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    Status,
    Code,
    Message,
    RequestId,
}

/// All placeholders, as they are written between `${` and `}`.
const PLACEHOLDERS: [(&str, Placeholder); 4] = [
    ("error.status", Placeholder::Status),
    ("error.code", Placeholder::Code),
    ("error.message", Placeholder::Message),
    ("request.id", Placeholder::RequestId),
];

impl Syntax {
    /// The syntax of bodies of this content type, which may have no parameter but `charset=utf-8`; `None` for others.
    pub fn of(content_type: &str) -> Option<Self> {
        let content_type = content_type.to_ascii_lowercase();
        let mut parts = content_type.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !parts.all(|parameter| parameter.replace('"', "") == "charset=utf-8") {
            return None;
        }
        match kind {
            "application/json" => Some(Self::Json),
            "text/html" | "application/xml" | "text/xml" => Some(Self::Markup),
            "text/plain" => Some(Self::Text),
            kind if kind.starts_with("application/") && kind.ends_with("+json") => Some(Self::Json),
            kind if kind.starts_with("application/") && kind.ends_with("+xml") => Some(Self::Markup),
            _ => None,
        }
    }

    fn escape(self, value: &str, into: &mut String) {
        for character in value.chars() {
            match (self, character) {
                (Self::Json, '"' | '\\') => into.extend(['\\', character]),
                (Self::Json, '\0'..='\u{1f}') => into.push_str(&format!("\\u{:04x}", character as u32)),
                (_, control) if control.is_control() => into.push(' '),
                (Self::Markup, '&') => into.push_str("&amp;"),
                (Self::Markup, '<') => into.push_str("&lt;"),
                (Self::Markup, '>') => into.push_str("&gt;"),
                (Self::Markup, '"') => into.push_str("&quot;"),
                (Self::Markup, '\'') => into.push_str("&#39;"),
                (_, other) => into.push(other),
            }
        }
    }
}

impl ErrorTemplate {
    /// Takes a text apart.
    ///
    /// # Errors
    /// What is wrong with a placeholder, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("${") {
            pieces.push(Piece::Text(before.into()));
            let known = behind.split_once('}').and_then(|(name, behind)| {
                let (_, placeholder) = PLACEHOLDERS.iter().find(|(known, _)| *known == name)?;
                Some((*placeholder, behind))
            });
            let Some((placeholder, behind)) = known else {
                let names = PLACEHOLDERS.map(|(name, _)| format!("${{{name}}}"));
                return Err(format!("the placeholders are {}", names.join(", ")));
            };
            pieces.push(Piece::Value(placeholder));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self { pieces })
    }

    /// Returns whether the request id stands in it.
    pub fn has_request_id(&self) -> bool {
        self.pieces.contains(&Piece::Value(Placeholder::RequestId))
    }

    /// The text with these values, escaped so that none of them ends the string or the element in which it stands.
    pub fn filled(&self, syntax: Syntax, values: &ErrorValues<'_>) -> String {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Value(Placeholder::Status) => filled.push_str(&values.status.to_string()),
                Piece::Value(Placeholder::Code) => syntax.escape(values.code, &mut filled),
                Piece::Value(Placeholder::Message) => syntax.escape(values.message, &mut filled),
                Piece::Value(Placeholder::RequestId) => syntax.escape(values.request_id, &mut filled),
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: ErrorValues<'static> =
        ErrorValues { status: 404, code: "404-01", message: "\"}</a>\\\n&'", request_id: "x" };

    fn filled(syntax: Syntax, text: &str) -> String {
        ErrorTemplate::parse(text).unwrap().filled(syntax, &HOSTILE)
    }

    #[test]
    fn no_value_breaks_out_of_the_string_or_the_element_in_which_it_stands() {
        let json = filled(Syntax::Json, r#"{"m":"${error.message}","s":${error.status},"c":"${error.code}"}"#);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json, serde_json::json!({"m": HOSTILE.message, "s": 404, "c": "404-01"}));
        assert_eq!(filled(Syntax::Markup, "<a>${error.message}</a>"), "<a>&quot;}&lt;/a&gt;\\ &amp;&#39;</a>");
        assert_eq!(filled(Syntax::Text, "${request.id}: ${error.message}"), "x: \"}</a>\\ &'");
    }

    #[test]
    fn only_known_placeholders_are_taken_and_a_lone_dollar_is_one() {
        assert_eq!(filled(Syntax::Text, "$5 {x} ${request.id}$"), "$5 {x} x$");
        for text in ["${requestId}", "${request.id", "${}", "${error.message }"] {
            assert!(ErrorTemplate::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_content_type_says_how_values_are_escaped() {
        for (content_type, expected) in [
            ("application/json", Some(Syntax::Json)),
            ("application/problem+json; charset=UTF-8", Some(Syntax::Json)),
            ("text/html; charset=\"utf-8\"", Some(Syntax::Markup)),
            ("application/soap+xml", Some(Syntax::Markup)),
            ("text/plain", Some(Syntax::Text)),
            ("text/csv", None),
            ("application/javascript", None),
            ("text/html; charset=iso-8859-1", None),
        ] {
            assert_eq!(Syntax::of(content_type), expected, "{content_type}");
        }
    }
}
