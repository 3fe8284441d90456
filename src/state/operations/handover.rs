//! The file of this process: closed, or given to the next process.

use std::time::Duration;

use crate::state::embedded::{Embedded, Released};
use crate::state::{State, Store, codec};

/// For how long this process may still decide after another one has taken the state: what comes later may miss a
/// revocation.
pub(super) const AFTER_HANDOVER: Duration = Duration::from_secs(2);

/// A store that another process may open.
pub struct Release<'a>(Option<(&'a Embedded, Released)>);

impl Release<'_> {
    /// It is the other process's. From here nothing is written any more, and soon nothing is decided.
    pub fn give(self) {
        if let Some((store, _)) = self.0 {
            store.give();
        }
    }

    /// The other process does not want it.
    pub fn take_back(self) {
        if let Some((_, released)) = self.0 {
            released.take_back();
        }
    }
}

impl State {
    /// Writes what has not been written yet, and closes the store.
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

    /// Lets go of what only one process can have, with everything written. Until it is known whose it is, what is to be
    /// written waits.
    pub fn release(&self) -> Release<'_> {
        let Store::Embedded(store) = &self.store else { return Release(None) };
        self.write_uses(store);
        Release(store.release().map(|released| (store, released)))
    }

    /// Whether the file is another process's for good.
    pub fn is_given(&self) -> bool {
        matches!(&self.store, Store::Embedded(store) if store.given_for().is_some())
    }

    /// For how long this process goes on deciding after another one has taken over; `None`: for as long as it runs.
    pub fn decides_after_handover(&self) -> Option<Duration> {
        matches!(self.store, Store::Embedded(_)).then_some(AFTER_HANDOVER)
    }
}
