//! What the word of a refusal means, and what to do about it.

/// Cause and fix of the refusal with this word.
pub(super) fn cause_and_fix(word: &str) -> (String, String) {
    (format!("see `{word}` in docs/refusals.md"), "see docs/refusals.md".to_owned())
}
