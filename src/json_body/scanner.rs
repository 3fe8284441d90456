//! Strict check of JSON values in one pass: the text is held against the grammar (RFC 8259), and nothing is built.
//!
//! Only the names of the objects that are open are kept, to find one that stands there twice.

use super::scalar::{number, string, unescaped, word};
use super::{DEEPEST, JsonFault};

/// Up to so many names are compared each with each; more are sorted.
const FEW_NAMES: usize = 8;

/// A check of the values in a text.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    /// The names of all objects that are open, as they are written, with their quotation marks.
    names: Vec<&'a [u8]>,
    /// What is wrong, where that is not the grammar.
    fault: JsonFault,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, names: Vec::new(), fault: JsonFault::NotJson }
    }

    /// Checks the value at `at`, which stands `depth` levels deep. Returns the offset behind it.
    pub(super) fn value(&mut self, at: usize, depth: usize) -> Result<usize, JsonFault> {
        self.skip(at, depth).ok_or(self.fault)
    }

    /// The same; `None` where there is a fault.
    #[inline(always)]
    fn skip(&mut self, at: usize, depth: usize) -> Option<usize> {
        let (first, start) = token(self.text, at);
        match first {
            b'"' => string(self.text, start).map(|(end, _)| end),
            b'{' => self.object(start + 1, depth),
            b'[' => self.array(start + 1, depth),
            b'-' | b'0'..=b'9' => number(self.text, start),
            b't' => word(self.text, start, b"true"),
            b'f' => word(self.text, start, b"false"),
            b'n' => word(self.text, start, b"null"),
            _ => None,
        }
    }

    fn refuse(&mut self, fault: JsonFault) -> Option<usize> {
        self.fault = fault;
        None
    }

    fn array(&mut self, mut at: usize, depth: usize) -> Option<usize> {
        if depth == DEEPEST {
            return self.refuse(JsonFault::TooDeep);
        }
        if let (b']', end) = token(self.text, at) {
            return Some(end + 1);
        }
        loop {
            at = self.skip(at, depth + 1)?;
            match token(self.text, at) {
                (b',', comma) => at = comma + 1,
                (b']', end) => return Some(end + 1),
                _ => return None,
            }
        }
    }

    fn object(&mut self, mut at: usize, depth: usize) -> Option<usize> {
        if depth == DEEPEST {
            return self.refuse(JsonFault::TooDeep);
        }
        if let (b'}', end) = token(self.text, at) {
            return Some(end + 1);
        }
        let first = self.names.len();
        let mut any_escaped = false;
        loop {
            let name = name(self.text, at)?;
            self.names.push(name.written);
            any_escaped |= name.is_escaped;
            at = self.skip(name.value, depth + 1)?;
            match token(self.text, at) {
                (b',', comma) => at = comma + 1,
                (b'}', end) => {
                    return match self.end_object(first, any_escaped) {
                        Ok(()) => Some(end + 1),
                        Err(fault) => self.refuse(fault),
                    };
                }
                _ => return None,
            }
        }
    }

    fn end_object(&mut self, first: usize, any_escaped: bool) -> Result<(), JsonFault> {
        let names = &mut self.names[first..];
        if any_escaped {
            let mut names = names.iter().map(|name| unescaped(name)).collect::<Result<Vec<_>, _>>()?;
            unrepeated(&mut names)?;
        } else {
            unrepeated(names)?;
        }
        self.names.truncate(first);
        Ok(())
    }
}

/// The name of a member.
pub(super) struct Name<'a> {
    /// With its quotation marks.
    pub(super) written: &'a [u8],
    pub(super) is_escaped: bool,
    /// Offset behind the colon.
    pub(super) value: usize,
}

/// Reads the name of a member; `None` where there is none.
#[inline(always)]
pub(super) fn name(text: &[u8], at: usize) -> Option<Name<'_>> {
    let (b'"', start) = token(text, at) else { return None };
    let (end, is_escaped) = string(text, start)?;
    let (b':', colon) = token(text, end) else { return None };
    Some(Name { written: &text[start..end], is_escaped, value: colon + 1 })
}

/// The next byte that is not blank, and its offset. At the end 0, which stands in no JSON text.
#[inline(always)]
pub(super) fn token(text: &[u8], mut at: usize) -> (u8, usize) {
    while let Some(byte) = text.get(at) {
        if *byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return (*byte, at);
        }
        at += 1;
    }
    (0, at)
}

/// Refuses names of which one is there twice. Many are sorted, so that it stays cheap.
pub(super) fn unrepeated<T: Ord>(names: &mut [T]) -> Result<(), JsonFault> {
    let is_any_repeated = if names.len() <= FEW_NAMES {
        names.iter().enumerate().any(|(count, name)| names[..count].contains(name))
    } else {
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    };
    if is_any_repeated { Err(JsonFault::Repeated) } else { Ok(()) }
}
