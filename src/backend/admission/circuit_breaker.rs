//! Circuit breaker of a backend: open while it does not answer, so that requests fail fast and it can recover.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::backend::clock::whole_millis;

/// Circuit breaker settings.
#[derive(Debug, Clone, Copy)]
pub struct CircuitRule {
    /// Failures in a row that open the circuit; 0: it never opens.
    pub failures: u32,
    /// Time in the open state; then one trial request decides.
    pub pause: Duration,
}

/// Kind of a trial request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// The whole request is at hand.
    Complete,
    /// The body still arrives.
    Upload,
}

/// Circuit breaker. Times are those of [`millis`](crate::backend::clock::millis).
#[derive(Debug, Default)]
pub struct Circuit {
    failures: AtomicU32,
    /// 0: closed. Otherwise the time of the next trial request.
    open_until: AtomicU64,
    /// Time of the last response, to within [`GRAIN`].
    answered: AtomicU64,
}

/// Granularity of response times, in milliseconds: an atomic that all workers write is expensive.
const GRAIN: u64 = 20;

impl Circuit {
    /// True if the circuit is open.
    pub fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Relaxed) != 0
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Least time until the next trial request.
    pub(in crate::backend) fn left(&self, now: u64) -> Duration {
        Duration::from_millis(self.open_until.load(Ordering::Relaxed).saturating_sub(now))
    }

    /// True if a request would pass. While the circuit is open one complete request passes after each pause; an upload,
    /// which a slow caller could hold open for all, only after two pauses.
    pub(in crate::backend) fn is_due(&self, rule: &CircuitRule, try_by: Try, now: u64) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        let due = match try_by {
            Try::Complete => until,
            Try::Upload => until.saturating_add(whole_millis(rule.pause)),
        };
        until == 0 || due <= now
    }

    /// True if this request passes: of several at the same time only the first does.
    pub(in crate::backend) fn lets_pass(&self, rule: &CircuitRule, try_by: Try, now: u64) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let next = now.saturating_add(whole_millis(rule.pause));
        self.is_due(rule, try_by, now)
            && self.open_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// True if the backend has answered any request since `time`: one slow page is no failure.
    pub(in crate::backend) fn has_answered_since(&self, time: u64) -> bool {
        self.answered.load(Ordering::Relaxed) > time
    }

    /// Records a response.
    pub(in crate::backend) fn note_answer(&self, now: u64) {
        if now > self.answered.load(Ordering::Relaxed) + GRAIN {
            self.answered.store(now, Ordering::Relaxed);
        }
    }

    /// Counts a success; returns whether it closed the circuit.
    pub(in crate::backend) fn succeeded(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.is_open() && self.open_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Counts a failure; returns whether it opened the circuit.
    pub(in crate::backend) fn failed(&self, rule: &CircuitRule, now: u64) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if rule.failures == 0 || failures < rule.failures {
            return false;
        }
        let until = now.saturating_add(whole_millis(rule.pause));
        self.open_until.swap(until, Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: CircuitRule = CircuitRule { failures: 3, pause: Duration::from_secs(5) };

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_request_after_the_pause_closes_it() {
        let circuit = Circuit::default();
        assert!(!circuit.failed(&RULE, 1) && !circuit.failed(&RULE, 1) && !circuit.succeeded());
        assert!(!circuit.failed(&RULE, 2) && !circuit.failed(&RULE, 2) && circuit.lets_pass(&RULE, Try::Complete, 2));
        assert!(circuit.failed(&RULE, 10) && circuit.is_open());
        assert!(!circuit.lets_pass(&RULE, Try::Complete, 5_009));
        assert_eq!(circuit.left(10), RULE.pause);
        assert!(circuit.lets_pass(&RULE, Try::Complete, 5_010));
        assert!(!circuit.lets_pass(&RULE, Try::Complete, 5_010), "only one tries");
        assert!(!circuit.failed(&RULE, 5_020), "it was open already");
        assert!(!circuit.lets_pass(&RULE, Try::Complete, 10_019) && circuit.lets_pass(&RULE, Try::Complete, 10_020));
        assert!(circuit.succeeded() && !circuit.is_open() && circuit.lets_pass(&RULE, Try::Complete, 10_021));
        assert!(!circuit.failed(&RULE, 10_022), "it needs several again");
    }

    #[test]
    fn a_request_that_tries_and_is_never_heard_of_again_does_not_keep_it_open_for_ever() {
        let circuit = Circuit::default();
        assert_eq!((0..3).filter(|_| circuit.failed(&RULE, 0)).count(), 1);
        assert!(circuit.lets_pass(&RULE, Try::Complete, 5_000) && circuit.lets_pass(&RULE, Try::Complete, 10_000));
        let never = CircuitRule { failures: 0, ..RULE };
        let circuit = Circuit::default();
        assert!((0..100).all(|_| !circuit.failed(&never, 0)) && circuit.lets_pass(&never, Try::Complete, 0));
    }

    #[test]
    fn an_upload_tries_only_where_nothing_else_does() {
        let circuit = Circuit::default();
        assert_eq!((0..3).filter(|_| circuit.failed(&RULE, 0)).count(), 1);
        assert!(!circuit.lets_pass(&RULE, Try::Upload, 9_999));
        assert!(circuit.lets_pass(&RULE, Try::Complete, 9_999) && !circuit.lets_pass(&RULE, Try::Complete, 9_999));
        assert!(!circuit.lets_pass(&RULE, Try::Upload, 19_998));
        assert!(circuit.lets_pass(&RULE, Try::Upload, 19_999) && !circuit.lets_pass(&RULE, Try::Upload, 19_999));
        assert!(!circuit.lets_pass(&RULE, Try::Complete, 24_998) && circuit.lets_pass(&RULE, Try::Complete, 24_999));
    }

    #[test]
    fn who_has_answered_since_a_request_began_is_there() {
        let circuit = Circuit::default();
        assert!(!circuit.has_answered_since(0));
        circuit.note_answer(100);
        assert!(circuit.has_answered_since(99) && !circuit.has_answered_since(100));
        circuit.note_answer(110);
        assert!(!circuit.has_answered_since(105), "it is noted now and then");
        circuit.note_answer(130);
        assert!(circuit.has_answered_since(105));
    }
}
