//! The blocks of a text: each from its BEGIN to its END, whatever stands between them.

use memchr::memmem::find;
use zeroize::Zeroizing;

use super::Fault;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const HYPHENS: &[u8] = b"-----";

/// A block.
pub(super) struct Block<'t> {
    /// `CERTIFICATE` and the like.
    pub(super) label: &'t str,
    /// The line in which it begins, from 1.
    pub(super) line: usize,
    body: &'t [u8],
}

impl Block<'_> {
    /// Returns whether a password is needed to read it (RFC 7468 section 11, RFC 1421 section 4.6.1.1).
    pub(super) fn is_encrypted(&self) -> bool {
        self.label == "ENCRYPTED PRIVATE KEY" || find(self.body, b"Proc-Type: 4,ENCRYPTED").is_some()
    }

    /// The block alone, as every program reads it, with this label.
    pub(super) fn plain(&self, label: &str) -> Zeroizing<Vec<u8>> {
        let mut pem = Zeroizing::new(Vec::with_capacity(self.body.len() + 2 * label.len() + 64));
        pem.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        pem.extend(self.body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        pem.extend_from_slice(format!("\n-----END {label}-----\n").as_bytes());
        pem
    }
}

/// All blocks of a text. One that begins and cannot be read is an error, and not text between the others; lines that
/// begin with `#` are comments.
pub(super) fn read(text: &[u8]) -> Result<Vec<Block<'_>>, Fault> {
    let mut blocks = Vec::new();
    let (mut at, mut line, mut counted) = (0, 1, 0);
    while let Some(offset) = find(&text[at..], BEGIN) {
        let begin = at + offset;
        line += line_breaks(text, counted, begin);
        counted = begin;
        let before = between(text, at, begin);
        if before.trim_ascii_start().starts_with(b"#") {
            at = begin + BEGIN.len();
            continue;
        }
        begins_alone(before, line)?;
        no_broken_begin(text, at, begin)?;
        let (block, end) = block(text, begin, line)?;
        blocks.push(block);
        at = end;
    }
    no_broken_begin(text, at, text.len())?;
    Ok(blocks)
}

/// What stands before a place in its line, and behind the last block.
fn between(text: &[u8], last: usize, place: usize) -> &[u8] {
    let line = text[..place].iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |at| at + 1);
    &text[line.max(last)..place]
}

/// The number of line breaks from one place to another: `\n`, `\r\n` or `\r`.
fn line_breaks(text: &[u8], from: usize, to: usize) -> usize {
    (from..to).filter(|at| text[*at] == b'\n' || (text[*at] == b'\r' && text.get(at + 1) != Some(&b'\n'))).count()
}

fn begins_alone(before: &[u8], line: usize) -> Result<(), Fault> {
    if before.trim_ascii().is_empty() {
        return Ok(());
    }
    let message = format!("in line {line} something stands before -----BEGIN");
    Err((message, "let each BEGIN begin a line, and write real line breaks where there is \\n".to_owned()))
}

/// The block that begins here, and the place behind it.
fn block(text: &[u8], begin: usize, line: usize) -> Result<(Block<'_>, usize), Fault> {
    let from = begin + BEGIN.len();
    let length = find(&text[from..], HYPHENS).ok_or_else(|| bad_begin(line))?;
    let label = std::str::from_utf8(&text[from..from + length]).map_err(|_| bad_begin(line))?;
    let is_label = |letter: u8| letter.is_ascii_graphic() || letter == b' ';
    if label.is_empty() || !label.bytes().all(is_label) {
        return Err(bad_begin(line));
    }
    let body = from + length + HYPHENS.len();
    let damaged = |what: &str| {
        let message = format!("the {label} that begins in line {line} {what}");
        Err((message, "the file is damaged or was cut off: copy it again".to_owned()))
    };
    let Some(end) = find(&text[body..], END).map(|offset| body + offset) else { return damaged("has no END line") };
    if find(&text[body..end], BEGIN).is_some() {
        return damaged("has no END line before the next BEGIN");
    }
    let behind = [END, label.as_bytes(), HYPHENS].concat();
    if !text[end..].starts_with(&behind) {
        return damaged("ends as something else");
    }
    Ok((Block { label, line, body: &text[body..end] }, end + behind.len()))
}

fn bad_begin(line: usize) -> Fault {
    (
        format!("line {line} is not a whole BEGIN line"),
        "write it like -----BEGIN CERTIFICATE-----, with five hyphens on both sides".to_owned(),
    )
}

/// Refuses lines between blocks that look like a BEGIN to people, and to no program: too few hyphens, or the dashes of a
/// word processor.
fn no_broken_begin(text: &[u8], from: usize, to: usize) -> Result<(), Fault> {
    let mut place = from;
    for line in text[from..to].split(|byte| matches!(byte, b'\n' | b'\r')) {
        let trimmed = line.trim_ascii_start();
        let is_dashed =
            [&b"-"[..], "\u{2013}".as_bytes(), "\u{2014}".as_bytes()].iter().any(|dash| trimmed.starts_with(dash));
        if is_dashed && find(trimmed, b"BEGIN").is_some() {
            return Err(bad_begin(1 + line_breaks(text, 0, place)));
        }
        place += line.len() + 1;
    }
    Ok(())
}
