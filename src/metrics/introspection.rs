//! Metrics of questions about tokens to their issuers.

use std::collections::BTreeMap;

use super::families::counters;
use prometheus::proto::MetricFamily;

/// Questions to one issuer.
#[derive(Debug, Clone)]
pub struct IntrospectionLevels {
    /// Issuer URL.
    pub issuer: String,
    /// Questions by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
}

pub(super) fn families(all: &[IntrospectionLevels]) -> Vec<MetricFamily> {
    let outcomes = all.iter().flat_map(|levels| {
        levels.outcomes.iter().map(|(outcome, count)| {
            (vec![("issuer", levels.issuer.clone()), ("outcome", (*outcome).to_owned())], *count)
        })
    });
    vec![counters(
        "wicketgate_introspections_total",
        "Questions about tokens to another issuer (RFC 7662), by how they ended.",
        outcomes,
    )]
}
