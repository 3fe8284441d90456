//! Mends the head of an HTTP/1.1 response where the configuration says so. What is not mended stays as it came, and
//! the HTTP library refuses it: there is one judge of what is valid.
//!
//! Nothing is mended that could be about the length of the body: two readers could read it in two ways (RFC 9112
//! section 11.1).

use memchr::memchr;

use crate::backend::endpoints::http_options::{HttpOptions, ResponseFault};

/// A head, mended.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) bytes: Vec<u8>,
    /// What was mended, and where.
    pub(super) faults: Vec<(ResponseFault, String)>,
    /// Status; 0 if it cannot be read.
    pub(super) status: u16,
    /// True if it does not say how long the body is.
    pub(super) has_no_framing: bool,
}

/// Search for the end of a head that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct HeadEnd {
    /// Start of the line that is being looked at.
    line: usize,
    /// Bytes looked at.
    known: usize,
    /// True after the first line that is not empty: empty ones may come before it (RFC 9112 section 2.2).
    has_begun: bool,
}

impl HeadEnd {
    /// Length of the head with its empty line, if all of it is in `bytes`: those of the last call, and more.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(length) = memchr(b'\n', &bytes[self.known..]) {
            let end = self.known + length + 1;
            let is_empty = without_break(&bytes[self.line..end]).is_empty();
            if is_empty && self.has_begun {
                return Some(end);
            }
            self.has_begun |= !is_empty;
            (self.line, self.known) = (end, end);
        }
        self.known = bytes.len();
        None
    }
}

impl ResponseHead {
    /// Mends a complete head.
    pub(super) fn mend(head: &[u8], options: &HttpOptions) -> Self {
        let mut mended =
            Self { bytes: Vec::with_capacity(head.len()), faults: Vec::new(), status: 0, has_no_framing: true };
        let mut lines = head.split_inclusive(|byte| *byte == b'\n').peekable();
        for line in lines.by_ref() {
            if !without_break(line).is_empty() {
                mended.status_line(line, options);
                break;
            }
        }
        while let Some(line) = lines.next() {
            let mut field = vec![line];
            while !without_break(line).is_empty()
                && let Some(more) = lines.next_if(|next| next.starts_with(b" ") || next.starts_with(b"\t"))
            {
                field.push(more);
            }
            mended.field(&field, options);
        }
        mended
    }

    fn status_line(&mut self, line: &[u8], options: &HttpOptions) {
        let text = without_break(line);
        match mended_status_line(text) {
            Some(better)
                if better != text && !is_status_line(text) && options.tolerates(ResponseFault::OddStatusLine) =>
            {
                self.faults.push((ResponseFault::OddStatusLine, shown(text, text.len())));
                self.bytes.extend_from_slice(&better);
                self.bytes.extend_from_slice(b"\r\n");
            }
            _ => self.bytes.extend_from_slice(line),
        }
        let status = self.bytes.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
        self.status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
    }

    /// Adds a field, given by its lines.
    fn field(&mut self, lines: &[&[u8]], options: &HttpOptions) {
        let (first, others) = lines.split_first().map_or((&b""[..], lines), |(first, others)| (*first, others));
        let first = without_break(first);
        if first.is_empty() {
            return self.keep(lines);
        }
        let name = &first[..memchr(b':', first).unwrap_or(first.len())];
        self.has_no_framing &= !is_framing(name);
        // What is left of a field before the first one, or before the status line.
        let is_field = is_field(first) && others.iter().all(|line| is_value(without_break(line)));
        let tolerates = |fault| options.tolerates(fault);
        if !is_field {
            let may_go = tolerates(ResponseFault::InvalidField)
                && (others.is_empty() || tolerates(ResponseFault::FoldedField))
                && !first.starts_with(b" ")
                && !first.starts_with(b"\t")
                && !mentions_framing(lines);
            if !may_go {
                return self.keep(lines);
            }
            self.faults.push((ResponseFault::InvalidField, shown_name(first)));
        } else if others.is_empty() {
            self.keep(lines);
        } else if tolerates(ResponseFault::FoldedField) && !lines.iter().any(|line| looks_like_framing(line)) {
            self.faults.push((ResponseFault::FoldedField, shown_name(first)));
            self.bytes.extend_from_slice(first.trim_ascii_end());
            for more in others.iter().map(|line| line.trim_ascii()).filter(|more| !more.is_empty()) {
                self.bytes.push(b' ');
                self.bytes.extend_from_slice(more);
            }
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.keep(lines);
        }
    }

    fn keep(&mut self, lines: &[&[u8]]) {
        lines.iter().for_each(|line| self.bytes.extend_from_slice(line));
    }
}

/// A line without its line break.
fn without_break(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

fn is_value(text: &[u8]) -> bool {
    !text.iter().any(|byte| is_control(*byte))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// True for a field line; blanks before the colon are always forgiven.
fn is_field(line: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    memchr(b':', line).is_some_and(|end| {
        let name = line[..end].trim_ascii_end();
        !name.is_empty() && name.iter().all(is_token) && is_value(line)
    })
}

/// True for a status line (RFC 9112 section 4) that the HTTP library takes.
fn is_status_line(line: &[u8]) -> bool {
    let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "));
    let rest = rest.and_then(|rest| rest.split_at_checked(3));
    rest.is_some_and(|(status, reason)| {
        status.iter().all(u8::is_ascii_digit) && (reason.is_empty() || reason.starts_with(b" ")) && is_value(reason)
    })
}

/// The status line that was meant; `None` if that is not clear.
fn mended_status_line(line: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = line.split_at_checked(8)?;
    let version = [&b"HTTP/1.1"[..], b"HTTP/1.0"].into_iter().find(|known| version.eq_ignore_ascii_case(known))?;
    let (status, reason) = rest.trim_ascii_start().split_at_checked(3)?;
    let is_clear = rest.first().is_some_and(|byte| is_blank(*byte))
        && status.iter().all(u8::is_ascii_digit)
        && !reason.first().is_some_and(u8::is_ascii_digit)
        && !rest.contains(&b'\r');
    let reason = if is_value(reason) { reason.trim_ascii() } else { b"" };
    is_clear.then(|| [version, b" ", status, b" ", reason].concat())
}

/// The letters of some text, in lower case.
fn letters<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let all = lines.into_iter().flatten().filter(|byte| byte.is_ascii_alphabetic());
    all.map(u8::to_ascii_lowercase).collect()
}

const FRAMING: [&[u8]; 2] = [b"contentlength", b"transferencoding"];

fn is_framing(name: &[u8]) -> bool {
    FRAMING.contains(&letters([name]).as_slice())
}

/// True if a line could be read as a field about the length of the body.
fn looks_like_framing(line: &[u8]) -> bool {
    memchr(b':', line).is_some_and(|end| is_framing(&line[..end]))
}

/// True if the words of such a field stand anywhere in these lines.
fn mentions_framing(lines: &[&[u8]]) -> bool {
    let letters = letters(lines.iter().copied());
    FRAMING.iter().any(|name| letters.windows(name.len()).any(|part| part == *name))
}

/// The name of a field, or the first word of a line that has none, for the log: values may be secret.
fn shown_name(line: &[u8]) -> String {
    let end = memchr(b':', line).or_else(|| line.iter().position(|byte| is_blank(*byte) || *byte == b'='));
    shown(line, end.unwrap_or(line.len()))
}

fn shown(line: &[u8], end: usize) -> String {
    line[..end.min(48)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
