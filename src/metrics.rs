//! Counters: per worker on the data path, summed when Prometheus asks.
//!
//! Each worker writes into cells of its own, so that requests on different cores share no cache line. A series
//! exists once something was counted in it, and its labels come from closed sets (route and backend names of
//! the configuration, methods, status codes, refusal words), never from what a caller sent.

mod families;
mod issuers;
mod names;
mod reloads;
mod servers;
mod state;
mod worker_heartbeat;

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use prometheus::proto::MetricFamily;

use families::{add_counts, counters, gauges, histograms};
pub use issuers::{IssuerLevels, KeyUse};
use names::{Name, Names};
pub use reloads::Reloads;
pub use servers::{BackendLevels, ServerLevels};
pub use state::{Levels, StateMetrics};
pub use worker_heartbeat::TURN;
use worker_heartbeat::Turns;

/// Upper bounds of the duration buckets, in seconds.
const BOUNDS: [f64; 14] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that is counted, for as long as the process lives.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<Cells>>>,
    reloads: Mutex<Reloads>,
    names: Mutex<Names>,
    certificates: Mutex<BTreeMap<String, i64>>,
    access_log_dropped: AtomicU64,
    diagnostics_dropped: AtomicU64,
    degraded: Mutex<Vec<String>>,
    issuers: Mutex<Vec<IssuerLevels>>,
    key_uses: Mutex<Vec<KeyUse>>,
    backends: Mutex<Vec<BackendLevels>>,
    /// What the state store does.
    pub state: Arc<StateMetrics>,
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Cells {
    in_flight: AtomicI64,
    connections: AtomicI64,
    tunnels: AtomicI64,
    turns: Turns,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    requests: HashMap<RequestKey, u64>,
    durations: HashMap<Arc<str>, Durations>,
    backend_durations: HashMap<Arc<str>, Durations>,
    backend_failures: HashMap<(Arc<str>, &'static str), u64>,
    logins: HashMap<&'static str, u64>,
    tokens: HashMap<&'static str, u64>,
    observed: HashMap<(Arc<str>, &'static str), u64>,
    connections_closed: HashMap<&'static str, u64>,
    tunnels_closed: HashMap<(Arc<str>, &'static str), u64>,
    certificates_refused: HashMap<&'static str, u64>,
    rate_limit_fallbacks: u64,
}

/// The labels of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The route's name, or the word for what stands in its place.
    pub route: Arc<str>,
    /// One of the known methods, or `other`.
    pub method: &'static str,
    /// The status that was answered; 499 where the caller left first.
    pub status: u16,
    /// The refusal's word, or nothing.
    pub refusal: &'static str,
}

#[derive(Debug, Clone, Default)]
struct Durations {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Metrics {
    /// Cells for a new worker.
    pub fn worker(&self) -> Arc<Cells> {
        let cells = Arc::new(Cells::default());
        locked(&self.workers).push(Arc::clone(&cells));
        cells
    }

    /// From now on these are the routes and backends. What was counted of others stays until [`Metrics::forget`].
    pub fn names<'a>(
        &self,
        routes: impl IntoIterator<Item = &'a Arc<str>>,
        backends: impl IntoIterator<Item = &'a Arc<str>>,
        now: Instant,
    ) {
        let routes = routes.into_iter().map(|name| Name::Route(Arc::clone(name)));
        let backends = backends.into_iter().map(|name| Name::Backend(Arc::clone(name)));
        locked(&self.names).replace(routes.chain(backends).collect(), now);
    }

    /// Forgets what was counted of routes and backends that have been gone for five minutes, as they are at `now`. One that
    /// comes back begins with nothing.
    pub fn forget(&self, now: Instant) {
        let due = locked(&self.names).due(now);
        if due.is_empty() {
            return;
        }
        for cells in locked(&self.workers).iter() {
            locked(&cells.counted).forget(&due);
        }
    }

    /// Counts a reload that ended at `now`, in seconds since 1970, and perhaps failed for this reason.
    pub fn reloaded(&self, fault: Option<String>, now: u64) {
        locked(&self.reloads).note(fault, now);
    }

    /// Sets how many policies of before a reload are still held.
    pub fn earlier_policies(&self, count: usize) {
        locked(&self.reloads).earlier_policies = count;
    }

    /// How reloads went.
    pub fn reloads(&self) -> Reloads {
        locked(&self.reloads).clone()
    }

    /// Sets when a certificate ends, in seconds since 1970; replaces what was known before. Of several in one file the
    /// first end counts.
    pub fn certificates(&self, ends: impl IntoIterator<Item = (String, i64)>) {
        let mut first = BTreeMap::new();
        for (file, end) in ends {
            first.entry(file).and_modify(|known: &mut i64| *known = end.min(*known)).or_insert(end);
        }
        *locked(&self.certificates) = first;
    }

    /// Sets how the keys of other issuers stand.
    pub fn issuers(&self, levels: Vec<IssuerLevels>) {
        *locked(&self.issuers) = levels;
    }

    /// Sets how backends and their servers stand.
    pub fn backends(&self, levels: Vec<BackendLevels>) {
        *locked(&self.backends) = levels;
    }

    /// Sets when keys were last used.
    pub fn key_uses(&self, uses: Vec<KeyUse>) {
        *locked(&self.key_uses) = uses;
    }

    /// Sets what is not as it should be at the time of a scrape.
    pub fn degraded(&self, parts: Vec<String>) {
        *locked(&self.degraded) = parts;
    }

    /// Sets how many lines of standard error have been lost since the process began.
    pub fn diagnostics_dropped(&self, lines: u64) {
        self.diagnostics_dropped.store(lines, Ordering::Relaxed);
    }

    /// Counts access-log lines that could not be written.
    pub fn access_log_dropped(&self, lines: u64) {
        self.access_log_dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Everything, in the text form that Prometheus reads.
    ///
    /// # Errors
    /// Where the encoder refuses a family: a fault of ours.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut families = self.families();
        families.extend(prometheus::gather());
        families.retain(|family| !family.get_metric().is_empty());
        prometheus::TextEncoder::new().encode_to_string(&families)
    }

    fn families(&self) -> Vec<MetricFamily> {
        let workers = locked(&self.workers);
        let mut in_flight = 0;
        let mut connections = 0;
        let mut tunnels = 0;
        let (mut stall, mut stalls) = (Duration::ZERO, 0);
        let now = Instant::now();
        let mut sum = Counted::default();
        for cells in workers.iter() {
            in_flight += cells.in_flight.load(Ordering::Relaxed);
            connections += cells.connections.load(Ordering::Relaxed);
            tunnels += cells.tunnels.load(Ordering::Relaxed);
            stall = stall.max(cells.turns.stall(now));
            stalls += cells.turns.late();
            sum.add(&locked(&cells.counted));
        }
        let mut families = sum.families();
        families.push(gauges(
            "wicketgate_requests_in_flight",
            "Requests that are being answered.",
            [(vec![], in_flight)],
        ));
        families.push(gauges(
            "wicketgate_connections_open",
            "Callers' connections that are open.",
            [(vec![], connections)],
        ));
        families.push(gauges("wicketgate_websockets_open", "WebSockets that are open.", [(vec![], tunnels)]));
        families.push(families::seconds(
            "wicketgate_worker_stall_seconds",
            "Longest current event-loop stall of any worker, in seconds.",
            stall,
        ));
        families.push(counters(
            "wicketgate_worker_stalls_total",
            "Event-loop stalls of a worker for a second or more.",
            [(vec![], stalls)],
        ));
        let ends: Vec<_> =
            locked(&self.certificates).iter().map(|(file, end)| (vec![("certificate", file.clone())], *end)).collect();
        families.push(gauges(
            "wicketgate_certificate_expiry_timestamp_seconds",
            "Expiry of a certificate, CA or CRL, in seconds since 1970.",
            ends,
        ));
        families.extend(locked(&self.reloads).families());
        families.push(counters(
            "wicketgate_access_log_dropped_total",
            "Access-log lines that could not be written.",
            [(vec![], self.access_log_dropped.load(Ordering::Relaxed))],
        ));
        let degraded: Vec<_> = locked(&self.degraded).iter().map(|part| (vec![("part", part.clone())], 1)).collect();
        families.push(gauges("wicketgate_degraded", "1: this part is degraded; /readyz names it.", degraded));
        families.push(counters(
            "wicketgate_diagnostics_dropped_total",
            "Lines of standard error that could not be written.",
            [(vec![], self.diagnostics_dropped.load(Ordering::Relaxed))],
        ));
        families.extend(self.state.families());
        families.extend(issuers::families(&locked(&self.issuers)));
        families.extend(servers::families(&locked(&self.backends)));
        families.push(issuers::key_uses(&locked(&self.key_uses)));
        families.push(gauges(
            "wicketgate_build_info",
            "The version that runs, the commit that it was built from, and the day of that.",
            [(
                vec![
                    ("version", env!("CARGO_PKG_VERSION").to_owned()),
                    ("commit", env!("WICKETGATE_COMMIT").to_owned()),
                    ("date", env!("WICKETGATE_DATE").to_owned()),
                ],
                1,
            )],
        ));
        families
    }
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

impl Counted {
    /// Whoever counts waits meanwhile, so nothing is looked through that has nothing to be forgotten.
    fn forget(&mut self, names: &[Name]) {
        let (mut routes, mut backends) = (HashSet::new(), HashSet::new());
        for name in names {
            match name {
                // With each request a duration is counted.
                Name::Route(route) if self.durations.remove(route).is_some() => drop(routes.insert(&**route)),
                Name::Backend(backend) => {
                    self.backend_durations.remove(backend);
                    backends.insert(&**backend);
                }
                Name::Route(_) => {}
            }
        }
        if !routes.is_empty() {
            self.requests.retain(|key, _| !routes.contains(&*key.route));
            self.observed.retain(|(route, _), _| !routes.contains(&**route));
            self.tunnels_closed.retain(|(route, _), _| !routes.contains(&**route));
        }
        // Of these there are few: one of each kind.
        if !backends.is_empty() {
            self.backend_failures.retain(|(backend, _), _| !backends.contains(&**backend));
        }
    }

    fn add(&mut self, other: &Self) {
        add_counts(&mut self.requests, &other.requests);
        add_counts(&mut self.backend_failures, &other.backend_failures);
        add_counts(&mut self.logins, &other.logins);
        add_counts(&mut self.tokens, &other.tokens);
        add_counts(&mut self.observed, &other.observed);
        add_counts(&mut self.connections_closed, &other.connections_closed);
        add_counts(&mut self.tunnels_closed, &other.tunnels_closed);
        add_counts(&mut self.certificates_refused, &other.certificates_refused);
        self.rate_limit_fallbacks += other.rate_limit_fallbacks;
        for (route, durations) in &other.durations {
            self.durations.entry(Arc::clone(route)).or_default().add(durations);
        }
        for (backend, durations) in &other.backend_durations {
            self.backend_durations.entry(Arc::clone(backend)).or_default().add(durations);
        }
    }

    fn families(self) -> Vec<MetricFamily> {
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

impl Durations {
    fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}

/// A counter that a panic left half written is still a counter.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_metric() {
        let text = include_str!("../docs/operations.md");
        for family in Metrics::default().families() {
            assert!(text.contains(&format!("| `{}` |", family.name())), "docs/operations.md lacks {}", family.name());
        }
    }

    #[test]
    fn the_documentation_has_present_metrics_for_those_that_were_renamed() {
        let text = include_str!("../docs/operations.md");
        let present: Vec<String> =
            Metrics::default().families().iter().map(|family| family.name().to_owned()).collect();
        let rows: Vec<Vec<&str>> = text
            .lines()
            .filter_map(|line| line.strip_prefix("| metric | "))
            .map(|row| row.split(['`', '|', ' ']).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert!(!rows.is_empty());
        let is_present = |name: &str| present.iter().any(|one| one == name);
        for row in rows {
            assert!(row.len() == 2 && !is_present(row[0]) && is_present(row[1]), "{row:?}");
        }
    }

    #[test]
    fn series_of_routes_and_backends_that_are_gone_stay_for_the_last_scrape_and_then_go() {
        let (metrics, begin) = (Metrics::default(), Instant::now());
        let minutes = |count: u64| begin + Duration::from_secs(60 * count);
        let [old, kept, backend]: [Arc<str>; 3] = ["old".into(), "kept".into(), "legacy".into()];
        let cells = [metrics.worker(), metrics.worker()];
        let count = |route: &Arc<str>| {
            for cells in &cells {
                cells.request_began();
                let key = RequestKey { route: Arc::clone(route), method: "GET", status: 200, refusal: "" };
                cells.request_ended(key, Duration::from_millis(3));
                cells.observed(route, "scope");
                cells.tunnel_opened();
                cells.tunnel_closed(route, "caller");
                cells.backend_failed(&backend, "connect");
                cells.backend_answered(&backend, Duration::from_millis(3));
            }
        };
        let series = |name: &str| {
            let text = metrics.render().unwrap_or_default();
            text.lines().filter(|line| line.contains(&format!("\"{name}\""))).count()
        };
        metrics.names([&old, &kept], [&backend], begin);
        (0..3).for_each(|_| count(&old));
        count(&kept);
        let before = [series("old"), series("kept"), series("legacy")];
        assert!(before.iter().all(|count| *count > 3), "{before:?}");
        metrics.names([&kept], [], minutes(1));
        for now in [1, 3, 5] {
            metrics.forget(minutes(now));
            assert_eq!([series("old"), series("kept"), series("legacy")], before, "after {now} minutes");
        }
        metrics.forget(minutes(6));
        assert_eq!([series("old"), series("kept"), series("legacy")], [0, before[1], 0]);
        // What was in flight ends.
        count(&old);
        assert!(series("old") > 0);
        metrics.forget(minutes(7));
        assert_eq!([series("old"), series("legacy")], [0, 0]);
        // It comes back, with nothing, and stays.
        metrics.names([&kept, &old], [&backend], minutes(8));
        count(&old);
        for now in [8, 20, 2_000] {
            metrics.forget(minutes(now));
            let text = metrics.render().unwrap_or_default();
            let one = r#"wicketgate_requests_total{route="old",method="GET",status="200",refusal=""} 2"#;
            assert!(text.contains(one), "{text}");
        }
    }

    #[test]
    fn what_two_workers_counted_is_summed() {
        let metrics = Metrics::default();
        let (one, other) = (metrics.worker(), metrics.worker());
        let key = RequestKey { route: "profile".into(), method: "POST", status: 200, refusal: "" };
        for cells in [&one, &other] {
            cells.request_began();
            cells.request_ended(key.clone(), Duration::from_millis(3));
        }
        let text = metrics.render().unwrap_or_default();
        let series = r#"wicketgate_requests_total{route="profile",method="POST",status="200",refusal=""} 2"#;
        assert!(text.contains(series), "{text}");
        assert!(
            text.contains(r#"wicketgate_request_duration_seconds_bucket{route="profile",le="0.0025"} 0"#),
            "{text}"
        );
        assert!(text.contains(r#"wicketgate_request_duration_seconds_bucket{route="profile",le="0.005"} 2"#), "{text}");
        assert!(text.contains("wicketgate_requests_in_flight 0"), "{text}");
    }
}
