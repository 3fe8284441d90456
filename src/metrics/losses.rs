//! What this process could not write or send.

use std::sync::atomic::Ordering;

use super::Metrics;

/// Numbers since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Events of the audit log.
    pub audit_events: u64,
    /// Lines of the access log.
    pub access_lines: u64,
    /// Spans for the collector.
    pub spans: u64,
}

impl Losses {
    /// What has been added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            audit_events: self.audit_events.saturating_sub(earlier.audit_events),
            access_lines: self.access_lines.saturating_sub(earlier.access_lines),
            spans: self.spans.saturating_sub(earlier.spans),
        }
    }
}

impl Metrics {
    /// What could not be written or sent since the start.
    pub fn losses(&self) -> Losses {
        Losses {
            audit_events: self.audit_events_lost.load(Ordering::Relaxed),
            access_lines: self.access_log_dropped.load(Ordering::Relaxed),
            spans: self.spans.dropped_so_far(),
        }
    }
}
