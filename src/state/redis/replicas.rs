//! Other replicas that share the state, known by the heartbeats that each sends through it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::mutex::locked;

/// Most replicas that are remembered: whoever writes to the store could name more.
const MOST: usize = 256;

/// Longest name of a replica or host.
const LONGEST: usize = 64;

/// Time without a heartbeat after which a replica is forgotten, in milliseconds.
const FORGOTTEN: u64 = 600_000;

/// Another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Random name of its process.
    pub name: String,
    /// Its host; empty for earlier versions, which do not tell it.
    pub host: String,
    /// Time since its last heartbeat. Replicas that run send one a second or more.
    pub heard_ago: Duration,
}

/// Other replicas, by name: their host, and the time of the last heartbeat in milliseconds since the start.
#[derive(Debug)]
pub(super) struct Replicas {
    /// The host of this process, as it is told to the others.
    pub(super) host: String,
    heard: Mutex<HashMap<String, (String, u64)>>,
}

impl Default for Replicas {
    fn default() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self { host: plain(&host), heard: Mutex::default() }
    }
}

impl Replicas {
    /// Notes a heartbeat at `now`.
    pub(super) fn heard(&self, name: &str, host: &str, now: u64) {
        let mut known = locked(&self.heard);
        if known.len() >= MOST && !known.contains_key(name) {
            known.retain(|_, (_, heard)| now.saturating_sub(*heard) < FORGOTTEN);
        }
        if known.len() < MOST || known.contains_key(name) {
            known.insert(plain(name), (plain(host), now));
        }
    }

    /// Those heard of in the last ten minutes, by host.
    pub(super) fn all(&self, now: u64) -> Vec<Replica> {
        let mut known = locked(&self.heard);
        known.retain(|_, (_, heard)| now.saturating_sub(*heard) < FORGOTTEN);
        let replica = |(name, (host, heard)): (&String, &(String, u64))| {
            let heard_ago = Duration::from_millis(now.saturating_sub(*heard));
            Replica { name: name.clone(), host: host.clone(), heard_ago }
        };
        let mut all: Vec<Replica> = known.iter().map(replica).collect();
        all.sort_by(|one, other| (&one.host, &one.name).cmp(&(&other.host, &other.name)));
        all
    }
}

/// Visible ASCII of a text, cut.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_known_by_their_heartbeats_and_forgotten_without() {
        let replicas = Replicas::default();
        replicas.heard("b", "host-2", 1_000);
        replicas.heard("a", "host-1\u{1b}[31m", 2_000);
        let all = replicas.all(3_000);
        assert_eq!(all.iter().map(|replica| &*replica.host).collect::<Vec<_>>(), ["host-1[31m", "host-2"]);
        assert_eq!(all[1].heard_ago, Duration::from_secs(2));
        assert_eq!(replicas.all(601_500).len(), 1);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let replicas = Replicas::default();
        (0..10_000).for_each(|number| replicas.heard(&format!("r{number}"), &"x".repeat(10_000), number));
        let all = replicas.all(10_000);
        assert_eq!((all.len(), all[0].host.len()), (MOST, LONGEST));
    }
}
