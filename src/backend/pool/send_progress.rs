//! One request on its way to a backend, over all its attempts.

use std::cell::Cell;
use std::time::Instant;

/// Start and attempts of one send.
#[derive(Debug)]
pub struct SendProgress {
    begun: Cell<Instant>,
    attempts: Cell<u32>,
}

impl SendProgress {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        Self { begun: Cell::new(now), attempts: Cell::new(0) }
    }

    /// Start of the exchange; later where the request has waited for an HTTP/2 stream.
    pub fn begun(&self) -> Instant {
        self.begun.get()
    }

    /// Attempts so far.
    pub fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// Sets the start anew.
    pub fn begin_at(&self, now: Instant) {
        self.begun.set(now);
    }

    pub(super) fn attempt(&self) {
        self.attempts.set(self.attempts.get() + 1);
    }
}
