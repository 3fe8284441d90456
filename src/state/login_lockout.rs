//! Login lockout: after a few failed attempts, the delay doubles with each further one. Never for ever: whoever
//! fails on purpose under another's name must not lock them out.
//!
//! They count by network and, within it, by name, in whatever spelling. A success takes back what failed under its name
//! there where all of that was spelled as the success is, and nothing else: not what the same network failed under other
//! names, nor under another spelling, which may be the name of somebody else.

use std::collections::hash_map::Entry;
use std::sync::OnceLock;

use super::redis::Redis;
use super::sharded_map::{PARTS, Shards};
use super::{State, Store, Unavailable, UnlessLeft, codec};

/// Whose attempts are counted together: a digest, so that no name is kept.
pub type AttemptKey = [u8; 16];

/// What stands for the spelling of a name: part of a digest, or [`ANY_SPELLING`].
pub type Spelling = u64;

/// What older versions wrote, and what is counted of a network: any success of the name takes it back.
pub const ANY_SPELLING: Spelling = 0;

/// Of failures under several spellings: no success takes them back.
const SEVERAL_SPELLINGS: Spelling = u64::MAX;

/// Under which keys an attempt is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKeys {
    /// The name that is tried, from this network.
    pub name: AttemptKey,
    /// The network, whatever the names.
    pub network: AttemptKey,
    /// Where it is noted that the name, in this spelling, was right from this network.
    pub right: AttemptKey,
    /// How the name is spelled in this attempt.
    pub spelling: Spelling,
    /// The name, from whatever network: what operators lift locks by.
    pub who: AttemptKey,
}

/// In place of a name: what failed is that of a network, or was counted by a version that did not note whose it is.
pub const NOBODY: AttemptKey = [0; 16];

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

/// What failing costs a name in its network, and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Failures under one name from one network.
    pub name: Cost,
    /// Failures from one network.
    pub network: Cost,
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
    /// How the name was spelled each time.
    pub spelling: Spelling,
    /// Whose they are, from whatever network; or [`NOBODY`].
    pub who: AttemptKey,
}

impl Failures {
    /// What is known after one more of this spelling at `now`; `None` where it was under way before the lock, and does not
    /// count.
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

    /// Whether a success of this spelling takes it back.
    fn is_of(self, spelling: Spelling) -> bool {
        [ANY_SPELLING, spelling].contains(&self.spelling)
    }

    /// How many are not forgotten at `now`.
    fn remembered(self, now: u64) -> u64 {
        if now < self.forgotten_at { self.count } else { 0 }
    }

    /// How many milliseconds are left to wait.
    pub fn wait(self, now: u64) -> u64 {
        self.locked_until.saturating_sub(now)
    }
}

/// The failures that this process knows, and who was right.
#[derive(Debug)]
pub(super) struct Attempts {
    known: Shards<AttemptKey, Failures>,
    /// Until when it counts that somebody was right.
    right: Shards<AttemptKey, u64>,
    /// How many of each are in one part at most.
    most: usize,
    /// Who else counts by name.
    on_clear: OnceLock<OnClear>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::of_size(MAX_KEYS)
    }
}

/// Learns that operators have lifted the locks of a name.
struct OnClear(Box<dyn Fn(&AttemptKey) + Send + Sync>);

impl std::fmt::Debug for OnClear {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("OnClear")
    }
}

/// A flood of keys must not fill the memory: 48 bytes each. A part of them that is full forgets those that lock nobody. Nor
/// must customers who log in from everywhere: 24 bytes each. Of more, any one is forgotten.
const MAX_KEYS: usize = 256 * PARTS;

/// For how long it counts that somebody was right, and how much of it may pass before that is noted again.
const RIGHT_FOR: u64 = 30 * DAY;
const DAY: u64 = 24 * 3600 * 1_000;

