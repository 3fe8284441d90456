//! Counts of requests, logins and connections, by label, as one worker keeps them and as the sum over all workers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::HashMap;
use prometheus::proto::MetricFamily;

use super::exemplars::Exemplars;
use super::families::{add_counts, counters, histograms};
use super::histogram::{BucketBounds, Durations};
use super::names::SeriesName;
use super::request_key::RequestKey;

/// Counts, by label.
#[derive(Debug, Default)]
pub(super) struct LabelledCounts {
    pub(super) requests: HashMap<RequestKey, u64>,
    pub(super) durations: HashMap<Arc<str>, Durations>,
    pub(super) backend_durations: HashMap<Arc<str>, Durations>,
    pub(super) backend_failures: HashMap<(Arc<str>, &'static str), u64>,
    pub(super) logins: HashMap<&'static str, u64>,
    pub(super) tokens: HashMap<&'static str, u64>,
    pub(super) provider_events: HashMap<(&'static str, &'static str), u64>,
    pub(super) observed: HashMap<(Arc<str>, &'static str), u64>,
    pub(super) connections_closed: HashMap<&'static str, u64>,
    pub(super) tunnels_closed: HashMap<(Arc<str>, &'static str), u64>,
    pub(super) certificates_refused: HashMap<&'static str, u64>,
    pub(super) rate_limit_fallbacks: u64,
    pub(super) exemplars: Exemplars,
    pub(super) bounds: BucketBounds,
}

impl LabelledCounts {
    pub(super) fn new(bounds: &BucketBounds) -> Self {
        Self { bounds: bounds.clone(), ..Self::default() }
    }

    /// Adds a duration of a request on this route.
    pub(super) fn observe_request(&mut self, route: &Arc<str>, duration: Duration) {
        observe(&mut self.durations, route, duration, &self.bounds);
    }

    /// Adds a response time of this backend.
    pub(super) fn observe_backend(&mut self, backend: &Arc<str>, duration: Duration) {
        observe(&mut self.backend_durations, backend, duration, &self.bounds);
    }

    /// Drops the series of routes and backends that are gone.
    ///
    /// Workers wait meanwhile, so maps without such series are not scanned.
    pub(super) fn forget(&mut self, names: &[SeriesName]) {
        let (mut routes, mut backends) = (HashSet::new(), HashSet::new());
        for name in names {
            match name {
                // With each request a duration is counted.
                SeriesName::Route(route) if self.durations.remove(route).is_some() => drop(routes.insert(&**route)),
                SeriesName::Backend(backend) => {
                    self.backend_durations.remove(backend);
                    backends.insert(&**backend);
                }
                SeriesName::Route(_) => {}
            }
        }
        if !routes.is_empty() {
            self.requests.retain(|key, _| !routes.contains(&*key.route));
            self.observed.retain(|(route, _), _| !routes.contains(&**route));
            self.tunnels_closed.retain(|(route, _), _| !routes.contains(&**route));
            self.exemplars.forget(|route| routes.contains(route));
        }
        // Of these there are few: one of each kind.
        if !backends.is_empty() {
            self.backend_failures.retain(|(backend, _), _| !backends.contains(&**backend));
        }
    }

    /// Adds the counts of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        add_counts(&mut self.requests, &other.requests);
        add_counts(&mut self.backend_failures, &other.backend_failures);
        add_counts(&mut self.logins, &other.logins);
        add_counts(&mut self.tokens, &other.tokens);
        add_counts(&mut self.provider_events, &other.provider_events);
        add_counts(&mut self.observed, &other.observed);
        add_counts(&mut self.connections_closed, &other.connections_closed);
        add_counts(&mut self.tunnels_closed, &other.tunnels_closed);
        add_counts(&mut self.certificates_refused, &other.certificates_refused);
        self.rate_limit_fallbacks += other.rate_limit_fallbacks;
        for (route, durations) in &other.durations {
            self.durations.entry(Arc::clone(route)).or_insert_with(|| Durations::new(&self.bounds)).add(durations);
        }
        for (backend, durations) in &other.backend_durations {
            let sum = self.backend_durations.entry(Arc::clone(backend));
            sum.or_insert_with(|| Durations::new(&self.bounds)).add(durations);
        }
    }

    /// The counts as metric families.
    #[expect(clippy::too_many_lines, reason = "a flat table")]
    pub(super) fn families(self) -> Vec<MetricFamily> {
        let name = |name: &Arc<str>| name.to_string();
        let word = |word: &'static str| word.to_owned();
        vec![
            counters(
                "wicketgate_requests_total",
                "Requests, by route, method, status and refusal.",
                self.requests.iter().map(|(key, count)| {
                    let labels = vec![
                        ("route", name(&key.route)),
                        ("method", word(key.method)),
                        ("status", key.status.to_string()),
                        ("refusal", word(key.refusal)),
                    ];
                    (labels, *count)
                }),
            ),
            counters(
                "wicketgate_observed_refusals_total",
                "Requests that a route in mode observe forwarded and mode enforce would refuse.",
                self.observed.iter().map(|((route, refusal), count)| {
                    (vec![("route", name(route)), ("refusal", word(refusal))], *count)
                }),
            ),
            counters(
                "wicketgate_logins_total",
                "Logins, by outcome.",
                self.logins.iter().map(|(outcome, count)| (vec![("outcome", word(outcome))], *count)),
            ),
            counters(
                "wicketgate_tokens_total",
                "Token requests, by outcome.",
                self.tokens.iter().map(|(outcome, count)| (vec![("outcome", word(outcome))], *count)),
            ),
            counters(
                "wicketgate_provider_events_total",
                "Logout tokens and security events of issuers, by kind and outcome.",
                self.provider_events
                    .iter()
                    .map(|((kind, outcome), count)| (vec![("kind", word(kind)), ("outcome", word(outcome))], *count)),
            ),
            counters(
                "wicketgate_rate_limit_fallback_total",
                "Requests whose shared rate limit was counted locally, because the state store was unavailable.",
                [(vec![], self.rate_limit_fallbacks)],
            ),
            counters(
                "wicketgate_connections_closed_total",
                "Callers' connections that ended, by reason.",
                self.connections_closed.iter().map(|(reason, count)| (vec![("reason", word(reason))], *count)),
            ),
            counters(
                "wicketgate_websockets_closed_total",
                "WebSockets that ended, by route and reason.",
                self.tunnels_closed
                    .iter()
                    .map(|((route, reason), count)| (vec![("route", name(route)), ("reason", word(reason))], *count)),
            ),
            counters(
                "wicketgate_client_certificates_refused_total",
                "Callers' certificates that were refused, by reason.",
                self.certificates_refused.iter().map(|(reason, count)| (vec![("reason", word(reason))], *count)),
            ),
            counters(
                "wicketgate_backend_failures_total",
                "Requests that a backend failed to answer, by kind.",
                self.backend_failures
                    .iter()
                    .map(|((backend, kind), count)| (vec![("backend", name(backend)), ("kind", word(kind))], *count)),
            ),
            histograms(
                "wicketgate_request_duration_seconds",
                "From a request's head to the last byte of its response.",
                "route",
                self.durations,
            ),
            histograms(
                "wicketgate_backend_duration_seconds",
                "From sending a request to a backend to the head of its response.",
                "backend",
                self.backend_durations,
            ),
        ]
    }
}

fn observe(all: &mut HashMap<Arc<str>, Durations>, name: &Arc<str>, duration: Duration, bounds: &BucketBounds) {
    if let Some(durations) = all.get_mut(name) {
        durations.observe(duration);
    } else {
        all.entry(Arc::clone(name)).or_insert_with(|| Durations::new(bounds)).observe(duration);
    }
}
