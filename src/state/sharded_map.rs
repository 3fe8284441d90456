//! A hash map in many small parts, each with its own lock. A walk through all of it blocks others for no longer than
//! one part takes: of 2,000,000 entries 2,000.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use foldhash::fast::RandomState;

/// Number of parts: a power of two.
pub(super) const PARTS: usize = 1_024;

type Part<K, V> = HashMap<K, V, RandomState>;

/// The map.
#[derive(Debug)]
pub(super) struct Shards<K, V> {
    parts: Box<[RwLock<Part<K, V>>]>,
    count: AtomicUsize,
    chooser: Chooser<K>,
}

/// The choice of a key's part.
#[derive(Debug)]
enum Chooser<K> {
    /// By its first bits: the keys of one part stand side by side in a file that is sorted by key.
    Order(fn(&K) -> usize),
    /// By a secret hash: nobody can choose many keys of one part.
    Hash(RandomState),
}

impl<K: Eq + Hash + AsRef<[u8]>, V> Shards<K, V> {
    /// A map for keys that nobody chooses, such as digests of random ids.
    pub(super) fn in_order() -> Self {
        Self::new(Chooser::Order(|key| {
            let first = |at| key.as_ref().get(at).copied().map_or(0, usize::from);
            ((first(0) << 8) | first(1)) / (65_536 / PARTS)
        }))
    }
}

impl<K: Eq + Hash, V> Shards<K, V> {
    /// A map for all other keys.
    pub(super) fn scattered() -> Self {
        Self::new(Chooser::Hash(RandomState::default()))
    }

    fn new(chooser: Chooser<K>) -> Self {
        Self { parts: (0..PARTS).map(|_| RwLock::default()).collect(), count: AtomicUsize::new(0), chooser }
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Reads an entry, if there is one.
    pub(super) fn with<R>(&self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
        self.read(self.part_of(key)).get(key).map(look)
    }

    /// Changes an entry, if there is one.
    pub(super) fn change<R>(&self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.write(self.part_of(key), |part| part.get_mut(key).map(change))
    }

    /// Changes or inserts an entry.
    pub(super) fn entry<R>(&self, key: K, change: impl FnOnce(Entry<'_, K, V>) -> R) -> R {
        self.write(self.part_of(&key), |part| change(part.entry(key)))
    }

    /// Changes the part to which a key belongs.
    pub(super) fn part<R>(&self, key: &K, change: impl FnOnce(&mut HashMap<K, V, RandomState>) -> R) -> R {
        self.write(self.part_of(key), change)
    }

    pub(super) fn insert(&self, key: K, value: V) {
        self.entry(key, |entry| {
            entry.insert_entry(value);
        });
    }

    pub(super) fn remove(&self, key: &K) -> Option<V> {
        self.remove_if(key, |_, _| true)
    }

    /// Removes an entry if `is_so`.
    pub(super) fn remove_if(&self, key: &K, is_so: impl FnOnce(&K, &V) -> bool) -> Option<V> {
        self.write(self.part_of(key), |part| {
            part.get(key).is_some_and(|value| is_so(key, value)).then(|| part.remove(key))
        })?
    }

    /// Filters and maps all entries. None is visited twice; one that comes or goes meanwhile may be missed.
    pub(super) fn collect<R>(&self, mut make: impl FnMut(&K, &V) -> Option<R>) -> Vec<R> {
        let mut made = Vec::new();
        for at in 0..PARTS {
            made.extend(self.read(at).iter().filter_map(|(key, value)| make(key, value)));
        }
        made
    }

    /// Passes up to `most` keys of a part that are so to `then`. While that runs nobody changes this part.
    pub(super) fn select<R>(
        &self,
        at: usize,
        most: usize,
        is_so: impl Fn(&K, &V) -> bool,
        then: impl FnOnce(Vec<K>) -> R,
    ) -> R
    where
        K: Clone,
    {
        let part = self.read(at);
        let found = part.iter().filter(|(key, value)| is_so(key, value)).map(|(key, _)| key.clone()).take(most);
        then(found.collect())
    }

    /// Frees memory if a part has become much smaller.
    pub(super) fn shrink(&self, at: usize) {
        self.write(at, |part| {
            if part.capacity() > 4 * part.len() + 16 {
                part.shrink_to(2 * part.len());
            }
        });
    }

    /// Capacity in entries.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        (0..PARTS).map(|at| self.read(at).capacity()).sum()
    }

    fn part_of(&self, key: &K) -> usize {
        match &self.chooser {
            Chooser::Order(number) => number(key),
            Chooser::Hash(hasher) => usize::try_from(hasher.hash_one(key) >> 54).unwrap_or_default(),
        }
    }

    fn read(&self, at: usize) -> RwLockReadGuard<'_, Part<K, V>> {
        self.parts[at].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<R>(&self, at: usize, change: impl FnOnce(&mut Part<K, V>) -> R) -> R {
        let mut part = self.parts[at].write().unwrap_or_else(PoisonError::into_inner);
        let before = part.len();
        let changed = change(&mut part);
        // A sum that wraps: less may be counted than was there before.
        self.count.fetch_add(part.len().wrapping_sub(before), Ordering::AcqRel);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_part_and_all_parts_are_used() {
        let (ordered, scattered) = (Shards::in_order(), Shards::scattered());
        for number in 0..=u16::MAX {
            ordered.insert(number.to_be_bytes(), number);
            scattered.insert(number.to_be_bytes(), number);
        }
        for shards in [&ordered, &scattered] {
            assert_eq!(shards.len(), 65_536);
            assert_eq!(shards.with(&[1, 2], |number| *number), Some(258));
            let of = |at| shards.select(at, usize::MAX, |_, _| true, |keys| keys.len());
            let sizes: Vec<usize> = (0..PARTS).map(of).collect();
            assert_eq!(sizes.iter().sum::<usize>(), 65_536);
            assert!(sizes.iter().all(|size| (16..160).contains(size)), "{sizes:?}");
            assert_eq!(shards.collect(|_, number| (*number < 10).then_some(())).len(), 10);
        }
        // Side by side in order of the key.
        let last: Option<u16> =
            ordered.select(0, usize::MAX, |_, _| true, |keys| keys.into_iter().map(u16::from_be_bytes).max());
        assert_eq!(last, Some(63));
    }

    #[test]
    fn what_was_removed_is_gone_and_its_memory_given_back() {
        let shards = Shards::scattered();
        (0..50_000_u32).for_each(|number| shards.insert(number, number));
        let large = shards.capacity();
        assert_eq!(shards.remove_if(&7, |_, number| *number == 8), None);
        for number in 100..50_000 {
            assert_eq!(shards.remove(&number), Some(number));
        }
        (0..PARTS).for_each(|at| shards.shrink(at));
        assert_eq!(shards.len(), 100);
        assert!(shards.capacity() * 10 < large, "{} of {large}", shards.capacity());
    }
}
