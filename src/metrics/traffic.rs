//! Traffic so far, summed over all workers, as the status page shows it: requests, refusals and durations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::HashMap;

use super::histogram::Durations;
use super::{Losses, Metrics, locked};

/// Counts of requests and their durations since the start.
#[derive(Debug, Clone, Default)]
pub struct TrafficCounts {
    /// Requests that have ended.
    pub requests: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those with a status of 500 or above.
    pub failed: u64,
    /// Their durations.
    pub durations: DurationCounts,
}

/// Counts of one route or endpoint since the start.
#[derive(Debug, Clone, Default)]
pub struct RouteCounts {
    /// All of them.
    pub all: TrafficCounts,
    /// Refusals by their word.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Refusals that the route only observed, by their word.
    pub observed: BTreeMap<&'static str, u64>,
}

/// Traffic at one time.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Of all routes.
    pub all: TrafficCounts,
    /// By name of the route or endpoint; empty where only the sum was asked for.
    pub routes: HashMap<Arc<str>, RouteCounts>,
    /// Requests that are being answered.
    pub in_flight: i64,
    /// Callers' connections that are open.
    pub connections: i64,
    /// What could not be written or sent.
    pub losses: Losses,
}

/// Durations by bucket of the histogram; `None` before the first.
#[derive(Debug, Clone, Default)]
pub struct DurationCounts(Option<Durations>);

impl DurationCounts {
    /// The duration in seconds below which this share of the requests since `earlier` took, by linear interpolation within
    /// a bucket, as `histogram_quantile` of Prometheus does: above the last bound it is that bound. `None` without requests.
    pub fn quantile(&self, earlier: Option<&Self>, share: f64) -> Option<f64> {
        let durations = self.0.as_ref()?;
        let earlier = earlier.and_then(|earlier| earlier.0.as_ref());
        let before =
            |bucket: usize| earlier.and_then(|earlier| earlier.buckets.get(bucket)).copied().unwrap_or_default();
        let count = durations.count.saturating_sub(earlier.map_or(0, |earlier| earlier.count));
        if count == 0 {
            return None;
        }
        let (rank, mut below, mut lower) = (share * count as f64, 0.0, 0.0);
        for (bucket, (upper, counted)) in durations.bounds.all().iter().zip(&durations.buckets).enumerate() {
            let here = counted.saturating_sub(before(bucket)) as f64;
            if here > 0.0 && below + here >= rank {
                return Some(lower + (upper - lower) * ((rank - below) / here).clamp(0.0, 1.0));
            }
            (below, lower) = (below + here, *upper);
        }
        Some(lower)
    }

    fn add(&mut self, more: &Durations) {
        match &mut self.0 {
            Some(durations) => durations.add(more),
            None => self.0 = Some(more.clone()),
        }
    }
}

impl Metrics {
    /// Traffic so far; with `by_route` also that of each route.
    pub fn traffic(&self, by_route: bool) -> Traffic {
        let mut traffic = Traffic { losses: self.losses(), ..Traffic::default() };
        for worker in locked(&self.workers).iter() {
            traffic.in_flight += worker.in_flight.load(Ordering::Relaxed);
            traffic.connections += worker.connections.load(Ordering::Relaxed);
            let counted = locked(&worker.counted);
            for (key, count) in &counted.requests {
                traffic.all.count(*count, key.status, key.refusal);
                if by_route {
                    let route = traffic.routes.entry(Arc::clone(&key.route)).or_default();
                    route.all.count(*count, key.status, key.refusal);
                    if !key.refusal.is_empty() {
                        *route.refusals.entry(key.refusal).or_default() += count;
                    }
                }
            }
            for (route, durations) in &counted.durations {
                traffic.all.durations.add(durations);
                if by_route {
                    traffic.routes.entry(Arc::clone(route)).or_default().all.durations.add(durations);
                }
            }
            for ((route, word), count) in counted.observed.iter().filter(|_| by_route) {
                *traffic.routes.entry(Arc::clone(route)).or_default().observed.entry(word).or_default() += count;
            }
        }
        traffic
    }
}

impl TrafficCounts {
    fn count(&mut self, count: u64, status: u16, refusal: &str) {
        self.requests += count;
        self.refused += if refusal.is_empty() { 0 } else { count };
        self.failed += if status >= 500 { count } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::RequestKey;
    use std::time::Duration;

    fn count(metrics: &Metrics, route: &str, status: u16, refusal: &'static str, millis: u64) {
        let worker = metrics.worker();
        worker.request_began();
        let key = RequestKey { route: route.into(), method: "GET", status, refusal };
        worker.request_ended(key, Duration::from_millis(millis));
    }

    #[test]
    fn requests_of_all_workers_are_summed_by_route_and_word() {
        let metrics = Metrics::default();
        count(&metrics, "a", 200, "", 1);
        count(&metrics, "a", 403, "scope", 1);
        count(&metrics, "b", 502, "backend_connect", 1);
        let traffic = metrics.traffic(true);
        assert_eq!((traffic.all.requests, traffic.all.refused, traffic.all.failed), (3, 2, 1));
        let a = &traffic.routes["a"];
        assert_eq!((a.all.requests, a.all.refused, a.refusals["scope"]), (2, 1, 1));
        assert!(metrics.traffic(false).routes.is_empty());
    }

    #[test]
    fn quantiles_are_those_of_prometheus_and_of_what_came_since() {
        let metrics = Metrics::default();
        assert_eq!(metrics.traffic(false).all.durations.quantile(None, 0.5), None);
        (0..100).for_each(|_| count(&metrics, "a", 200, "", 2));
        let first = metrics.traffic(false).all.durations;
        // All are between 1 and 2.5 ms: half of the way.
        let half = first.quantile(None, 0.5).unwrap_or_default();
        assert!((half - 0.001_75).abs() < 1e-9, "{half}");
        (0..100).for_each(|_| count(&metrics, "a", 200, "", 200_000));
        let second = metrics.traffic(false).all.durations;
        assert_eq!(second.quantile(Some(&first), 0.5), Some(120.0), "no bound is above");
        assert_eq!(second.quantile(Some(&second), 0.5), None);
        assert!(second.quantile(None, 0.25).is_some_and(|quarter| quarter < 0.0025));
    }
}
