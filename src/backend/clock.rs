//! Milliseconds of the monotonic clock, small enough for an atomic.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Milliseconds of the monotonic clock; never 0.
pub(super) fn millis(now: Instant) -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    whole_millis(now.saturating_duration_since(*START)).saturating_add(1)
}

/// A duration in whole milliseconds.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}
