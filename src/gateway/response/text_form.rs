//! JSON of backends in the forms that old servers write: behind a byte order mark, in other charsets than UTF-8, in gzip
//! that nobody asked for. It is read strictly, and goes on in UTF-8 (RFC 8259 section 8.1).

use bytes::Bytes;
use encoding_rs::{Encoding, ISO_8859_15, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use http::HeaderMap;
use http::header::{self, HeaderValue};

use super::response_framing::AnswerFault;
use crate::gzip::{self, CodingFault};

/// Content coding and charset of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextForm {
    is_gzip: bool,
    charset: &'static Encoding,
}

impl TextForm {
    /// The form that the header fields announce.
    ///
    /// # Errors
    /// [`AnswerFault::Encoded`] and [`AnswerFault::Charset`] for others than those that are read here.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, AnswerFault> {
        let is_gzip = gzip::is_gzip(headers)?;
        let mut charset = None;
        for kind in headers.get_all(header::CONTENT_TYPE) {
            for name in kind.as_bytes().split(|byte| *byte == b';').skip(1).filter_map(charset_in) {
                let found = known(name).ok_or(AnswerFault::Charset)?;
                if charset.replace(found).is_some_and(|other| other != found) {
                    return Err(AnswerFault::Charset);
                }
            }
        }
        Ok(Self { is_gzip, charset: charset.unwrap_or(UTF_8) })
    }

    /// The text in UTF-8, without a byte order mark; neither what gzip holds nor the text may be larger than `limit`
    /// bytes.
    ///
    /// # Errors
    /// [`AnswerFault::BrokenGzip`], [`AnswerFault::BrokenText`] and [`AnswerFault::TooLarge`].
    pub(crate) fn in_utf8(self, bytes: Bytes, limit: usize) -> Result<Bytes, AnswerFault> {
        let bytes = if self.is_gzip { gzip::inflated(&bytes, limit)? } else { bytes };
        // A mark says more than the charset (WHATWG Encoding, "BOM sniff").
        let (charset, mark) = Encoding::for_bom(&bytes).unwrap_or((self.charset_of(&bytes), 0));
        let text = bytes.slice(mark..);
        if charset == UTF_8 {
            return if std::str::from_utf8(&text).is_ok() { Ok(text) } else { Err(AnswerFault::BrokenText) };
        }
        let text = charset.decode_without_bom_handling_and_without_replacement(&text).ok_or(AnswerFault::BrokenText)?;
        if text.len() > limit {
            return Err(AnswerFault::TooLarge);
        }
        Ok(Bytes::from(text.into_owned()))
    }

    /// The charset of a text without a mark: UTF-16 may then have either order, and JSON begins with an ASCII character.
    fn charset_of(self, bytes: &[u8]) -> &'static Encoding {
        if self.charset == UTF_16LE && bytes.first() == Some(&0) { UTF_16BE } else { self.charset }
    }
}

/// Corrects the charset in `Content-Type`, for a text that has been brought into UTF-8.
pub(crate) fn now_in_utf8(headers: &mut HeaderMap) {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return };
    let mut parts = kind.as_bytes().split(|byte| *byte == b';');
    let is_other = |part| charset_in(part).is_some_and(|name| known(name) != Some(UTF_8));
    if !parts.clone().any(is_other) {
        return;
    }
    let mut corrected = parts.next().unwrap_or_default().trim_ascii_end().to_vec();
    for part in parts.filter(|part| charset_in(part).is_none()) {
        corrected.push(b';');
        corrected.extend_from_slice(part);
    }
    corrected.extend_from_slice(b"; charset=utf-8");
    if let Ok(corrected) = HeaderValue::from_bytes(&corrected) {
        headers.insert(header::CONTENT_TYPE, corrected);
    }
}

/// The charset that a parameter of `Content-Type` names.
fn charset_in(parameter: &[u8]) -> Option<&[u8]> {
    let parameter = parameter.trim_ascii();
    let (name, value) = parameter.split_at(parameter.iter().position(|byte| *byte == b'=')?);
    let value = value[1..].trim_ascii();
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    name.trim_ascii_end().eq_ignore_ascii_case(b"charset").then_some(value)
}

/// A charset that is read here. Those with states and escapes are not: readers differ in them.
fn known(name: &[u8]) -> Option<&'static Encoding> {
    let charset = Encoding::for_label(name)?;
    [UTF_8, WINDOWS_1252, ISO_8859_15, UTF_16LE, UTF_16BE].into_iter().find(|known| *known == charset)
}

