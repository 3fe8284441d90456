//! How the servers of backends stand at the time of a scrape.

use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::families::{Labels, counters, gauges};

/// How one server stands.
#[derive(Debug, Clone)]
pub struct ServerLevels {
    /// The backend that it belongs to.
    pub backend: Arc<str>,
    /// Its address.
    pub server: String,
    /// Whether it gets requests.
    pub up: bool,
    /// Requests in flight.
    pub in_flight: usize,
    /// How often it was ejected.
    pub ejections: u64,
}

pub(super) fn families(all: &[ServerLevels]) -> Vec<MetricFamily> {
    let label = |levels: &ServerLevels| -> Labels {
        vec![("backend", levels.backend.to_string()), ("server", levels.server.clone())]
    };
    vec![
        gauges(
            "wicketgate_backend_server_up",
            "Whether a server of a backend gets requests.",
            all.iter().map(|levels| (label(levels), i64::from(levels.up))),
        ),
        gauges(
            "wicketgate_backend_server_in_flight",
            "Requests in flight to a server of a backend.",
            all.iter().map(|levels| (label(levels), i64::try_from(levels.in_flight).unwrap_or(i64::MAX))),
        ),
        counters(
            "wicketgate_backend_server_ejections_total",
            "How often a server of a backend was taken out because it failed.",
            all.iter().map(|levels| (label(levels), levels.ejections)),
        ),
    ]
}
