//! Replay protection: single-use ids are marked as used, here and in the store.

use std::time::Instant;

use crate::state::replay::{OnceId, Use};
use crate::state::{State, Store, Unavailable, UnlessLeft, codec};

impl State {
    /// Uses an id, which cannot be used again before `until`. Its credential was made at `made` at the earliest: if a
    /// backup was restored since, it may have been used, and counts as used. Times are in seconds since 1970. Returns
    /// once the store has it.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
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

    /// Number of used ids that this process remembers, and the most that it can. 0 and 0 with a shared store.
    pub fn used_ids(&self) -> (usize, usize) {
        if matches!(self.store, Store::Redis(..)) { (0, 0) } else { self.used.count() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::state::replay::owned;
    use crate::state::revocation::{Rule, Subject};
    use crate::state::session::digest_of;

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
}
