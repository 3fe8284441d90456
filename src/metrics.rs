//! Metrics: counted per worker on the data path, summed at a scrape.
//!
//! Each worker writes into its own counters, so that requests on different cores share no cache line. A series exists
//! once something was counted in it, and its labels come from closed sets (configured route and backend names, methods,
//! status codes, refusal words), never from callers.

mod backend_tokens;
mod counted;
mod exemplars;
mod families;
mod histogram;
mod introspection;
mod issuers;
mod losses;
mod names;
pub mod openmetrics;
mod reloads;
mod request_key;
mod servers;
mod spans;
mod state;
mod traffic;
mod worker_heartbeat;
mod worker_metrics;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::proto::MetricFamily;

pub use backend_tokens::BackendTokenLevels;
use counted::LabelledCounts;
use exemplars::Exemplars;
use families::{counters, gauges};
pub use histogram::{BucketBounds, DEFAULT_BUCKETS};
pub use introspection::IntrospectionLevels;
pub use issuers::{IssuerLevels, KeyUse};
pub use losses::Losses;
use names::{SeriesName, SeriesNames};
pub use reloads::Reloads;
pub use request_key::RequestKey;
pub use servers::{BackendLevels, ServerLevels};
pub use spans::SpanCounts;
pub use state::{Levels, StateMetrics};
pub use traffic::{DurationCounts, RouteCounts, Traffic, TrafficCounts};
pub use worker_heartbeat::TURN;
pub use worker_metrics::WorkerMetrics;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
    reloads: Mutex<Reloads>,
    names: Mutex<SeriesNames>,
    certificates: Mutex<BTreeMap<String, i64>>,
    certificates_begin: Mutex<BTreeMap<String, i64>>,
    access_log_dropped: AtomicU64,
    diagnostics_dropped: AtomicU64,
    audit_events_lost: AtomicU64,
    degraded: Mutex<Vec<String>>,
    issuers: Mutex<Vec<IssuerLevels>>,
    key_uses: Mutex<Vec<KeyUse>>,
    backends: Mutex<Vec<BackendLevels>>,
    backend_tokens: Mutex<Vec<BackendTokenLevels>>,
    introspections: Mutex<Vec<IntrospectionLevels>>,
    /// Metrics of the state store.
    pub state: Arc<StateMetrics>,
    /// Counts of spans.
    pub spans: Arc<SpanCounts>,
    bounds: BucketBounds,
}

impl Metrics {
    /// With these bounds of the histograms.
    pub fn new(bounds: BucketBounds) -> Self {
        Self { state: Arc::new(StateMetrics::new(&bounds)), bounds, ..Self::default() }
    }

    /// Counters for a new worker.
    pub fn worker(&self) -> Arc<WorkerMetrics> {
        let worker_metrics = Arc::new(WorkerMetrics::new(&self.bounds));
        locked(&self.workers).push(Arc::clone(&worker_metrics));
        worker_metrics
    }

    /// Requests of this route so far.
    pub fn requests_of(&self, route: &Arc<str>) -> u64 {
        let workers = locked(&self.workers);
        workers
            .iter()
            .map(|worker| locked(&worker.counted).durations.get(route).map_or(0, |durations| durations.count))
            .sum()
    }

