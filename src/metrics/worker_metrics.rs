//! The counters of one worker.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::counted::{Counted, RequestKey};
use super::locked;
use super::worker_heartbeat::Turns;

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Cells {
    pub(super) in_flight: AtomicI64,
    pub(super) connections: AtomicI64,
    pub(super) tunnels: AtomicI64,
    pub(super) turns: Turns,
    pub(super) counted: Mutex<Counted>,
}

impl Cells {
    /// A request began.
    pub fn request_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ended: counts it and its duration.
    pub fn request_ended(&self, key: RequestKey, duration: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut counted = locked(&self.counted);
        if let Some(durations) = counted.durations.get_mut(&key.route) {
            durations.observe(duration);
        } else {
            counted.durations.entry(Arc::clone(&key.route)).or_default().observe(duration);
        }
        *counted.requests.entry(key).or_default() += 1;
    }

    /// The worker turns; it says so every [`TURN`].
    pub fn turned(&self, now: Instant) {
        self.turns.turned(now);
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended, and why.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        *locked(&self.counted).connections_closed.entry(reason).or_default() += 1;
    }

    /// A WebSocket was opened.
    pub fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    /// A WebSocket ended, and why.
    pub fn tunnel_closed(&self, route: &Arc<str>, reason: &'static str) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
        *locked(&self.counted).tunnels_closed.entry((Arc::clone(route), reason)).or_default() += 1;
    }

    /// A caller's certificate was refused, and why.
    pub fn client_certificate_refused(&self, reason: &'static str) {
        *locked(&self.counted).certificates_refused.entry(reason).or_default() += 1;
    }

    /// A backend answered after `duration`.
    pub fn backend_answered(&self, backend: &Arc<str>, duration: Duration) {
        let mut counted = locked(&self.counted);
        if let Some(durations) = counted.backend_durations.get_mut(backend) {
            durations.observe(duration);
        } else {
            counted.backend_durations.entry(Arc::clone(backend)).or_default().observe(duration);
        }
    }

    /// A backend failed in this way.
    pub fn backend_failed(&self, backend: &Arc<str>, kind: &'static str) {
        *locked(&self.counted).backend_failures.entry((Arc::clone(backend), kind)).or_default() += 1;
    }

    /// A limit that replicas share was counted here alone: the store is away.
    pub fn rate_limit_fell_back(&self) {
        locked(&self.counted).rate_limit_fallbacks += 1;
    }

    /// A login ended like this.
    pub fn login(&self, outcome: &'static str) {
        *locked(&self.counted).logins.entry(outcome).or_default() += 1;
    }

    /// A token request ended like this.
    pub fn token(&self, outcome: &'static str) {
        *locked(&self.counted).tokens.entry(outcome).or_default() += 1;
    }

    /// A route in `mode: observe` would have refused with this word.
    pub fn observed(&self, route: &Arc<str>, refusal: &'static str) {
        *locked(&self.counted).observed.entry((Arc::clone(route), refusal)).or_default() += 1;
    }
}
