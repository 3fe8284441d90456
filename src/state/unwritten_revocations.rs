//! Revocations in force that could not be written: they are written together with the next change.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::revocation::{Revocations, Rule, Subject};

/// Their subjects.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<HashSet<Subject>>);

impl Owed {
    /// Notes that the rule about this subject could not be written.
    pub(super) fn add(&self, subject: &Subject) {
        self.subjects().insert(subject.clone());
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects().is_empty()
    }

    /// The rules, as they are in force now.
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

    /// Notes that these rules have been written.
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
