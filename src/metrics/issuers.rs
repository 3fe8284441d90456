//! How keys stand at the time of a scrape: those of other issuers, and our own.

use std::collections::BTreeMap;

use super::families::{Labels, counters, gauges};
use prometheus::proto::MetricFamily;

/// How the keys of one issuer stand.
#[derive(Debug, Clone)]
pub struct IssuerLevels {
    /// Whose keys they are.
    pub issuer: String,
    /// How many are in use.
    pub keys: usize,
    /// How many seconds ago they were fetched; `None` where there are none.
    pub age: Option<u64>,
    /// How many fetches ended how.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How the last one ended.
    pub last_outcome: Option<&'static str>,
}

pub(super) fn families(all: &[IssuerLevels]) -> Vec<MetricFamily> {
    let label = |levels: &IssuerLevels| -> Labels { vec![("issuer", levels.issuer.clone())] };
    let outcomes = all.iter().flat_map(|levels| {
        levels.outcomes.iter().map(|(outcome, count)| {
            (vec![("issuer", levels.issuer.clone()), ("outcome", (*outcome).to_owned())], *count)
        })
    });
    vec![
        gauges(
            "wicketgate_issuer_keys",
            "Keys of another issuer that are in use.",
            all.iter().map(|levels| (label(levels), i64::try_from(levels.keys).unwrap_or(i64::MAX))),
        ),
        gauges(
            "wicketgate_issuer_keys_age_seconds",
            "Age of the keys of another issuer, in seconds.",
            all.iter().filter_map(|levels| Some((label(levels), i64::try_from(levels.age?).unwrap_or(i64::MAX)))),
        ),
        counters("wicketgate_issuer_fetches_total", "Fetches of another issuer's keys, by how they ended.", outcomes),
        gauges(
            "wicketgate_issuer_last_fetch",
            "1: outcome of the last fetch of another issuer's keys.",
            all.iter().filter_map(|levels| {
                let outcome = ("outcome", levels.last_outcome?.to_owned());
                Some((vec![("issuer", levels.issuer.clone()), outcome], 1))
            }),
        ),
    ]
}

/// When a version of a key was last used.
#[derive(Debug, Clone)]
pub struct KeyUse {
    /// What it is.
    pub kind: &'static str,
    /// Whose it is.
    pub id: String,
    /// Its own name.
    pub version: String,
    /// In seconds since 1970.
    pub seconds: u64,
}

pub(super) fn key_uses(all: &[KeyUse]) -> MetricFamily {
    let series = all.iter().map(|one| {
        let labels = vec![("kind", one.kind.to_owned()), ("id", one.id.clone()), ("version", one.version.clone())];
        (labels, i64::try_from(one.seconds).unwrap_or(i64::MAX))
    });
    gauges(
        "wicketgate_key_last_used_timestamp_seconds",
        "Time of the last use of a key version, in seconds since 1970.",
        series,
    )
}
