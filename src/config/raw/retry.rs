//! Retries: `routes[].retry`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StatusMatch;
use crate::config::scalar::Duration;

/// Which requests may be sent a second time after a broken connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// Those whose method is idempotent (RFC 9110 section 9.2.2), and those of which nothing was sent.
    #[default]
    Idempotent,
    /// All: the backend can take a POST twice.
    Safe,
    /// Only those of which nothing was sent.
    Never,
}

/// Retries: a word, or also after responses of some statuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryPolicy {
    /// After a broken connection.
    Word(Retry),
    /// After responses of some statuses too.
    Rules(RetryRules),
}

/// Retries after responses of some statuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRules {
    /// Statuses after which the request is sent again, such as [ 502, 503 ] or [ 5xx ].
    pub on: Vec<StatusMatch>,
    /// How many times more it is sent, at most.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// The pause before the first of them, doubled for each further one; up to half of it is left out at random.
    #[serde(default = "default_backoff")]
    pub backoff: Duration,
    /// Requests that are retried, after a broken connection too: `idempotent` or `safe`.
    #[serde(default)]
    pub requests: RetriedRequests,
}

/// Which requests are sent again after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RetriedRequests {
    /// Those whose method is idempotent (RFC 9110 section 9.2.2).
    #[default]
    Idempotent,
    /// All: the backend can take a POST twice.
    Safe,
}

fn default_attempts() -> u32 {
    2
}

fn default_backoff() -> Duration {
    Duration::millis(100)
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Word(Retry::default())
    }
}

impl RetryPolicy {
    /// Requests that may be sent a second time.
    pub fn requests(&self) -> Retry {
        match self {
            Self::Word(word) => *word,
            Self::Rules(rules) => match rules.requests {
                RetriedRequests::Idempotent => Retry::Idempotent,
                RetriedRequests::Safe => Retry::Safe,
            },
        }
    }

    /// Retries after responses of some statuses.
    pub fn rules(&self) -> Option<&RetryRules> {
        match self {
            Self::Word(_) => None,
            Self::Rules(rules) => Some(rules),
        }
    }
}
