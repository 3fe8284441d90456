//! What is counted of the state store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::families::{counters, gauges, histograms, seconds};
use super::{Durations, HashMap, locked};
use prometheus::proto::MetricFamily;

/// What is counted of it.
#[derive(Debug, Default)]
pub struct StateMetrics {
    durations: Mutex<HashMap<Arc<str>, Durations>>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    sessions_served_stale: AtomicU64,
    levels: Mutex<Levels>,
}

/// How the state stands at the time of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    /// Sessions that this process knows.
    pub sessions: usize,
    /// Revocations in force.
    pub revocations: usize,
    /// Writes that wait.
    pub waiting: usize,
    /// Ids of assertions and proofs that this process remembers.
    pub used_ids: usize,
    /// How many it can.
    pub used_ids_limit: usize,
    /// Whether the last exchange with the store worked.
    pub up: bool,
    /// Password hashes that run or wait.
    pub password_hashes_in_flight: usize,
    /// Password hashes that were verified.
    pub password_hashes: u64,
    /// For how long revocations may have been missed.
    pub staleness: Duration,
    /// How long news take to other replicas.
    pub propagation: Duration,
}

impl StateMetrics {
    /// An exchange with the store took so long.
    pub fn took(&self, operation: &'static str, duration: Duration) {
        let mut durations = locked(&self.durations);
        if let Some(known) = durations.get_mut(operation) {
            known.observe(duration);
        } else {
            durations.entry(operation.into()).or_default().observe(duration);
        }
    }

    /// An exchange with the store failed.
    pub fn failed(&self, operation: &'static str) {
        *locked(&self.failures).entry(operation).or_default() += 1;
    }

    /// A session passed by what was known of it, while the store was away.
    pub fn session_served_stale(&self) {
        self.sessions_served_stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets how the state stands.
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
