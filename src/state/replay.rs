//! Ids that are good once, such as the `jti` of a client's assertion (RFC 7523 section 3): whoever uses one first has it,
//! on whichever replica, and also after a restart.
//!
//! In this process they have an end, and each owner a share: as many as are still free for all others. So one client that
//! makes more than that is refused, and everybody else goes on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::sharded_map::Shards;
use super::{State, Store, Unavailable, UnlessLeft, codec};
use crate::state::session::digest_of;

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
    fn note(&self, id: OnceId, until: u64, now: u64) -> Use {
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
    fn abandon(&self, id: &OnceId) {
        self.known.change(id, |until| *until = 0);
    }

    pub(super) fn set(&self, id: OnceId, until: u64) {
        self.shares.take(owner_of(&id), usize::MAX);
        self.known.insert(id, until);
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

impl State {
    /// Uses an id that nobody may use again before `until`. Its credential was made at `made` at the earliest: where a backup
    /// was restored since, it may have been used, and counts as that. Times are in seconds since 1970. Returns once the store
    /// has it.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn use_once(&self, id: OnceId, made: u64, until: u64, now: u64) -> Result<Use, Unavailable> {
        if self.revocations().covers_all_of(made) {
            return Ok(Use::Again);
        }
        if let Store::Redis(store, _) = &self.store {
            let begun = Instant::now();
            let first = store.use_once(&id, until.saturating_sub(now).max(1)).await;
            self.note("use_once", begun.elapsed(), first.is_ok());
            return first.map(|first| if first { Use::First } else { Use::Again });
        }
        let used = self.used.note(id, until, now);
        if used == Use::First {
            let changes = || vec![codec::put_used(&id, until)];
            let kept = self.keep("use_once", UnlessLeft::Drop, changes, async |_| Ok(())).await;
            // Whoever left meanwhile has used it.
            kept.inspect_err(|Unavailable| self.used.abandon(&id))?;
        }
        Ok(used)
    }

    /// How many ids that are good once this process remembers, and how many it can. A shared store remembers them itself.
    pub fn used_ids(&self) -> (usize, usize) {
        if matches!(self.store, Store::Redis(..)) { (0, 0) } else { (self.used.known.len(), self.used.most) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::state::revocation::{Rule, Subject};

    fn id(number: usize) -> OnceId {
        owned(digest_of(&number.to_be_bytes()), "client")
    }

    #[tokio::test]
    async fn an_id_is_good_once_until_it_is_forgotten() {
        let state = State::in_memory();
        assert_eq!(state.use_once(id(1), 10, 100, 10).await, Ok(Use::First));
        assert_eq!(state.use_once(id(1), 10, 100, 10).await, Ok(Use::Again));
        assert_eq!(state.use_once(id(2), 10, 100, 10).await, Ok(Use::First));
        state.sweep(99, 1).await;
        assert_eq!(state.use_once(id(1), 10, 100, 99).await, Ok(Use::Again));
        state.sweep(100, 1).await;
        assert_eq!(state.used_ids().0, 0);
        assert_eq!(state.use_once(id(1), 10, 200, 100).await, Ok(Use::First));
    }

    #[tokio::test]
    async fn what_may_have_been_used_before_a_backup_was_restored_counts_as_used() {
        let state = State::in_memory();
        state.revocations().restore(Rule::new(Subject::All, 60, 1_000));
        assert_eq!(state.use_once(id(1), 60, 200, 100).await, Ok(Use::Again));
        assert_eq!(state.use_once(id(1), 61, 200, 100).await, Ok(Use::First));
        assert_eq!(state.use_once(id(1), 61, 200, 100).await, Ok(Use::Again));
    }

    #[tokio::test]
    async fn of_many_who_use_an_id_at_once_one_has_it() {
        let state = std::sync::Arc::new(State::in_memory());
        let all: Vec<_> = (0..50)
            .map(|_| {
                let state = std::sync::Arc::clone(&state);
                tokio::spawn(async move { state.use_once(id(1), 10, 100, 10).await })
            })
            .collect();
        let mut first = 0;
        for one in all {
            first += usize::from(one.await.unwrap() == Ok(Use::First));
        }
        assert_eq!(first, 1);
    }

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
