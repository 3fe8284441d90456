//! Counters of one worker.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::counted::LabelledCounts;
use super::histogram::BucketBounds;
use super::locked;
use super::request_key::RequestKey;
use super::worker_heartbeat::WorkerHeartbeat;

/// Counters of one worker.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    pub(super) in_flight: AtomicI64,
    pub(super) connections: AtomicI64,
    pub(super) parked: AtomicI64,
    pub(super) tunnels: AtomicI64,
    pub(super) sampled_out: AtomicU64,
    pub(super) turns: WorkerHeartbeat,
    pub(super) counted: Mutex<LabelledCounts>,
}

/// Idle connection without buffers; counted until dropped.
#[derive(Debug)]
pub struct ParkedConnection<'a>(&'a AtomicI64);

impl Drop for ParkedConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WorkerMetrics {
    pub(super) fn new(bounds: &BucketBounds) -> Self {
        Self { counted: Mutex::new(LabelledCounts::new(bounds)), ..Self::default() }
    }

    /// Counts a request in flight.
    pub fn request_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a finished request and its duration.
    pub fn request_ended(&self, key: RequestKey, duration: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut counted = locked(&self.counted);
        counted.observe_request(&key.route, duration);
        *counted.requests.entry(key).or_default() += 1;
    }

    /// Counts a success that gets no line in the access log.
    pub fn sampled_out(&self) {
        self.sampled_out.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the trace of a request that was recorded and is about to be counted.
    pub fn exemplar(&self, key: &RequestKey, trace_id: u128, duration: Duration) {
        let counted = &mut *locked(&self.counted);
        counted.exemplars.note(key, trace_id, duration, &counted.bounds);
    }

    /// Records a heartbeat, due every [`TURN`](super::TURN).
    pub fn turned(&self, now: Instant) {
        self.turns.turned(now);
    }

    /// Counts an accepted connection.
    pub fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a closed connection, by reason.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        *locked(&self.counted).connections_closed.entry(reason).or_default() += 1;
    }

    /// Counts an idle connection that has given up its buffers, until the guard is dropped.
    pub fn connection_parked(&self) -> ParkedConnection<'_> {
        self.parked.fetch_add(1, Ordering::Relaxed);
        ParkedConnection(&self.parked)
    }

    /// Counts an opened WebSocket.
    pub fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a closed WebSocket, by reason.
    pub fn tunnel_closed(&self, route: &Arc<str>, reason: &'static str) {
        self.tunnels.fetch_sub(1, Ordering::Relaxed);
        *locked(&self.counted).tunnels_closed.entry((Arc::clone(route), reason)).or_default() += 1;
    }

    /// Counts a refused client certificate, by reason.
    pub fn client_certificate_refused(&self, reason: &'static str) {
        *locked(&self.counted).certificates_refused.entry(reason).or_default() += 1;
    }

    /// Records the response time of a backend.
    pub fn backend_answered(&self, backend: &Arc<str>, duration: Duration) {
        locked(&self.counted).observe_backend(backend, duration);
    }

    /// Counts a backend failure, by kind.
    pub fn backend_failed(&self, backend: &Arc<str>, kind: &'static str) {
        *locked(&self.counted).backend_failures.entry((Arc::clone(backend), kind)).or_default() += 1;
    }

    /// Counts a shared rate limit applied by this process alone, because the store was unreachable.
    pub fn rate_limit_fell_back(&self) {
        locked(&self.counted).rate_limit_fallbacks += 1;
    }

    /// Counts a login, by outcome.
    pub fn login(&self, outcome: &'static str) {
        *locked(&self.counted).logins.entry(outcome).or_default() += 1;
    }

    /// Counts a token request, by outcome.
    pub fn token(&self, outcome: &'static str) {
        *locked(&self.counted).tokens.entry(outcome).or_default() += 1;
    }

    /// Counts what an issuer tells, by kind and outcome.
    pub fn provider_event(&self, kind: &'static str, outcome: &'static str) {
        *locked(&self.counted).provider_events.entry((kind, outcome)).or_default() += 1;
    }

    /// Counts a request on a route in `mode: observe` that would have been refused.
    pub fn observed(&self, route: &Arc<str>, refusal: &'static str) {
        *locked(&self.counted).observed.entry((Arc::clone(route), refusal)).or_default() += 1;
    }
}
