//! Spells header names of HTTP/1.1 requests as a server wants them, in the bytes that are about to be sent.
//!
//! The HTTP library writes names in lower or title case only. Another spelling has the same length, so it is put in its
//! place. Only heads are touched. Where one begins is known from state, not from the bytes: an exchange has begun, and
//! the message before, whose head says how long it is, is complete.

use std::sync::Arc;

use memchr::memchr;

use crate::backend::endpoints::http_options::HttpOptions;

/// Position in what is sent on a connection.
pub(super) struct RequestNames {
    options: Arc<HttpOptions>,
    part: Part,
    /// Exchanges whose heads have begun.
    exchanges: u64,
    /// Beginning of a line whose end has not come.
    line: Vec<u8>,
    framing: Framing,
}

/// Part of a message that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// None: the message is complete, or the connection has changed its protocol.
    Between,
    RequestLine,
    Field,
    /// A body with as many bytes left.
    Body(u64),
    ChunkSize,
    /// A chunk with as many bytes left, its line break included.
    Chunk(u64),
    Trailer,
}

#[derive(Debug, Clone, Copy, Default)]
struct Framing {
    length: u64,
    is_chunked: bool,
}

impl RequestNames {
    pub(super) fn new(options: Arc<HttpOptions>) -> Self {
        Self { options, part: Part::Between, exchanges: 0, line: Vec::new(), framing: Framing::default() }
    }

    /// True if the next `count` bytes go out as they are; `begun` is the number of exchanges that have begun.
    pub(super) fn lets_pass(&self, count: usize, begun: u64) -> bool {
        match self.part {
            Part::Between => self.exchanges == begun,
            Part::Body(left) | Part::Chunk(left) => left >= count as u64,
            _ => false,
        }
    }

    /// Notes that such bytes have gone out.
    pub(super) fn passed(&mut self, count: usize) {
        match self.part {
            Part::Body(left) => self.part = Part::body(left.saturating_sub(count as u64)),
            Part::Chunk(left) => self.part = Part::chunk(left.saturating_sub(count as u64)),
            _ => {}
        }
    }

    /// Takes bytes to be sent, and adds to `out` what can go out now: all but a line whose end has not come.
    pub(super) fn take(&mut self, mut bytes: &[u8], begun: u64, out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let count = match self.part {
                Part::Between if self.exchanges == begun => bytes.len(),
                Part::Between => {
                    self.exchanges = begun;
                    self.part = Part::RequestLine;
                    continue;
                }
                Part::Body(left) | Part::Chunk(left) => usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()),
                Part::RequestLine | Part::Field | Part::ChunkSize | Part::Trailer => {
                    let end = memchr(b'\n', bytes).map(|end| end + 1);
                    let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.line.extend_from_slice(piece);
                    bytes = rest;
                    if end.is_some() {
                        self.end_line();
                        out.append(&mut self.line);
                    }
                    continue;
                }
            };
            out.extend_from_slice(&bytes[..count]);
            self.passed(count);
            bytes = &bytes[count..];
        }
    }

    /// Spells the name in a complete line, if it is one of a head, and goes on to the next part.
    fn end_line(&mut self) {
        let is_empty = self.line == b"\r\n";
        self.part = match self.part {
            Part::RequestLine => {
                self.framing = Framing::default();
                Part::Field
            }
            Part::Field if is_empty && self.framing.is_chunked => Part::ChunkSize,
            Part::Field if is_empty => Part::body(self.framing.length),
            Part::Field => {
                self.spell();
                Part::Field
            }
            Part::ChunkSize => match chunk_size(&self.line) {
                0 => Part::Trailer,
                size => Part::Chunk(size + 2),
            },
            Part::Trailer if is_empty => Part::Between,
            part => part,
        };
    }

    fn spell(&mut self) {
        let end = memchr(b':', &self.line).unwrap_or(0);
        let (name, value) = self.line.split_at_mut(end);
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(&value[1..]).unwrap_or_default().trim();
            self.framing.length = digits.parse().unwrap_or(0);
        }
        self.framing.is_chunked |= name.eq_ignore_ascii_case(b"transfer-encoding");
        let spelling = self.options.header_names.iter().find(|spelling| name.eq_ignore_ascii_case(spelling.as_bytes()));
        if let Some(spelling) = spelling {
            name.copy_from_slice(spelling.as_bytes());
        }
    }
}

