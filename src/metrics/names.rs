//! Names that a reload has removed: their series stay for a while, so that the last scrape sees their last counts, and
//! are then dropped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time that series stay after their name has gone.
const STAY: Duration = Duration::from_secs(5 * 60);

/// Time in which a request that was still in flight may count under the name again.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// Name that is a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum SeriesName {
    Route(Arc<str>),
    Backend(Arc<str>),
}

/// Present names, and earlier ones.
#[derive(Debug, Default)]
pub(super) struct SeriesNames {
    present: HashSet<SeriesName>,
    gone: HashMap<SeriesName, Instant>,
}

impl SeriesNames {
    /// Replaces the present names.
    pub(super) fn replace(&mut self, present: HashSet<SeriesName>, now: Instant) {
        self.gone.retain(|name, _| !present.contains(name));
        let before = std::mem::replace(&mut self.present, present);
        for name in before.difference(&self.present) {
            self.gone.entry(name.clone()).or_insert(now);
        }
    }

    /// Names whose series are to be dropped.
    pub(super) fn due(&mut self, now: Instant) -> Vec<SeriesName> {
        self.gone.retain(|_, since| now.saturating_duration_since(*since) < LOOK);
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= STAY;
        self.gone.iter().filter(|(_, since)| is_due(since)).map(|(name, _)| name.clone()).collect()
    }
}
