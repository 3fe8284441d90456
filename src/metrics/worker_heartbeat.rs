//! Heartbeats of workers: a worker without one for a second has a stalled event loop.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Interval of heartbeats.
pub const TURN: Duration = Duration::from_secs(1);

/// Start of the clock.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Heartbeat of one worker.
#[derive(Debug)]
pub(super) struct WorkerHeartbeat {
    /// Time of the last one, in milliseconds since the start.
    last: AtomicU64,
    /// Heartbeats that came a whole interval late or more.
    late: AtomicU64,
}

impl Default for WorkerHeartbeat {
    fn default() -> Self {
        Self { last: AtomicU64::new(millis(Instant::now())), late: AtomicU64::default() }
    }
}

impl WorkerHeartbeat {
    /// Records a heartbeat.
    pub(super) fn turned(&self, now: Instant) {
        if self.stall(now) >= TURN {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        self.last.store(millis(now), Ordering::Relaxed);
    }

    /// Present event-loop stall.
    pub(super) fn stall(&self, now: Instant) -> Duration {
        let since = millis(now).saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(since).saturating_sub(TURN)
    }

    /// Late heartbeats so far.
    pub(super) fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }
}

fn millis(now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(*BEGUN).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_event_loop_is_seen_and_counted_once_it_resumes() {
        let turns = WorkerHeartbeat::default();
        let now = Instant::now();
        turns.turned(now + TURN);
        assert_eq!((turns.stall(now + TURN), turns.late()), (Duration::ZERO, 0));
        assert!(turns.stall(now + 6 * TURN) >= 3 * TURN);
        turns.turned(now + 6 * TURN);
        assert_eq!((turns.stall(now + 6 * TURN), turns.late()), (Duration::ZERO, 1));
    }
}
