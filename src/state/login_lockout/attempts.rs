//! Failure counters of this process, and the names that have logged in.

use std::collections::hash_map::Entry;
use std::sync::OnceLock;

use super::{AttemptKey, AttemptKeys, Costs, FailedAttempt, Failures};
use crate::state::sharded_map::{PARTS, Shards};

/// Failure counters, and the names that have logged in from a network.
#[derive(Debug)]
pub(in crate::state) struct Attempts {
    known: Shards<AttemptKey, Failures>,
    /// Names that have logged in from a network, with the end of that effect.
    right: Shards<AttemptKey, u64>,
    /// Most entries of each map in one part.
    most: usize,
    /// Called when operators lift the locks of a name.
    on_clear: OnceLock<OnClear>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::of_size(MAX_KEYS)
    }
}

/// A callback for lifted locks.
struct OnClear(Box<dyn Fn(&AttemptKey) + Send + Sync>);

impl std::fmt::Debug for OnClear {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OnClear")
    }
}

/// Most counters: a flood of keys must not fill the memory, at 48 bytes each. A full part forgets those that lock
/// nobody. The same for names that have logged in, at 24 bytes each: of more, any one is forgotten.
const MAX_KEYS: usize = 256 * PARTS;

/// Effect of a successful login, in milliseconds.
pub(in crate::state) const RIGHT_FOR: u64 = 30 * DAY;
const DAY: u64 = 24 * 3600 * 1_000;

impl Attempts {
    /// At most `most` entries of each kind.
    pub(in crate::state) fn of_size(most: usize) -> Self {
        // Names are chosen by whoever tries them.
        Self { known: Shards::scattered(), right: Shards::scattered(), most: most / PARTS, on_clear: OnceLock::new() }
    }

    pub(in crate::state) fn of(&self, key: &AttemptKey) -> Failures {
        self.known.with(key, |failures| *failures).unwrap_or_default()
    }

    /// Counts a failure; returns the counter, if it counts. `note` gets the evicted keys and the counter before
    /// anything else can be counted of them.
    pub(in crate::state) fn fail(
        &self,
        attempt: FailedAttempt,
        now: u64,
        note: impl FnOnce(&[AttemptKey], Option<Failures>),
    ) -> Option<Failures> {
        let FailedAttempt { key, who, spelling, cost } = attempt;
        self.known.part(&key, |part| {
            let mut evicted = Vec::new();
            if part.len() >= self.most && !part.contains_key(&key) {
                evicted.extend(part.extract_if(|_, failures| now >= failures.locked_until).map(|(key, _)| key));
                let first = part.iter().min_by_key(|(_, failures)| failures.locked_until).map(|(key, _)| *key);
                if let Some(first) = first.filter(|_| evicted.is_empty()) {
                    part.remove(&first);
                    evicted.push(first);
                }
            }
            let failures = part.entry(key).or_default();
            let counted = failures.and_another(spelling, cost, now).map(|counted| Failures { who, ..counted });
            *failures = counted.unwrap_or(*failures);
            note(&evicted, counted);
            counted
        })
    }

    /// Counts a failure of a network and, if that counts, also of the name: so a name has no more failures than its
    /// network.
    pub(in crate::state) fn fail_both(
        &self,
        keys: &AttemptKeys,
        costs: Costs,
        now: u64,
        note: impl Fn(&AttemptKey, &[AttemptKey], Option<Failures>),
    ) -> Vec<(AttemptKey, Failures)> {
        let fail =
            |attempt: FailedAttempt| self.fail(attempt, now, |evicted, counted| note(&attempt.key, evicted, counted));
        let of_network = fail(keys.of_network(costs));
        let of_name = of_network.and_then(|_| fail(keys.of_name(costs)));
        let (of_network, of_name) = (of_network.map(|one| (keys.network, one)), of_name.map(|one| (keys.name, one)));
        of_network.into_iter().chain(of_name).collect()
    }

    /// Forgets the failures of the name, if spelled alike, and subtracts them from its network's. Returns the network's
    /// counter, if there is one to change.
    pub(in crate::state) fn forgive(&self, keys: &AttemptKeys, now: u64) -> Option<Failures> {
        let forgiven = self.known.remove_if(&keys.name, |_, failures| failures.is_of(keys.spelling))?;
        self.known.change(&keys.network, |network| {
            network.count = network.count.saturating_sub(forgiven.remembered(now));
            *network
        })
    }

    pub(in crate::state) fn set(&self, key: AttemptKey, failures: Failures) {
        self.known.insert(key, failures);
    }

    /// Takes over the counter of the shared store, unless a failure was counted here since it was asked.
    pub(in crate::state) fn learn(&self, key: AttemptKey, before: Failures, shared: Failures) {
        if before == shared || self.of(&key) != before {
            return;
        }
        if shared == Failures::default() {
            self.known.remove_if(&key, |_, now| *now == before);
        } else {
            self.known.insert(key, shared);
        }
    }

