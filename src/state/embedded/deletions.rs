//! Records that are to be deleted from the file, in slices between the writes.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::state::change::Change;

/// How many records one commit deletes at most.
pub(in crate::state) const SLICE: usize = 1_024;
/// The least that it tries.
const SMALLEST: usize = 16;
/// A slice that takes longer is followed by a smaller one; it is what a write waits for.
const LONGEST: Duration = Duration::from_millis(20);

/// What is still to be deleted.
pub(super) struct Backlog {
    /// In the order of the file: what stands side by side goes together.
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

    /// Takes up more. The waiter is told once there is nothing left.
    pub(super) fn add(&mut self, keys: Vec<Vec<u8>>, waiter: Option<oneshot::Sender<bool>>) {
        self.keys.extend(keys);
        self.waiters.extend(waiter);
        self.tell();
    }

    /// What is written from now on is not deleted: it came later.
    pub(super) fn written(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Put(key, _) = change {
                self.keys.remove(key);
            }
        }
        self.tell();
    }

    /// What to delete next.
    pub(super) fn slice(&self) -> Vec<Change> {
        self.keys.iter().take(self.most).map(|key| Change::Delete(key.clone())).collect()
    }

    /// This has been deleted, and took so long.
    pub(super) fn deleted(&mut self, slice: &[Change], took: Duration) {
        for change in slice {
            if let Change::Delete(key) = change {
                self.keys.remove(key);
            }
        }
        self.most = if took > LONGEST { self.most / 2 } else { self.most * 2 }.clamp(SMALLEST, SLICE);
        self.tell();
    }

    /// The disk takes nothing now.
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
