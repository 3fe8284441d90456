//! Bound of what anybody can make the audit log write: after a burst, failures of callers are counted together, and one
//! line tells how many there were of each kind.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::audit_event::AuditEvent;

/// Failures of a kind that have lines of their own, when there were none for a while.
const BURST: f64 = 50.0;
/// Failures of a kind in a second that have lines of their own in the long run.
const RATE: f64 = 2.0;
/// Time between two lines that tell how many more there were.
const TELL: Duration = Duration::from_secs(5);

/// Failures that were counted together.
#[derive(Debug, Default)]
pub(super) struct CountedFailures(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug)]
struct Kind {
    /// Lines that may be written.
    budget: f64,
    /// The time of `budget`.
    at: Instant,
    /// The time of the last line that told.
    told: Instant,
    /// Counts by the word of the outcome.
    counts: BTreeMap<String, u64>,
}

impl CountedFailures {
    /// Counts a failure for which there is no line now; false for everything else.
    pub(super) fn takes(&self, event: &AuditEvent) -> bool {
        event.counted_as.is_some_and(|name| self.takes_at(name, &event.outcome, Instant::now()))
    }

    fn takes_at(&self, name: &'static str, outcome: &str, now: Instant) -> bool {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Kind { budget: BURST, at: now, told: now, counts: BTreeMap::new() };
        let kind = kinds.entry(name).or_insert_with(new);
        let earned = now.saturating_duration_since(kind.at).as_secs_f64() * RATE;
        (kind.budget, kind.at) = ((kind.budget + earned).min(BURST), now);
        if kind.budget >= 1.0 {
            kind.budget -= 1.0;
            return false;
        }
        if kind.counts.is_empty() {
            kind.told = now;
        }
        *kind.counts.entry(outcome.to_owned()).or_default() += 1;
        true
    }

    /// The lines that are due by now, with all counts since the last ones; `all` of them at the end of the process.
    pub(super) fn due(&self, now: Instant, all: bool) -> Vec<AuditEvent> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        for (name, kind) in kinds.iter_mut().filter(|(_, kind)| all || now.saturating_duration_since(kind.told) >= TELL)
        {
            let counts = std::mem::take(&mut kind.counts);
            events.extend(counts.into_iter().map(|(word, count)| AuditEvent::new(name, word).with("count", count)));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_some_have_lines_and_all_others_are_counted() {
        let (failures, begin) = (CountedFailures::default(), Instant::now());
        let word = "wrong_password";
        let counted = |at: Instant| (0..10_000).filter(|_| failures.takes_at("login_failures", word, at)).count();
        assert_eq!(counted(begin), 9_950);
        assert_eq!(counted(begin + Duration::from_secs(1)), 9_998);
        assert!(failures.due(begin + Duration::from_secs(1), false).is_empty());
        let told = failures.due(begin + TELL, false);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].name, &told[0].details["count"]), ("login_failures", &19_948.into()));
        assert!(failures.due(begin + TELL * 2, true).is_empty());
        // Another kind has lines of its own all the while.
        assert!(!failures.takes_at("token_failures", word, begin));
    }
}