    /// Forgets all failures of a name, in any network; returns their keys. `note` gets each before anything else can be
    /// counted of it.
    pub(in crate::state) fn clear(&self, who: &AttemptKey, note: impl Fn(&AttemptKey)) -> Vec<AttemptKey> {
        let mut gone = self.known.collect(|key, failures| (failures.who == *who).then_some(*key));
        gone.retain(|key| self.clear_one(key, |failures| failures.who == *who, &note));
        if let Some(OnClear(on_clear)) = self.on_clear.get() {
            on_clear(who);
        }
        gone
    }

    pub(in crate::state) fn clear_one(
        &self,
        key: &AttemptKey,
        is_it: impl Fn(&Failures) -> bool,
        note: impl Fn(&AttemptKey),
    ) -> bool {
        self.known.part(key, |part| {
            let is_there = part.get(key).is_some_and(is_it);
            if is_there {
                note(key);
                part.remove(key);
            }
            is_there
        })
    }

    pub(in crate::state) fn is_right(&self, key: &AttemptKey, now: u64) -> bool {
        self.right.with(key, |until| now < *until).unwrap_or_default()
    }

    /// Notes a successful login; returns the end of its effect, unless it was noted lately. `evict` gets the keys that
    /// made room, while nothing can be noted of them anew.
    pub(in crate::state) fn note_right(
        &self,
        key: AttemptKey,
        now: u64,
        evict: impl FnOnce(&[AttemptKey]),
    ) -> Option<u64> {
        let until = now.saturating_add(RIGHT_FOR);
        self.right.part(&key, |part| {
            let is_full = part.len() >= self.most;
            let any = part.keys().next().copied().filter(|_| is_full);
            match part.entry(key) {
                Entry::Occupied(known) if known.get().saturating_add(DAY) > until => return None,
                Entry::Occupied(mut known) => {
                    known.insert(until);
                }
                Entry::Vacant(free) => {
                    free.insert(until);
                    if let Some(any) = any {
                        part.remove(&any);
                        evict(&[any]);
                    }
                }
            }
            Some(until)
        })
    }

    pub(in crate::state) fn set_right(&self, key: AttemptKey, until: u64) {
        self.right.insert(key, until);
    }

    /// Sets the callback for lifted locks. Only the first one counts.
    pub(in crate::state) fn on_clear(&self, told: impl Fn(&AttemptKey) + Send + Sync + 'static) {
        let _ = self.on_clear.set(OnClear(Box::new(told)));
    }

    /// Failure counters, for the sweep.
    pub(in crate::state) fn failures(&self) -> &Shards<AttemptKey, Failures> {
        &self.known
    }

