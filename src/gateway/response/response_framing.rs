//! Framing of a backend's response: callers get one length or none, and no response that two readers could read
//! differently (RFC 9112 section 6.3).

use std::fmt;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, Version, response};

use crate::fields;
use crate::refusal::Refusal;

/// The fault of a malformed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    /// `Content-Length` is no number, or has two values.
    Length,
    /// `Content-Length` stands beside `Transfer-Encoding`.
    TwoFramings,
    /// `Transfer-Encoding` is anything but one `chunked`.
    Coding,
    /// 101 without an upgrade in the request.
    Unasked,
    /// 101 that does not answer this WebSocket handshake.
    Handshake,
    /// 2xx to a WebSocket handshake whose caller would take it for an open WebSocket.
    NotSwitched,
    /// The body broke off.
    BrokeOff,
    /// The route filters JSON, and the head announces something else.
    NotJson,
    /// The JSON is in a charset that is not read here.
    Charset,
    /// The JSON is encoded otherwise than by gzip.
    Encoded,
    /// The gzip is broken.
    BrokenGzip,
    /// The bytes are none of the announced charset.
    BrokenText,
    /// The route filters JSON, and the body is not JSON.
    BrokenJson,
    /// The body is larger than the filter's limit.
    TooLarge,
}

impl AnswerFault {
    /// The fault without what to do about it.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Length => "Content-Length is not one number",
            Self::TwoFramings => "Content-Length beside Transfer-Encoding",
            Self::Coding => "Transfer-Encoding is not a single chunked",
            Self::Unasked => "101 without an upgrade in the request",
            Self::Handshake => "101 does not answer this WebSocket handshake",
            Self::NotSwitched => "2xx instead of 101 to a WebSocket handshake",
            Self::BrokeOff => "the body broke off",
            Self::NotJson => "not JSON by its Content-Type",
            Self::Charset => "JSON in an unknown charset",
            Self::Encoded => "Content-Encoding other than gzip",
            Self::BrokenGzip => "broken gzip",
            Self::BrokenText => "the body is not in its charset",
            Self::BrokenJson => "not JSON, or with a duplicate member",
            Self::TooLarge => "larger than routes[].response.body",
        }
    }
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Length => "Content-Length is not one number",
            Self::TwoFramings => "Content-Length beside Transfer-Encoding",
            Self::Coding => "Transfer-Encoding is not a single chunked",
            Self::Unasked => "101 Switching Protocols without an upgrade in the request",
            Self::Handshake => "101 does not answer this WebSocket handshake (RFC 6455 section 4.2.2)",
            Self::NotSwitched => "2xx instead of 101 to a WebSocket handshake, which over HTTP/2 would open one",
            Self::BrokeOff => "the body broke off",
            Self::NotJson => "not JSON by its Content-Type (routes[].response.any_content_type reads it all the same)",
            Self::Charset => {
                "Content-Type has another charset than UTF-8, UTF-16, ISO-8859-1, ISO-8859-15, windows-1252, US-ASCII"
            }
            Self::Encoded => "Content-Encoding is something else than gzip",
            Self::BrokenGzip => "Content-Encoding is gzip, and the body is not",
            Self::BrokenText => "the body is not in its charset (UTF-8 where Content-Type has none)",
            Self::BrokenJson => "not JSON, or with a duplicate member",
            Self::TooLarge => "larger than its limit (routes[].response.body; 64 KiB for the answer to a login)",
        })
    }
}

impl From<AnswerFault> for Refusal {
    fn from(fault: AnswerFault) -> Self {
        match fault {
            AnswerFault::NotJson
            | AnswerFault::Charset
            | AnswerFault::Encoded
            | AnswerFault::BrokenGzip
            | AnswerFault::BrokenText
            | AnswerFault::BrokenJson => Self::ResponseNotJson,
            AnswerFault::TooLarge => Self::ResponseTooLarge,
            _ => Self::BackendResponse,
        }
    }
}

