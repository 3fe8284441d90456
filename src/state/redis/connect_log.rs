//! Why connecting failed, address by address: the first failure, each other reason, and the same one now and then.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::mutex::locked;

/// How often the same reason is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// What was last said of each address.
#[derive(Debug, Default)]
pub(super) struct ConnectLog {
    said: Mutex<HashMap<String, Said>>,
    /// Nothing is said.
    is_silent: bool,
}

#[derive(Debug)]
struct Said {
    reason: String,
    at: Instant,
    /// How many attempts have failed in the same way since.
    since: u64,
}

impl ConnectLog {
    /// One for whoever says the outcome itself.
    pub(super) fn silent() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    /// An attempt failed.
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

    /// There is a connection to this address: what fails from here on is new.
    pub(super) fn succeeded(&self, address: &str) {
        locked(&self.said).remove(address);
    }
}
