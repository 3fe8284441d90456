//! Login lockout: after some free failures the delay doubles with each further one, up to a longest delay. Never for
//! ever: whoever fails on purpose under another's name must not lock them out.
//!
//! Failures count by network and, within it, by name in any spelling. A success takes back the failures of its name in
//! that network if all were spelled as the success is, and nothing else: neither the failures of the network under
//! other names, nor those under another spelling, which may be somebody else's name.

mod attempts;

pub(super) use attempts::{Attempts, RIGHT_FOR};

/// Key of a failure counter: a digest, so that no name is kept.
pub type AttemptKey = [u8; 16];

/// Fingerprint of the spelling of a name: part of a digest, or [`ANY_SPELLING`].
pub type Spelling = u64;

/// Spelling of a network's failures, and of those that earlier versions wrote: any success of the name takes them back.
pub const ANY_SPELLING: Spelling = 0;

/// Spelling of failures under several: no success takes them back.
const SEVERAL_SPELLINGS: Spelling = u64::MAX;

/// The keys of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKeys {
    /// The name, within this network.
    pub name: AttemptKey,
    /// The network, under any name.
    pub network: AttemptKey,
    /// Record that the name, in this spelling, has logged in from this network.
    pub right: AttemptKey,
    /// The spelling of the name.
    pub spelling: Spelling,
    /// The name, from any network: operators lift locks by it.
    pub who: AttemptKey,
}

/// In place of a name, for the failures of a network, and for those that an earlier version counted without one.
pub const NOBODY: AttemptKey = [0; 16];

/// Delays of one failure counter, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Failures without a delay.
    pub free: u64,
    /// First delay.
    pub delay: u64,
    /// Longest delay. After twice this time without a failure all are forgotten.
    pub longest: u64,
}

/// Delays of the counters of a name and of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Failures under one name from one network.
    pub name: Cost,
    /// Failures from one network.
    pub network: Cost,
}

/// One failed attempt, as it counts for its name or for its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FailedAttempt {
    /// The key that it counts for.
    pub(super) key: AttemptKey,
    /// The name that was tried, from any network; or [`NOBODY`].
    pub(super) who: AttemptKey,
    /// The spelling of that name.
    pub(super) spelling: Spelling,
    pub(super) cost: Cost,
}

impl AttemptKeys {
    /// The failure as it counts for the network.
    pub(super) fn of_network(&self, costs: Costs) -> FailedAttempt {
        FailedAttempt { key: self.network, who: NOBODY, spelling: ANY_SPELLING, cost: costs.network }
    }

    /// The failure as it counts for the name in this network.
    pub(super) fn of_name(&self, costs: Costs) -> FailedAttempt {
        FailedAttempt { key: self.name, who: self.who, spelling: self.spelling, cost: costs.name }
    }
}

/// One failure counter. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failures {
    /// Number of failures.
    pub count: u64,
    /// Time at which all are forgotten.
    pub forgotten_at: u64,
    /// End of the lock.
    pub locked_until: u64,
    /// Spelling of all of them.
    pub spelling: Spelling,
    /// The name that was tried, from any network; or [`NOBODY`].
    pub who: AttemptKey,
}

impl Failures {
    /// The counter after one more failure of this spelling at `now`; `None` if it is locked: the attempt began before
    /// the lock and does not count.
    pub fn and_another(self, spelling: Spelling, cost: Cost, now: u64) -> Option<Self> {
        if now < self.locked_until {
            return None;
        }
        let before = if now >= self.forgotten_at { 0 } else { self.count };
        let count = before.saturating_add(1);
        let doublings = count.saturating_sub(cost.free);
        let wait = match doublings {
            0 => 0,
            // 2^40 milliseconds are longer than anything.
            n => cost.delay.saturating_mul(1 << (n - 1).min(40)).min(cost.longest),
        };
        Some(Self {
            count,
            forgotten_at: now.saturating_add(cost.longest.saturating_mul(2)).saturating_add(cost.delay),
            // One that costs nothing locks nobody, not even who looked at the clock before it.
            locked_until: if wait == 0 { 0 } else { now.saturating_add(wait) },
            spelling: match self.spelling {
                known if before == 0 || known == ANY_SPELLING || known == spelling => spelling,
                _ => SEVERAL_SPELLINGS,
            },
            who: self.who,
        })
    }

    /// Returns whether a success of this spelling takes the failures back.
    pub(super) fn is_of(self, spelling: Spelling) -> bool {
        [ANY_SPELLING, spelling].contains(&self.spelling)
    }

    /// Number of failures not forgotten at `now`.
    pub(super) fn remembered(self, now: u64) -> u64 {
        if now < self.forgotten_at { self.count } else { 0 }
    }

    /// Remaining delay, in milliseconds.
    pub fn wait(self, now: u64) -> u64 {
        self.locked_until.saturating_sub(now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const COST: Cost = Cost { free: 3, delay: 1_000, longest: 60_000 };

    #[test]
    fn waits_double_up_to_the_longest_and_are_forgotten() {
        let mut failures = Failures::default();
        let mut waits = Vec::new();
        let mut now = 1_000_000;
        for _ in 0..12 {
            failures = failures.and_another(7, COST, now).unwrap();
            waits.push(failures.wait(now));
            now = failures.locked_until.max(now);
        }
        assert_eq!(waits, [0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        let later = failures.and_another(7, COST, failures.forgotten_at).unwrap();
        assert_eq!((later.count, later.wait(failures.forgotten_at)), (1, 0));
    }

    #[test]
    fn failures_that_were_under_way_when_the_lock_fell_count_once() {
        let mut failures = Failures::default();
        for _ in 0..100 {
            failures = failures.and_another(7, COST, 1_000).unwrap_or(failures);
        }
        assert_eq!((failures.count, failures.wait(1_000)), (4, 1_000));
    }

    #[test]
    fn failures_that_cost_nothing_lock_nobody_who_came_before_them() {
        let failures = Failures::default().and_another(7, COST, 1_000).unwrap();
        assert_eq!((failures.count, failures.wait(999)), (1, 0));
    }

    #[test]
    fn very_many_failures_are_no_overflow() {
        let failures = Failures { count: u64::MAX, forgotten_at: u64::MAX, ..Failures::default() };
        assert_eq!(failures.and_another(7, COST, 5).unwrap().wait(5), 60_000);
    }
}
