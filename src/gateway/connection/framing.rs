//! Message boundaries of HTTP/1.1, read from the bytes themselves: request heads, and bodies by length or chunks.
//!
//! The HTTP parser tolerates malformed framing, and the head that it keeps no longer shows it. So each head is checked
//! as it was sent, and bodies are counted.

use memchr::memchr_iter;

/// The bytes of one connection, cut into heads and bodies.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// True if the next head is ambiguous, once it has come as a whole and in one piece: then it need not be kept.
    seen: Option<bool>,
    /// Bytes behind that head, or else behind the last body.
    pending: Vec<u8>,
    body: Body,
    /// True if a chunked body was malformed. No request follows.
    is_malformed: bool,
    /// True if the last head was of HTTP/1.0.
    is_http10: bool,
}

/// The framing of a request body (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// Content-Length in bytes; 0 for no body.
    Length(u64),
    /// Chunked, or by the frames of HTTP/2: the length is not known beforehand.
    Chunked,
}

/// The rest of the incoming body.
#[derive(Debug, Default)]
enum Body {
    /// No body: a head is next.
    #[default]
    Over,
    Length(u64),
    Chunked(Chunks),
    /// Unknown; the connection is about to end.
    Lost,
}

impl Framing {
    /// Consumes bytes as they were read.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let used = match &mut self.body {
            Body::Over => 0,
            Body::Length(left) => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                if *left == 0 {
                    self.body = Body::Over;
                }
                used
            }
            Body::Chunked(chunks) => {
                let end = chunks.end(bytes);
                self.is_malformed |= chunks.is_malformed;
                if end.is_some() {
                    self.body = Body::Over;
                }
                end.unwrap_or(bytes.len())
            }
            Body::Lost => bytes.len(),
        };
        let mut rest = &bytes[used..];
        if self.seen.is_none()
            && self.pending.is_empty()
            && let Some(head) = Head::find(rest)
        {
            self.seen = Some(head.is_ambiguous);
            self.is_http10 = head.is_http10;
            rest = &rest[head.length..];
        }
        self.pending.extend_from_slice(rest);
    }

    /// Returns whether the head of the request that begins now is ambiguous; its body follows. `None` without a whole
    /// head, which the parser should not have taken for a request either.
    pub(crate) fn next(&mut self, body: BodyFraming) -> Option<bool> {
        let is_ambiguous = match self.seen.take() {
            Some(is_ambiguous) => is_ambiguous,
            None => {
                let Some(head) = Head::find(&self.pending) else {
                    self.lose();
                    return None;
                };
                self.pending.drain(..head.length);
                self.is_http10 = head.is_http10;
                head.is_ambiguous
            }
        };
        self.body = match body {
            BodyFraming::Length(0) => Body::Over,
            BodyFraming::Length(length) => Body::Length(length),
            BodyFraming::Chunked => Body::Chunked(Chunks::default()),
        };
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.read(&rest);
        }
        Some(is_ambiguous)
    }

    /// True if a part of a head has come.
    pub(crate) fn is_in_head(&self) -> bool {
        self.seen.is_some() || !self.pending.is_empty()
    }

    /// True if a whole head has come, and no request has been made of it yet.
    pub(super) fn has_head(&self) -> bool {
        self.seen.is_some() || Head::find(&self.pending).is_some()
    }

    /// True if the last whole head is of HTTP/1.0.
    pub(super) fn is_http10(&self) -> bool {
        Head::find(&self.pending).map_or(self.is_http10, |head| head.is_http10)
    }

    /// True if a chunked body was malformed where the parser does not look.
    pub(crate) fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// Missing bytes of the last request's body; `None` if unknown.
    pub(crate) fn missing(&self) -> Option<u64> {
        match self.body {
            Body::Over => Some(0),
            Body::Length(left) => Some(left),
            Body::Chunked(_) | Body::Lost => None,
        }
    }

    /// True if bytes of the last request's body may still arrive.
    pub(super) fn is_in_body(&self) -> bool {
        !matches!(self.body, Body::Over)
    }

    /// Gives up: the bytes were no request.
    pub(crate) fn lose(&mut self) {
        *self = Self { body: Body::Lost, ..Self::default() };
    }
}

/// A head as it was sent.
struct Head {
    /// Up to and including its empty line; empty lines before it are counted in.
    length: usize,
    /// True if it can be read in two ways: a bare line feed, a fragment in the target, or more than one length of the
    /// body (RFC 9112 sections 2.2, 3.2 and 6.3).
    is_ambiguous: bool,
    is_http10: bool,
}

