//! The latest reloads, in memory: what each of them changed, and why it failed.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::policy_change::PolicyChange;

/// Most reloads that are kept.
const MOST: usize = 50;

/// Most changes that are kept of one reload. The dangerous ones come first.
const MOST_CHANGES: usize = 200;

/// What became of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// The new configuration is in force.
    Applied,
    /// The configuration before it stayed.
    Failed,
    /// It was in force, and `reload.guard` has put the one before it back.
    RolledBack,
}

/// One reload.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadEntry {
    /// The time of its end, in seconds since 1970.
    pub time: u64,
    /// What became of it.
    pub outcome: ReloadOutcome,
    /// Why it failed, or was rolled back.
    pub fault: Option<String>,
    /// What it changed, or would have; the dangerous changes first.
    pub changes: Vec<PolicyChange>,
    /// The number of changes that are not in the list.
    pub more: usize,
}

/// The latest reloads.
#[derive(Debug, Default)]
pub struct ReloadHistory {
    kept: Mutex<VecDeque<ReloadEntry>>,
}

impl ReloadHistory {
    /// Keeps one more; the oldest goes.
    pub fn note(&self, outcome: ReloadOutcome, fault: Option<String>, mut changes: Vec<PolicyChange>) {
        let more = changes.len().saturating_sub(MOST_CHANGES);
        changes.sort_by_key(|change| !change.danger);
        changes.truncate(MOST_CHANGES);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut kept = self.locked();
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(ReloadEntry { time, outcome, fault, changes, more });
    }

    /// All of them, newest first.
    pub fn latest(&self) -> Vec<ReloadEntry> {
        self.locked().iter().rev().cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<ReloadEntry>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
