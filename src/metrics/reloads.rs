//! Metrics of configuration reloads.

use super::families::{counters, gauges};
use prometheus::proto::MetricFamily;

/// Reloads so far. Times are in seconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct Reloads {
    ok: Past,
    failed: Past,
    rolled_back: Past,
    /// Reason for the last failure, or for rolling back; `None` after a success: the running configuration is that of the files.
    pub fault: Option<String>,
    /// Earlier policies that are still in memory.
    pub(super) earlier_policies: usize,
}

/// Reloads with one outcome.
#[derive(Debug, Clone, Copy, Default)]
struct Past {
    count: u64,
    last: Option<u64>,
}

impl Reloads {
    /// Number of reloads so far.
    pub fn count(&self) -> u64 {
        self.ok.count + self.failed.count
    }

    /// The time of the last success and of the last failure, in seconds since 1970.
    pub fn last(&self) -> (Option<u64>, Option<u64>) {
        (self.ok.last, self.failed.last)
    }

    pub(super) fn note(&mut self, fault: Option<String>, now: u64) {
        let past = if fault.is_none() { &mut self.ok } else { &mut self.failed };
        *past = Past { count: past.count + 1, last: Some(now) };
        self.fault = fault;
    }

    pub(super) fn note_rolled_back(&mut self, fault: String, now: u64) {
        self.rolled_back = Past { count: self.rolled_back.count + 1, last: Some(now) };
        self.fault = Some(fault);
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let all = [("ok", self.ok), ("failed", self.failed), ("rolled_back", self.rolled_back)];
        let label = |outcome: &str| vec![("outcome", outcome.to_owned())];
        let counts = all.iter().map(|(outcome, past)| (label(outcome), past.count));
        let last = all.iter().filter_map(|(outcome, past)| Some((label(outcome), i64::try_from(past.last?).ok()?)));
        vec![
            counters("wicketgate_reloads_total", "Reloads of the configuration, by outcome.", counts),
            gauges(
                "wicketgate_config_last_reload_timestamp_seconds",
                "Time of the last reload with this outcome, in seconds since 1970.",
                last,
            ),
            gauges(
                "wicketgate_config_last_reload_successful",
                "1: the last reload succeeded. 0: it failed or was rolled back, and the earlier configuration stays.",
                [(vec![], i64::from(self.fault.is_none()))],
            ),
            gauges(
                "wicketgate_earlier_policies",
                "Policies from before a reload that a request or WebSocket still uses.",
                [(vec![], i64::try_from(self.earlier_policies).unwrap_or(i64::MAX))],
            ),
        ]
    }
}
