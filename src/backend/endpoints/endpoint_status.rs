//! Status of one server: healthy or not, ejected or in slow start, and requests in flight. Outlives a policy.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::connection_limit::ConnectionLimit;
use super::failure_log::Trouble;
use super::health_check::Thresholds;
use super::http_options::ResponseFault;
use super::idle_life::IdleLife;
use super::outlier_detection::OutlierDetection;
use crate::backend::balance::FULL;
use crate::backend::clock::{millis, whole_millis};
use crate::backend::fault::ServerFault;
use crate::log_throttle::LogThrottle;

/// Unhealthy until a health check succeeds.
const UNTIL_GOOD: u64 = u64::MAX;

/// Least time between two lines on what a server does all the time, in seconds.
const MINUTE: u64 = 60;

/// Least slow-start share, of [`FULL`].
const LEAST: u64 = 100;

/// Status of one server. Times are those of [`millis`].
#[derive(Debug)]
pub struct EndpointStatus {
    /// Address, as in logs and metrics.
    pub name: String,
    in_flight: AtomicUsize,
    /// 0: it gets requests. In the future: it is out until then. In the past: it came back then.
    out_until: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    /// Ejections in a row; each doubles the ejection time.
    in_a_row: AtomicU32,
    ejections: AtomicU64,
    checks: Mutex<Checks>,
    /// Name of the backend.
    pub(in crate::backend) backend: Arc<str>,
    /// Lifetime of its idle HTTP/1.1 connections.
    pub(in crate::backend) idle_life: IdleLife,
    /// HTTP/1.1 connections that it has closed under a request.
    lost_connections: AtomicU64,
    /// Idle HTTP/1.1 connections of all workers, at their last periodic look.
    idle_connections: AtomicUsize,
    /// Its HTTP/1.1 connections, where they are limited.
    pub(in crate::backend) connections: Arc<ConnectionLimit>,
    /// Present outage, for the log.
    pub(super) trouble: Trouble,
    /// What went wrong last in it, for operators.
    last_fault: Mutex<Option<String>>,
    /// By fault of a response.
    tolerated: [LogThrottle; ResponseFault::COUNT],
    excess: LogThrottle,
}

/// Failures in a row from which a server fails although it can be reached.
const FAILING: u32 = 3;

/// Results of the last health checks.
#[derive(Debug, Default)]
struct Checks {
    /// True after the first check.
    any: bool,
    good: u32,
    bad: u32,
}

impl EndpointStatus {
    /// Status of a new server.
    pub fn new(backend: Arc<str>, name: String) -> Self {
        Self {
            name,
            in_flight: AtomicUsize::new(0),
            out_until: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            in_a_row: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            checks: Mutex::default(),
            backend,
            idle_life: IdleLife::default(),
            lost_connections: AtomicU64::new(0),
            idle_connections: AtomicUsize::new(0),
            connections: Arc::default(),
            trouble: Trouble::default(),
            last_fault: Mutex::default(),
            tolerated: Default::default(),
            excess: LogThrottle::default(),
        }
    }

    /// Counts a request that begins.
    pub(in crate::backend) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that ends.
    pub(in crate::backend) fn ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Idle HTTP/1.1 connections of all workers, about a second ago.
    pub(in crate::backend) fn idle_connections(&self) -> usize {
        self.idle_connections.load(Ordering::Relaxed)
    }

