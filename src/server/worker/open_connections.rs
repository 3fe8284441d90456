//! Counts of open connections: of one worker, and of one listener on all workers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Open connections of a worker.
#[derive(Default)]
pub(super) struct Open {
    count: Cell<usize>,
    none: Notify,
}

impl Open {
    /// Counts one more.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        self.count.set(self.count.get() + 1);
        Entered(Rc::clone(self))
    }

    /// Waits until none is open.
    pub(super) async fn drained(&self) {
        while self.count.get() > 0 {
            self.none.notified().await;
        }
    }
}

/// Open connection of a worker; counted until dropped.
pub(super) struct Entered(Rc<Open>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.none.notify_one();
        }
    }
}

/// Open connection or handshake of a listener, on all workers; counted until dropped.
pub(super) struct CountedConnection(Arc<AtomicUsize>);

impl CountedConnection {
    /// One more, if there are fewer than `most`.
    pub(super) fn one_of(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = open.fetch_add(1, Ordering::Relaxed);
        let counted = Self(Arc::clone(open));
        (before < most).then_some(counted)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
