//! Ids that are good once, such as the `jti` of a client's assertion (RFC 7523 section 3): whoever uses one first has it,
//! on whichever replica, and also after a restart.
//!
//! In this process they have an end, and each owner a share: as many as are still free for all others. So one client that
//! makes more than that is refused, and everybody else goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

use super::session::digest_of;
use super::sharded_map::Shards;

/// What an id is known by: a digest, so that none is kept as it is. The last eight bytes are its owner's.
pub type OnceId = [u8; 32];

const OWNER: usize = 8;
type Owner = [u8; OWNER];

/// What came of using an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It was the first time.
    First,
    /// It was used before.
    Again,
    /// Its owner has as many as are free for all others: this one cannot be remembered, and was not used.
    ShareIsFull,
}

/// The id of this owner, by the digest of what it is. An owner is whoever can make as many of them as they like.
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

/// The ids that were used, with the first second in which each may be forgotten.
#[derive(Debug)]
pub(super) struct UsedIds {
    known: Shards<OnceId, u64>,
    shares: Shares,
    /// At 48 bytes each.
    most: usize,
}

impl Default for UsedIds {
    fn default() -> Self {
        Self::of(usize::MAX)
    }
}

/// How many ids each owner has.
#[derive(Debug, Default)]
struct Shares(Mutex<HashMap<Owner, usize, foldhash::fast::RandomState>>);

impl Shares {
    /// One more, unless the owner has as many as this already.
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
    /// At most so many.
    pub(super) fn of(most: usize) -> Self {
        Self { known: Shards::in_order(), shares: Shares::default(), most }
    }

    /// Notes that an id is used.
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

    /// Nobody was let in by it: it is as good as before.
    pub(super) fn abandon(&self, id: &OnceId) {
        self.known.change(id, |until| *until = 0);
    }

    pub(super) fn set(&self, id: OnceId, until: u64) {
        self.shares.take(owner_of(&id), usize::MAX);
        self.known.insert(id, until);
    }

    /// How many there are, and how many there can be.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.known.len(), self.most)
    }

    /// All of them, for the sweep.
    pub(super) fn known(&self) -> &Shards<OnceId, u64> {
        &self.known
    }

    /// The sweep has removed one.
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
