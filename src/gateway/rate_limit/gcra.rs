//! The generic cell rate algorithm (GCRA), in whole nanoseconds.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::raw::RateLimit;
use dashmap::DashMap;

/// Number of keys from which idle ones are swept.
const SWEEP_AT: usize = 50_000;

/// Shortest time between sweeps, in nanoseconds: a flood of keys must not make each request pay for all of them.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// A limiter for many keys, shared by all workers.
#[derive(Debug)]
pub(super) struct Limiter<Key: Eq + Hash> {
    start: Instant,
    /// Time at which the key's bucket is empty again, in nanoseconds since `start`.
    empty_at: DashMap<Key, u64, foldhash::fast::RandomState>,
    /// Time of the last sweep, in nanoseconds since `start`.
    swept_at: AtomicU64,
}

impl<Key: Eq + Hash> Default for Limiter<Key> {
    fn default() -> Self {
        Self { start: Instant::now(), empty_at: DashMap::default(), swept_at: AtomicU64::new(0) }
    }
}

impl<Key: Eq + Hash> Limiter<Key> {
    /// Counts one more; returns what is left.
    ///
    /// # Errors
    /// The delay, where that is one too many.
    pub(crate) fn take(&self, key: Key, limit: &RateLimit, now: Instant) -> Result<Left, Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        let each = each(limit);
        let burst = burst(limit);
        self.sweep(now);
        let mut empty_at = self.empty_at.entry(key).or_insert(0);
        let then = (*empty_at).max(now).saturating_add(each);
        let earliest = then.saturating_sub(each.saturating_mul(burst));
        if earliest > now {
            return Err(Duration::from_nanos(earliest - now));
        }
        *empty_at = then;
        let full = then - now;
        Ok(Left { calls: burst.saturating_sub(full.div_ceil(each.max(1))), full: Duration::from_nanos(full) })
    }

    /// The delay before the next, where nothing is left now.
    pub(crate) fn wait(&self, key: &Key, limit: &RateLimit, now: Instant) -> Option<Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        let each = each(limit);
        let empty_at = self.empty_at.get(key).map_or(0, |empty_at| *empty_at);
        let then = empty_at.max(now).saturating_add(each);
        let earliest = then.saturating_sub(each.saturating_mul(burst(limit)));
        (earliest > now).then(|| Duration::from_nanos(earliest - now))
    }

    /// Counts one more, and refunds it when the guard is dropped, unless it is kept.
    ///
    /// # Errors
    /// The delay, where that is one too many.
    pub(crate) fn spend(&self, key: Key, limit: &RateLimit, now: Instant) -> Result<Spent<'_, Key>, Duration>
    where
        Key: Copy,
    {
        self.take(key, limit, now)?;
        Ok(Spent { limiter: self, key, each: each(limit), is_kept: false })
    }

    /// Refunds one; `each` is its time in nanoseconds.
    pub(crate) fn give_back(&self, key: &Key, each: u64) {
        if let Some(mut empty_at) = self.empty_at.get_mut(key) {
            *empty_at = empty_at.saturating_sub(each);
        }
    }

    /// Forgets a key.
    pub(crate) fn forget(&self, key: &Key) {
        self.empty_at.remove(key);
    }

    /// Forgets idle keys: with an empty bucket they are as good as new.
    pub(crate) fn forget_idle(&self, now: Instant) {
        let now = nanos(now.saturating_duration_since(self.start));
        self.empty_at.retain(|_, empty_at| *empty_at > now);
        self.empty_at.shrink_to_fit();
    }

    /// Forgets idle keys where there are many, and not too often.
    fn sweep(&self, now: u64) {
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        if now.saturating_sub(swept_at) < SWEEP_EVERY || self.empty_at.len() < SWEEP_AT {
            return;
        }
        let mine = self.swept_at.compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine {
            self.empty_at.retain(|_, empty_at| *empty_at > now);
        }
    }
}

