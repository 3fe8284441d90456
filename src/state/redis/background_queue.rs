//! Queue of background work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::connection::RedisConnection;
use super::mutex::locked;
use super::revocation_rules::{Numbered, RuleStatus};
use crate::state::revocation::Revocations;

/// Most rules that wait to be looked at; those left out are seen when all are.
const MAX_ADOPTED: usize = 20_000;

/// The pending background work, and its connection.
#[derive(Default)]
pub(super) struct Chores {
    pub(super) wanted: Notify,
    /// With the subscription during which it was made: after a failover it may lead elsewhere than the link.
    pub(super) connection: tokio::sync::Mutex<Option<(u32, RedisConnection)>>,
    /// The rules must be compared with those of the store.
    pub(super) compares: AtomicBool,
    /// Number of rules by which the store was ahead when nothing was missing: it has some that cannot be read here.
    pub(super) ahead: AtomicI64,
    /// Highest number of a rule when the store was last asked.
    highest: AtomicU64,
    /// All rules of the store must be looked at: an earlier version has put some.
    pub(super) adopts_all: AtomicBool,
    pub(super) adopted: Mutex<Vec<Numbered>>,
}

impl Chores {
    /// Notes the work that this status of the store calls for, once all news have been read.
    pub(super) fn look(&self, revocations: &Revocations, status: RuleStatus, is_new_link: bool) {
        // Numbers go back where the store was emptied.
        let highest = self.highest.swap(revocations.highest(), Ordering::AcqRel);
        let is_back = status.number < highest;
        if is_new_link || is_back || ahead(revocations, status) != self.ahead.load(Ordering::Acquire) {
            self.compares.store(true, Ordering::Release);
        }
        if is_new_link && !status.has_all_ends {
            self.adopts_all.store(true, Ordering::Release);
        }
        self.wanted.notify_one();
    }

    /// Queues rules that were read: those of an earlier version get what a later one notes beside them.
    pub(super) fn adopt(&self, rules: Vec<Numbered>) {
        let mut adopted = locked(&self.adopted);
        if adopted.len() + rules.len() <= MAX_ADOPTED {
            adopted.extend(rules);
        }
    }
}

/// Number of rules that the store has more than this process.
pub(super) fn ahead(revocations: &Revocations, status: RuleStatus) -> i64 {
    let here = i64::try_from(revocations.count_until(status.number)).unwrap_or(i64::MAX);
    i64::try_from(status.live).unwrap_or(i64::MAX).saturating_sub(here)
}
