//! A caller that writes HTTP/2 frames itself, right ones and wrong ones, and reads what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Connection, tls};
use super::http1::Fault;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;
/// A request that is complete with its head.
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal that enters no table, its name and value as they are (RFC 7541 section 6.2.2).
pub(crate) fn literal(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name.as_bytes(), value] {
        integer(&mut bytes, 0, 7, text.len());
        bytes.extend_from_slice(text);
    }
    bytes
}

/// An integer with a prefix of so many bits (RFC 7541 section 5.1).
pub(crate) fn integer(bytes: &mut Vec<u8>, first: u8, bits: u8, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        bytes.push(first | u8::try_from(value).unwrap());
        return;
    }
    bytes.push(first | u8::try_from(most).unwrap());
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 0x80);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// A header block of these fields.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value.as_bytes())).collect()
}

/// The pseudo-header fields of a request.
pub(crate) fn head<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
}

/// The header block of GET for a path.
pub(crate) fn get(path: &str) -> Vec<u8> {
    block(&head("GET", path))
}

/// The payload of SETTINGS.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

/// A frame that came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// How a stream ended, or its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// An answer of this status; 0 where it is one that the connection has had before.
    Answer(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
    /// The connection was closed, and nobody said why.
    Closed,
}

/// A connection on which frames are written by hand.
pub(crate) struct Caller {
    pub(crate) connection: Connection,
}

impl Caller {
    /// Without a word.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        Self { connection: Connection::with(address, tls(b"h2", None)).unwrap() }
    }

    /// With these settings said, and those of the other side taken.
    pub(crate) fn with(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut caller = Self::silent(address);
        caller.connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings(values))].concat());
        let first = caller.next().expect("the gateway says nothing");
        assert_eq!((first.kind, first.flags), (SETTINGS, 0), "the first frame is not SETTINGS");
        caller.send(SETTINGS, ACK, 0, b"");
        caller
    }

    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::with(address, &[])
    }

    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.connection.send(&frame(kind, flags, stream, payload));
    }

    /// Asks for a path.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, WHOLE, stream, &get(path));
    }

    /// The next frame; none at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = match self.connection.wire.exact(9) {
            Ok(head) => head,
            Err(Fault::Timeout) => panic!("no frame in time"),
            Err(_) => return None,
        };
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = self.connection.wire.exact(length).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// What becomes of a stream, or of the whole connection. Frames of others are passed over.
    pub(crate) fn end_of(&mut self, stream: u32) -> End {
        while let Some(frame) = self.next() {
            let code = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
            match frame.kind {
                HEADERS if frame.stream == stream => return End::Answer(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return End::Reset(code(0)),
                GOAWAY if code(4) != 0 => return End::GoAway(code(4)),
                _ => {}
            }
        }
        End::Closed
    }

    /// Whether it still answers.
    #[track_caller]
    pub(crate) fn lives(&mut self) {
        self.send(PING, 0, 0, b"lives-it");
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags == ACK && frame.payload == b"lives-it" {
                return;
            }
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        }
        panic!("the connection was closed");
    }

    /// Waits for the end of the connection: the code of its GOAWAY, where there was one that says why.
    pub(crate) fn ends(&mut self) -> End {
        self.connection.patience(Duration::from_secs(10));
        self.end_of(u32::MAX)
    }
}

/// The status with which a header block begins.
fn status(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => KNOWN[usize::from(index - 0x88)],
        [0x48, length, rest @ ..] if length & 0x80 != 0 => digits(&rest[..usize::from(length & 0x7f)]),
        [0x48, length, rest @ ..] => std::str::from_utf8(&rest[..usize::from(*length)]).unwrap().parse().unwrap(),
        _ => 0,
    }
}

/// Three digits in the Huffman code (RFC 7541 appendix B).
fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u16, |sum, bit| sum * 2 + u16::from(*bit));
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let five = number(&bits[at..at + 5]);
        let digit = if five < 3 { five } else { number(&bits[at..at + 6]) - 0b011001 + 3 };
        at += if five < 3 { 5 } else { 6 };
        value = value * 10 + digit;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_in_every_form() {
        assert_eq!(status(&[0x88]), 200);
        assert_eq!(status(&[0x8d]), 404);
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), 302, "RFC 7541 section C.6.1");
        assert_eq!(status(&[0x48, 0x03, b'4', b'3', b'1']), 431);
        let mut bytes = Vec::new();
        integer(&mut bytes, 0, 5, 1337);
        assert_eq!(bytes, [0b11111, 0b1001_1010, 0b0000_1010], "RFC 7541 section C.1.2");
    }
}
