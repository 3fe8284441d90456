//! Problems in gateway.yaml and their display: the place, the line with a caret, the remedy.
//!
//! No secret is ever shown: wherever a line is printed, the values of secrets in it are replaced by `…`.

mod source;

use std::fmt::{self, Write as _};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

pub(super) use source::{ConfigText, Mark, SharedSource};

/// More than these are counted, not shown.
const MOST_SHOWN: usize = 100;

/// A problem in gateway.yaml.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The key, such as `routes[0].backend`. Empty for the file as a whole.
    pub path: String,
    /// The fault, in one sentence without secrets.
    pub message: String,
    /// The remedy. May be empty.
    pub help: String,
    width: usize,
    source: SharedSource,
}

impl fmt::Display for Problem {
    /// `error: MESSAGE`, `--> FILE:LINE:COLUMN`, the line with a caret, and the help. Several lines, no colour.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, pointed) = self.source.excerpt(self.line, self.column, self.width);
        let shown_column = line[..pointed.start].chars().count() + 1;
        let title = if self.path.is_empty() || self.message.contains(&self.path) {
            self.message.clone()
        } else {
            format!("{}: {}", shown(&self.path), self.message)
        };
        let snippet = Snippet::source(line).path(self.source.file.as_str()).line_start(self.line);
        let mut group =
            Level::ERROR.primary_title(title).element(snippet.annotation(AnnotationKind::Primary.span(pointed)));
        if !self.help.is_empty() {
            group = group.element(Level::HELP.message(self.help.as_str()));
        }
        let rendered = Renderer::plain().render(&[group]);
        // Where something was hidden or cut off, the column in the file is not the one in the excerpt.
        let place = |column: usize| format!(":{}:{column}\n", self.line);
        formatter.write_str(&rendered.replacen(&place(shown_column), &place(self.column), 1))
    }
}

/// All problems in gateway.yaml.
#[derive(Debug, Clone, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds to the remedy of the last one.
    pub(super) fn add_to_last_help(&mut self, text: &str) {
        self.0.iter_mut().next_back().into_iter().for_each(|problem| problem.help.push_str(text));
    }

    /// Returns whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Count of problems.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of them, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        self.0.extend(problems);
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// All of them in the order of the file, with an empty line between two.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Problem> = self.0.iter().collect();
        sorted.sort_by_key(|problem| (problem.line, problem.column));
        for (index, problem) in sorted.iter().take(MOST_SHOWN).enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        if sorted.len() > MOST_SHOWN {
            write!(formatter, "\n\nand {} more", sorted.len() - MOST_SHOWN)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Text from the file as it may stand in a message: short, on one line, without control characters, and only `…`
/// where it looks like a key or a hash.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    if looks_secret(text) {
        return "…".to_owned();
    }
    let mut shown = String::new();
    for character in text.chars().take(MOST) {
        if character.is_control() {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Returns whether the value at `path` is a secret, or stands where people put one by mistake.
pub(super) fn is_secret(path: &str) -> bool {
    // Below `oauth` are addresses and words, and its secret has a key that says so.
    let path = path.split_once("authorization.oauth.").map_or(path, |(_, below)| below);
    is_not_reference(path) && path.split(['.', '[', ']']).any(is_secret_key)
}

/// Returns whether the values below `key` are secrets, or stand where people put one by mistake.
pub(super) fn is_secret_key(key: &str) -> bool {
    const EXACT: [&str; 9] = ["key", "keys", "value", "bearer", "basic", "authorization", "token", "api_key", "digest"];
    const PARTS: [&str; 5] = ["secret", "passw", "sha256", "hash", "argon"];
    const MISSPELT: [&str; 3] = ["secrets", "sha256", "password"];
    let key = key.to_ascii_lowercase();
    EXACT.contains(&key.as_str()) || PARTS.iter().any(|part| key.contains(part)) || closest(&key, MISSPELT).is_some()
}

/// Returns whether `path` does not end with a key that only references a secret.
pub(super) fn is_not_reference(path: &str) -> bool {
    !["file", "env", "username", "name"].contains(&last_key(path))
}

/// Returns whether `text` looks like a hash, a digest or a key, wherever it stands.
pub(super) fn looks_secret(text: &str) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "+=".contains(character);
    text.contains("$argon2") || text.split(|character| !is_part(character)).any(|word| word.len() >= 32)
}

/// Returns whether `key` stands beside or above a secret in a correct file, and so tells nothing.
pub(super) fn is_key_below_secret(key: &str) -> bool {
    ["file", "env", "basic", "bearer", "header", "username", "password", "name", "value"].contains(&key)
}

fn last_key(path: &str) -> &str {
    path.rsplit(['.', ']']).next().unwrap_or_default()
}

/// The word among `known` that was probably meant by `word`.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    if word.len() > 100 {
        return None;
    }
    let length = word.chars().count();
    // Words differ by what one is longer than the other, at least.
    let may_be_near = |candidate: &&str| candidate.chars().count().abs_diff(length) <= (candidate.len() / 3).max(1) + 1;
    known
        .into_iter()
        .filter(may_be_near)
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Suggestions for names that do not resolve. The count of comparisons is bounded: a large file in which all names are
/// wrong is not worth an hour.
#[derive(Debug)]
pub(super) struct Suggestions {
    /// Count of comparisons left.
    left: usize,
}

impl Default for Suggestions {
    fn default() -> Self {
        Self { left: 200_000 }
    }
}

impl Suggestions {
    /// The name that was probably meant, or all that there are.
    pub(super) fn of(&mut self, name: &str, names: &[&str]) -> String {
        match self.closest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is {}", listed(names.iter().copied())),
        }
    }

    /// The name that was probably meant.
    pub(super) fn closest<'a>(&mut self, name: &str, names: &[&'a str]) -> Option<&'a str> {
        self.left = self.left.checked_sub(names.len()).or_else(|| {
            self.left = 0;
            None
        })?;
        closest(name, names.iter().copied())
    }
}

/// `a`, `b` and `c`; of many only the first.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 60;
    let mut rest = words.into_iter();
    let mut words: Vec<String> = rest.by_ref().take(MOST).map(|word| format!("`{word}`")).collect();
    let others = rest.count();
    if others > 0 {
        words.push(format!("{others} more"));
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}
