//! Names that a reload has taken away: their series stay for a while, so that the last scrape sees their last counts, and
//! then go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the series of a name stay after it has gone.
const STAY: Duration = Duration::from_secs(5 * 60);

/// For how long it is looked whether a request that was still in flight has counted under it again.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// Something that series bear the name of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Route(Arc<str>),
    Backend(Arc<str>),
}

/// The names of the policy in force, and those that were in one before.
#[derive(Debug, Default)]
pub(super) struct Names {
    present: HashSet<Name>,
    gone: HashMap<Name, Instant>,
}

impl Names {
    /// From now on these are the names.
    pub(super) fn replace(&mut self, present: HashSet<Name>, now: Instant) {
        self.gone.retain(|name, _| !present.contains(name));
        let before = std::mem::replace(&mut self.present, present);
        for name in before.difference(&self.present) {
            self.gone.entry(name.clone()).or_insert(now);
        }
    }

    /// Those whose series go.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Name> {
        self.gone.retain(|_, since| now.saturating_duration_since(*since) < LOOK);
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= STAY;
        self.gone.iter().filter(|(_, since)| is_due(since)).map(|(name, _)| name.clone()).collect()
    }
}
