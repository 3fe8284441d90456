//! Counts of spans on their way to the collector.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::proto::MetricFamily;

use super::families::counters;

/// Counts of spans.
#[derive(Debug, Default)]
pub struct SpanCounts {
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// Counts spans that the collector took.
    pub fn exported(&self, count: usize) {
        self.exported.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Counts spans that were dropped, because the queue was full or the collector did not take them.
    pub fn dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Spans dropped since the start.
    pub fn dropped_so_far(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn families(&self) -> [MetricFamily; 2] {
        [
            counters(
                "wicketgate_spans_exported_total",
                "Spans that the collector took.",
                [(vec![], self.exported.load(Ordering::Relaxed))],
            ),
            counters(
                "wicketgate_spans_dropped_total",
                "Spans dropped, because the collector was away, refused them or was too slow.",
                [(vec![], self.dropped_so_far())],
            ),
        ]
    }
}
