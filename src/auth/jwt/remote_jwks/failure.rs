//! A fetch that gave no keys.

use std::time::Duration;

use serde_json::Value;

use crate::fetch::FetchFault;

/// The failure of a fetch.
#[derive(Debug)]
pub(super) struct FetchFailure {
    /// The word for metrics.
    pub(super) word: &'static str,
    /// A sentence.
    pub(super) message: String,
    /// The time after which the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
    /// The JWKs of a set of which none is of use.
    pub(super) listed: Vec<Value>,
}

impl FetchFailure {
    /// The document at this address is not what it should be.
    pub(super) fn of_document(word: &'static str, url: &str, message: &str) -> Self {
        Self { word, message: format!("{url}: {message}"), retry_after: None, listed: Vec::new() }
    }

    /// Nothing came from this address.
    pub(super) fn of_fetch(url: &str, fault: &FetchFault) -> Self {
        let retry_after = match fault {
            FetchFault::Busy { retry_after, .. } => Some(*retry_after),
            _ => None,
        };
        Self { retry_after, ..Self::of_document(fault.as_str(), url, &fault.to_string()) }
    }
}
