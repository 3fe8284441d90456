//! What there is to do beside the calls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::connection::Connection;
use super::mutex::locked;
use super::rules::{Numbered, Status};
use crate::state::revocation::Revocations;

/// Not more rules wait to be looked at than this; what is left out is seen when all are.
const MAX_ADOPTED: usize = 20_000;

/// What there is to do, and the connection for it.
#[derive(Default)]
pub(super) struct Chores {
    pub(super) wanted: Notify,
    /// With the time of listening in which it was made: after a failover it may lead elsewhere than the link does.
    pub(super) connection: tokio::sync::Mutex<Option<(u32, Connection)>>,
    /// The rules are to be compared with those of the store.
    pub(super) compares: AtomicBool,
    /// By how many rules more the store was ahead when nothing was found missing: it has some that cannot be read here.
    pub(super) ahead: AtomicI64,
    /// The highest number of a rule when the store was last asked.
    highest: AtomicU64,
    /// All rules of the store are to be looked at: an older version has put some.
    pub(super) adopts_all: AtomicBool,
    pub(super) adopted: Mutex<Vec<Numbered>>,
}

impl Chores {
    /// Notes what there is to do, as it stands after all news have been read.
    pub(super) fn look(&self, revocations: &Revocations, status: Status, is_new_link: bool) {
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

    /// Rules that were read: those of an older version get what a later one notes beside them.
    pub(super) fn adopt(&self, rules: Vec<Numbered>) {
        let mut adopted = locked(&self.adopted);
        if adopted.len() + rules.len() <= MAX_ADOPTED {
            adopted.extend(rules);
        }
    }
}

/// By how many rules the store is ahead of what is known here.
pub(super) fn ahead(revocations: &Revocations, status: Status) -> i64 {
    let here = i64::try_from(revocations.count_until(status.number)).unwrap_or(i64::MAX);
    i64::try_from(status.live).unwrap_or(i64::MAX).saturating_sub(here)
}