impl Part {
    fn body(left: u64) -> Self {
        if left == 0 { Self::Between } else { Self::Body(left) }
    }

    fn chunk(left: u64) -> Self {
        if left == 0 { Self::ChunkSize } else { Self::Chunk(left) }
    }
}

fn chunk_size(line: &[u8]) -> u64 {
    let digits = line.iter().map_while(|byte| char::from(*byte).to_digit(16));
    digits.fold(0, |size, digit| size << 4 | u64::from(digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> RequestNames {
        let header_names = ["SOAPAction", "X-CustomerID", "Content-LENGTH", "api_key"].map(str::to_owned).to_vec();
        RequestNames::new(Arc::new(HttpOptions { header_names, ..HttpOptions::default() }))
    }

    /// A request with a body that looks like a head, as the library writes it and as it must go out.
    fn message(framing: usize, body: &str) -> (Vec<u8>, Vec<u8>) {
        let body = format!("\r\n\r\nPOST / HTTP/1.1\r\nsoapaction: {body}\r\n\r\n");
        let chunks = format!("{:x}\r\n{body}\r\n3\r\nabc\r\n0\r\napi_KEY: 1\r\n\r\n", body.len());
        let (field, body) = match framing {
            0 => (String::new(), String::new()),
            1 => (format!("content-length: {}\r\n", body.len()), body),
            _ => ("transfer-encoding: chunked\r\n".to_owned(), chunks),
        };
        let head = |action: &str, id: &str, field: &str| {
            format!(
                "POST /soapaction: HTTP/1.1\r\n{action}: \"soapaction: x\"\r\nx-a: api_KEY: 1\r\n{id}:\r\n{field}\r\n{body}"
            )
        };
        let written = head("Soapaction", "x-customerid", &field);
        let sent = head("SOAPAction", "X-CustomerID", &field.replace("content-length", "Content-LENGTH"));
        (written.into_bytes(), sent.into_bytes())
    }

    proptest! {
        #[test]
        fn names_in_heads_are_spelled_and_nothing_else_however_they_are_cut(
            messages in proptest::collection::vec((0_usize..3, "[a-z:\r\n]{0,40}"), 1..6),
            sizes in proptest::collection::vec(1_usize..60, 1..20),
            tunnelled in "[a-z:\r\n]{0,40}",
        ) {
            let (mut names, mut out, mut expected) = (names(), Vec::new(), Vec::new());
            let mut sizes = sizes.iter().cycle();
            let mut send = |names: &mut RequestNames, mut bytes: &[u8], begun| {
                while !bytes.is_empty() {
                    let count = sizes.next().map_or(1, |size| *size).min(bytes.len());
                    if names.lets_pass(count, begun) {
                        out.extend_from_slice(&bytes[..count]);
                        names.passed(count);
                    } else {
                        names.take(&bytes[..count], begun, &mut out);
                    }
                    bytes = &bytes[count..];
                }
            };
            // The next exchange may begin before all of the last request is sent.
            let mut before: Vec<u8> = Vec::new();
            for (number, (framing, body)) in messages.iter().enumerate() {
                let (written, sent) = message(*framing, body);
                expected.extend(sent);
                let keep = if *framing == 0 { 0 } else { 5 };
                let begun = number as u64 + 1;
                send(&mut names, &before, begun);
                send(&mut names, &written[..written.len() - keep], begun);
                before = written[written.len() - keep..].to_vec();
            }
            let begun = messages.len() as u64;
            send(&mut names, &before, begun);
            // No exchange has begun: this is another protocol.
            let tunnelled = format!("GET / HTTP/1.1\r\nsoapaction: {tunnelled}");
            send(&mut names, tunnelled.as_bytes(), begun);
            expected.extend(tunnelled.as_bytes());
            prop_assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&expected));
        }
    }
}
