//! How often something may be done: the generic cell rate algorithm, in whole nanoseconds.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::raw::RateLimit;
use dashmap::DashMap;

/// Keys are swept out once there are this many.
const SWEEP_AT: usize = 50_000;

/// But not more often than this, in nanoseconds: a flood of keys must not make each request pay for all of them.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// One limiter for many keys; all workers share it.
#[derive(Debug)]
pub(crate) struct Limiter<Key: Eq + Hash> {
    start: Instant,
    /// When the key's bucket is empty again, in nanoseconds since `start`.
    empty_at: DashMap<Key, u64, foldhash::fast::RandomState>,
    /// When keys were last swept out, in nanoseconds since `start`.
    swept_at: AtomicU64,
}

impl<Key: Eq + Hash> Default for Limiter<Key> {
    fn default() -> Self {
        Self { start: Instant::now(), empty_at: DashMap::default(), swept_at: AtomicU64::new(0) }
    }
}

impl<Key: Eq + Hash> Limiter<Key> {
    /// Counts one more; what is left.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
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

    /// How long to wait for the next, where nothing is left now.
    pub(crate) fn wait(&self, key: &Key, limit: &RateLimit, now: Instant) -> Option<Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        let each = each(limit);
        let empty_at = self.empty_at.get(key).map_or(0, |empty_at| *empty_at);
        let then = empty_at.max(now).saturating_add(each);
        let earliest = then.saturating_sub(each.saturating_mul(burst(limit)));
        (earliest > now).then(|| Duration::from_nanos(earliest - now))
    }

    /// Counts one more, until that is dropped, unless it is kept.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
    pub(crate) fn spend(&self, key: Key, limit: &RateLimit, now: Instant) -> Result<Spent<'_, Key>, Duration>
    where
        Key: Copy,
    {
        self.take(key, limit, now)?;
        Ok(Spent { limiter: self, key, each: each(limit), is_kept: false })
    }

    /// One that was counted does not count after all; `each` is the time that one takes, in nanoseconds.
    pub(crate) fn give_back(&self, key: &Key, each: u64) {
        if let Some(mut empty_at) = self.empty_at.get_mut(key) {
            *empty_at = empty_at.saturating_sub(each);
        }
    }

    /// Forgets what was counted of a key.
    pub(crate) fn forget(&self, key: &Key) {
        self.empty_at.remove(key);
    }

    /// Forgets keys whose bucket is empty: they are as good as new.
    pub(crate) fn forget_idle(&self, now: Instant) {
        let now = nanos(now.saturating_duration_since(self.start));
        self.empty_at.retain(|_, empty_at| *empty_at > now);
        self.empty_at.shrink_to_fit();
    }

    /// The same, where there are many keys, and now and then only.
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

/// One that is counted; given back when dropped, unless it is kept.
pub(crate) struct Spent<'a, Key: Eq + Hash> {
    limiter: &'a Limiter<Key>,
    key: Key,
    each: u64,
    is_kept: bool,
}

impl<Key: Eq + Hash> Spent<'_, Key> {
    /// It is counted for good.
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

/// What is left of a limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// How many calls may come at once now.
    pub(crate) calls: u64,
    /// When all may again.
    pub(crate) full: Duration,
}

/// The time that one call takes, in nanoseconds.
pub(crate) fn each(limit: &RateLimit) -> u64 {
    nanos(limit.rate.period()) / u64::from(limit.rate.count().max(1))
}

/// How many calls may come at once.
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
