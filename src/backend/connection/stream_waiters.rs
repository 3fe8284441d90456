//! Requests of a worker that wait for an HTTP/2 stream or a connection to one server: woken when one ends or changes.

use std::cell::Cell;
use std::pin::pin;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Waiting requests.
#[derive(Default)]
pub(in crate::backend) struct Waiters {
    count: Cell<usize>,
    changed: Notify,
}

/// One waiting request; counted until dropped.
pub(in crate::backend) struct StreamWaiter<'a>(&'a Waiters);

impl Waiters {
    /// True if nobody waits.
    pub(in crate::backend) fn are_none(&self) -> bool {
        self.count.get() == 0
    }

    /// Wakes one.
    pub(in crate::backend) fn wake_one(&self) {
        if !self.are_none() {
            self.changed.notify_one();
        }
    }

    /// The next change. To be enabled before the condition is checked.
    pub(in crate::backend) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Wakes all.
    pub(in crate::backend) fn wake_all(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `holds` returns true; it is called after each change.
    pub(in crate::backend) async fn until(&self, holds: impl Fn() -> bool) {
        let _waiter = self.enter();
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on nothing is missed.
            changed.as_mut().enable();
            if holds() {
                return;
            }
            changed.await;
        }
    }

    /// Counts one more.
    pub(in crate::backend) fn enter(&self) -> StreamWaiter<'_> {
        self.count.set(self.count.get() + 1);
        StreamWaiter(self)
    }
}

impl Drop for StreamWaiter<'_> {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
    }
}
