//! Ids that are good once, such as the `jti` of a client's assertion (RFC 7523 section 3): whoever uses one first has it,
//! on whichever replica, and also after a restart.

use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{State, Store, Unavailable, record};

/// What an id is known by: a digest, so that none is kept as it is.
pub type OnceId = [u8; 32];

/// A flood of ids must not fill the memory: 40 bytes each.
const MAX_IDS: usize = 200_000;

/// The ids that were used, with the first second in which each may be forgotten.
#[derive(Debug, Default)]
pub(super) struct UsedIds {
    known: DashMap<OnceId, u64, foldhash::fast::RandomState>,
}

impl UsedIds {
    /// Notes that an id is used; whether this is the first time.
    ///
    /// # Errors
    /// [`Unavailable`]: there is no room to note it.
    fn note(&self, id: OnceId, until: u64) -> Result<bool, Unavailable> {
        if self.known.len() >= MAX_IDS {
            return Err(Unavailable);
        }
        match self.known.entry(id) {
            Entry::Vacant(free) => {
                free.insert(until);
                Ok(true)
            }
            Entry::Occupied(_) => Ok(false),
        }
    }

    pub(super) fn set(&self, id: OnceId, until: u64) {
        self.known.insert(id, until);
    }

    pub(super) fn sweep(&self, now: u64) -> Vec<OnceId> {
        let mut gone = Vec::new();
        self.known.retain(|id, until| {
            let keep = now < *until;
            if !keep {
                gone.push(*id);
            }
            keep
        });
        gone
    }
}

impl State {
    /// Uses an id that nobody may use again before `until`; whether this is the first time. Times are in seconds since
    /// 1970. Returns once the store has it.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn use_once(&self, id: OnceId, until: u64, now: u64) -> Result<bool, Unavailable> {
        if let Store::Redis(store, _) = &self.store {
            let begun = Instant::now();
            let first = store.use_once(&id, until.saturating_sub(now).max(1)).await;
            self.note("use_once", begun.elapsed(), first.is_ok());
            return first;
        }
        let first = self.used.note(id, until).inspect_err(|Unavailable| self.metrics.failed("use_once"))?;
        if first {
            let changes = || vec![record::put_used(&id, until)];
            if let Err(unavailable) = self.keep("use_once", changes, async |_| Ok(())).await {
                // Nobody was let in by it.
                self.used.known.remove(&id);
                return Err(unavailable);
            }
        }
        Ok(first)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn id(number: usize) -> OnceId {
        let mut id = OnceId::default();
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    #[tokio::test]
    async fn an_id_is_good_once_until_it_is_forgotten() {
        let state = State::in_memory();
        assert_eq!(state.use_once(id(1), 100, 10).await, Ok(true));
        assert_eq!(state.use_once(id(1), 100, 10).await, Ok(false));
        assert_eq!(state.use_once(id(2), 100, 10).await, Ok(true));
        state.sweep(99, 1).await;
        assert_eq!(state.use_once(id(1), 100, 99).await, Ok(false));
        state.sweep(100, 1).await;
        assert_eq!(state.use_once(id(1), 200, 100).await, Ok(true));
    }

    #[tokio::test]
    async fn of_many_who_use_an_id_at_once_one_has_it() {
        let state = std::sync::Arc::new(State::in_memory());
        let all: Vec<_> = (0..50)
            .map(|_| {
                let state = std::sync::Arc::clone(&state);
                tokio::spawn(async move { state.use_once(id(1), 100, 10).await })
            })
            .collect();
        let mut first = 0;
        for one in all {
            first += usize::from(one.await.unwrap() == Ok(true));
        }
        assert_eq!(first, 1);
    }

    #[test]
    fn where_there_is_no_room_nothing_is_said_to_be_used_for_the_first_time() {
        let used = UsedIds::default();
        for number in 0..MAX_IDS {
            assert_eq!(used.note(id(number), 100), Ok(true));
        }
        assert_eq!(used.note(id(MAX_IDS), 100), Err(Unavailable));
        assert_eq!(used.sweep(100).len(), MAX_IDS);
        assert_eq!(used.note(id(MAX_IDS), 200), Ok(true));
    }
}
