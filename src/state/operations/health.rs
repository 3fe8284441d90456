//! Health of the store: whether it answers, and how current its news are.

use std::time::{Duration, Instant};

use super::handover::AFTER_HANDOVER;
use crate::state::{Replica, State, Store};

impl State {
    /// Returns whether the last exchange with the store succeeded.
    pub fn is_up(&self) -> bool {
        match &self.store {
            Store::Memory => true,
            Store::Embedded(store) => store.works(),
            Store::Redis(store, _) => store.is_up(),
        }
    }

    /// Returns whether revocations may have been missed for longer than allowed.
    pub fn is_stale(&self) -> bool {
        match &self.store {
            Store::Memory => false,
            Store::Embedded(store) => store.given_for().is_some_and(|time| time > AFTER_HANDOVER),
            Store::Redis(store, outage) => !store.has_synced() || store.staleness() > outage.revocations,
        }
    }

    /// Returns whether all revocations have been known at any time.
    pub fn has_been_heard(&self) -> bool {
        match &self.store {
            Store::Memory | Store::Embedded(_) => true,
            Store::Redis(store, _) => store.has_synced(),
        }
    }

    /// Waits until the shared store is in sync, `longest` at most.
    pub async fn is_ready(&self, longest: Duration) {
        let until = Instant::now() + longest;
        while self.is_stale() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Staleness of revocations, and delay of news to other replicas. `None` without a shared store.
    pub fn lag(&self) -> Option<(Duration, Duration)> {
        match &self.store {
            Store::Memory | Store::Embedded(_) => None,
            Store::Redis(store, _) => Some((store.staleness(), store.propagation())),
        }
    }

    /// Other replicas that share the state; `None` where it is of this process alone.
    pub fn replicas(&self) -> Option<Vec<Replica>> {
        match &self.store {
            Store::Memory | Store::Embedded(_) => None,
            Store::Redis(store, _) => Some(store.replicas()),
        }
    }

    /// Number of queued writes to the file.
    pub fn waiting(&self) -> usize {
        match &self.store {
            Store::Memory => 0,
            Store::Embedded(store) => store.waiting(),
            Store::Redis(..) => 0,
        }
    }
}
