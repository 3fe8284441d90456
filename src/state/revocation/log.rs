//! The order of rules: by number, as a shared store has them, and by end.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Reach, Subject};

/// Which rules there are. The rules themselves are in a map that calls read; nothing here keeps those waiting.
#[derive(Debug, Default)]
pub(super) struct RuleLog {
    /// 0: the store has given it no number yet.
    by_number: BTreeSet<(u64, Arc<Subject>)>,
    by_end: BTreeSet<(u64, Arc<Subject>)>,
    pending: usize,
}

impl RuleLog {
    /// Replaces what was known about a subject.
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

    /// Takes out some subjects whose rule has ended.
    pub(super) fn ended(&mut self, now: u64, most: usize) -> Vec<Arc<Subject>> {
        let mut ended = Vec::new();
        while ended.len() < most && self.by_end.first().is_some_and(|(until, _)| *until <= now) {
            ended.extend(self.by_end.pop_first().map(|(_, subject)| subject));
        }
        ended
    }

    /// How many rules have a number up to this one.
    pub(super) fn count(&self, last: u64) -> usize {
        let beyond = self.by_number.range(from(last.saturating_add(1))..).count();
        self.by_number.len() - self.pending - beyond
    }

    /// The highest number of all.
    pub(super) fn highest(&self) -> u64 {
        self.by_number.last().map_or(0, |(number, _)| *number)
    }

    /// Numbers above `after` up to `last`, in their order.
    pub(super) fn numbers(&self, after: u64, last: u64, most: usize) -> Vec<u64> {
        self.within(after.saturating_add(1), last).map(|(number, _)| *number).take(most).collect()
    }

    /// The subjects of rules of these numbers; both 0: of those without.
    pub(super) fn subjects(&self, first: u64, last: u64, most: usize) -> Vec<Arc<Subject>> {
        self.within(first, last).map(|(_, subject)| Arc::clone(subject)).take(most).collect()
    }

    fn within(&self, first: u64, last: u64) -> impl Iterator<Item = &(u64, Arc<Subject>)> {
        self.by_number.range(from(first)..from(last.saturating_add(1)))
    }
}

/// What stands before everything of this number.
fn from(number: u64) -> (u64, Arc<Subject>) {
    (number, Arc::new(Subject::Token("".into())))
}
