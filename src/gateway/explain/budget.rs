//! Budget of a worker for explanations of its refusals: a flood of refused requests must not cost more than its
//! refusals.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Explanations at once.
const BURST: u32 = 50;
/// Time in which one more is allowed.
const EACH: Duration = Duration::from_millis(50);

/// Explanations that may be made now: strangers do not use up those of known callers.
#[derive(Debug, Default)]
pub(crate) struct ExplanationBudget {
    known: Share,
    strangers: Share,
}

impl ExplanationBudget {
    /// Takes one for a caller with an authentic client or API key, or for a stranger; false where none is left.
    pub(crate) fn take(&self, is_known: bool, now: Instant) -> bool {
        if is_known { self.known.take(now) } else { self.strangers.take(now) }
    }
}

#[derive(Debug)]
struct Share {
    left: Cell<u32>,
    counted: Cell<Instant>,
}

impl Default for Share {
    fn default() -> Self {
        Self { left: Cell::new(BURST), counted: Cell::new(Instant::now()) }
    }
}

impl Share {
    fn take(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.counted.get());
        let more = u32::try_from(since.as_millis() / EACH.as_millis()).unwrap_or(u32::MAX);
        if more > 0 {
            self.counted.set(now);
            self.left.set(self.left.get().saturating_add(more).min(BURST));
        }
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_explained_then_twenty_a_second() {
        let (budget, start) = (ExplanationBudget::default(), Instant::now());
        let taken = |at: Instant, tries: usize| (0..tries).filter(|_| budget.take(false, at)).count();
        assert_eq!(taken(start, 1_000), BURST as usize);
        assert!(budget.take(true, start), "strangers have used up what known callers have");
        assert_eq!(taken(start + Duration::from_secs(1), 1_000), 20);
        assert_eq!(taken(start + Duration::from_secs(60), 1_000), BURST as usize);
    }
}
