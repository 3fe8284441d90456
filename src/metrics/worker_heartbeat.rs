//! Whether the workers turn: each says so every second, and who does not say so is stuck.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a worker says that it turns.
pub const TURN: Duration = Duration::from_secs(1);

/// When counting began.
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a worker says of its turning.
#[derive(Debug)]
pub(super) struct Turns {
    /// When it last did, in milliseconds since counting began.
    last: AtomicU64,
    /// How often it was late by a whole turn or more.
    late: AtomicU64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { last: AtomicU64::new(millis(Instant::now())), late: AtomicU64::default() }
    }
}

impl Turns {
    /// It turns.
    pub(super) fn turned(&self, now: Instant) {
        if self.stall(now) >= TURN {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
        self.last.store(millis(now), Ordering::Relaxed);
    }

    /// For how long it should have turned and has not.
    pub(super) fn stall(&self, now: Instant) -> Duration {
        let since = millis(now).saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(since).saturating_sub(TURN)
    }

    /// How often it was late.
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
        let turns = Turns::default();
        let now = Instant::now();
        turns.turned(now + TURN);
        assert_eq!((turns.stall(now + TURN), turns.late()), (Duration::ZERO, 0));
        assert!(turns.stall(now + 6 * TURN) >= 3 * TURN);
        turns.turned(now + 6 * TURN);
        assert_eq!((turns.stall(now + 6 * TURN), turns.late()), (Duration::ZERO, 1));
    }
}
