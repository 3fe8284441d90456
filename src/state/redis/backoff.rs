//! Intervals between requests: a steady beat, and back-off after failures.

use std::time::Duration;

use crate::secret::random_bytes;

/// Interval at which the store is polled.
pub(super) const BEAT: Duration = Duration::from_millis(250);

/// Longest pause after the second failure in turn, and after many.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Pause before the next attempt after `failures` in turn: none, then longer and longer, with jitter, as all replicas
/// lose the store at the same time.
pub(super) fn pause(failures: u32) -> Duration {
    let Some(doubled) = failures.checked_sub(1) else { return Duration::ZERO };
    let longest = (PAUSES.0 * 2_u32.pow(doubled.min(8))).min(PAUSES.1);
    longest.mul_f64(0.5 + f64::from(u16::from_be_bytes(random_bytes())) / f64::from(u16::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_is_at_once_and_later_ones_come_ever_later_by_chance() {
        assert_eq!(pause(0), Duration::ZERO);
        for (failures, longest) in [(1, 100), (2, 200), (3, 400), (5, 1_600), (6, 2_000), (u32::MAX, 2_000)] {
            let longest = Duration::from_millis(longest);
            let all: Vec<Duration> = (0..50).map(|_| pause(failures)).collect();
            assert!(all.iter().all(|pause| *pause <= longest && *pause >= longest / 2), "{failures}: {all:?}");
            assert!(all.iter().any(|pause| *pause != all[0]), "{all:?}");
        }
    }
}