impl Head {
    /// The head at the beginning of these bytes, where it is complete.
    fn find(bytes: &[u8]) -> Option<Self> {
        let mut line = 0;
        let mut is_in_target = true;
        let mut is_ambiguous = false;
        let mut is_http10 = false;
        let mut lengths = 0;
        for feed in memchr_iter(b'\n', bytes) {
            let sent = &bytes[line..feed];
            let text = sent.strip_suffix(b"\r").unwrap_or(sent);
            is_ambiguous |= text.len() == sent.len();
            line = feed + 1;
            if is_in_target {
                is_ambiguous |= text.contains(&b'#');
                is_http10 = text.ends_with(b" HTTP/1.0");
                is_in_target = text.iter().all(|byte| *byte == b'\r');
            } else if text.is_empty() {
                return Some(Self { length: line, is_ambiguous: is_ambiguous || lengths > 1, is_http10 });
            } else {
                lengths += usize::from(is_field(text, b"content-length") || is_field(text, b"transfer-encoding"));
            }
        }
        None
    }
}

fn is_field(line: &[u8], name: &[u8]) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name)
}

/// Most digits of a chunk size: leading zeros could go on for ever.
const LONGEST_SIZE: u8 = 16;

/// Finds the end of a chunked body (RFC 9112 section 7.1). The parser refuses malformed sizes and line breaks, but not
/// malformed extensions and trailers, so these are checked here.
#[derive(Debug, Default)]
struct Chunks {
    place: Place,
    extension: Extension,
    /// True if the last byte was a carriage return.
    returned: bool,
    /// True if something was malformed.
    is_malformed: bool,
    /// The size of this chunk, or the rest of it and its line break.
    size: u64,
    /// Number of its digits.
    digits: u8,
    /// True if the current line is not empty.
    filled: bool,
}

#[derive(Debug, Default)]
enum Place {
    /// In the digits of a size.
    #[default]
    Size,
    /// Behind them, up to the end of the line.
    Extension,
    /// In the data of a chunk and the line break after it.
    Data,
    /// In the trailer section, which ends with an empty line.
    Trailers,
}

impl Chunks {
    /// The end of the body within these bytes, as an index.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            match self.place {
                Place::Data => {
                    let used = usize::try_from(self.size).unwrap_or(usize::MAX).min(bytes.len() - at);
                    self.size -= used as u64;
                    at += used;
                    if self.size == 0 {
                        self.place = Place::Size;
                    }
                    continue;
                }
                Place::Size | Place::Extension if byte == b'\n' => {
                    self.is_malformed |= !self.returned || !self.extension.may_end();
                    self.extension = Extension::default();
                    self.digits = 0;
                    if self.size == 0 {
                        (self.place, self.filled) = (Place::Trailers, false);
                    } else {
                        (self.place, self.size) = (Place::Data, self.size.saturating_add(2));
                    }
                }
                Place::Size => match char::from(byte).to_digit(16) {
                    Some(digit) => {
                        self.digits = self.digits.saturating_add(1);
                        self.is_malformed |= self.digits > LONGEST_SIZE;
                        self.size = self.size.saturating_mul(16).saturating_add(u64::from(digit));
                    }
                    None => {
                        self.place = Place::Extension;
                        self.is_malformed |= !self.extension.takes(byte);
                    }
                },
                Place::Extension => self.is_malformed |= self.returned || !self.extension.takes(byte),
                Place::Trailers if byte == b'\n' => {
                    self.is_malformed |= !self.returned;
                    if !self.filled {
                        return Some(at + 1);
                    }
                    self.filled = false;
                }
                Place::Trailers => self.filled |= byte != b'\r',
            }
            self.returned = byte == b'\r';
            at += 1;
        }
        None
    }
}

/// Position within the extensions of a chunk (RFC 9112 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Extension {
    /// Behind the size, or behind a whole extension.
    #[default]
    Whole,
    /// The same, and a blank has come: another extension must follow.
    Blank,
    /// Before or in a name.
    Name { begun: bool },
    /// Behind a name and a blank.
    NameBlank,
    /// Before or in a value.
    Value { begun: bool },
    /// In a quoted value.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
}

