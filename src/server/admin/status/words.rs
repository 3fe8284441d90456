//! What the word of a refusal means, and what to do about it.

use crate::refusal::Refusal;

/// Cause and fix of the refusal with this word.
pub(super) fn cause_and_fix(word: &str) -> (String, String) {
    let known = Refusal::from_word(word).map(|refusal| (refusal.cause(), refusal.fix()));
    let (cause, fix) = known.unwrap_or(("a refusal of another version", "see docs/refusals.md"));
    (cause.to_owned(), fix.to_owned())
}
