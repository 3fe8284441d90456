//! One event of the audit log: what happened, with which outcome, and what it was about. It never holds a secret or the
//! name of a customer, only opaque identifiers.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::secret::has_secret_shape;

/// Longest text of a detail, in characters.
const LONGEST: usize = 256;

/// Most details of an event.
const MOST: usize = 24;

/// An event that goes into the audit log.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    pub(super) name: &'static str,
    pub(super) outcome: Cow<'static, str>,
    pub(super) details: Map<String, Value>,
    /// The name under which more of these than some in a second are counted together.
    pub(super) counted_as: Option<&'static str>,
}

impl AuditEvent {
    /// An event of this name, such as `reload`. The outcome is `ok`, or the word that says why it failed.
    pub fn new(name: &'static str, outcome: impl Into<Cow<'static, str>>) -> Self {
        Self { name, outcome: outcome.into(), details: Map::new(), counted_as: None }
    }

    /// The same, which has failed.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.outcome = Cow::Borrowed("failed");
        self
    }

    /// With a detail. What has the shape of a secret is masked, and long texts are cut.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        if self.details.len() < MOST {
            self.details.insert(key.to_owned(), shown(value.into()));
        }
        self
    }

    /// With a detail, where there is one.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Done by whoever has the operator's token (`admin.token`).
    #[must_use]
    pub fn by_token(self) -> Self {
        self.with("actor", "operator_token")
    }

    /// Done by an operator of this machine: the user and the process, as the kernel names them.
    #[must_use]
    pub fn by_operator(self, uid: Option<u32>, pid: Option<i32>) -> Self {
        self.with("actor", "operator").with_some("uid", uid).with_some("pid", pid)
    }

    /// Provoked by anybody who likes: where there are many in a second, they are counted together under this name.
    #[must_use]
    pub fn counted_as(mut self, name: &'static str) -> Self {
        self.counted_as = Some(name);
        self
    }
}

fn shown(value: Value) -> Value {
    match value {
        Value::String(text) if has_secret_shape(&text) => "(a secret)".into(),
        Value::String(text) if text.chars().count() > LONGEST => {
            let cut: String = text.chars().take(LONGEST).collect();
            format!("{cut}...").into()
        }
        Value::Array(values) => values.into_iter().take(MOST).map(shown).collect(),
        Value::Object(_) => Value::Null,
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_in_no_event_and_no_event_is_long() {
        let event = AuditEvent::new("test", "ok")
            .with("token", "eyJhbGciOi.eyJpc3Mi.sig")
            .with("all", vec!["wgr_abc", "t1-x"])
            .with("long", "x".repeat(5_000));
        let text = Value::from(event.details).to_string();
        assert!(!text.contains("eyJ") && !text.contains("wgr_abc") && text.contains("t1-x"), "{text}");
        assert!(text.len() < 400, "{text}");
    }
}
