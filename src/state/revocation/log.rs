//! Rules sorted by number, as a shared store has them, and by expiry.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Reach, Subject};

/// Index of the rules. They themselves are in a map that calls read; nothing here keeps those waiting.
#[derive(Debug, Default)]
pub(super) struct RuleLog {
    /// Subjects by number; 0 until the store has given one.
    by_number: BTreeSet<(u64, Arc<Subject>)>,
    by_end: BTreeSet<(u64, Arc<Subject>)>,
    pending: usize,
}

impl RuleLog {
    /// Replaces the entry of a subject.
    pub(super) fn replace(&mut self, subject: &Arc<Subject>, before: Option<Reach>, after: Option<Reach>) {
        let number = |reach: Option<Reach>| reach.map(|reach| reach.number);
        if number(before) != number(after) {
            if let Some(before) = before
                && self.by_number.remove(&(before.number, Arc::clone(subject)))
            {
                self.pending -= usize::from(before.number == 0);
            }
            if let Some(after) = after
                && self.by_number.insert((after.number, Arc::clone(subject)))
            {
                self.pending += usize::from(after.number == 0);
            }
        }
        let end = |reach: Option<Reach>| reach.map(|reach| reach.until);
        if end(before) != end(after) {
            if let Some(before) = before {
                self.by_end.remove(&(before.until, Arc::clone(subject)));
            }
            if let Some(after) = after {
                self.by_end.insert((after.until, Arc::clone(subject)));
            }
        }
    }

    /// Up to `most` subjects whose rules have expired.
    pub(super) fn ended(&self, now: u64, most: usize) -> Vec<Arc<Subject>> {
        let ended = self.by_end.iter().take_while(|(until, _)| *until <= now);
        ended.map(|(_, subject)| Arc::clone(subject)).take(most).collect()
    }

    /// Number of rules with a number up to `last`.
    pub(super) fn count(&self, last: u64) -> usize {
        let beyond = self.by_number.range(from(last.saturating_add(1))..).count();
        self.by_number.len() - self.pending - beyond
    }

    /// Highest number of all.
    pub(super) fn highest(&self) -> u64 {
        self.by_number.last().map_or(0, |(number, _)| *number)
    }

    /// Numbers above `after` up to `last`, sorted.
    pub(super) fn numbers(&self, after: u64, last: u64, most: usize) -> Vec<u64> {
        self.within(after.saturating_add(1), last).map(|(number, _)| *number).take(most).collect()
    }

    /// The subjects of the rules with these numbers; with both 0, of those without.
    pub(super) fn subjects(&self, first: u64, last: u64, most: usize) -> Vec<Arc<Subject>> {
        self.within(first, last).map(|(_, subject)| Arc::clone(subject)).take(most).collect()
    }

    fn within(&self, first: u64, last: u64) -> impl Iterator<Item = &(u64, Arc<Subject>)> {
        self.by_number.range(from(first)..from(last.saturating_add(1)))
    }
}

/// Lower bound of the entries with this number.
fn from(number: u64) -> (u64, Arc<Subject>) {
    (number, Arc::new(Subject::Token("".into())))
}
