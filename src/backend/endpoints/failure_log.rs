//! Log of a server's outage: its first failure at once, then at most one line a second, and one line at recovery.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::log_throttle::LogThrottle;

/// Outage of one server, from its first failure to recovery. Times are those of
/// [`millis`](crate::backend::clock::millis).
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Start; 0: no outage.
    since: AtomicU64,
    failures: AtomicU64,
    /// True if the log has a line of it.
    is_said: AtomicBool,
    throttle: LogThrottle,
}

impl Trouble {
    /// Counts a failure; returns the count of suppressed lines if this one may be logged.
    pub(super) fn failed(&self, now: u64) -> Option<u64> {
        self.begin(now);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.throttle.allow().inspect(|_| self.is_said.store(true, Ordering::Relaxed))
    }

    /// Begins the outage, unless it has begun.
    pub(super) fn begin(&self, now: u64) {
        let _ = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// True from the first failure to recovery.
    pub(super) fn is_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// Notes that the caller has logged the outage.
    pub(super) fn note_said(&self) {
        self.is_said.store(true, Ordering::Relaxed);
    }

    /// Ends the outage; returns its duration and failed requests if its beginning was logged.
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
