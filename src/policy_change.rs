//! One change that another configuration makes: what `wicketgate plan`, the log of a reload and the status page tell.

use serde::{Deserialize, Serialize};

/// The part of the configuration that a change is about, in the order in which changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeSubject {
    /// The identifiers by which backends know customers.
    Identifiers,
    /// Requests of before that would get another answer.
    Calls,
    /// Routes, and what they require.
    Routes,
    /// Clients and API keys.
    Callers,
    /// Issuers of tokens, this gateway among them.
    Issuers,
    /// Rate limits, quotas, sizes and times.
    Limits,
    /// Backends and their servers.
    Backends,
    /// Listeners and their certificates.
    Listeners,
    /// What a reload does not take over.
    Restart,
    /// Everything else.
    Other,
}

/// One change. No secret and no value of a request stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// The change, in a sentence, such as `route profile loses the scope profile:read`.
    pub what: String,
    /// True if callers lose access or protection, or backends would know customers by other names.
    pub danger: bool,
    /// The value before; `None` if there was none.
    pub before: Option<String>,
    /// The value after; `None` if there is none.
    pub after: Option<String>,
    /// The part of the configuration.
    pub about: ChangeSubject,
    /// The number of requests of the last hour that are concerned, where requests were replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
}

impl PolicyChange {
    /// A change of which only the sentence is told.
    pub fn new(about: ChangeSubject, danger: bool, what: String) -> Self {
        Self { what, danger, before: None, after: None, about, calls: None }
    }

    /// The same, with the values before and after.
    #[must_use]
    pub fn from_to(mut self, before: Option<String>, after: Option<String>) -> Self {
        (self.before, self.after) = (before, after);
        self
    }
}
