//! Exemplars: for a bucket of durations and a kind of refusal, the last trace that was recorded.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldhash::HashMap;
use prometheus::proto::LabelPair;

use super::histogram::BucketBounds;
use super::request_key::RequestKey;

/// One recorded request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace_id: u128,
    /// Its duration in seconds; 1 for a counter.
    pub(super) value: f64,
    /// When it ended, in seconds since 1970.
    pub(super) time: f64,
}

/// The last exemplar of each series that has one.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    /// By route and bucket; the last one is that above all bounds.
    durations: HashMap<(Arc<str>, usize), Exemplar>,
    refusals: HashMap<RequestKey, Exemplar>,
}

impl Exemplars {
    /// Notes a request that was recorded.
    pub(super) fn note(&mut self, key: &RequestKey, trace_id: u128, duration: Duration, bounds: &BucketBounds) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let bucket = bounds.bucket(duration).unwrap_or(bounds.all().len());
        let exemplar = Exemplar { trace_id, value: duration.as_secs_f64(), time };
        self.durations.insert((Arc::clone(&key.route), bucket), exemplar);
        if !key.refusal.is_empty() {
            self.refusals.insert(key.clone(), Exemplar { value: 1.0, ..exemplar });
        }
    }

    /// Drops those of routes that are gone.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.durations.retain(|(route, _), _| !is_gone(route));
        self.refusals.retain(|key, _| !is_gone(&key.route));
    }

    /// Takes the newer ones of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        newest(&mut self.durations, &other.durations);
        newest(&mut self.refusals, &other.refusals);
    }

    /// The same by the labels of the series.
    pub(super) fn by_labels(self) -> LabelledExemplars {
        let refusals = self.refusals.into_iter().map(|(key, exemplar)| {
            let RequestKey { route, method, status, refusal } = key;
            ([route.to_string(), method.to_owned(), status.to_string(), refusal.to_owned()], exemplar)
        });
        LabelledExemplars { refusals: refusals.collect(), durations: self.durations }
    }
}

/// The exemplars of one scrape.
pub(super) struct LabelledExemplars {
    durations: HashMap<(Arc<str>, usize), Exemplar>,
    refusals: HashMap<[String; 4], Exemplar>,
}

impl LabelledExemplars {
    /// The exemplar of a series.
    pub(super) fn of(&self, series: &Series<'_>) -> Option<Exemplar> {
        match (series.family, series.bucket) {
            ("wicketgate_request_duration_seconds", Some(bucket)) => {
                self.durations.get(&(Arc::from(series.label("route")), bucket)).copied()
            }
            ("wicketgate_requests_total", None) if !series.label("refusal").is_empty() => {
                let labels = ["route", "method", "status", "refusal"].map(|name| series.label(name).to_owned());
                self.refusals.get(&labels).copied()
            }
            _ => None,
        }
    }
}

/// One series, as far as it may have an exemplar.
pub(super) struct Series<'a> {
    pub(super) family: &'a str,
    pub(super) labels: &'a [LabelPair],
    /// The place of the bucket, from the lowest bound; the last one is `+Inf`.
    pub(super) bucket: Option<usize>,
}

impl Series<'_> {
    fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|pair| pair.name() == name).map_or("", LabelPair::value)
    }
}

fn newest<K: Clone + Eq + std::hash::Hash>(mine: &mut HashMap<K, Exemplar>, theirs: &HashMap<K, Exemplar>) {
    for (key, exemplar) in theirs {
        let known = mine.entry(key.clone()).or_insert(*exemplar);
        if known.time < exemplar.time {
            *known = *exemplar;
        }
    }
}
