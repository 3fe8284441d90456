//! Throttle of log lines that callers or backends could multiply: one a second, with the count of suppressed ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Allows one line a second, and counts the others.
#[derive(Debug, Default)]
pub struct LogThrottle {
    /// Second of the last line, since 1970.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl LogThrottle {
    /// If a line may be written now, the number of lines suppressed since the last one.
    pub fn allow(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}