impl Extension {
    /// Returns whether this byte may come next; a carriage return ends the line.
    fn takes(&mut self, byte: u8) -> bool {
        let is_blank = matches!(byte, b' ' | b'\t');
        let next = match (*self, byte) {
            (_, b'\r') => return self.may_end(),
            (Self::Escaped, byte) if !byte.is_ascii_control() || byte == b'\t' => Self::Quoted,
            (Self::Quoted, b'"') => Self::Whole,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted, byte) if !byte.is_ascii_control() || byte == b'\t' => Self::Quoted,
            (Self::Whole | Self::Blank | Self::NameBlank, b';') => Self::Name { begun: false },
            (Self::Name { begun: true } | Self::Value { begun: true }, b';') => Self::Name { begun: false },
            (Self::Name { begun: true } | Self::NameBlank, b'=') => Self::Value { begun: false },
            (Self::Whole | Self::Blank | Self::Value { begun: true }, _) if is_blank => Self::Blank,
            (Self::Name { begun: true } | Self::NameBlank, _) if is_blank => Self::NameBlank,
            (place @ (Self::Name { begun: false } | Self::Value { begun: false }), _) if is_blank => place,
            (Self::Value { begun: false }, b'"') => Self::Quoted,
            (Self::Name { .. }, byte) if is_token(byte) => Self::Name { begun: true },
            (Self::Value { .. }, byte) if is_token(byte) => Self::Value { begun: true },
            _ => return false,
        };
        *self = next;
        true
    }

    /// True if the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Whole | Self::Name { begun: true } | Self::Value { begun: true })
    }
}

/// A byte of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_ambiguous(head: &str) -> Option<bool> {
        let found = Head::find(head.as_bytes())?;
        assert_eq!(found.length, head.len());
        Some(found.is_ambiguous)
    }

    #[test]
    fn heads_with_two_lengths_a_fragment_or_a_bare_line_feed_are_ambiguous() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "POST / HTTP/1.1\n\r\n",
            "\r\nGET /public#/../admin HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(is_ambiguous(head), Some(true), "{head:?}");
        }
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Content-Length: 6\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: #\r\n\r\n",
        ] {
            assert_eq!(is_ambiguous(head), Some(false), "{head:?}");
        }
    }

    const POST: &str = "POST /a HTTP/1.1\r\nHost: a\r\n\r\n";
    const ODD: &str = "\r\nPOST /a#b HTTP/1.1\r\nHost: a\r\n\r\n";
    const GET: &str = "GET /b HTTP/1.1\r\nHost: a\r\n\r\n";

    /// A stream of three requests: one with a length, an ambiguous one that is chunked with an extension and a trailer,
    /// one without a body; and for each how its body is framed and whether it is ambiguous.
    fn stream(data: &str) -> (Vec<u8>, [(BodyFraming, bool); 3]) {
        let chunked = format!("{:x};a=b\r\n{data}\r\n3\r\nx\r\n\r\n0;c\r\nX: y\r\n\r\n", data.len().max(1));
        let data = if data.is_empty() { "x" } else { data };
        let chunked = if data == "x" { "1;a=b\r\nx\r\n3\r\nx\r\n\r\n0;c\r\nX: y\r\n\r\n".to_owned() } else { chunked };
        let bytes = format!("{POST}{data}{ODD}{chunked}{GET}");
        let length = BodyFraming::Length(data.len() as u64);
        (bytes.into_bytes(), [(length, false), (BodyFraming::Chunked, true), (BodyFraming::Length(0), false)])
    }

    proptest! {
        #[test]
        fn every_head_is_found_however_the_bytes_are_cut(data in "[a-z\\r\\n0]{0,40}", cuts in prop::collection::vec(1_usize..40, 1..60)) {
            let (bytes, requests) = stream(&data);
            let mut framing = Framing::default();
            let mut cuts = cuts.into_iter().cycle();
            let mut rest = &bytes[..];
            for (body, expected) in requests {
                // As the parser does: read until there is a whole head, then ask for it.
                while framing.is_in_body() || (framing.seen.is_none() && Head::find(&framing.pending).is_none()) {
                    let (piece, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                    prop_assert!(!piece.is_empty());
                    framing.read(piece);
                    rest = later;
                }
                prop_assert_eq!(framing.next(body), Some(expected));
            }
            framing.read(rest);
            prop_assert!(!framing.is_in_body() && !framing.is_in_head());
        }
    }

    #[test]
    fn a_body_that_has_not_come_yet_is_known_to_be_missing() {
        let mut framing = Framing::default();
        framing.read(POST.as_bytes());
        framing.next(BodyFraming::Length(5));
        framing.read(b"1234");
        assert!(framing.is_in_body());
        framing.read(b"5");
        assert!(!framing.is_in_body() && !framing.is_in_head());
        framing.lose();
        assert!(framing.is_in_body());
    }
}
