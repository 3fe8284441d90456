//! Replay protection: single-use ids, such as the `jti` of a client's assertion (RFC 7523 section 3). Whoever uses one
//! first has it, on any replica, and also after a restart.
//!
//! Their number is bounded in this process. Each owner has a share, as many as are still free for all others: a client
//! that makes more is refused, and everybody else goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::session::digest_of;
use super::sharded_map::Shards;

/// Digest of a single-use id, so that none is kept as it is. The last eight bytes are its owner's.
pub type OnceId = [u8; 32];

const OWNER: usize = 8;
type Owner = [u8; OWNER];

/// The outcome of using an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It had not been used.
    First,
    /// It had been used: a replay.
    Again,
    /// The share of its owner is full: the id cannot be remembered, and was not used.
    ShareIsFull,
}

/// The id with this digest, of this owner: whoever can make as many of them as they like.
pub fn owned(digest: OnceId, owner: &str) -> OnceId {
    let (mut id, owner) = (digest, digest_of(owner.as_bytes()));
    id[32 - OWNER..].copy_from_slice(&owner[..OWNER]);
    id
}

fn owner_of(id: &OnceId) -> Owner {
    let mut owner = Owner::default();
    owner.copy_from_slice(&id[32 - OWNER..]);
    owner
}

/// Used ids, each with the first second since 1970 in which it may be forgotten.
#[derive(Debug)]
pub(super) struct UsedIds {
    known: Shards<OnceId, u64>,
    shares: Shares,
    /// Most ids, at 48 bytes each.
    most: usize,
}

impl Default for UsedIds {
    fn default() -> Self {
        Self::of(usize::MAX)
    }
}

/// Number of ids of each owner.
#[derive(Debug, Default)]
struct Shares(Mutex<HashMap<Owner, usize, foldhash::fast::RandomState>>);

impl Shares {
    /// Counts one more id, unless the owner has `most` already; returns whether it was counted.
    fn take(&self, owner: Owner, most: usize) -> bool {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(owner).or_default();
        let has_room = *share < most;
        *share += usize::from(has_room);
        if *share == 0 {
            shares.remove(&owner);
        }
        has_room
    }

    fn give_back(&self, owner: Owner) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut share) = shares.entry(owner) {
            *share.get_mut() -= 1;
            if *share.get() == 0 {
                share.remove();
            }
        }
        if shares.capacity() > 4 * shares.len() + 1_024 {
            shares.shrink_to_fit();
        }
    }
}

impl UsedIds {
    /// Room for `most` ids.
    pub(super) fn of(most: usize) -> Self {
        Self { known: Shards::in_order(), shares: Shares::default(), most }
    }

    /// Marks an id as used.
    pub(super) fn note(&self, id: OnceId, until: u64, now: u64) -> Use {
        let free = self.most.saturating_sub(self.known.len());
        self.known.entry(id, |entry| match entry {
            Entry::Occupied(known) if now < *known.get() => Use::Again,
            // It is over, or was noted in vain.
            Entry::Occupied(mut known) => {
                known.insert(until);
                Use::First
            }
            Entry::Vacant(_) if !self.shares.take(owner_of(&id), free) => Use::ShareIsFull,
            Entry::Vacant(unused) => {
                unused.insert(until);
                Use::First
            }
        })
    }

    /// Unmarks an id by which nobody was let in.
    pub(super) fn abandon(&self, id: &OnceId) {
        self.known.change(id, |until| *until = 0);
    }

    pub(super) fn set(&self, id: OnceId, until: u64) {
        self.shares.take(owner_of(&id), usize::MAX);
        self.known.insert(id, until);
    }

    /// Number of ids, and most ids.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.known.len(), self.most)
    }

    /// All ids, for the sweep.
    pub(super) fn known(&self) -> &Shards<OnceId, u64> {
        &self.known
    }

    /// Frees the share of an id that the sweep has removed.
    pub(super) fn forgotten(&self, id: &OnceId) {
        self.shares.give_back(owner_of(id));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn whoever_makes_more_ids_than_are_left_for_others_is_refused_and_others_go_on() {
        let used = UsedIds::of(1_000);
        let of = |owner: &str, number: usize| owned(digest_of(&number.to_be_bytes()), owner);
        let filled = (0..10_000).filter(|number| used.note(of("greedy", *number), 100, 10) == Use::First).count();
        assert_eq!(filled, 500);
        assert_eq!(used.note(of("greedy", 0), 100, 10), Use::Again, "what was used stays used");
        // One after the other: there is something for each.
        for (owner, share) in [("second", 250), ("third", 125), ("fourth", 63)] {
            let taken = (0..10_000).filter(|number| used.note(of(owner, *number), 100, 10) == Use::First).count();
            assert_eq!(taken, share, "{owner}");
        }
        assert_eq!(used.note(of("modest", 1), 100, 10), Use::First);
        // After a restart as well.
        let again = UsedIds::of(1_000);
        used.known.collect(|id, until| Some((*id, *until))).into_iter().for_each(|(id, until)| again.set(id, until));
        assert_eq!(again.note(of("greedy", 20_000), 100, 10), Use::ShareIsFull);
        assert_eq!(again.note(of("modest", 2), 100, 10), Use::First);
        for id in again.known.collect(|id, _| Some(*id)) {
            again.known.remove(&id);
            again.forgotten(&id);
        }
        assert_eq!(again.shares.0.lock().unwrap().len(), 0);
        assert_eq!(again.note(of("greedy", 20_000), 200, 100), Use::First);
    }
}
