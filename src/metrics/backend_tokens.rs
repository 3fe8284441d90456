//! Metrics of access tokens that the gateway holds for backends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::families::{Labels, counters, gauges};
use prometheus::proto::MetricFamily;

/// State of the token of one backend.
#[derive(Debug, Clone)]
pub struct BackendTokenLevels {
    /// Name of the backend.
    pub backend: Arc<str>,
    /// Seconds until it expires; `None` without a token.
    pub left: Option<u64>,
    /// Fetches by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
}

pub(super) fn families(all: &[BackendTokenLevels]) -> Vec<MetricFamily> {
    let label = |levels: &BackendTokenLevels| -> Labels { vec![("backend", levels.backend.to_string())] };
    let outcomes = all.iter().flat_map(|levels| {
        let outcome = |outcome: &str| ("outcome", outcome.to_owned());
        levels.outcomes.iter().map(move |(word, count)| ([label(levels), vec![outcome(word)]].concat(), *count))
    });
    vec![
        gauges(
            "wicketgate_backend_token_left_seconds",
            "Seconds until the access token of a backend expires; 0 without one.",
            all.iter().map(|levels| (label(levels), i64::try_from(levels.left.unwrap_or(0)).unwrap_or(i64::MAX))),
        ),
        counters(
            "wicketgate_backend_token_fetches_total",
            "Fetches of the access token of a backend, by how they ended.",
            outcomes,
        ),
    ]
}