impl Attempts {
    /// Of each kind at most so many.
    pub(super) fn of_size(most: usize) -> Self {
        // Names are chosen by whoever tries them.
        Self { known: Shards::scattered(), right: Shards::scattered(), most: most / PARTS, on_clear: OnceLock::new() }
    }

    pub(super) fn of(&self, key: &AttemptKey) -> Failures {
        self.known.with(key, |failures| *failures).unwrap_or_default()
    }

    /// Counts a failure; what is known now, where it counts. `note` is told, before anything else can be counted of them, who
    /// had to make room and what is known now.
    fn fail(
        &self,
        key: AttemptKey,
        who: AttemptKey,
        spelling: Spelling,
        cost: Cost,
        now: u64,
        note: impl FnOnce(&[AttemptKey], Option<Failures>),
    ) -> Option<Failures> {
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

    /// Counts a failure of a network, and where that counts, also of the name: so a name has no more than its network.
    fn fail_both(
        &self,
        keys: &AttemptKeys,
        costs: Costs,
        now: u64,
        note: impl Fn(&AttemptKey, &[AttemptKey], Option<Failures>),
    ) -> Vec<(AttemptKey, Failures)> {
        let fail = |key: AttemptKey, who, spelling, cost| {
            self.fail(key, who, spelling, cost, now, |evicted, counted| note(&key, evicted, counted))
        };
        let of_network = fail(keys.network, NOBODY, ANY_SPELLING, costs.network);
        let of_name = of_network.and_then(|_| fail(keys.name, keys.who, keys.spelling, costs.name));
        let (of_network, of_name) = (of_network.map(|one| (keys.network, one)), of_name.map(|one| (keys.name, one)));
        of_network.into_iter().chain(of_name).collect()
    }

    /// The name was right in this spelling: forgets its failures, and takes them from its network's. What is known of the
    /// network now, where that is less.
    fn forgive(&self, keys: &AttemptKeys, now: u64) -> Option<Failures> {
        let forgiven = self.known.remove_if(&keys.name, |_, failures| failures.is_of(keys.spelling))?;
        self.known.change(&keys.network, |network| {
            network.count = network.count.saturating_sub(forgiven.remembered(now));
            *network
        })
    }

    pub(super) fn set(&self, key: AttemptKey, failures: Failures) {
        self.known.insert(key, failures);
    }

    /// What a shared store knows counts, unless something has happened here since it was asked.
    fn learn(&self, key: AttemptKey, before: Failures, shared: Failures) {
        if before == shared || self.of(&key) != before {
            return;
        }
        if shared == Failures::default() {
            self.known.remove_if(&key, |_, now| *now == before);
        } else {
            self.known.insert(key, shared);
        }
    }

    /// Forgets all failures of a name, in whatever network; those that there were. `note` is told of each before anything
    /// else can be counted of it.
    pub(super) fn clear(&self, who: &AttemptKey, note: impl Fn(&AttemptKey)) -> Vec<AttemptKey> {
        let mut gone = self.known.collect(|key, failures| (failures.who == *who).then_some(*key));
        gone.retain(|key| self.clear_one(key, |failures| failures.who == *who, &note));
        if let Some(OnClear(on_clear)) = self.on_clear.get() {
            on_clear(who);
        }
        gone
    }

    fn clear_one(&self, key: &AttemptKey, is_it: impl Fn(&Failures) -> bool, note: impl Fn(&AttemptKey)) -> bool {
        self.known.part(key, |part| {
            let is_there = part.get(key).is_some_and(is_it);
            if is_there {
                note(key);
                part.remove(key);
            }
            is_there
        })
    }

    fn is_right(&self, key: &AttemptKey, now: u64) -> bool {
        self.right.with(key, |until| now < *until).unwrap_or_default()
    }

    /// Notes that somebody was right; until when that counts, where it was not noted lately. `evict` is told who had to make
    /// room, while nothing can be noted of them anew.
    fn note_right(&self, key: AttemptKey, now: u64, evict: impl FnOnce(&[AttemptKey])) -> Option<u64> {
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

    pub(super) fn set_right(&self, key: AttemptKey, until: u64) {
        self.right.insert(key, until);
    }

    /// The failures, for the sweep.
    pub(super) fn failures(&self) -> &Shards<AttemptKey, Failures> {
        &self.known
    }

    /// Who was right, for the sweep.
    pub(super) fn right(&self) -> &Shards<AttemptKey, u64> {
        &self.right
    }
}

impl State {
    /// How many milliseconds must pass before something is tried under these keys again. `now` is in milliseconds since
    /// 1970. While a shared store is away, what this process knows counts.
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

    /// The same by what this process knows.
    pub fn wait_here(&self, keys: &AttemptKeys, now: u64) -> u64 {
        let waits = [keys.name, keys.network].map(|key| self.attempts.of(&key).wait(now));
        waits[0].max(waits[1])
    }

    /// Whether the next failure of this network locks it, by what this process knows.
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

    /// The same where nobody waits for it.
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

    /// One more came than may wait in this process. Only this process counts that.
    pub fn crowd(&self, crowd: AttemptKey, cost: Cost, now: u64) {
        self.attempts.fail(crowd, NOBODY, ANY_SPELLING, cost, now, |evicted, _| self.delete_attempts(evicted));
    }

    /// What this process has forgotten does not stay in its file either.
    fn delete_attempts(&self, evicted: &[AttemptKey]) {
        if let Store::Embedded(store) = &self.store {
            store.delete_later(evicted.iter().map(codec::attempt_key).collect());
        }
    }

    /// How many milliseconds must pass before more of this crowd may wait.
    pub fn crowd_wait(&self, crowd: &AttemptKey, now: u64) -> u64 {
        self.attempts.of(crowd).wait(now)
    }

    /// Has somebody told, who counts by name too, when operators lift the locks of a name. Once.
    pub fn on_clear(&self, told: impl Fn(&AttemptKey) + Send + Sync + 'static) {
        let _ = self.attempts.on_clear.set(OnClear(Box::new(told)));
    }

    /// Forgets all failures of a name, and those of a network where one is named: on every replica. How many keys there
    /// were to forget; returns once the store knows.
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

    /// What has failed and is not forgotten, not more than `most`: what a shared store knows, or what this process does.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn attempts(&self, now: u64, most: usize) -> Result<Vec<(AttemptKey, Failures)>, Unavailable> {
        let is_remembered = |failures: &Failures| failures.remembered(now) > 0;
        if let Store::Redis(store, _) = &self.store {
            return store.attempts(most, is_remembered).await;
        }
        let mut known = self.attempts.known.collect(|key, known| is_remembered(known).then_some((*key, *known)));
        known.truncate(most);
        Ok(known)
    }

    /// An attempt succeeded: forgets what failed under its name from its network before, where that was spelled alike.
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

    /// Whether this name was right from this network within the last weeks. Where a shared store is away: whether it was
    /// here.
    pub async fn was_right(&self, keys: &AttemptKeys, now: u64) -> bool {
        match &self.store {
            Store::Redis(store, _) if !self.attempts.is_right(&keys.right, now) => {
                store.was_right(&keys.right).await.unwrap_or_default()
            }
            _ => self.attempts.is_right(&keys.right, now),
        }
    }

    /// Notes that this name was right from this network.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const COST: Cost = Cost { free: 3, delay: 1_000, longest: 60_000 };

    const MOST: usize = 8 * PARTS;

    const COSTS: Costs = Costs { name: COST, network: Cost { free: 10, ..COST } };

    fn keys(name: u8) -> AttemptKeys {
        AttemptKeys { name: [name; 16], network: [255; 16], right: [name + 100; 16], spelling: 7, who: [name; 16] }
    }

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
        attempts.fail(key, NOBODY, 7, COST, 6_000, |_, _| ());
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
                attempts.fail(key(number), NOBODY, 7, cost, 1, |gone, _| evicted.set(evicted.get() + gone.len()));
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
