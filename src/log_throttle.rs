//! Throttle of log lines that callers or backends could multiply: one a second or a minute, with the count of suppressed
//! ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Allows one line a second, or in another period, and counts the others.
#[derive(Debug, Default)]
pub struct LogThrottle {
    /// Period of the last line, counted since 1970.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl LogThrottle {
    /// If a line may be written now, the number of lines suppressed since the last one.
    pub fn allow(&self) -> Option<u64> {
        self.allow_each(1)
    }

    /// The same with one line in each period of so many seconds, which must always be the same number.
    pub fn allow_each(&self, seconds: u64) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.allow_at(now.as_secs() / seconds.max(1))
    }

    /// The same in this period.
    fn allow_at(&self, now: u64) -> Option<u64> {
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_one_line_with_the_count_of_those_left_out() {
        let throttle = LogThrottle::default();
        let said = [7, 7, 7, 8, 8, 9].map(|period| throttle.allow_at(period));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