/// Normalizes the framing of a response head, as received by this version: equal lengths become one, and a response
/// that may have no length has none (RFC 9110 section 8.6).
///
/// # Errors
/// The fault of its framing.
pub(crate) fn settle(head: &mut response::Parts, received: Version) -> Result<(), AnswerFault> {
    let headers = &mut head.headers;
    if head.status.is_informational() {
        return Err(AnswerFault::Unasked);
    }
    if received == Version::HTTP_2 {
        as_in_http1(headers);
    }
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(_), _) if has_length => return Err(AnswerFault::TwoFramings),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => return Ok(()),
        (Some(_), _) => return Err(AnswerFault::Coding),
    }
    if !has_length {
        return Ok(());
    }
    if head.status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
        return Ok(());
    }
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(line), None) = (lines.next(), lines.next())
        && is_canonical(line.as_bytes())
    {
        return Ok(());
    }
    let length = length_of(headers).ok_or(AnswerFault::Length)?;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(())
}

/// Reduces the fields of HTTP/2 to those that HTTP/1.1 can carry too: names are tokens, and values have no blanks
/// around them.
fn as_in_http1(headers: &mut HeaderMap) {
    fields::trim(headers);
    let odd: Vec<HeaderName> = headers.keys().filter(|name| !fields::is_token(name)).cloned().collect();
    for name in odd {
        headers.remove(name);
    }
}

/// True if a body follows this status in response to this method at all (RFC 9112 section 6.3).
pub(crate) fn has_content(is_head: bool, status: StatusCode) -> bool {
    !is_head && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// True for a number as the gateway would write it itself, below 10^19.
fn is_canonical(digits: &[u8]) -> bool {
    let has_only_digits = digits.iter().all(u8::is_ascii_digit);
    has_only_digits && (1..20).contains(&digits.len()) && (digits[0] != b'0' || digits.len() == 1)
}

/// The number on which all lines and all members of their lists agree.
fn length_of(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut numbers = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(number);
    let first = numbers.next()??;
    numbers.all(|number| number == Some(first)).then_some(first)
}

fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    // A sign is none of the digits (RFC 9110 section 8.6).
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(status: u16, version: Version, fields: &[(&str, &str)]) -> Result<Vec<String>, AnswerFault> {
        let mut head = http::Response::builder().status(status).body(()).expect("a status").into_parts().0;
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().expect("a name");
            head.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        settle(&mut head, version)?;
        let lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
        Ok(lengths.map(|length| length.to_str().expect("a number").to_owned()).collect())
    }

    #[test]
    fn equal_lengths_are_one_and_others_are_a_fault() {
        let length = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            settled(200, Version::HTTP_11, &fields)
        };
        for values in [&["5"][..], &["5, 5"], &["5", "5"], &["05"], &["5 ,\t5", "005"]] {
            assert_eq!(length(values), Ok(vec!["5".to_owned()]), "{values:?}");
        }
        assert_eq!(length(&[]), Ok(vec![]));
        assert_eq!(length(&["0"]), Ok(vec!["0".to_owned()]));
        assert_eq!(length(&["18446744073709551615"]), Ok(vec![u64::MAX.to_string()]));
        for values in [
            &["5, 6"][..],
            &["5", "6"],
            &["5,"],
            &[""],
            &["+5"],
            &["-5"],
            &["5 5"],
            &["18446744073709551616"],
            &["0x5"],
        ] {
            assert_eq!(length(values), Err(AnswerFault::Length), "{values:?}");
        }
    }

    #[test]
    fn a_204_has_no_length_and_a_304_that_of_another_answer() {
        assert_eq!(settled(204, Version::HTTP_11, &[("content-length", "5")]), Ok(vec![]));
        assert_eq!(settled(304, Version::HTTP_11, &[("content-length", "5")]), Ok(vec!["5".to_owned()]));
        assert!(!has_content(false, StatusCode::NO_CONTENT) && !has_content(true, StatusCode::OK));
        assert!(has_content(false, StatusCode::OK));
    }

    #[test]
    fn only_one_chunked_frames_a_body_and_no_length_beside_it() {
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(settled(200, Version::HTTP_11, &[chunked]), Ok(vec![]));
        let both = settled(200, Version::HTTP_11, &[chunked, ("content-length", "5")]);
        assert_eq!(both, Err(AnswerFault::TwoFramings));
        for coding in ["gzip, chunked", "chunked, chunked", "identity", ""] {
            assert_eq!(settled(200, Version::HTTP_11, &[("transfer-encoding", coding)]), Err(AnswerFault::Coding));
        }
        assert_eq!(settled(200, Version::HTTP_11, &[chunked, chunked]), Err(AnswerFault::Coding));
        assert_eq!(settled(103, Version::HTTP_11, &[]), Err(AnswerFault::Unasked));
    }
}
