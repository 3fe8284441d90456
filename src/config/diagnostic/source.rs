//! The text of gateway.yaml, and how a line of it may be shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::super::schema;
use super::{Problem, is_secret, looks_secret};

/// Characters of a line that are shown on each side of the place, where it is very long.
const LINE_MARGIN: usize = 100;

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Mark {
    /// Counted from 1.
    pub(in crate::config) line: usize,
    /// In characters, counted from 1.
    pub(in crate::config) column: usize,
    /// The first byte in the file.
    pub(in crate::config) start: usize,
    /// The byte after the last.
    pub(in crate::config) end: usize,
}

impl Mark {
    pub(in crate::config) const START: Self = Self { line: 1, column: 1, start: 0, end: 0 };

    pub(in crate::config) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// The text of gateway.yaml, shared by all problems found in it.
pub(in crate::config) struct ConfigText {
    pub(super) file: String,
    text: String,
    line_starts: Vec<usize>,
    /// The bytes that hold secrets. Until they are known, no value is shown at all.
    hidden: OnceLock<Vec<Range<usize>>>,
}

pub(in crate::config) type SharedSource = Arc<ConfigText>;

impl ConfigText {
    pub(in crate::config) fn new(text: &str, file: &Path) -> SharedSource {
        let bytes = text.as_bytes();
        let breaks = bytes.iter().enumerate().filter_map(|(index, byte)| {
            let ends_line = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
            ends_line.then_some(index + 1)
        });
        Arc::new(Self {
            file: file.display().to_string(),
            line_starts: std::iter::once(0).chain(breaks).collect(),
            text: text.to_owned(),
            hidden: OnceLock::new(),
        })
    }

    pub(in crate::config) fn text(&self) -> &str {
        &self.text
    }

    /// The text at `mark`.
    pub(in crate::config) fn written_at(&self, mark: Mark) -> &str {
        self.text.get(mark.range()).unwrap_or_default()
    }

    /// Says where the secrets are.
    pub(in crate::config) fn hide(&self, secrets: Vec<Range<usize>>) {
        let _ = self.hidden.set(secrets);
    }

    pub(in crate::config) fn problem(
        self: &Arc<Self>,
        path: &str,
        mark: Mark,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        Problem {
            line: mark.line,
            column: mark.column,
            path: path.to_owned(),
            message: message.into(),
            help: help.into(),
            width: mark.end.saturating_sub(mark.start),
            source: Arc::clone(self),
        }
    }

    /// The bytes of a line that are not shown: `start` is the first byte of the line in the file, `pointed` the place in
    /// it.
    fn hidden_in(&self, line: &str, start: usize, pointed: Range<usize>) -> Vec<Range<usize>> {
        let end = start + line.len();
        let Some(secrets) = self.hidden.get() else { return values_in(line) };
        let hidden: Vec<Range<usize>> = secrets
            .iter()
            .filter(|range| range.start < end && range.end > start)
            .map(|range| range.start.saturating_sub(start)..range.end - start)
            .collect();
        if hidden.is_empty() && !looks_secret(line) {
            return comment_beside_secret(line).into_iter().collect();
        }
        // Beside a secret, an anchor or a tag may repeat it; a comment may hold an old one. The key that a problem is about
        // is in its message too.
        let is_shown = |range: &Range<usize>| pointed.start <= range.start && range.end <= pointed.end;
        let is_key = is_plain_key(line, pointed.clone());
        let beside = values_in(line).into_iter().filter(|range| !(is_key && is_shown(range)));
        hidden.iter().cloned().chain(beside).collect()
    }

    /// The line as it may be shown, and the bytes in it to point at.
    pub(super) fn excerpt(&self, line: usize, column: usize, width: usize) -> (String, Range<usize>) {
        let index = line.saturating_sub(1).min(self.line_starts.len() - 1);
        let start = self.line_starts[index];
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        let line = self.text[start..end].trim_end_matches(['\n', '\r']);
        let from = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(byte, _)| byte);
        let to = line.len().min(from + width.max(1));

        let hidden = self.hidden_in(line, start, from..to);
        let first_shown = line[..from].char_indices().rev().nth(LINE_MARGIN).map_or(0, |(byte, _)| byte);
        let mut shown = String::new();
        let mut pointed = None;
        let mut pointed_end = None;
        let mut inside = false;
        for (byte, character) in line[first_shown..].char_indices().take(3 * LINE_MARGIN) {
            let byte = first_shown + byte;
            if byte >= from {
                pointed.get_or_insert(shown.len());
            }
            if byte >= to {
                pointed_end.get_or_insert(shown.len());
            }
            match (hidden.iter().any(|range| range.contains(&byte)), inside) {
                (true, true) => {}
                (true, false) => {
                    inside = true;
                    // The place may lie behind the first hidden byte: then it is pointed at as a whole.
                    shown.push('…');
                }
                (false, _) => {
                    inside = false;
                    shown.push(character);
                }
            }
        }
        let pointed = pointed.unwrap_or(shown.len());
        let pointed_end = pointed_end.unwrap_or(shown.len());
        if pointed == shown.len() {
            // A place at the very end of the line is the one behind it.
            shown.push(' ');
        }
        let mut after = pointed_end.max(pointed + 1).min(shown.len());
        while !shown.is_char_boundary(after) {
            after += 1;
        }
        (shown, pointed.min(after - 1)..after)
    }
}

impl fmt::Debug for ConfigText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Source({})", self.file)
    }
}

/// Returns whether `pointed` is a short word, in quotes or not, that is the key of what follows.
fn is_plain_key(line: &str, pointed: Range<usize>) -> bool {
    const LONGEST: usize = 40;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-\"'".contains(&byte);
    let (Some(key), Some(rest)) = (line.get(pointed.clone()), line.get(pointed.end..)) else { return false };
    key.len() <= LONGEST && key.bytes().all(is_word) && !looks_secret(key) && rest.starts_with(':')
}

/// The comment of a line whose key is one of a secret.
fn comment_beside_secret(line: &str) -> Option<Range<usize>> {
    let key = line.trim_start_matches([' ', '-']).split(':').next()?;
    let comment = line.find(" #")?;
    is_secret(key).then_some(comment + 1..line.len())
}

/// All of a line that is neither structure nor a key of gateway.yaml.
fn values_in(line: &str) -> Vec<Range<usize>> {
    let is_structure = |character: char| character.is_whitespace() || "-:,[]{}\"'#&*|>".contains(character);
    let mut ranges = Vec::new();
    let mut rest = 0;
    while rest < line.len() {
        let start = rest + line[rest..].find(|character| !is_structure(character)).unwrap_or(line.len() - rest);
        let end = start + line[start..].find(is_structure).unwrap_or(line.len() - start);
        let is_key = line[end..].starts_with(':') && schema::is_key(&line[start..end]);
        if start < end && !is_key {
            ranges.push(start..end);
        }
        rest = end;
    }
    ranges
}
