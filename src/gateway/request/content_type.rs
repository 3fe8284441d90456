//! The `Content-Type` of a body (RFC 9110 section 8.3): one value, or the request is malformed.

use http::{HeaderMap, header};

use crate::refusal::Refusal;

/// A media type, and what its charset is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// Type and subtype, in lower case.
    pub(crate) kind: String,
    is_utf8: bool,
    keeps_ascii: bool,
}

impl ContentType {
    /// The content type in these fields; `None` without one.
    ///
    /// # Errors
    /// [`Refusal::MalformedRequest`] where it is repeated, or no media type.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut values = headers.get_all(header::CONTENT_TYPE).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                let text = std::str::from_utf8(value.as_bytes()).ok();
                text.and_then(Self::parse).map(Some).ok_or(Refusal::MalformedRequest)
            }
            (Some(_), Some(_)) => Err(Refusal::MalformedRequest),
        }
    }

    /// This type, where a body of it is read or written as UTF-8.
    ///
    /// # Errors
    /// [`Refusal::ContentType`] for another charset.
    pub(super) fn in_utf8(self) -> Result<Self, Refusal> {
        if self.is_utf8 { Ok(self) } else { Err(Refusal::ContentType) }
    }

    /// True if ASCII is read as it stands, whatever the charset makes of the bytes above: not so in UTF-16, EBCDIC or ISO-2022.
    pub(crate) fn keeps_ascii(&self) -> bool {
        self.keeps_ascii
    }

    /// `type/subtype` and any number of parameters (RFC 9110 sections 8.3.1 and 5.6.6).
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim_matches(BLANKS);
        let kind = token(&mut rest)?;
        rest = rest.strip_prefix('/')?;
        let subtype = token(&mut rest)?;
        let (mut is_utf8, mut keeps_ascii) = (true, true);
        loop {
            rest = rest.trim_start_matches(BLANKS);
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix(';')?.trim_start_matches(BLANKS);
            // A parameter may be missing behind its semicolon.
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let name = token(&mut rest)?;
            rest = rest.strip_prefix('=')?;
            let value = if rest.starts_with('"') { quoted(&mut rest)? } else { token(&mut rest)?.to_owned() };
            is_utf8 &= is_harmless(name, &value, is_name_of_utf8);
            keeps_ascii &= is_harmless(name, &value, is_name_of_larger_ascii);
        }
        Some(Self { kind: format!("{kind}/{subtype}").to_ascii_lowercase(), is_utf8, keeps_ascii })
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

/// True if no reader takes this parameter for a charset that is not wanted: some know `charset*` and `charset*0` (RFC 2231), and
/// some find `charset=` in a quoted value too.
fn is_harmless(name: &str, value: &str, is_wanted: fn(&str) -> bool) -> bool {
    if name.eq_ignore_ascii_case("charset") {
        return is_wanted(value);
    }
    let mentions = |text: &str| text.as_bytes().windows(7).any(|part| part.eq_ignore_ascii_case(b"charset"));
    !mentions(name) && !mentions(value)
}

/// True for the names in use of UTF-8, and of its subset ASCII.
fn is_name_of_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// True for UTF-8, and for charsets of one byte a character that begin with ASCII.
fn is_name_of_larger_ascii(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    is_name_of_utf8(&charset) || ["iso-8859-", "windows-125"].iter().any(|family| charset.starts_with(family))
}

/// Takes a token (RFC 9110 section 5.6.2) from the beginning.
fn token<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let end = rest.bytes().position(|byte| !is_of_token(byte)).unwrap_or(rest.len());
    let (found, behind) = rest.split_at(end);
    *rest = behind;
    (!found.is_empty()).then_some(found)
}

/// Takes a quoted string (RFC 9110 section 5.6.4) from the beginning; returns its unescaped value.
fn quoted(rest: &mut &str) -> Option<String> {
    let mut value = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                *rest = &rest[at + 1..];
                return Some(value);
            }
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, bool)> {
        ContentType::parse(text).map(|found| (found.kind, found.is_utf8))
    }

    #[test]
    fn a_media_type_has_its_parameters_and_only_one_charset_is_read() {
        for (text, kind, is_utf8) in [
            ("application/json", "application/json", true),
            (" Application/JSON ;charset=UTF-8 ", "application/json", true),
            ("text/plain; charset=\"us-ascii\"", "text/plain", true),
            ("text/plain; charset=\"u\\tf-8\"; x=y", "text/plain", true),
            ("text/plain;; ;", "text/plain", true),
            ("text/plain; x=\"charset=utf-16\"", "text/plain", false),
            ("text/plain; charset*=utf-8''utf-7", "text/plain", false),
            ("text/plain; charset=utf-16", "text/plain", false),
            ("text/plain; charset=utf-8; CharSet=utf-7", "text/plain", false),
            ("text/plain; charset=\"\"", "text/plain", false),
        ] {
            assert_eq!(parsed(text), Some((kind.to_owned(), is_utf8)), "{text}");
        }
    }

    #[test]
    fn a_larger_charset_than_ascii_keeps_what_is_ascii() {
        for (charset, keeps_ascii) in [
            ("utf-8", true),
            ("ISO-8859-15", true),
            ("\"windows-1252\"", true),
            ("utf-16", false),
            ("utf-16le", false),
            ("utf-7", false),
            ("ibm037", false),
            ("iso-2022-jp", false),
            ("utf-8; charset=utf-16", false),
            ("utf-8; x=\"charset=utf-16\"", false),
        ] {
            let found = ContentType::parse(&format!("text/xml; charset={charset}")).unwrap();
            assert_eq!(found.keeps_ascii(), keeps_ascii, "{charset}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for text in [
            "",
            "json",
            "/json",
            "text/",
            "text/plain, text/html",
            "text/plain;charset=utf-8, text/html",
            "text/plain text/html",
            "text/plain;charset",
            "text/plain;charset =utf-8",
            "text/plain;charset= utf-8",
            "text/plain;charset=",
            "text/plain;charset=\"utf-8",
            "text/plain;charset=\"utf-8\\",
            "text/pl\u{e9}in",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn two_lines_say_two_things() {
        let mut headers = HeaderMap::new();
        assert_eq!(ContentType::of(&headers), Ok(None));
        headers.append("content-type", header::HeaderValue::from_static("text/plain"));
        assert!(ContentType::of(&headers).is_ok_and(|found| found.is_some_and(|found| found.kind == "text/plain")));
        headers.append("content-type", header::HeaderValue::from_static("text/plain"));
        assert_eq!(ContentType::of(&headers), Err(Refusal::MalformedRequest));
    }
}
