//! Each word of the closed set of refusals, provoked from outside: the same word in the access log, in the metrics and in
//! docs/refusals.md, and nothing of it for the caller but code and request id.

mod backend;
mod client_assertion;
mod client_token;
mod credentials;
mod customer_token;
mod dpop;
mod http;
mod login;
mod oauth;
mod own_resources;
mod security_event;

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::harness::*;

/// The words that the tests of each file provoke: each test ends by comparing its own list with what it has seen.
const PROVOKED: [&[&[&str]]; 11] = [
    backend::WORDS,
    client_assertion::WORDS,
    client_token::WORDS,
    credentials::WORDS,
    customer_token::WORDS,
    dpop::WORDS,
    http::WORDS,
    login::WORDS,
    oauth::WORDS,
    own_resources::WORDS,
    security_event::WORDS,
];

/// The words that nothing outside provokes, and why they stay in the set all the same.
const NOT_PROVOKED: [(&str, &str); 1] = [(
    "internal",
    "a fault of the gateway itself: whatever provoked it would be mended, and the next one needs a word",
)];

const PAGE: &str = include_str!("../../../docs/refusals.md");

/// All words: the headings of docs/refusals.md, which a unit test compares with the set itself.
fn documented() -> BTreeSet<&'static str> {
    PAGE.lines().filter_map(|line| line.strip_prefix("### ")).collect()
}

/// The entry of a word.
#[track_caller]
fn entry(word: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n### {word}\n")).unwrap_or_else(|| panic!("no entry {word}"));
    rest.split("\n### ").next().unwrap()
}

/// The words that a test has provoked at one gateway.
struct Provoked<'a> {
    gateway: &'a Gateway,
    seen: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Provoked<'a> {
    fn at(gateway: &'a Gateway) -> Self {
        Self { gateway, seen: RefCell::default() }
    }

    /// This request is refused with this word.
    #[track_caller]
    fn sent(&self, word: &'static str, request: &Request) -> Value {
        self.answered(word, &request.send())
    }

    /// This answer is a refusal with this word; its line of the access log.
    #[track_caller]
    fn answered(&self, word: &'static str, answer: &Response) -> Value {
        let id = answer.header("X-Request-Id").unwrap_or_else(|| panic!("{word}: {:?}", answer.lines));
        let line = self.noted(word, id);
        tells_no_more_than_code_and_request_id(answer, id, &line);
        line
    }

    /// The request with this id was refused with this word, in log, metric and documentation.
    #[track_caller]
    fn noted(&self, word: &'static str, id: &str) -> Value {
        let line = self.gateway.access_line(id);
        assert_eq!(line["refusal"], word, "{line}");
        assert!(self.gateway.metric("wicketgate_requests_total", &[("refusal", word)]) >= 1.0, "{word}");
        let code = line["code"].as_str().unwrap();
        assert!(entry(word).contains(&format!("code {code}, ")), "{word} {code}: {}", entry(word));
        self.seen.borrow_mut().insert(word);
        line
    }

    /// All of these have been provoked, and no others.
    #[track_caller]
    fn are(self, words: &[&'static str]) {
        let expected: BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(self.seen.into_inner(), expected);
    }
}

/// The body is one of the three forms, with nothing else in it: neither the word nor what the backend did.
#[track_caller]
fn tells_no_more_than_code_and_request_id(answer: &Response, id: &str, line: &Value) {
    let text = answer.text();
    let word = line["refusal"].as_str().unwrap();
    // Some words stand in a sentence, or in the `error` of OAuth.
    if word.contains('_') && !["unauthorized_client", "grant_type"].contains(&word) {
        assert!(!answer.everything().contains(word), "{text}");
    }
    if let Some(fault) = line["backend_fault"].as_str() {
        assert!(fault.split(": ").all(|part| !answer.everything().contains(part)), "{fault}: {text}");
    }
    let Ok(body) = serde_json::from_str::<Value>(&text) else {
        assert!(text.is_empty() || text.to_lowercase().starts_with("<!doctype html>"), "{text}");
        return;
    };
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let only = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    if body["error"].is_object() {
        assert_eq!(
            (members(&body), members(&body["error"])),
            (only(&["error"]), only(&["code", "message", "requestId"]))
        );
        assert_eq!((&body["error"]["code"], &body["error"]["requestId"]), (&line["code"], &json!(id)));
    } else if body["error"].is_string() {
        assert_eq!(members(&body), only(&["error", "error_description"]));
    } else {
        assert_eq!(members(&body), only(&["err", "description"]));
    }
}

#[test]
fn every_word_of_the_set_is_provoked_from_outside_or_has_a_reason_why_not() {
    let provoked: Vec<&str> = PROVOKED.into_iter().flatten().copied().flatten().copied().collect();
    let left_out: Vec<&str> = NOT_PROVOKED.iter().map(|(word, _)| *word).collect();
    let covered: BTreeSet<&str> = provoked.iter().chain(&left_out).copied().collect();
    assert!(left_out.iter().all(|word| !provoked.contains(word)), "a word that is provoked needs no reason");
    let words = documented();
    assert!(words.len() > 150);
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (words.difference(&covered).collect(), covered.difference(&words).collect());
    assert!(missing.is_empty(), "neither provoked nor excused: {missing:?}");
    assert!(unknown.is_empty(), "in no set: {unknown:?}");
}
