//! Place of a member in a JSON text.

use super::case_variants::Step;
use super::scalar::unescaped;
use super::scanner::{self, Scanner, token, unrepeated};
use super::{JsonFault, Spellings};

/// Position of a member, or of the place for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Its value, as JSON, from this offset on.
    Here(usize, &'a str),
    /// The member of this step is missing, with those below it.
    Missing {
        step: usize,
        /// Offset behind the brace that opens the object that it belongs to.
        offset: usize,
        /// True if that object has no members.
        is_empty: bool,
    },
    /// There is no document.
    Nowhere,
}

/// Checks a whole text, and finds the member to which the steps lead. Without steps, that is the document.
///
/// # Errors
/// It cannot be read in one way only, or something on the way to the member is not an object.
pub(super) fn find<'a>(text: &'a [u8], steps: &[Step], spellings: Spellings) -> Result<Place<'a>, JsonFault> {
    let (_, start) = token(text, 0);
    if start == text.len() {
        return Ok(Place::Nowhere);
    }
    let mut search = Search { text, scanner: Scanner::new(text), steps, spellings, place: None };
    let end = search.member(start, 0)?;
    let (_, end) = token(text, end);
    if end < text.len() {
        return Err(JsonFault::NotJson);
    }
    search.place.ok_or(JsonFault::NotObject)
}

struct Search<'a, 's> {
    text: &'a [u8],
    scanner: Scanner<'a>,
    steps: &'s [Step],
    spellings: Spellings,
    /// `None`: something on the way is not an object.
    place: Option<Place<'a>>,
}

impl<'a> Search<'a, '_> {
    /// Reads the value of the member to which so many steps have led. Returns the offset behind it.
    fn member(&mut self, at: usize, steps: usize) -> Result<usize, JsonFault> {
        let (first, start) = token(self.text, at);
        self.place = None;
        if steps < self.steps.len() && first == b'{' {
            return self.object(start + 1, steps);
        }
        let end = self.scanner.value(start, steps)?;
        if steps == self.steps.len() {
            let value = std::str::from_utf8(&self.text[start..end]).map_err(|_| JsonFault::NotJson)?;
            self.place = Some(Place::Here(start, value));
        }
        Ok(end)
    }

    /// Reads an object that the step leads into, behind its brace.
    fn object(&mut self, mut at: usize, step: usize) -> Result<usize, JsonFault> {
        let (first, inside) = token(self.text, at);
        let is_empty = first == b'}';
        self.place = Some(Place::Missing { step, offset: at, is_empty });
        if is_empty {
            return Ok(inside + 1);
        }
        let wanted = &self.steps[step];
        let mut names = Vec::new();
        let end = loop {
            let name = scanner::name(self.text, at).ok_or(JsonFault::NotJson)?;
            at = name.value;
            let name = unescaped(name.written)?;
            at = if wanted.name == *name { self.member(at, step + 1)? } else { self.scanner.value(at, step + 1)? };
            names.push(name);
            match token(self.text, at) {
                (b',', comma) => at = comma + 1,
                (b'}', end) => break end + 1,
                _ => return Err(JsonFault::NotJson),
            }
        };
        if self.spellings == Spellings::One && names.iter().any(|name| wanted.is_spelled_otherwise(name)) {
            return Err(JsonFault::OtherSpelling);
        }
        unrepeated(&mut names)?;
        Ok(end)
    }
}
