//! Steps of one explanation, noted by the checks themselves. A request that nobody explains costs a branch.

use std::cell::RefCell;

use super::{CheckStep, StepVerdict};
use crate::secret::has_secret_shape;

/// Longest text of a caller that is shown, in characters.
const LONGEST_SHOWN: usize = 100;

/// Longest text of a step, in bytes: a thousand explanations are kept.
const LONGEST_TEXT: usize = 400;

/// The steps so far.
#[derive(Debug, Default)]
pub struct CheckTrace {
    steps: RefCell<Vec<CheckStep>>,
    /// The store may be asked for a session: a read, which waits for the network.
    pub asks_store: bool,
}

impl CheckTrace {
    /// An empty one; `asks_store`: the store may be asked for a session.
    pub fn new(asks_store: bool) -> Self {
        Self { asks_store, ..Self::default() }
    }

    /// The number of steps.
    pub fn count(&self) -> usize {
        self.steps.borrow().len()
    }

    /// Forgets all steps but the first so many: the check begins again there.
    pub fn rewind(&self, count: usize) {
        self.steps.borrow_mut().truncate(count);
    }

    /// Takes all steps.
    pub fn take(&self) -> Vec<CheckStep> {
        self.steps.take()
    }
}

/// Receives the steps of a check; off unless the request is explained.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepSink<'t> {
    trace: Option<&'t CheckTrace>,
    /// The check of which all are a part, such as `client_token`.
    within: &'static str,
}

/// What a check wanted and saw.
#[derive(Debug)]
pub struct StepDetail {
    wanted: String,
    saw: String,
    key: Option<String>,
}

impl StepDetail {
    /// What was wanted, and what was seen: masked.
    pub fn new(wanted: impl Into<String>, saw: impl Into<String>) -> Self {
        Self { wanted: wanted.into(), saw: saw.into(), key: None }
    }

    /// Decided by this place of gateway.yaml: a JSON pointer, in which an entry of a list may go by its name.
    pub fn at(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }
}

impl<'t> StepSink<'t> {
    /// One that goes to this trace, if there is one.
    pub fn to(trace: Option<&'t CheckTrace>) -> Self {
        Self { trace, within: "" }
    }

    /// One that takes nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// The same for the parts of this check.
    pub fn within(self, check: &'static str) -> Self {
        Self { within: check, ..self }
    }

    /// Returns whether the request is explained: then nothing may have an effect.
    pub fn is_on(self) -> bool {
        self.trace.is_some()
    }

    /// Notes a check that was met or not.
    pub fn note(self, check: &str, is_met: bool, detail: impl FnOnce() -> StepDetail) {
        self.add(check, if is_met { StepVerdict::Passed } else { StepVerdict::Refused }, detail);
    }

    /// Notes a check that was not met.
    pub fn refuse(self, check: &str, detail: impl FnOnce() -> StepDetail) {
        self.add(check, StepVerdict::Refused, detail);
    }

    /// Notes a check that could not be made here.
    pub fn skip(self, check: &str, detail: impl FnOnce() -> StepDetail) {
        self.add(check, StepVerdict::Skipped, detail);
    }

    fn add(self, check: &str, verdict: StepVerdict, detail: impl FnOnce() -> StepDetail) {
        let Some(trace) = self.trace else { return };
        let StepDetail { wanted, saw, key } = detail();
        let check = match (self.within, check) {
            ("", check) => check.to_owned(),
            (within, "") => within.to_owned(),
            (within, check) => format!("{within}.{check}"),
        };
        let (wanted, saw) = (bounded(wanted), bounded(saw));
        trace.steps.borrow_mut().push(CheckStep { check, verdict, wanted, saw, key, line: None });
    }
}

/// A text of a caller as it is shown: short, on one line, and without anything that looks like a secret.
pub fn shown(text: &str) -> String {
    if has_secret_shape(text) {
        return format!("(secret, {} characters)", text.chars().count());
    }
    let mut shown: String = text
        .chars()
        .take(LONGEST_SHOWN)
        .map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })
        .collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push_str("...");
    }
    text
}

/// A time span for people, of so many seconds: `3 min 12 s`, `2 d 4 h`.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(length, _)| seconds >= *length) else { return "0 s".to_owned() };
    let (length, name) = units[first];
    let mut text = format!("{} {name}", seconds / length);
    if let Some((next, name)) = units.get(first + 1)
        && seconds % length / next > 0
    {
        text.push_str(&format!(" {} {name}", seconds % length / next));
    }
    text
}

/// One step of a JSON pointer: a name as RFC 6901 section 3 has it.
pub fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (192, "3 min 12 s"), (3_600, "1 h"), (187_200, "2 d 4 h"), (86_405, "1 d")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn nothing_is_made_where_nobody_asks() {
        StepSink::off().note("x", true, || unreachable!("a detail that nobody reads"));
        let trace = CheckTrace::default();
        let steps = StepSink::to(Some(&trace)).within("token");
        steps.note("aud", false, || StepDetail::new("a", "b").at("/issuer"));
        steps.note("", true, || StepDetail::new("a", "b"));
        let taken = trace.take();
        assert_eq!((taken[0].check.as_str(), taken[1].check.as_str()), ("token.aud", "token"));
        assert_eq!(taken[0].key.as_deref(), Some("/issuer"));
    }

    #[test]
    fn a_callers_text_is_short_and_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}"), "a?b?");
        assert_eq!(shown(&"x".repeat(500)).len(), LONGEST_SHOWN + 3);
        assert!(shown("eyJhbGciOiJIUzI1NiJ9.eyJh.xx").starts_with("(secret"));
    }
}
