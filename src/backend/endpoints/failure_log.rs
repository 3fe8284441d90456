//! What the log says of a server that fails: the first failure at once, then one line a second at most, and one line when
//! it works again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::log_throttle::LogThrottle;

/// The trouble with one server, from its first failure until it works again. Times are those of [`millis`](crate::backend::clock::millis).
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Since when; 0: there is none.
    since: AtomicU64,
    failures: AtomicU64,
    /// Whether the log has a line of it.
    is_said: AtomicBool,
    throttle: LogThrottle,
}

impl Trouble {
    /// One more failure: how many lines were left out, where this one may be written.
    pub(super) fn failed(&self, now: u64) -> Option<u64> {
        self.begin(now);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.throttle.allow().inspect(|_| self.is_said.store(true, Ordering::Relaxed))
    }

    /// It begins, unless it has.
    pub(super) fn begin(&self, now: u64) {
        let _ = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// True from the first failure to the end.
    pub(super) fn is_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// The log has a line of it from elsewhere.
    pub(super) fn note_said(&self) {
        self.is_said.store(true, Ordering::Relaxed);
    }

    /// It is over: how long it was and how many requests failed, where the log has said that it began.
    pub(super) fn end(&self, now: u64) -> Option<(Duration, u64)> {
        let since = self.since.swap(0, Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed);
        let is_said = self.is_said.swap(false, Ordering::Relaxed);
        (since != 0 && is_said).then(|| (Duration::from_millis(now.saturating_sub(since)), failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_has_one_beginning_and_one_end_however_many_requests_fail() {
        let trouble = Trouble::default();
        assert_eq!(trouble.end(5), None);
        assert_eq!(trouble.failed(1_000), Some(0), "the first one is said at once");
        let said = (0..50).filter(|_| trouble.failed(1_500).is_some()).count();
        assert!(said <= 1, "{said}");
        assert!(trouble.is_on());
        assert_eq!(trouble.end(4_000), Some((Duration::from_secs(3), 51)));
        assert!(!trouble.is_on() && trouble.end(4_001).is_none());
    }

    #[test]
    fn the_end_of_what_was_never_said_is_not_said_either() {
        let trouble = Trouble::default();
        while trouble.throttle.allow().is_some() {}
        // Within the same second, mostly: where not, it is said from the beginning to the end.
        let is_said = trouble.failed(1_000).is_some();
        assert_eq!(trouble.end(2_000).is_some(), is_said);
    }
}
