//! Failed attempts: after a few, each further one must wait twice as long as the one before. Never for ever: whoever
//! fails on purpose under another's name must not lock them out.

use dashmap::DashMap;

use super::record;
use super::{State, Store};

/// Whose attempts are counted together: a digest, so that no name is kept.
pub type AttemptKey = [u8; 16];

/// What failing costs. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// How many failures cost nothing.
    pub free: u64,
    /// The first wait.
    pub delay: u64,
    /// The longest wait. After twice this time without a failure all is forgotten.
    pub longest: u64,
}

/// What is known of one key. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// How many there were.
    pub count: u64,
    /// When all of it is forgotten.
    pub forgotten_at: u64,
    /// Until when nothing more may be tried.
    pub locked_until: u64,
}

impl Failures {
    /// What is known after one more at `now`.
    pub fn and_another(self, cost: Cost, now: u64) -> Self {
        if now < self.locked_until {
            // It was under way before the lock.
            return self;
        }
        let before = if now >= self.forgotten_at { 0 } else { self.count };
        let count = before.saturating_add(1);
        let doublings = count.saturating_sub(cost.free);
        let wait = match doublings {
            0 => 0,
            // 2^40 milliseconds are longer than anything.
            n => cost.delay.saturating_mul(1 << (n - 1).min(40)).min(cost.longest),
        };
        Self {
            count,
            forgotten_at: now.saturating_add(cost.longest.saturating_mul(2)).saturating_add(cost.delay),
            // One that costs nothing locks nobody, not even who looked at the clock before it.
            locked_until: if wait == 0 { 0 } else { now.saturating_add(wait) },
        }
    }

    /// How many milliseconds are left to wait.
    pub fn wait(self, now: u64) -> u64 {
        self.locked_until.saturating_sub(now)
    }
}

/// The failures that this process knows.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    known: DashMap<AttemptKey, Failures, foldhash::fast::RandomState>,
}

/// A flood of keys must not fill the memory: 40 bytes each.
const MAX_KEYS: usize = 200_000;

impl Attempts {
    pub(super) fn of(&self, key: &AttemptKey) -> Failures {
        self.known.get(key).map(|failures| *failures).unwrap_or_default()
    }

    /// Counts a failure; what is known now.
    pub(super) fn fail(&self, key: AttemptKey, cost: Cost, now: u64) -> Failures {
        if self.known.len() >= MAX_KEYS {
            self.sweep(now);
        }
        let mut failures = self.known.entry(key).or_default();
        *failures = failures.and_another(cost, now);
        *failures
    }

    /// The right password was given: half of the failures are forgiven, or all.
    pub(super) fn forgive(&self, key: &AttemptKey, all: bool) {
        if all {
            self.known.remove(key);
        } else if let Some(mut failures) = self.known.get_mut(key) {
            failures.count /= 2;
        }
    }

    pub(super) fn set(&self, key: AttemptKey, failures: Failures) {
        self.known.insert(key, failures);
    }

    /// Forgets what is due; where that is too little, whatever locks nobody.
    pub(super) fn sweep(&self, now: u64) -> Vec<AttemptKey> {
        let mut gone = Vec::new();
        let full = self.known.len() >= MAX_KEYS;
        self.known.retain(|key, failures| {
            let keep = now < failures.forgotten_at && (!full || now < failures.locked_until);
            if !keep {
                gone.push(*key);
            }
            keep
        });
        gone
    }
}

impl State {
    /// How many milliseconds must pass before something is tried under one of these keys again. `now` is in
    /// milliseconds since 1970. While a shared store is away, what this process knows counts.
    pub async fn wait(&self, keys: &[AttemptKey], now: u64) -> u64 {
        let here = keys.iter().map(|key| self.attempts.of(key).wait(now)).max().unwrap_or_default();
        let Store::Redis(store, _) = &self.store else { return here };
        let shared = store.failures(keys).await;
        if shared.is_err() {
            self.metrics.failed("attempts");
        }
        let shared = shared.unwrap_or_default();
        // Where another replica forgave, what is known here is old.
        if shared.is_empty() { here } else { shared.iter().map(|known| known.wait(now)).max().unwrap_or_default() }
    }

    /// Counts a failed attempt. `now` is in milliseconds since 1970.
    pub async fn fail(&self, key: AttemptKey, cost: Cost, now: u64) {
        let failures = self.attempts.fail(key, cost, now);
        match &self.store {
            Store::Memory => {}
            Store::Embedded(store) => store.write_later(vec![record::put_failures(&key, failures)]),
            Store::Redis(store, _) => {
                if store.fail(&key, cost, now).await.is_err() {
                    self.metrics.failed("attempts");
                }
            }
        }
    }

    /// An attempt succeeded: forgets what failed under this key before, or half of it.
    pub async fn forgive(&self, key: &AttemptKey, all: bool) {
        self.attempts.forgive(key, all);
        match &self.store {
            Store::Memory => {}
            Store::Embedded(store) if all => store.write_later(vec![record::delete_failures(key)]),
            Store::Embedded(_) => {}
            Store::Redis(store, _) => {
                if store.forgive(key, all).await.is_err() {
                    self.metrics.failed("attempts");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { free: 3, delay: 1_000, longest: 60_000 };

    #[test]
    fn f3_waits_double_up_to_the_longest_and_are_forgotten() {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        let mut now = 1_000_000;
        for _ in 0..12 {
            failures = failures.and_another(COST, now);
            waits.push(failures.wait(now));
            now = failures.locked_until.max(now);
        }
        assert_eq!(waits, [0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        let later = failures.and_another(COST, failures.forgotten_at);
        assert_eq!((later.count, later.wait(failures.forgotten_at)), (1, 0));
    }

    #[test]
    fn failures_that_were_under_way_when_the_lock_fell_count_once() {
        let mut failures = Failures::default();
        for _ in 0..100 {
            failures = failures.and_another(COST, 1_000);
        }
        assert_eq!((failures.count, failures.wait(1_000)), (4, 1_000));
    }

    #[test]
    fn failures_that_cost_nothing_lock_nobody_who_came_before_them() {
        let failures = Failures::default().and_another(COST, 1_000);
        assert_eq!((failures.count, failures.wait(999)), (1, 0));
    }

    #[test]
    fn very_many_failures_are_no_overflow() {
        let failures = Failures { count: u64::MAX, forgotten_at: u64::MAX, locked_until: 0 };
        assert_eq!(failures.and_another(COST, 5).wait(5), 60_000);
    }

    #[test]
    fn a_flood_of_keys_does_not_fill_the_memory() {
        let attempts = Attempts::default();
        for number in 0..MAX_KEYS + 10 {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&(number as u64).to_be_bytes());
            attempts.fail(key, COST, 1);
        }
        assert!(attempts.known.len() <= MAX_KEYS);
    }
}