    /// Notes that a worker that had `before` idle connections has `now`.
    pub(in crate::backend) fn note_idle(&self, before: usize, now: usize) {
        if now != before {
            self.idle_connections.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Ejections so far.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Idle connections so far that it has closed under a request.
    pub fn lost_connections(&self) -> u64 {
        self.lost_connections.load(Ordering::Relaxed)
    }

    /// Slow-start share, of [`FULL`]; `None` while it is out. `slow_start` is in milliseconds.
    pub(in crate::backend) fn ramp(&self, now: u64, slow_start: u64) -> Option<u32> {
        let out_until = self.out_until.load(Ordering::Relaxed);
        if out_until == 0 {
            return Some(FULL);
        }
        let back = now.checked_sub(out_until)?;
        if back >= slow_start {
            return Some(FULL);
        }
        let share = back.saturating_mul(u64::from(FULL)) / slow_start;
        Some(u32::try_from(share.max(LEAST)).unwrap_or(FULL))
    }

    /// True while it gets no requests.
    pub fn is_out(&self, now: Instant) -> bool {
        self.is_out_at(millis(now))
    }

    pub(super) fn is_out_at(&self, now: u64) -> bool {
        self.out_until.load(Ordering::Relaxed) > now
    }

    /// True if a health check found it unhealthy.
    pub fn is_known_bad(&self) -> bool {
        self.out_until.load(Ordering::Relaxed) == UNTIL_GOOD
    }

    /// True if the last request failed.
    pub(in crate::backend) fn is_failing(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
    }

    /// Counts a success.
    pub(in crate::backend) fn succeeded(&self) {
        if self.is_failing() {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure; returns the failures in a row.
    pub(in crate::backend) fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Ejects it; returns for how long. Only one thread at a time.
    pub(super) fn eject(&self, now: u64, rule: &OutlierDetection) -> Duration {
        let last = self.out_until.load(Ordering::Relaxed);
        let is_again = last != 0 && now.saturating_sub(last) < whole_millis(rule.max_ejection_time);
        let row = if is_again { self.in_a_row.load(Ordering::Relaxed).saturating_add(1) } else { 1 };
        let time = rule.base_ejection_time.saturating_mul(1 << (row - 1).min(20)).min(rule.max_ejection_time);
        self.in_a_row.store(row, Ordering::Relaxed);
        // One more failure ejects it again, until it has answered once.
        self.failures.store(rule.failures.saturating_sub(1), Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.out_until.store(now.saturating_add(whole_millis(time)), Ordering::Relaxed);
        time
    }

    /// Counts a health check; returns the new health if it changed. The very first check decides alone.
    pub(in crate::backend) fn checked(&self, good: bool, thresholds: Thresholds, now: u64) -> Option<bool> {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !std::mem::replace(&mut checks.any, true);
        (checks.good, checks.bad) = if good { (checks.good + 1, 0) } else { (0, checks.bad + 1) };
        let was_bad = self.is_known_bad();
        if good && was_bad && checks.good >= thresholds.healthy {
            self.failures.store(0, Ordering::Relaxed);
            self.out_until.store(now, Ordering::Relaxed);
            return Some(true);
        }
        if !good && !was_bad && (is_first || checks.bad >= thresholds.unhealthy) {
            self.out_until.store(UNTIL_GOOD, Ordering::Relaxed);
            return Some(false);
        }
        None
    }

    /// Why it gets no requests, or what went wrong last in an outage that goes on.
    pub(in crate::backend) fn why(&self, now: u64) -> Option<String> {
        let (out_until, is_failing) = (self.out_until.load(Ordering::Relaxed), self.trouble.is_on());
        let last = self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|_| is_failing);
        match (out_until, last) {
            (UNTIL_GOOD, last) => Some(last.unwrap_or_else(|| "health check fails".to_owned())),
            (until, last) if until > now => {
                let ejected = format!("ejected for another {} s", (until - now).div_ceil(1_000));
                Some(last.map_or_else(|| ejected.clone(), |last| format!("{ejected}; {last}")))
            }
            (_, last) => last.or_else(|| {
                let failures = self.failures.load(Ordering::Relaxed);
                (failures >= FAILING)
                    .then(|| format!("its last {failures} requests failed, or it answered them with 5xx"))
            }),
        }
    }

    fn keep_fault(&self, fault: String) {
        *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// Logs a failed request with its reason, throttled.
    pub(in crate::backend) fn note_fault(&self, fault: &ServerFault, request_id: &HeaderValue) {
        let Some((doing, reason)) = &fault.cause else { return };
        if let Some(left_out) = self.trouble.failed(millis(Instant::now())) {
            self.keep_fault(format!("{}: {reason}", doing.as_str()));
            let (backend, server) = (&*self.backend, &*self.name);
            let (doing, request_id) = (doing.as_str(), request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, server, doing, reason, request_id, left_out, "request to a backend server failed");
        }
    }

    /// Notes that the server was found to have closed a connection that had been idle for so long, under a request where
    /// `is_lost`. Logs it the first time, and again where it must have been in less than half of the time logged before.
    pub(in crate::backend) fn note_closed(&self, idle: Duration, is_lost: bool) {
        if is_lost {
            self.lost_connections.fetch_add(1, Ordering::Relaxed);
        }
        if self.idle_life.note_closed(idle, is_lost) {
            // When it was found, not when it happened.
            let (backend, server, at_most_ms) = (&*self.backend, &*self.name, idle.as_secs_f64() * 1e3);
            tracing::warn!(
                backend,
                server,
                at_most_ms,
                is_lost,
                "the server closes idle connections after at most at_most_ms, perhaps much earlier: requests that cannot be \
                 repeated get a new one where this may happen again. keep_alive: false, or an idle_timeout below the \
                 server's own setting, ends the guessing"
            );
        }
    }

    /// Logs the recovery after a success. Not while it is out: responses to earlier requests still come in.
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
            tracing::info!(backend, server, seconds, failures, "backend server recovered");
        }
    }

    /// Logs that the server has sent bytes after the end of an answer, for which the connection was closed: at most one
    /// line a minute.
    pub(in crate::backend) fn note_excess(&self) {
        if let Some(left_out) = self.excess.allow_each(MINUTE) {
            let (backend, server) = (&*self.backend, &*self.name);
            tracing::warn!(backend, server, left_out, "bytes after the end of an answer: the connection was closed");
        }
    }

    /// Logs that a response was accepted although it has this fault: at most one line a minute for each fault.
    pub(in crate::backend) fn note_tolerated(&self, fault: ResponseFault, what: &str, request_id: &str) {
        if let Some(left_out) = self.tolerated[fault as usize].allow_each(MINUTE) {
            let (backend, server, tolerated) = (&*self.backend, &*self.name, fault.as_str());
            tracing::warn!(
                backend,
                server,
                tolerated,
                what,
                request_id,
                left_out,
                "odd response of a backend server accepted"
            );
        }
    }

    /// Logs that a health check found it unhealthy, and why.
    pub(super) fn note_bad(&self, why: &str) {
        self.trouble.begin(millis(Instant::now()));
        self.trouble.note_said();
        self.keep_fault(format!("health check: {why}"));
        let (backend, server) = (&*self.backend, &*self.name);
        tracing::warn!(backend, server, why, "health check failed: the server gets no requests");
    }

    /// Logs that a health check found it healthy again.
    pub(super) fn note_good(&self) {
        let (time, failures) = self.trouble.end(millis(Instant::now())).unwrap_or_default();
        let (backend, server, seconds) = (&*self.backend, &*self.name, time.as_secs_f64());
        tracing::info!(backend, server, seconds, failures, "health check succeeds again: the server gets requests");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: OutlierDetection = OutlierDetection {
        failures: 3,
        base_ejection_time: Duration::from_secs(10),
        max_ejection_time: Duration::from_secs(60),
        max_ejection_percent: 50,
    };
    const THRESHOLDS: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

    fn fresh() -> EndpointStatus {
        EndpointStatus::new("legacy".into(), "10.0.0.1:9000".to_owned())
    }

    #[test]
    fn an_ejected_server_comes_back_slowly_and_stays_out_longer_each_time() {
        let server = fresh();
        assert_eq!(server.ramp(1, 10_000), Some(FULL));
        let mut now = 1_000;
        for seconds in [10, 20, 40, 60, 60] {
            assert_eq!(server.eject(now, &RULE), Duration::from_secs(seconds));
            assert_eq!(server.ramp(now + seconds * 1_000 - 1, 10_000), None);
            now += seconds * 1_000;
            assert_eq!(server.ramp(now, 10_000), Some(100));
            assert_eq!(server.ramp(now + 5_000, 10_000), Some(500));
            assert_eq!(server.ramp(now + 10_000, 10_000), Some(FULL));
            assert_eq!(server.ramp(now, 0), Some(FULL));
            now += 1_000;
        }
        // Long enough without a failure: all is forgotten.
        assert_eq!(server.eject(now + 60_001, &RULE), RULE.base_ejection_time);
        assert_eq!(server.ejections(), 6);
    }

    #[test]
    fn after_an_ejection_one_failure_is_enough_and_one_success_forgives() {
        let server = fresh();
        server.eject(1, &RULE);
        assert_eq!(server.failed(), RULE.failures);
        server.succeeded();
        assert_eq!(server.failed(), 1);
    }

    #[test]
    fn the_first_check_decides_alone_and_later_ones_in_a_row() {
        let server = fresh();
        assert_eq!(server.checked(false, THRESHOLDS, 5), Some(false));
        assert!(server.is_known_bad() && server.ramp(u64::MAX - 1, 1).is_none());
        assert_eq!(server.checked(true, THRESHOLDS, 6), None);
        assert_eq!(server.checked(true, THRESHOLDS, 7), Some(true));
        assert_eq!(server.ramp(7, 1_000), Some(100));
        for good in [false, false, true, false, false] {
            assert_eq!(server.checked(good, THRESHOLDS, 8), None);
        }
        assert_eq!(server.checked(false, THRESHOLDS, 8), Some(false));
    }
}