    /// Sets the names of routes and backends. Series of earlier names stay until [`Metrics::forget`].
    pub fn names<'a>(
        &self,
        routes: impl IntoIterator<Item = &'a Arc<str>>,
        backends: impl IntoIterator<Item = &'a Arc<str>>,
        now: Instant,
    ) {
        let routes = routes.into_iter().map(|name| SeriesName::Route(Arc::clone(name)));
        let backends = backends.into_iter().map(|name| SeriesName::Backend(Arc::clone(name)));
        locked(&self.names).replace(routes.chain(backends).collect(), now);
    }

    /// Drops the series of routes and backends that have been gone for five minutes at `now`. If one comes back, it
    /// starts at zero.
    pub fn forget(&self, now: Instant) {
        let due = locked(&self.names).due(now);
        if due.is_empty() {
            return;
        }
        for worker_metrics in locked(&self.workers).iter() {
            locked(&worker_metrics.counted).forget(&due);
        }
    }

    /// Counts a reload at `now`, in seconds since 1970; `fault`: the reason if it failed.
    pub fn reloaded(&self, fault: Option<String>, now: u64) {
        locked(&self.reloads).note(fault, now);
    }

    /// Counts a reload that has been rolled back at `now`, in seconds since 1970, for this reason.
    pub fn rolled_back(&self, fault: String, now: u64) {
        locked(&self.reloads).note_rolled_back(fault, now);
    }

    /// Sets the number of earlier policies that are still in memory.
    pub fn earlier_policies(&self, count: usize) {
        locked(&self.reloads).earlier_policies = count;
    }

    /// Reloads so far.
    pub fn reloads(&self) -> Reloads {
        locked(&self.reloads).clone()
    }

    /// Sets the expiry of certificates, in seconds since 1970; replaces all earlier ones. Of several in one file the
    /// first counts.
    pub fn certificates(&self, ends: impl IntoIterator<Item = (String, i64)>) {
        let mut first = BTreeMap::new();
        for (file, end) in ends {
            first.entry(file).and_modify(|known: &mut i64| *known = end.min(*known)).or_insert(end);
        }
        *locked(&self.certificates) = first;
    }

    /// Sets the beginnings of certificates by file, in seconds since 1970; replaces all earlier ones.
    pub fn certificates_begin(&self, begins: impl IntoIterator<Item = (String, i64)>) {
        *locked(&self.certificates_begin) = begins.into_iter().collect();
    }

    /// Certificates, CAs and CRLs by file: their expiry, and their beginning where it is known, in seconds since 1970.
    pub fn known_certificates(&self) -> Vec<(String, i64, Option<i64>)> {
        let begins = locked(&self.certificates_begin);
        let all = locked(&self.certificates);
        all.iter().map(|(file, end)| (file.clone(), *end, begins.get(file).copied())).collect()
    }

    /// Sets the state of issuers' keys.
    pub fn issuers(&self, levels: Vec<IssuerLevels>) {
        *locked(&self.issuers) = levels;
    }

    /// Sets the state of backends and their servers.
    pub fn backends(&self, levels: Vec<BackendLevels>) {
        *locked(&self.backends) = levels;
    }

    /// Sets the state of access tokens of backends.
    pub fn backend_tokens(&self, levels: Vec<BackendTokenLevels>) {
        *locked(&self.backend_tokens) = levels;
    }

    /// Sets the counts of questions about tokens.
    pub fn introspections(&self, levels: Vec<IntrospectionLevels>) {
        *locked(&self.introspections) = levels;
    }

    /// Sets the last use of keys.
    pub fn key_uses(&self, uses: Vec<KeyUse>) {
        *locked(&self.key_uses) = uses;
    }

    /// Sets the degraded parts.
    pub fn degraded(&self, parts: Vec<String>) {
        *locked(&self.degraded) = parts;
    }

    /// Sets the lines of standard error lost since the start.
    pub fn diagnostics_dropped(&self, lines: u64) {
        self.diagnostics_dropped.store(lines, Ordering::Relaxed);
    }

    /// Sets the events of the audit log lost since the start.
    pub fn audit_events_lost(&self, events: u64) {
        self.audit_events_lost.store(events, Ordering::Relaxed);
    }

    /// Counts lost lines of the access log.
    pub fn access_log_dropped(&self, lines: u64) {
        self.access_log_dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// If the encoder rejects a family: a bug.
    pub fn render(&self) -> prometheus::Result<String> {
        prometheus::TextEncoder::new().encode_to_string(&self.gathered())
    }

    /// All metrics in the OpenMetrics text format, with exemplars.
    pub fn render_openmetrics(&self) -> String {
        let mut exemplars = Exemplars::default();
        for worker_metrics in locked(&self.workers).iter() {
            exemplars.add(&locked(&worker_metrics.counted).exemplars);
        }
        let exemplars = exemplars.by_labels();
        openmetrics::text(&self.gathered(), |series| exemplars.of(series))
    }

    /// The families that have series.
    fn gathered(&self) -> Vec<MetricFamily> {
        let mut families = self.families();
        families.extend(prometheus::gather());
        families.retain(|family| !family.get_metric().is_empty());
        families
    }

    fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.worker_families();
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
        families.push(counters(
            "wicketgate_audit_events_lost_total",
            "Events of the audit log that could not be written.",
            [(vec![], self.audit_events_lost.load(Ordering::Relaxed))],
        ));
        families.extend(self.spans.families());
        families.extend(self.state.families());
        families.extend(issuers::families(&locked(&self.issuers)));
        families.extend(servers::families(&locked(&self.backends)));
        families.extend(backend_tokens::families(&locked(&self.backend_tokens)));
        families.extend(introspection::families(&locked(&self.introspections)));
        families.push(issuers::key_uses(&locked(&self.key_uses)));
        families.push(build_info());
        families
    }

    /// Families summed over all workers.
    fn worker_families(&self) -> Vec<MetricFamily> {
        let workers = locked(&self.workers);
        let mut in_flight = 0;
        let mut connections = 0;
        let mut parked = 0;
        let mut tunnels = 0;
        let mut sampled_out = 0;
        let (mut stall, mut stalls) = (Duration::ZERO, 0);
        let now = Instant::now();
        let mut sum = LabelledCounts::new(&self.bounds);
        for worker_metrics in workers.iter() {
            in_flight += worker_metrics.in_flight.load(Ordering::Relaxed);
            connections += worker_metrics.connections.load(Ordering::Relaxed);
            parked += worker_metrics.parked.load(Ordering::Relaxed);
            tunnels += worker_metrics.tunnels.load(Ordering::Relaxed);
            sampled_out += worker_metrics.sampled_out.load(Ordering::Relaxed);
            stall = stall.max(worker_metrics.turns.stall(now));
            stalls += worker_metrics.turns.late();
            sum.add(&locked(&worker_metrics.counted));
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
        families.push(gauges(
            "wicketgate_connections_parked",
            "Callers' connections without a request for a second, which hold no buffers.",
            [(vec![], parked)],
        ));
        families.push(counters(
            "wicketgate_access_log_sampled_out_total",
            "Successful requests without a line in the access log, by `log.access.sample`.",
            [(vec![], sampled_out)],
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
        families
    }
}

fn build_info() -> MetricFamily {
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("commit", env!("WICKETGATE_COMMIT").to_owned()),
        ("date", env!("WICKETGATE_DATE").to_owned()),
    ];
    let help = "The version that runs, the commit that it was built from, and the day of that.";
    gauges("wicketgate_build_info", help, [(labels, 1)])
}

/// Locks, ignoring poison: a counter that a panic left half written is still a counter.
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
        let worker_metrics = [metrics.worker(), metrics.worker()];
        let count = |route: &Arc<str>| {
            for worker_metrics in &worker_metrics {
                worker_metrics.request_began();
                let key = RequestKey { route: Arc::clone(route), method: "GET", status: 200, refusal: "" };
                worker_metrics.request_ended(key, Duration::from_millis(3));
                worker_metrics.observed(route, "scope");
                worker_metrics.tunnel_opened();
                worker_metrics.tunnel_closed(route, "caller");
                worker_metrics.backend_failed(&backend, "connect");
                worker_metrics.backend_answered(&backend, Duration::from_millis(3));
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
        for worker_metrics in [&one, &other] {
            worker_metrics.request_began();
            worker_metrics.request_ended(key.clone(), Duration::from_millis(3));
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
