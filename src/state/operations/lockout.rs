//! Login lockout: failures are counted, forgiven and cleared here and in the store.

use crate::state::login_lockout::{
    ANY_SPELLING, AttemptKey, AttemptKeys, Cost, Costs, FailedAttempt, Failures, NOBODY, RIGHT_FOR,
};
use crate::state::redis::Redis;
use crate::state::{State, Store, Unavailable, UnlessLeft, codec};

impl State {
    /// Remaining delay of these keys, in milliseconds. `now` is in milliseconds since 1970. While the shared store is
    /// unreachable, what this process knows counts.
    pub async fn wait(&self, keys: &AttemptKeys, now: u64) -> u64 {
        if let Store::Redis(store, _) = &self.store {
            let both = [keys.name, keys.network];
            let before = both.map(|key| self.attempts.of(&key));
            match store.failures(both).await {
                // Where another replica forgave, what is known here is old.
                Ok(shared) => (0..2).for_each(|at| self.attempts.learn(both[at], before[at], shared[at])),
                Err(_) => self.metrics.failed("attempts"),
            }
        }
        self.wait_here(keys, now)
    }

    /// [`Self::wait`] by what this process knows.
    pub fn wait_here(&self, keys: &AttemptKeys, now: u64) -> u64 {
        let waits = [keys.name, keys.network].map(|key| self.attempts.of(&key).wait(now));
        waits[0].max(waits[1])
    }

    /// Returns whether the next failure of this network locks it, by what this process knows.
    pub fn has_used_up(&self, keys: &AttemptKeys, costs: Costs, now: u64) -> bool {
        self.attempts.of(&keys.network).remembered(now) >= costs.network.free
    }

    /// Counts a failed attempt. `now` is in milliseconds since 1970.
    pub async fn fail(&self, keys: &AttemptKeys, costs: Costs, now: u64) {
        self.fail_here(keys, costs, now);
        if let Store::Redis(store, _) = &self.store
            && store.fail(*keys, costs, now).await.is_err()
        {
            self.metrics.failed("attempts");
        }
    }

    /// [`Self::fail`] without waiting for the store.
    pub fn fail_later(&self, keys: &AttemptKeys, costs: Costs, now: u64) {
        self.fail_here(keys, costs, now);
        if let Store::Redis(store, _) = &self.store {
            store.fail_later(*keys, costs, now);
        }
    }

    fn fail_here(&self, keys: &AttemptKeys, costs: Costs, now: u64) {
        self.attempts.fail_both(keys, costs, now, |key, evicted, counted| {
            self.delete_attempts(evicted);
            if let (Store::Embedded(store), Some(failures)) = (&self.store, counted) {
                store.write_later(vec![codec::put_failures(key, failures)]);
            }
        });
    }

    /// Counts an attempt beyond those that may wait in this process. Only this process counts these.
    pub fn crowd(&self, crowd: AttemptKey, cost: Cost, now: u64) {
        let attempt = FailedAttempt { key: crowd, who: NOBODY, spelling: ANY_SPELLING, cost };
        self.attempts.fail(attempt, now, |evicted, _| self.delete_attempts(evicted));
    }

    /// Deletes forgotten keys from the file.
    fn delete_attempts(&self, evicted: &[AttemptKey]) {
        if let Store::Embedded(store) = &self.store {
            store.delete_later(evicted.iter().map(codec::attempt_key).collect());
        }
    }

    /// Remaining delay before more of this crowd may wait, in milliseconds.
    pub fn crowd_wait(&self, crowd: &AttemptKey, now: u64) -> u64 {
        self.attempts.of(crowd).wait(now)
    }

    /// Sets the callback for a name whose locks operators lift, for another counter by name. Only the first one counts.
    pub fn on_clear(&self, told: impl Fn(&AttemptKey) + Send + Sync + 'static) {
        self.attempts.on_clear(told);
    }

    /// Forgets all failures of a name, and those of a network if one is named, on every replica. Returns the number of
    /// keys, once the store has forgotten them.
    ///
    /// # Errors
    /// [`Unavailable`]: they are forgotten here only.
    pub async fn clear_attempts(&self, who: &AttemptKey, network: Option<&AttemptKey>) -> Result<usize, Unavailable> {
        let forget = |key: &AttemptKey| self.delete_attempts(&[*key]);
        let gone = self.attempts.clear(who, forget).len();
        let of_network = network.is_some_and(|network| self.attempts.clear_one(network, |_| true, forget));
        let mut count = gone + usize::from(of_network);
        let shared = async |store: &Redis| {
            count = store.clear_attempts(who, network).await?;
            Ok(())
        };
        self.keep("clear", UnlessLeft::Write, Vec::new, shared).await?;
        Ok(count)
    }

    /// Up to `most` failure counters that are not forgotten: of the shared store, or of this process.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn attempts(&self, now: u64, most: usize) -> Result<Vec<(AttemptKey, Failures)>, Unavailable> {
        let is_remembered = |failures: &Failures| failures.remembered(now) > 0;
        if let Store::Redis(store, _) = &self.store {
            return store.attempts(most, is_remembered).await;
        }
        let mut known = self.attempts.failures().collect(|key, known| is_remembered(known).then_some((*key, *known)));
        known.truncate(most);
        Ok(known)
    }

    /// Forgets, after a success, the failures of its name in its network, if spelled alike.
    pub async fn forgive(&self, keys: &AttemptKeys, now: u64) {
        let network = self.attempts.forgive(keys, now);
        match &self.store {
            Store::Memory => {}
            Store::Embedded(store) => {
                let network = network.map(|network| codec::put_failures(&keys.network, network));
                let is_gone = self.attempts.of(&keys.name) == Failures::default();
                let gone = is_gone.then(|| codec::delete_failures(&keys.name));
                store.write_later(network.into_iter().chain(gone).collect());
            }
            Store::Redis(store, _) => {
                if store.forgive(*keys, now).await.is_err() {
                    self.metrics.failed("attempts");
                }
            }
        }
    }

    /// Returns whether this name has logged in from this network within the last weeks; while the shared store is
    /// unreachable, by what this process knows.
    pub async fn was_right(&self, keys: &AttemptKeys, now: u64) -> bool {
        match &self.store {
            Store::Redis(store, _) if !self.attempts.is_right(&keys.right, now) => {
                store.was_right(&keys.right).await.unwrap_or_default()
            }
            _ => self.attempts.is_right(&keys.right, now),
        }
    }

    /// Notes that this name has logged in from this network.
    pub fn note_right(&self, keys: &AttemptKeys, now: u64) {
        let evict = |evicted: &[AttemptKey]| self.delete_attempts(evicted);
        let Some(until) = self.attempts.note_right(keys.right, now, evict) else { return };
        match &self.store {
            Store::Memory => {}
            Store::Embedded(store) => {
                store.write_later(vec![codec::put_right(&keys.right, until)]);
            }
            Store::Redis(store, _) => store.note_right(keys.right, RIGHT_FOR),
        }
    }
}
