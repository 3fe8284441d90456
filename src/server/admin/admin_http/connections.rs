//! Least-recently-used table of the operators' connections: a new one always gets a place, and above the limit the one
//! whose last request is longest ago is closed. So idle connections keep neither Prometheus nor a probe out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Open connections.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Uses so far.
    uses: u64,
    /// Connections by the number of their last use. Dropping one closes it.
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Table {
    fn insert(&mut self, stay: oneshot::Sender<()>) -> u64 {
        self.uses += 1;
        self.open.insert(self.uses, stay);
        self.uses
    }
}

/// Place of one connection; free again on drop.
#[derive(Debug)]
pub(super) struct AdminSlot {
    connections: Arc<Connections>,
    last_use: AtomicU64,
}

impl Connections {
    /// At most `most` connections.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default() })
    }

    /// A place for a new connection. The receiver fires when another connection takes it.
    pub(super) fn enter(self: &Arc<Self>) -> (AdminSlot, oneshot::Receiver<()>) {
        let (stay, end) = oneshot::channel();
        let mut table = self.table();
        if table.open.len() >= self.most {
            table.open.pop_first();
        }
        let last_use = table.insert(stay).into();
        (AdminSlot { connections: Arc::clone(self), last_use }, end)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdminSlot {
    /// Notes a request.
    pub(super) fn used(&self) {
        let mut table = self.connections.table();
        if let Some(stay) = table.open.remove(&self.last_use.load(Ordering::Relaxed)) {
            self.last_use.store(table.insert(stay), Ordering::Relaxed);
        }
    }
}

impl Drop for AdminSlot {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.last_use.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError;

    #[test]
    fn the_one_that_was_used_longest_ago_makes_room() {
        let connections = Connections::new(2);
        let (first, mut first_ends) = connections.enter();
        let (_second, mut second_ends) = connections.enter();
        first.used();
        let (third, mut third_ends) = connections.enter();
        assert_eq!(second_ends.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(first_ends.try_recv(), Err(TryRecvError::Empty));
        drop(third);
        assert_eq!(third_ends.try_recv(), Err(TryRecvError::Closed));
        let (_fourth, _ends) = connections.enter();
        assert_eq!(first_ends.try_recv(), Err(TryRecvError::Empty), "there was room");
    }

    #[test]
    fn a_use_that_comes_too_late_takes_no_place_of_another() {
        let connections = Connections::new(1);
        let (first, _ends) = connections.enter();
        let (_second, mut second_ends) = connections.enter();
        first.used();
        drop(first);
        assert_eq!(second_ends.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(connections.table().open.len(), 1);
    }
}
