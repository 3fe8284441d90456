//! Metrics of backends and their servers.

use std::sync::Arc;

use super::families::{Labels, counters, gauges};
use prometheus::proto::MetricFamily;

/// State of one server.
#[derive(Debug, Clone)]
pub struct ServerLevels {
    /// Name of the backend.
    pub backend: Arc<str>,
    /// Address.
    pub server: String,
    /// True if it gets requests.
    pub up: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// Ejections so far.
    pub ejections: u64,
    /// Idle connections so far that it has closed under a request.
    pub lost_connections: u64,
}

/// State of one backend.
#[derive(Debug, Clone)]
pub struct BackendLevels {
    /// Name.
    pub backend: Arc<str>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Concurrency limit at present.
    pub limit: usize,
    /// Requests in the queue.
    pub waiting: usize,
    /// True if the circuit breaker is open.
    pub circuit_open: bool,
    /// Retries so far.
    pub retries: u64,
    /// Its servers.
    pub servers: Vec<ServerLevels>,
}

pub(super) fn families(backends: &[BackendLevels]) -> Vec<MetricFamily> {
    let of = |level: fn(&BackendLevels) -> usize| {
        let one = move |levels: &BackendLevels| {
            let labels: Labels = vec![("backend", levels.backend.to_string())];
            (labels, i64::try_from(level(levels)).unwrap_or(i64::MAX))
        };
        backends.iter().map(one).collect::<Vec<_>>()
    };
    let retries = backends.iter().map(|levels| (vec![("backend", levels.backend.to_string())], levels.retries));
    let mut families = vec![
        gauges("wicketgate_backend_in_flight", "Requests in flight to a backend.", of(|levels| levels.in_flight)),
        gauges(
            "wicketgate_backend_limit",
            "Current limit of requests in flight to a backend.",
            of(|levels| levels.limit),
        ),
        gauges(
            "wicketgate_backend_waiting",
            "Requests that wait in the queue of a backend.",
            of(|levels| levels.waiting),
        ),
        gauges(
            "wicketgate_backend_circuit_open",
            "1: the circuit breaker of the backend is open, and it gets no requests.",
            of(|levels| usize::from(levels.circuit_open)),
        ),
        counters("wicketgate_backend_retries_total", "Requests that were retried.", retries),
    ];
    let servers: Vec<ServerLevels> = backends.iter().flat_map(|levels| levels.servers.clone()).collect();
    families.extend(server_families(&servers));
    families
}

fn server_families(all: &[ServerLevels]) -> Vec<MetricFamily> {
    let label = |levels: &ServerLevels| -> Labels {
        vec![("backend", levels.backend.to_string()), ("server", levels.server.clone())]
    };
    vec![
        gauges(
            "wicketgate_backend_server_up",
            "1: the server gets requests.",
            all.iter().map(|levels| (label(levels), i64::from(levels.up))),
        ),
        gauges(
            "wicketgate_backend_server_in_flight",
            "Requests in flight to a server of a backend.",
            all.iter().map(|levels| (label(levels), i64::try_from(levels.in_flight).unwrap_or(i64::MAX))),
        ),
        counters(
            "wicketgate_backend_server_ejections_total",
            "Ejections of a server by outlier detection.",
            all.iter().map(|levels| (label(levels), levels.ejections)),
        ),
        counters(
            "wicketgate_backend_server_lost_connections_total",
            "Idle connections that a server closed under a request.",
            all.iter().map(|levels| (label(levels), levels.lost_connections)),
        ),
    ]
}
