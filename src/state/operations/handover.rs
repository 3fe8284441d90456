//! The file of this process: closed, or given to the next process.

use std::time::Duration;

use crate::state::embedded::{Embedded, Released};
use crate::state::{State, Store, codec};

/// Longest time that this process decides after a handover of the state: later it might miss a revocation.
pub(super) const AFTER_HANDOVER: Duration = Duration::from_secs(2);

/// The file, closed for another process to open it.
pub struct Release<'a>(Option<(&'a Embedded, Released)>);

impl Release<'_> {
    /// Gives the file away: nothing is written any more, and soon nothing is decided.
    pub fn give(self) {
        if let Some((store, _)) = self.0 {
            store.give();
        }
    }

    /// Takes the file back.
    pub fn take_back(self) {
        if let Some((_, released)) = self.0 {
            released.take_back();
        }
    }
}

impl State {
    /// Writes all unwritten changes, and closes the store.
    pub fn close(&self) {
        if let Store::Embedded(store) = &self.store {
            self.write_uses(store);
            store.close();
        }
    }

    pub(super) fn write_uses(&self, store: &Embedded) {
        self.note_counts();
        self.note_answers();
        let used = self.sessions.unstored();
        store.write_later(used.iter().map(|(digest, session)| codec::put_session(digest, session)).collect());
    }

    /// Writes everything and closes the file for another process. Until it is given away or taken back, writes wait.
    pub fn release(&self) -> Release<'_> {
        let Store::Embedded(store) = &self.store else { return Release(None) };
        self.write_uses(store);
        Release(store.release().map(|released| (store, released)))
    }

    /// Returns whether the file was given away for good.
    pub fn is_given(&self) -> bool {
        matches!(&self.store, Store::Embedded(store) if store.given_for().is_some())
    }

    /// Time that this process decides after a handover; `None`: as long as it runs.
    pub fn decides_after_handover(&self) -> Option<Duration> {
        matches!(self.store, Store::Embedded(_)).then_some(AFTER_HANDOVER)
    }
}
