//! Queue of records to delete from the file, in slices between the writes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::state::change::Change;

/// Most records that one commit deletes.
pub(in crate::state) const SLICE: usize = 1_024;
/// Fewest records that one commit deletes.
const SMALLEST: usize = 16;
/// Target time of one slice, which a write may have to wait for: a slower one halves the next.
const LONGEST: Duration = Duration::from_millis(20);

/// The records still to be deleted.
pub(super) struct Backlog {
    /// Sorted as in the file, so that neighbours are deleted together.
    keys: BTreeSet<Vec<u8>>,
    waiters: Vec<oneshot::Sender<bool>>,
    most: usize,
}

impl Backlog {
    pub(super) fn new(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { keys: keys.into_iter().collect(), waiters: Vec::new(), most: SLICE }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Queues keys; the waiter is told once the queue is empty.
    pub(super) fn add(&mut self, keys: Vec<Vec<u8>>, waiter: Option<oneshot::Sender<bool>>) {
        self.keys.extend(keys);
        self.waiters.extend(waiter);
        self.tell();
    }

    /// Removes the keys of these writes from the queue: they came later.
    pub(super) fn written(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Put(key, _) = change {
                self.keys.remove(key);
            }
        }
        self.tell();
    }

    /// The next slice to delete.
    pub(super) fn slice(&self) -> Vec<Change> {
        self.keys.iter().take(self.most).map(|key| Change::Delete(key.clone())).collect()
    }

    /// Notes that this slice has been deleted in this time.
    pub(super) fn deleted(&mut self, slice: &[Change], took: Duration) {
        for change in slice {
            if let Change::Delete(key) = change {
                self.keys.remove(key);
            }
        }
        self.most = if took > LONGEST { self.most / 2 } else { self.most * 2 }.clamp(SMALLEST, SLICE);
        self.tell();
    }

    /// Tells all waiters that the deletion failed.
    pub(super) fn fail(&mut self) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(false);
        }
    }

    fn tell(&mut self) {
        if self.keys.is_empty() {
            for waiter in self.waiters.drain(..) {
                let _ = waiter.send(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_bounded_by_count_and_become_smaller_where_the_disk_is_slow() {
        let keys = (0..10_000_u32).map(|number| number.to_be_bytes().to_vec());
        let mut backlog = Backlog::new(keys);
        let first = backlog.slice();
        assert_eq!(first.len(), SLICE);
        assert_eq!(first[1], Change::Delete(vec![0, 0, 0, 1]), "in the order of the file");
        backlog.deleted(&first, Duration::from_millis(21));
        assert_eq!(backlog.slice().len(), SLICE / 2);
        (0..10).for_each(|_| backlog.deleted(&[], Duration::from_secs(1)));
        assert_eq!(backlog.slice().len(), SMALLEST);
        (0..10).for_each(|_| backlog.deleted(&[], Duration::ZERO));
        assert_eq!(backlog.slice().len(), SLICE);
    }

    #[test]
    fn what_is_written_after_it_was_to_be_deleted_stays() {
        let mut backlog = Backlog::new([b"a".to_vec(), b"b".to_vec()]);
        backlog.written(&[Change::Put(b"a".to_vec(), b"1".to_vec())]);
        assert_eq!(backlog.slice(), [Change::Delete(b"b".to_vec())]);
        let (waiter, mut deleted) = oneshot::channel();
        backlog.add(vec![b"c".to_vec()], Some(waiter));
        let slice = backlog.slice();
        assert!(deleted.try_recv().is_err());
        backlog.deleted(&slice, Duration::ZERO);
        assert_eq!(deleted.try_recv(), Ok(true));
    }
}
