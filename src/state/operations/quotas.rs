//! Quotas and shared rate limits: calls counted here and in the store.

use std::time::Instant;

use crate::state::login_lockout::AttemptKey;
use crate::state::quota::{Local, Quota, Taken};
use crate::state::{State, Store, Unavailable, codec};

impl State {
    /// Takes up to `wanted` calls of a rate limit that replicas share: one every `each` microseconds, `burst` at once.
    ///
    /// # Errors
    /// [`Unavailable`], also without a shared store.
    pub async fn take(&self, key: AttemptKey, each: u64, burst: u64, wanted: u64) -> Result<Taken, Unavailable> {
        let Store::Redis(store, _) = &self.store else { return Err(Unavailable) };
        let begun = Instant::now();
        let taken = store.take(&key, each, burst, wanted).await;
        self.note("take", begun.elapsed(), taken.is_ok());
        taken
    }

    /// Counts a call against the quota of an API key; returns the calls left, or `None` if it is used up. `begun` is
    /// the begin of the call's period, in seconds since 1970.
    ///
    /// # Errors
    /// [`Unavailable`]: it was not counted.
    pub async fn count(&self, key: &str, quota: Quota, begun: u64) -> Result<Option<u64>, Unavailable> {
        let Store::Redis(store, _) = &self.store else {
            return Ok(match self.quotas.count(key, quota.period, quota.most, begun) {
                Local::Good(left) => Some(left),
                Local::Over | Local::Ask(_) => None,
            });
        };
        loop {
            match self.quotas.spend(key, quota.period, quota.most, begun) {
                Local::Good(left) => return Ok(Some(left)),
                Local::Over => return Ok(None),
                Local::Ask(begun) => {
                    // So much that most calls need not ask, and so little that a replica that ends loses hardly any.
                    let wanted = (quota.most / 1_000).clamp(1, 100);
                    let asked = Instant::now();
                    let name = format!("{}:{begun}:{key}", quota.period.as_str());
                    let counted = store.count(&name, wanted, quota.most, quota.period.next(begun)).await;
                    self.note("count", asked.elapsed(), counted.is_ok());
                    let (granted, used) = counted?;
                    self.quotas.lease(key, quota.period, begun, granted, used);
                    if granted == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The calls that are left of a quota, as far as this process knows, without counting one.
    pub fn quota_left(&self, key: &str, quota: Quota, begun: u64) -> u64 {
        self.quotas.left(key, quota, begun)
    }

    /// Writes the counts that changed since the last time. Once a second: a crash loses no more than that.
    pub fn note_counts(&self) {
        if let Store::Embedded(store) = &self.store {
            let counted = self.quotas.unstored();
            store.write_later(
                counted.iter().map(|(key, period, count)| codec::put_count(key, *period, *count)).collect(),
            );
        }
    }

    /// Forgets counts that nothing can use any more. `now` is in seconds since 1970.
    pub fn forget_counts(&self, now: u64) {
        let over = self.quotas.forget_over(now);
        if let Store::Embedded(store) = &self.store {
            store.write_later(over.iter().map(|(key, period)| codec::delete_count(key, *period)).collect());
        }
    }
}
