//! HTTP/1.1 connections of the whole process to one server, where `max_connections` limits them. Idle ones count: a
//! worker gives up its idle connection where another waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Connections to one server that are counted.
#[derive(Debug, Default)]
pub(in crate::backend) struct ConnectionLimit {
    /// Limit at the last wait.
    limit: AtomicUsize,
    open: AtomicUsize,
    idle: AtomicUsize,
    waiting: AtomicUsize,
    /// Wakes one that waits: a connection has ended.
    freed: Notify,
    /// Wakes the workers that hold idle ones: somebody waits.
    wanted: Notify,
}

/// One connection; counted until dropped.
#[derive(Debug)]
pub(in crate::backend) struct ConnectionPermit(Arc<ConnectionLimit>);

/// One idle connection; counted until dropped.
pub(in crate::backend) struct IdlePermit(Arc<ConnectionLimit>);

/// One waiting request; counted until dropped.
pub(in crate::backend) struct ConnectionWaiter<'a>(&'a ConnectionLimit);

impl ConnectionLimit {
    /// A permit for one more connection, if there are fewer than `limit`.
    pub(in crate::backend) fn take(self: &Arc<Self>, limit: usize) -> Option<ConnectionPermit> {
        let one_more = |open| (open < limit).then_some(open + 1);
        let taken = self.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        taken.is_ok().then(|| ConnectionPermit(Arc::clone(self)))
    }

    /// Counts an idle connection.
    pub(in crate::backend) fn idle(self: &Arc<Self>) -> IdlePermit {
        self.idle.fetch_add(1, Ordering::SeqCst);
        IdlePermit(Arc::clone(self))
    }

    /// Counts a request that waits for a connection.
    pub(in crate::backend) fn enter(&self, limit: usize) -> ConnectionWaiter<'_> {
        self.limit.store(limit, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        ConnectionWaiter(self)
    }

    /// True if somebody waits.
    pub(in crate::backend) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// True if there are idle connections for all that wait.
    pub(in crate::backend) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::SeqCst) >= self.waiting.load(Ordering::SeqCst)
    }

    /// True if more wait than new connections are allowed.
    pub(in crate::backend) fn is_short(&self) -> bool {
        let waiting = self.waiting.load(Ordering::SeqCst);
        waiting > 0 && self.open.load(Ordering::SeqCst) + waiting > self.limit.load(Ordering::SeqCst)
    }

    /// The next end of a connection. To be enabled before the condition is checked.
    pub(in crate::backend) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// The next wish for one. To be enabled before the condition is checked.
    pub(in crate::backend) fn wanted(&self) -> Notified<'_> {
        self.wanted.notified()
    }

    /// Asks all workers to give up idle connections.
    pub(in crate::backend) fn want(&self) {
        self.wanted.notify_waiters();
    }

    fn wake_one(&self) {
        if self.is_waited_for() {
            self.freed.notify_one();
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
        self.0.wake_one();
    }
}

impl Drop for IdlePermit {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for ConnectionWaiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // It may have been woken for one that it did not need.
        self.0.wake_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn permits_come_back_and_those_who_wait_are_counted_until_they_leave() {
        let limit = Arc::<ConnectionLimit>::default();
        let (one, two) = (limit.take(2).unwrap(), limit.take(2).unwrap());
        assert!(limit.take(2).is_none() && !limit.is_waited_for() && !limit.is_short());
        let waiter = limit.enter(2);
        assert!(limit.is_waited_for() && limit.is_short() && !limit.has_idle());
        let idle = limit.idle();
        assert!(limit.has_idle());
        drop((idle, one));
        assert!(!limit.has_idle() && !limit.is_short());
        drop((waiter, limit.take(2).unwrap(), two));
        assert!(!limit.is_waited_for() && limit.open.load(Ordering::SeqCst) == 0);
    }
}
