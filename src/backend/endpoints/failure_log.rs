//! What the log says of a server that fails: the first failure at once, then one line a second at most, and one line when
//! it works again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::endpoint_status::Standing;
use crate::backend::clock::millis;
use crate::backend::fault::Fault;
use crate::log_throttle::LogThrottle;

/// The trouble with one server, from its first failure until it works again. Times are those of [`millis`].
#[derive(Debug, Default)]
pub(in crate::backend) struct Trouble {
    /// Since when; 0: there is none.
    since: AtomicU64,
    failures: AtomicU64,
    /// Whether the log has a line of it.
    is_said: AtomicBool,
    throttle: LogThrottle,
}

impl Trouble {
    /// One more failure: how many lines were left out, where this one may be written.
    fn failed(&self, now: u64) -> Option<u64> {
        self.begin(now);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.throttle.allow().inspect(|_| self.is_said.store(true, Ordering::Relaxed))
    }

    /// It begins, unless it has.
    fn begin(&self, now: u64) {
        let _ = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    /// It is over: how long it was and how many requests failed, where the log has said that it began.
    fn end(&self, now: u64) -> Option<(Duration, u64)> {
        let since = self.since.swap(0, Ordering::Relaxed);
        let failures = self.failures.swap(0, Ordering::Relaxed);
        let is_said = self.is_said.swap(false, Ordering::Relaxed);
        (since != 0 && is_said).then(|| (Duration::from_millis(now.saturating_sub(since)), failures))
    }
}

impl Standing {
    /// It failed a request, for a reason of its own.
    pub(in crate::backend) fn note_fault(&self, fault: &Fault, request_id: &HeaderValue) {
        let Some((doing, reason)) = &fault.cause else { return };
        if let Some(left_out) = self.trouble.failed(millis(Instant::now())) {
            let (backend, server) = (&*self.backend, &*self.name);
            let (doing, request_id) = (doing.as_str(), request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, server, doing, reason, request_id, left_out, "a server of a backend failed");
        }
    }

    /// It answered a request. While it gets none it is not said to work: what was on its way comes in.
    pub(in crate::backend) fn note_answer(&self) {
        if !self.trouble.is_on() {
            return;
        }
        let now = millis(Instant::now());
        if self.is_out_at(now) {
            return;
        }
        if let Some((time, failures)) = self.trouble.end(now) {
            let (backend, server, seconds) = (&*self.backend, &*self.name, time.as_secs_f64());
            tracing::info!(backend, server, seconds, failures, "a server of a backend answers again");
        }
    }

    /// A check found it bad, and the log says why.
    pub(in crate::backend) fn note_bad(&self, why: &str) {
        self.trouble.begin(millis(Instant::now()));
        self.trouble.is_said.store(true, Ordering::Relaxed);
        let (backend, server) = (&*self.backend, &*self.name);
        tracing::warn!(backend, server, why, "this server is not well: it gets no requests");
    }

    /// A check found it good again.
    pub(in crate::backend) fn note_good(&self) {
        let (time, failures) = self.trouble.end(millis(Instant::now())).unwrap_or_default();
        let (backend, server, seconds) = (&*self.backend, &*self.name, time.as_secs_f64());
        tracing::info!(backend, server, seconds, failures, "this server is well again");
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
