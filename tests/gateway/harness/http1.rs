//! A strict reader of HTTP/1.1 messages: both ends of the gateway are judged by it.

use std::io::{ErrorKind, Read};

/// Why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The other side closed before the first byte.
    Closed,
    /// The other side closed in the middle; these bytes had arrived.
    Truncated(Vec<u8>),
    /// Nothing came in time.
    Timeout,
    /// Not strictly HTTP/1.1.
    Malformed(String),
}

/// Name and value of each field line, as sent.
pub(crate) type Lines = Vec<(String, String)>;

/// A stream with what has been read of it and not yet used.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    pub(crate) buffer: Vec<u8>,
}

impl<S: Read> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads once; false at the end of the stream.
    pub(crate) fn fill(&mut self) -> Result<bool, Fault> {
        let mut piece = [0_u8; 16 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.buffer.extend_from_slice(&piece[..n]);
                    return Ok(true);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(Fault::Timeout),
                    _ => return Ok(false),
                },
            }
        }
    }

    fn need(&mut self) -> Result<(), Fault> {
        if self.fill()? {
            return Ok(());
        }
        if self.buffer.is_empty() {
            Err(Fault::Closed)
        } else {
            Err(Fault::Truncated(std::mem::take(&mut self.buffer)))
        }
    }

    /// The bytes of a head, with the empty line.
    pub(crate) fn head(&mut self) -> Result<Vec<u8>, Fault> {
        let mut from = 0;
        loop {
            if let Some(at) = find(&self.buffer[from..], b"\r\n\r\n") {
                return Ok(self.buffer.drain(..from + at + 4).collect());
            }
            from = self.buffer.len().saturating_sub(3);
            self.need()?;
        }
    }

    pub(crate) fn exact(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.buffer.len() < length {
            if !self.fill()? {
                return Err(Fault::Truncated(std::mem::take(&mut self.buffer)));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything up to the end of the stream.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(at) = find(&self.buffer, b"\n") {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let text = line
                    .strip_suffix(b"\r\n")
                    .ok_or_else(|| Fault::Malformed("a line in a chunked body ends in a bare LF".into()))?;
                return Ok(latin1(text));
            }
            if !self.fill()? {
                return Err(Fault::Truncated(std::mem::take(&mut self.buffer)));
            }
        }
    }

    /// The data of a chunked body, and its trailer fields.
    pub(crate) fn chunked(&mut self) -> Result<(Vec<u8>, Lines), Fault> {
        let mut data = Vec::new();
        loop {
            let size = self.line()?;
            let digits = size.split(';').next().unwrap_or_default();
            if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(Fault::Malformed(format!("chunk size {size:?}")));
            }
            let length = usize::from_str_radix(digits, 16).map_err(|e| Fault::Malformed(e.to_string()))?;
            if length == 0 {
                break;
            }
            match self.exact(length) {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(Fault::Truncated(piece)) => {
                    data.extend_from_slice(&piece);
                    return Err(Fault::Truncated(data));
                }
                Err(fault) => return Err(fault),
            }
            if self.exact(2)? != b"\r\n" {
                return Err(Fault::Malformed("no CR LF after the chunk data".into()));
            }
        }
        let mut trailers = Lines::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((data, trailers));
            }
            trailers.push(field(&line).map_err(Fault::Malformed)?);
        }
    }
}

/// First line and field lines of a head, or what is wrong with it.
pub(crate) fn parse_head(head: &[u8]) -> Result<(String, Lines), String> {
    let text = latin1(head);
    let text = text.strip_suffix("\r\n\r\n").ok_or("no empty line at the end")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default().to_owned();
    if first.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(format!("control byte in {first:?}"));
    }
    Ok((first, lines.map(field).collect::<Result<_, _>>()?))
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("field line without a colon: {line:?}"))?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("field name {name:?}"));
    }
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b == 0x7f) {
        return Err(format!("control byte in the value of {name}: {value:?}"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// All values of a field.
pub(crate) fn values<'a>(lines: &'a Lines, name: &str) -> Vec<&'a str> {
    lines.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
}

/// How long the body is that follows a head with these fields.
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// The framing of a message, refusing everything that two readers could read in two ways.
pub(crate) fn framing(lines: &Lines) -> Result<Framing, String> {
    let lengths = values(lines, "content-length");
    let codings = values(lines, "transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::None),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) => match length.parse::<usize>() {
            Ok(n) if n.to_string() == *length => Ok(Framing::Length(n)),
            _ => Err(format!("Content-Length {length:?}")),
        },
        _ => Err(format!("Content-Length {lengths:?} with Transfer-Encoding {codings:?}")),
    }
}

/// Where `needle` begins in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

/// Bytes as text, one character each.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_reader_tells_good_framing_from_bad() {
        let mut good = Wire::new(&b"3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\nrest"[..]);
        assert_eq!(good.chunked().unwrap(), (b"abc".to_vec(), vec![("X-T".to_owned(), "1".to_owned())]));
        assert_eq!(good.rest().unwrap(), b"rest");
        assert!(matches!(Wire::new(&b"+3\r\nabc\r\n0\r\n\r\n"[..]).chunked(), Err(Fault::Malformed(_))));
        assert!(matches!(Wire::new(&b"3\nabc\r\n0\r\n\r\n"[..]).chunked(), Err(Fault::Malformed(_))));
        assert!(parse_head(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n").is_err());
        assert!(framing(&vec![("Content-Length".into(), "010".into())]).is_err());
        assert!(framing(&vec![("Transfer-Encoding".into(), "x, chunked".into())]).is_err());
    }
}
