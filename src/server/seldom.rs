//! Lines that must not fill the log, however many strangers there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lets one line through in a second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    /// In which second, since 1970, a line was let through last.
    last: AtomicU64,
    left_out: AtomicU64,
}

impl Seldom {
    /// Whether a line may be written now: then how many have been left out before it.
    pub(crate) fn may_speak(&self) -> Option<u64> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}
