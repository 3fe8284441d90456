//! Revocations: put in force here and in the store.

use crate::state::revocation::{Revocations, Rule};
use crate::state::{State, Unavailable, UnlessLeft, codec};

impl State {
    /// The revocations in force.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Puts rules in force, here at once; returns once the store has them.
    ///
    /// # Errors
    /// [`Unavailable`]: they are in force here only, until the store takes writes again.
    pub async fn revoke(&self, rules: Vec<Rule>) -> Result<(), Unavailable> {
        for rule in &rules {
            self.revocations.apply(rule.clone());
        }
        // What has become stricter before must not become looser in the store.
        let stored: Vec<Rule> = rules.iter().filter_map(|rule| self.revocations.rule(&rule.subject)).collect();
        let changes = || stored.iter().map(codec::put_rule).collect();
        let kept = self.keep("revoke", UnlessLeft::Write, changes, async |store| store.revoke(&stored).await).await;
        kept.inspect_err(|_| stored.iter().for_each(|rule| self.owed.add(&rule.subject)))
    }
}
