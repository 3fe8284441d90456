//! Retry budget: retries are limited to a share of requests, so that a failing backend does not get twice the load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Window of the budget, in milliseconds.
const WINDOW: u64 = 10_000;

/// Retries that are always allowed in a window: a share of few requests is nothing.
const ALWAYS: u64 = 10;

/// Retries to one backend.
#[derive(Debug, Default)]
pub struct RetryBudget {
    window: Mutex<Window>,
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Window {
    since: u64,
    /// Requests started before the window.
    begun: u64,
    retry_budget: u64,
}

impl RetryBudget {
    /// Retries so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// True if one more retry is within `percent` of requests; takes it. `begun` is the count of requests started,
    /// which may wrap, and `now` is in milliseconds.
    pub(in crate::backend) fn allow(&self, percent: u32, begun: u32, now: u64) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since == 0 || now.saturating_sub(window.since) >= WINDOW {
            *window = Window { since: now, begun: begun.into(), retry_budget: 0 };
        }
        let requests = u64::from(begun.wrapping_sub(window.begun as u32));
        let most = if percent == 0 { 0 } else { (requests * u64::from(percent) / 100).max(ALWAYS) };
        if window.retry_budget >= most {
            return false;
        }
        window.retry_budget += 1;
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_are_always_allowed_and_then_a_share() {
        let retry_budget = RetryBudget::default();
        let allowed = (0..100).filter(|_| retry_budget.allow(10, 7, 1)).count();
        assert_eq!(allowed, 10);
        assert!(!retry_budget.allow(10, 7 + 100, 2) && retry_budget.allow(10, 7 + 110, 2));
        assert!(retry_budget.allow(10, 7 + 110, 2 + WINDOW), "another window");
        assert!(!RetryBudget::default().allow(0, 1_000, 1), "none");
        assert_eq!(retry_budget.count(), 12);
    }

    proptest! {
        #[test]
        fn in_no_window_are_there_more_than_its_share(
            start in any::<u32>(),
            percent in 1_u32..50,
            steps in proptest::collection::vec((0_u32..5, any::<bool>()), 1..500),
        ) {
            let retry_budget = RetryBudget::default();
            let (mut begun, mut requests, mut allowed) = (start, 0_u64, 0_u64);
            prop_assert!(retry_budget.allow(percent, begun, 5));
            allowed += 1;
            for (more, wants) in steps {
                begun = begun.wrapping_add(more);
                requests += u64::from(more);
                if wants && retry_budget.allow(percent, begun, 6) {
                    allowed += 1;
                }
            }
            prop_assert!(allowed <= ALWAYS.max(requests * u64::from(percent) / 100));
        }
    }
}