/// A count that is refunded when dropped, unless it is kept.
pub(crate) struct Spent<'a, Key: Eq + Hash> {
    limiter: &'a Limiter<Key>,
    key: Key,
    each: u64,
    is_kept: bool,
}

impl<Key: Eq + Hash> Spent<'_, Key> {
    /// Keeps the count.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl<Key: Eq + Hash> Drop for Spent<'_, Key> {
    fn drop(&mut self) {
        if !self.is_kept {
            self.limiter.give_back(&self.key, self.each);
        }
    }
}

/// The rest of a limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// Calls that may come at once now.
    pub(crate) calls: u64,
    /// Time until all may come at once again.
    pub(crate) full: Duration,
}

/// The time of one call, in nanoseconds.
pub(crate) fn each(limit: &RateLimit) -> u64 {
    nanos(limit.rate.period()) / u64::from(limit.rate.count().max(1))
}

/// The burst: calls that may come at once.
pub(crate) fn burst(limit: &RateLimit) -> u64 {
    u64::from(limit.burst.unwrap_or(limit.rate.count()).max(1))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::scalar::Rate;

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_keys_are_apart() {
        let limiter = Limiter::default();
        let limit = RateLimit { rate: Rate::per_second(10), burst: Some(3) };
        let start = Instant::now();
        for left in [2, 1, 0] {
            let taken = limiter.take("one", &limit, start).expect("within the burst");
            assert_eq!((taken.calls, taken.full), (left, Duration::from_millis(100 * (3 - left))));
        }
        let wait = limiter.take("one", &limit, start).expect_err("the fourth is too many");
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(limiter.take("other", &limit, start).is_ok());
        let later = start + Duration::from_millis(100);
        assert!(limiter.take("one", &limit, later).is_ok());
        assert!(limiter.take("one", &limit, later).is_err());
        assert!(limiter.take("one", &limit, start + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_what_is_kept_cannot() {
        let limiter = Limiter::default();
        let limit = RateLimit { rate: Rate::per_second(1), burst: Some(2) };
        let now = Instant::now();
        for _ in 0..5 {
            assert_eq!(limiter.wait(&1, &limit, now), None);
            drop(limiter.spend(1, &limit, now));
        }
        for _ in 0..2 {
            limiter.spend(1, &limit, now).map(Spent::keep).expect("within the burst");
        }
        assert_eq!(limiter.wait(&1, &limit, now), Some(Duration::from_secs(1)));
        assert_eq!(limiter.spend(1, &limit, now).err(), Some(Duration::from_secs(1)));
        assert_eq!(limiter.wait(&2, &limit, now), None);
    }

    #[test]
    fn keys_that_hold_nobody_back_are_forgotten_and_no_others() {
        let limiter = Limiter::default();
        let limit = RateLimit { rate: Rate::per_second(1), burst: Some(2) };
        let start = Instant::now();
        for key in ["one", "two", "two"] {
            assert!(limiter.take(key, &limit, start).is_ok());
        }
        limiter.forget_idle(start + Duration::from_millis(1_500));
        assert_eq!(limiter.empty_at.len(), 1);
        assert_eq!(limiter.wait(&"two", &limit, start), Some(Duration::from_secs(1)));
        limiter.forget_idle(start + Duration::from_secs(2));
        assert_eq!((limiter.empty_at.len(), limiter.empty_at.capacity()), (0, 0));
    }

    #[test]
    fn keys_that_are_no_longer_limited_are_forgotten() {
        let limiter = Limiter::default();
        let limit = RateLimit { rate: Rate::per_second(1), burst: Some(1) };
        let start = Instant::now();
        for key in 0..SWEEP_AT {
            assert!(limiter.take(key, &limit, start).is_ok());
        }
        assert!(limiter.take(SWEEP_AT, &limit, start + Duration::from_secs(10)).is_ok());
        assert_eq!(limiter.empty_at.len(), 1);
    }
}