    /// Names that have logged in, for the sweep.
    pub(in crate::state) fn right(&self) -> &Shards<AttemptKey, u64> {
        &self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::login_lockout::{Cost, NOBODY};

    const COST: Cost = Cost { free: 3, delay: 1_000, longest: 60_000 };

    const MOST: usize = 8 * PARTS;

    const COSTS: Costs = Costs { name: COST, network: Cost { free: 10, ..COST } };

    fn attempt(key: AttemptKey, cost: Cost) -> FailedAttempt {
        FailedAttempt { key, who: NOBODY, spelling: 7, cost }
    }

    fn keys(name: u8) -> AttemptKeys {
        AttemptKeys { name: [name; 16], network: [255; 16], right: [name + 100; 16], spelling: 7, who: [name; 16] }
    }

    #[test]
    fn a_success_takes_from_its_network_what_failed_under_its_name_and_nothing_else() {
        let attempts = Attempts::default();
        for name in [1, 1, 2, 2, 2] {
            attempts.fail_both(&keys(name), COSTS, 1_000, |_, _, _| ());
        }
        assert_eq!(attempts.forgive(&keys(1), 2_000).map(|network| network.count), Some(3));
        assert_eq!(attempts.forgive(&keys(1), 2_000), None, "there is nothing more to forgive");
        assert_eq!(attempts.of(&keys(2).name).count, 3);
        // What has been forgotten is not taken back once more.
        let later = attempts.of(&keys(2).name).forgotten_at;
        attempts.fail_both(&keys(3), COSTS, later, |_, _, _| ());
        assert_eq!(attempts.forgive(&keys(2), later).map(|network| network.count), Some(1));
    }

    #[test]
    fn a_success_takes_back_what_failed_under_its_own_spelling_and_nothing_of_several() {
        let attempts = Attempts::default();
        let spelled = |spelling| AttemptKeys { spelling, ..keys(1) };
        attempts.fail_both(&spelled(7), COSTS, 1_000, |_, _, _| ());
        assert_eq!(attempts.forgive(&spelled(8), 2_000), None);
        assert_eq!(attempts.of(&keys(1).name).count, 1);
        assert_eq!(attempts.forgive(&spelled(7), 2_000).map(|network| network.count), Some(0));
        for spelling in [7, 8, 7] {
            attempts.fail_both(&spelled(spelling), COSTS, 1_000, |_, _, _| ());
        }
        for spelling in [7, 8] {
            assert_eq!(attempts.forgive(&spelled(spelling), 2_000), None);
        }
        assert_eq!((attempts.of(&keys(1).name).count, attempts.of(&keys(1).network).count), (3, 3));
        // Once all is forgotten, the next failure says how it is spelled; an older version has said nothing.
        let later = attempts.of(&keys(1).name).forgotten_at;
        attempts.fail_both(&spelled(8), COSTS, later, |_, _, _| ());
        assert!(attempts.forgive(&spelled(8), later).is_some());
        attempts.set(keys(1).name, Failures { count: 2, forgotten_at: later + 1, ..Failures::default() });
        assert!(attempts.forgive(&spelled(8), later).is_some());
    }

    #[test]
    fn clearing_a_name_forgets_it_in_every_network_and_nobody_else() {
        let attempts = Attempts::default();
        let from =
            |network: u8, name: u8| AttemptKeys { name: [network ^ name; 16], network: [network; 16], ..keys(name) };
        for (network, name) in [(200, 1), (210, 1), (200, 2)] {
            attempts.fail_both(&from(network, name), COSTS, 1_000, |_, _, _| ());
        }
        assert_eq!(attempts.clear(&[1; 16], |_| ()).len(), 2);
        assert!(attempts.clear(&[1; 16], |_| ()).is_empty());
        assert_eq!(attempts.of(&from(200, 2).name).count, 1);
        assert_eq!(attempts.of(&[200; 16]).count, 2, "a network's failures are its own");
    }

    #[test]
    fn what_does_not_count_for_a_locked_network_does_not_count_for_the_name() {
        let attempts = Attempts::default();
        for name in 0..11 {
            assert_eq!(attempts.fail_both(&keys(name), COSTS, 1_000, |_, _, _| ()).len(), 2);
        }
        assert!(attempts.fail_both(&keys(50), COSTS, 1_000, |_, _, _| ()).is_empty());
        assert_eq!(attempts.of(&keys(50).name), Failures::default());
    }

    #[test]
    fn what_a_shared_store_says_counts_unless_something_failed_here_since() {
        let attempts = Attempts::default();
        let (key, shared) =
            ([1; 16], Failures { count: 4, forgotten_at: 9_000, locked_until: 5_000, spelling: 7, who: NOBODY });
        attempts.learn(key, Failures::default(), shared);
        assert_eq!(attempts.of(&key), shared);
        attempts.fail(attempt(key, COST), 6_000, |_, _| ());
        attempts.learn(key, shared, Failures::default());
        assert_eq!(attempts.of(&key).count, 5);
        attempts.learn(key, attempts.of(&key), Failures::default());
        assert_eq!(attempts.of(&key), Failures::default());
    }

    #[test]
    fn who_was_right_is_known_for_weeks_and_of_too_many_any_is_forgotten() {
        let attempts = Attempts::of_size(MOST);
        let (evicted, none) = (std::cell::RefCell::new(Vec::new()), |_: &[AttemptKey]| ());
        assert_eq!(attempts.note_right([1; 16], 5, none), Some(RIGHT_FOR + 5));
        assert_eq!(attempts.note_right([1; 16], 6, none), None, "it is noted");
        assert!(attempts.is_right(&[1; 16], RIGHT_FOR) && !attempts.is_right(&[1; 16], RIGHT_FOR + 5));
        assert!(attempts.note_right([1; 16], 2 * DAY, none).is_some(), "again, for longer");
        for number in 0..2 * MOST {
            attempts.note_right(key(number), 1, |gone| evicted.borrow_mut().extend_from_slice(gone));
        }
        assert!(attempts.right.len() <= MOST);
        assert_eq!(attempts.right.len() + evicted.borrow().len(), 2 * MOST + 1);
        assert!(evicted.borrow().iter().all(|gone| !attempts.is_right(gone, 1)));
    }

    #[test]
    fn a_flood_of_keys_does_not_fill_the_memory() {
        let attempts = Attempts::of_size(MOST);
        let evicted = std::cell::Cell::new(0);
        // Also where each of them locks.
        for cost in [COST, Cost { free: 0, ..COST }] {
            for number in 0..2 * MOST {
                attempts.fail(attempt(key(number), cost), 1, |gone, _| evicted.set(evicted.get() + gone.len()));
                assert!(attempts.known.len() <= MOST);
            }
        }
        assert!(evicted.get() >= 2 * MOST);
    }

    fn key(number: usize) -> AttemptKey {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&(number as u64).to_be_bytes());
        key
    }
}
