//! Standing of a backend and its servers for operators: what gets requests, and why something does not.

use std::time::{Duration, Instant};

use super::Backend;
use super::clock::millis;

/// Standing of a backend.
#[derive(Debug, Clone)]
pub struct BackendStanding {
    /// Requests in flight.
    pub in_flight: usize,
    /// Concurrency limit at present.
    pub limit: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// Failures in a row that the circuit breaker has counted.
    pub failures: u32,
    /// While the circuit is open: the time until the next trial request.
    pub circuit_open: Option<Duration>,
    /// Its servers.
    pub servers: Vec<ServerStanding>,
}

/// Standing of a server.
#[derive(Debug, Clone)]
pub struct ServerStanding {
    /// Address.
    pub name: String,
    /// True if it gets requests, were the circuit closed.
    pub up: bool,
    /// Why it gets none, or what went wrong last.
    pub why: Option<String>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Ejections so far.
    pub ejections: u64,
}

impl Backend {
    /// Its standing at `now`.
    pub fn standing(&self, now: Instant) -> BackendStanding {
        let (admission, time, present) = (&self.admission, millis(now), self.servers.present());
        let servers = present.servers.iter().map(|server| {
            let status = &server.standing;
            let up = !status.is_out(now);
            ServerStanding {
                name: status.name.clone(),
                up,
                why: status.why(time),
                in_flight: status.in_flight(),
                ejections: status.ejections(),
            }
        });
        BackendStanding {
            in_flight: admission.in_flight(),
            limit: self.limit(),
            waiting: admission.waiting(),
            failures: admission.circuit.failures(),
            circuit_open: admission.circuit.is_open().then(|| admission.circuit.left(time)),
            servers: servers.collect(),
        }
    }
}
