//! Metrics of the state store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::families::{counters, gauges, histograms, seconds};
use super::histogram::{BucketBounds, Durations};
use super::locked;
use foldhash::HashMap;
use prometheus::proto::MetricFamily;

/// Counters and histograms of the state store.
#[derive(Debug, Default)]
pub struct StateMetrics {
    durations: Mutex<HashMap<Arc<str>, Durations>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    sessions_served_stale: AtomicU64,
    levels: Mutex<Levels>,
    bounds: BucketBounds,
}

/// Levels of the state at a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    /// Sessions that this process knows.
    pub sessions: usize,
    /// Revocations in force.
    pub revocations: usize,
    /// Writes in the queue.
    pub waiting: usize,
    /// Ids of assertions and proofs that this process remembers (replay protection).
    pub used_ids: usize,
    /// Most of these.
    pub used_ids_limit: usize,
    /// True if the last exchange with the store worked.
    pub up: bool,
    /// Password hashes running or waiting.
    pub password_hashes_in_flight: usize,
    /// Password hashes verified so far.
    pub password_hashes: u64,
    /// Longest time for which revocations may be missing.
    pub staleness: Duration,
    /// Propagation delay to other replicas.
    pub propagation: Duration,
}

impl StateMetrics {
    pub(super) fn new(bounds: &BucketBounds) -> Self {
        Self { bounds: bounds.clone(), ..Self::default() }
    }

    /// Records the duration of an exchange with the store.
    pub fn took(&self, operation: &'static str, duration: Duration) {
        let mut durations = locked(&self.durations);
        if let Some(known) = durations.get_mut(operation) {
            known.observe(duration);
        } else {
            let new = || Durations::new(&self.bounds);
            durations.entry(operation.into()).or_insert_with(new).observe(duration);
        }
    }

    /// Counts a failed exchange with the store.
    pub fn failed(&self, operation: &'static str) {
        *locked(&self.failures).entry(operation).or_default() += 1;
    }

    /// Counts a session accepted from cache while the store was unreachable.
    pub fn session_served_stale(&self) {
        self.sessions_served_stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the levels.
    pub fn stands(&self, levels: Levels) {
        *locked(&self.levels) = levels;
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let levels = *locked(&self.levels);
        let level = |level: usize| [(vec![], i64::try_from(level).unwrap_or(i64::MAX))];
        let failures: Vec<_> = locked(&self.failures)
            .iter()
            .map(|(operation, count)| (vec![("operation", (*operation).to_owned())], *count))
            .collect();
        vec![
            gauges("wicketgate_sessions", "Sessions that this process knows.", level(levels.sessions)),
            gauges("wicketgate_revocations", "Revocations in force.", level(levels.revocations)),
            gauges("wicketgate_state_queue", "Writes that wait for the state store.", level(levels.waiting)),
            gauges(
                "wicketgate_replay_ids",
                "Ids of client assertions and DPoP proofs that are remembered until they expire.",
                level(levels.used_ids),
            ),
            gauges(
                "wicketgate_replay_ids_limit",
                "Capacity for remembered ids. Above half of it, callers with many are refused.",
                level(levels.used_ids_limit),
            ),
            gauges(
                "wicketgate_state_up",
                "1: the last exchange with the state store worked.",
                level(usize::from(levels.up)),
            ),
            gauges(
                "wicketgate_password_hashes_in_flight",
                "Password hashes that run or wait.",
                level(levels.password_hashes_in_flight),
            ),
            counters(
                "wicketgate_password_hashes_total",
                "Password hashes that were verified, of logins and of clients' secrets.",
                [(vec![], levels.password_hashes)],
            ),
            seconds(
                "wicketgate_state_staleness_seconds",
                "Time for which revocations of other replicas may have been missed, in seconds.",
                levels.staleness,
            ),
            seconds(
                "wicketgate_state_propagation_seconds",
                "Round trip of the last heartbeat through the state store, in seconds.",
                levels.propagation,
            ),
            counters(
                "wicketgate_sessions_served_stale_total",
                "Requests accepted by a cached session while the state store was unavailable.",
                [(vec![], self.sessions_served_stale.load(Ordering::Relaxed))],
            ),
            counters(
                "wicketgate_state_failures_total",
                "Exchanges with the state store that failed, by operation.",
                failures,
            ),
            histograms(
                "wicketgate_state_duration_seconds",
                "Duration of exchanges with the state store, by operation.",
                "operation",
                locked(&self.durations).clone(),
            ),
        ]
    }
}
