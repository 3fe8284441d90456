//! How often something may be done: the generic cell rate algorithm, in whole nanoseconds.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use crate::config::raw::RateLimit;

/// Keys are swept out once there are this many.
const SWEEP_AT: usize = 50_000;

/// But not more often than this, in nanoseconds: a flood of keys must not make each request pay for all of them.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// One limiter for many keys; all workers share it.
#[derive(Debug)]
pub(super) struct Limiter<Key: Eq + Hash> {
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
    /// Counts one more.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
    pub(super) fn take(&self, key: Key, limit: &RateLimit, now: Instant) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.start));
        let each = nanos(limit.rate.period()) / u64::from(limit.rate.count().max(1));
        let burst = u64::from(limit.burst.unwrap_or(limit.rate.count()).max(1));
        self.sweep(now);
        let mut empty_at = self.empty_at.entry(key).or_insert(0);
        let then = (*empty_at).max(now).saturating_add(each);
        let earliest = then.saturating_sub(each.saturating_mul(burst));
        if earliest > now {
            return Err(Duration::from_nanos(earliest - now));
        }
        *empty_at = then;
        Ok(())
    }

    /// Forgets keys whose bucket is empty, where there are many keys, and now and then only.
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
        for _ in 0..3 {
            assert!(limiter.take("one", &limit, start).is_ok());
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
