//! Log lines whose number callers or backends decide about: one a second, with the count of those left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Allows one line a second, and counts the others.
#[derive(Debug, Default)]
pub struct LogThrottle {
    /// The second, since 1970, in which a line was allowed last.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl LogThrottle {
    /// The number of lines left out since the last one, where a line may be written now.
    pub fn allow(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}
