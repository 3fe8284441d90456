//! Revocations in force that the disk did not take: they are written together with whatever it takes next.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::revocation::{Revocations, Rule, Subject};

/// What they are about.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<HashSet<Subject>>);

impl Owed {
    /// This one could not be written.
    pub(super) fn add(&self, subject: &Subject) {
        self.subjects().insert(subject.clone());
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects().is_empty()
    }

    /// All of them, as they are in force.
    pub(super) fn rules(&self, revocations: &Revocations) -> Vec<Rule> {
        let mut rules = Vec::new();
        // What is over needs not be written any more.
        self.subjects().retain(|subject| {
            let rule = revocations.rule(subject);
            let is_in_force = rule.is_some();
            rules.extend(rule);
            is_in_force
        });
        rules
    }

    /// These have been written.
    pub(super) fn settle(&self, rules: &[Rule]) {
        if !rules.is_empty() {
            let mut subjects = self.subjects();
            for rule in rules {
                subjects.remove(&rule.subject);
            }
        }
    }

    fn subjects(&self) -> MutexGuard<'_, HashSet<Subject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
