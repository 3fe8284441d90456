//! Log of failed connections, per address: the first failure, each other reason, and the same reason at intervals.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::mutex::locked;

/// Interval at which the same reason is logged again.
const AGAIN: Duration = Duration::from_secs(60);

/// The last reason logged per address.
#[derive(Debug, Default)]
pub(super) struct ConnectLog {
    said: Mutex<HashMap<String, Said>>,
    /// True if nothing is logged.
    is_silent: bool,
}

#[derive(Debug)]
struct Said {
    reason: String,
    at: Instant,
    /// Attempts that have failed for the same reason since.
    since: u64,
}

impl ConnectLog {
    /// A log that stays silent, for callers that report the outcome themselves.
    pub(super) fn silent() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    /// Logs a failed attempt.
    pub(super) fn failed(&self, address: &str, reason: &dyn Display) {
        if self.is_silent {
            return;
        }
        let reason = reason.to_string();
        let mut all = locked(&self.said);
        let failures = match all.get_mut(address) {
            Some(said) if said.reason == reason && said.at.elapsed() < AGAIN => {
                said.since += 1;
                return;
            }
            known => known.map_or(0, |said| said.since),
        };
        all.insert(address.to_owned(), Said { reason: reason.clone(), at: Instant::now(), since: 0 });
        drop(all);
        tracing::warn!(address, reason, failures, "cannot connect to the state store");
    }

    /// Notes a connection to this address: the next failure is logged at once.
    pub(super) fn succeeded(&self, address: &str) {
        locked(&self.said).remove(address);
    }
}