impl From<CodingFault> for AnswerFault {
    fn from(fault: CodingFault) -> Self {
        match fault {
            CodingFault::Other => Self::Encoded,
            CodingFault::Broken => Self::BrokenGzip,
            CodingFault::TooLarge => Self::TooLarge,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LIMIT: usize = 1_000;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn read(kind: &'static str, coding: &'static str, bytes: &[u8]) -> Result<Vec<u8>, AnswerFault> {
        let form = TextForm::of(&headers(&[("content-type", kind), ("content-encoding", coding)]))?;
        form.in_utf8(Bytes::copy_from_slice(bytes), LIMIT).map(|text| text.to_vec())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn each_form_of_old_servers_is_read_as_the_same_text() {
        let text = r#"{"name":"Zoë"}"#;
        let latin: Vec<u8> = text.chars().map(|character| character as u8).collect();
        let marked = utf16(&format!("\u{feff}{text}"), u16::to_be_bytes);
        for (kind, coding, bytes) in [
            ("application/json", "", text.as_bytes().to_vec()),
            ("application/json; charset=\"UTF-8\"", "identity", text.as_bytes().to_vec()),
            ("application/json", "", format!("\u{feff}{text}").into_bytes()),
            ("application/json;charset=ISO-8859-1", "", latin.clone()),
            ("application/json; charset = 'x'; charset=latin1", "", latin.clone()),
            ("application/json; charset=windows-1252", "x-gzip", gzip(&latin)),
            ("application/json; charset=iso-8859-15", "", latin.clone()),
            ("application/json; charset=utf-16", "", utf16(text, u16::to_le_bytes)),
            ("application/json; charset=utf-16", "", utf16(text, u16::to_be_bytes)),
            ("application/json; charset=utf-8", "", marked),
            ("application/json", "gzip", gzip(text.as_bytes())),
            ("application/json", "GZIP, identity", [gzip(&text.as_bytes()[..5]), gzip(&text.as_bytes()[5..])].concat()),
        ] {
            let found = read(kind, coding, &bytes);
            if kind.contains("'x'") {
                assert_eq!(found, Err(AnswerFault::Charset), "{kind}");
                continue;
            }
            assert_eq!(found, Ok(text.as_bytes().to_vec()), "{kind} {coding}");
        }
    }

    #[test]
    fn what_is_not_known_or_broken_is_not_read() {
        let json = "application/json";
        for (kind, coding, bytes, fault) in [
            ("application/json; charset=iso-2022-jp", "", b"{}".to_vec(), AnswerFault::Charset),
            ("application/json; charset=utf-7", "", b"{}".to_vec(), AnswerFault::Charset),
            ("application/json; charset=", "", b"{}".to_vec(), AnswerFault::Charset),
            ("application/json; charset=utf-8; charset=latin1", "", b"{}".to_vec(), AnswerFault::Charset),
            (json, "br", b"{}".to_vec(), AnswerFault::Encoded),
            (json, "gzip, gzip", gzip(&gzip(b"{}")), AnswerFault::Encoded),
            (json, "gzip", b"{}".to_vec(), AnswerFault::BrokenGzip),
            (json, "gzip", gzip(b"{}")[..12].to_vec(), AnswerFault::BrokenGzip),
            (json, "", b"{\"a\":\"\xeb\"}".to_vec(), AnswerFault::BrokenText),
            ("application/json; charset=utf-16", "", b"{\0}".to_vec(), AnswerFault::BrokenText),
        ] {
            assert_eq!(read(kind, coding, &bytes), Err(fault), "{kind} {coding}");
        }
    }

    #[test]
    fn the_limit_counts_what_gzip_holds_and_what_a_text_grows_to() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert_eq!(read("application/json", "gzip", &bomb), Err(AnswerFault::TooLarge));
        assert_eq!(read("application/json", "gzip", &gzip(&[b' '; LIMIT])).map(|text| text.len()), Ok(LIMIT));
        assert_eq!(read("a/b;charset=latin1", "", &[0xeb; LIMIT]), Err(AnswerFault::TooLarge));
    }

    #[test]
    fn the_content_type_says_utf_8_where_it_said_something_else() {
        for (before, after) in [
            ("application/json", "application/json"),
            ("application/json; charset=utf-8", "application/json; charset=utf-8"),
            ("application/json;charset=ISO-8859-1; v=2", "application/json; v=2; charset=utf-8"),
        ] {
            let mut headers = headers(&[("content-type", before)]);
            now_in_utf8(&mut headers);
            assert_eq!(headers[header::CONTENT_TYPE], after);
        }
    }
}
