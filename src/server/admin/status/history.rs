//! Traffic of the last minutes: each second in sum, and every ten seconds by route. Bounded whatever comes.

use std::collections::VecDeque;

use super::report::{Second, TrafficReport};
use crate::metrics::{Losses, RouteCounts, Traffic, TrafficCounts};

/// Seconds that are kept.
pub(super) const SECONDS: usize = 300;

/// Seconds from one look at all routes to the next.
const BY_ROUTE_EACH: u64 = 10;

/// Looks at all routes that are kept: they reach back a minute.
const LOOKS: usize = 7;

/// Looks at what was lost that are kept: they reach back 15 minutes.
const LOSSES: usize = 91;

/// Seconds over which present rates are taken.
const PRESENT: usize = 10;

/// Traffic of the last minutes.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Sums at the end of the last seconds.
    sums: VecDeque<TrafficCounts>,
    seconds: VecDeque<Second>,
    /// All routes, every ten seconds.
    looks: VecDeque<Traffic>,
    /// What had been lost, every ten seconds.
    losses: VecDeque<Losses>,
    /// Seconds so far.
    ticks: u64,
}

/// The traffic of one route in the last minute.
#[derive(Debug, Default)]
pub(super) struct LastMinute {
    /// Its length in seconds.
    pub(super) seconds: f64,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl History {
    /// True if the next look must be one at all routes.
    pub(super) fn wants_routes(&self) -> bool {
        self.ticks.is_multiple_of(BY_ROUTE_EACH)
    }

    /// Notes the end of a second.
    pub(super) fn note(&mut self, traffic: Traffic) {
        let is_look = self.wants_routes();
        self.ticks += 1;
        let now = traffic.all.clone();
        if let Some(before) = self.sums.back() {
            push(&mut self.seconds, SECONDS, second(&now, before));
        }
        push(&mut self.sums, PRESENT + 1, now);
        if is_look {
            push(&mut self.losses, LOSSES, traffic.losses);
            push(&mut self.looks, LOOKS, traffic);
        }
    }

    /// The look at all routes of a minute ago, or the first one.
    pub(super) fn minute_ago(&self) -> Option<&Traffic> {
        self.looks.front()
    }

    /// What was lost in the last 15 minutes.
    pub(super) fn lost_lately(&self, now: &Traffic) -> Losses {
        now.losses.since(self.losses.front().copied().unwrap_or_default())
    }

    /// The present traffic, with the seconds of before.
    pub(super) fn report(&self, now: &Traffic) -> TrafficReport {
        let before = self.sums.front().unwrap_or(&now.all);
        // The last look was up to a second ago, and what came since is not a whole second.
        let last = self.sums.back().unwrap_or(&now.all);
        let seconds = self.sums.len().saturating_sub(1).max(1) as f64;
        let rate = |of: fn(&TrafficCounts) -> u64| of(last).saturating_sub(of(before)) as f64 / seconds;
        let quantile = |share| last.durations.quantile(Some(&before.durations), share);
        TrafficReport {
            rate: rate(|counts| counts.requests),
            refused_rate: rate(|counts| counts.refused),
            failed_rate: rate(|counts| counts.failed),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            in_flight: now.in_flight,
            connections: now.connections,
            total: now.all.requests,
            history: self.seconds.iter().copied().collect(),
        }
    }

    /// The last minute of a route, of which these are the counts now.
    pub(super) fn last_minute(&self, name: &str, now: &RouteCounts) -> LastMinute {
        let none = RouteCounts::default();
        let before = self.minute_ago().and_then(|look| look.routes.get(name)).unwrap_or(&none);
        let since = |of: fn(&TrafficCounts) -> u64| of(&now.all).saturating_sub(of(&before.all));
        let quantile = |share| now.all.durations.quantile(Some(&before.all.durations), share);
        LastMinute {
            seconds: self.length(),
            requests: since(|counts| counts.requests),
            refused: since(|counts| counts.refused),
            failed: since(|counts| counts.failed),
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }

    /// Seconds since the look of a minute ago.
    fn length(&self) -> f64 {
        let looks = u64::try_from(self.looks.len()).unwrap_or(1);
        let since_last = self.ticks.saturating_sub(1) % BY_ROUTE_EACH;
        (looks.saturating_sub(1) * BY_ROUTE_EACH + since_last).max(1) as f64
    }
}

fn second(now: &TrafficCounts, before: &TrafficCounts) -> Second {
    let quantile = |share| now.durations.quantile(Some(&before.durations), share);
    Second {
        requests: now.requests.saturating_sub(before.requests),
        refused: now.refused.saturating_sub(before.refused),
        failed: now.failed.saturating_sub(before.failed),
        p50: quantile(0.5),
        p99: quantile(0.99),
    }
}

fn push<T>(queue: &mut VecDeque<T>, most: usize, item: T) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(requests: u64) -> Traffic {
        Traffic { all: TrafficCounts { requests, ..TrafficCounts::default() }, ..Traffic::default() }
    }

    #[test]
    fn rates_are_those_of_the_last_ten_seconds_and_nothing_grows_without_end() {
        let mut history = History::default();
        (0..2_000_u64).for_each(|second| history.note(traffic(second * 5)));
        let report = history.report(&traffic(10_000));
        assert!((report.rate - 5.0).abs() < 1e-9, "{}", report.rate);
        assert_eq!((report.history.len(), report.total), (SECONDS, 10_000));
        assert!(report.history.iter().all(|second| second.requests == 5));
        assert!(history.looks.len() <= LOOKS && history.sums.len() <= PRESENT + 1);
    }

    #[test]
    fn a_process_that_has_just_begun_has_rates_of_what_there_was() {
        let mut history = History::default();
        assert_eq!(history.report(&traffic(3)).rate, 0.0);
        history.note(traffic(0));
        history.note(traffic(7));
        assert!((history.report(&traffic(7)).rate - 7.0).abs() < 1e-9);
    }

    #[test]
    fn the_last_minute_of_a_route_is_what_came_since_the_look_of_then() {
        let mut history = History::default();
        let mut counts = RouteCounts::default();
        for second in 0..200_u64 {
            counts.all.requests = second * 2;
            let mut traffic = traffic(second * 2);
            if history.wants_routes() {
                traffic.routes.insert("a".into(), counts.clone());
            }
            history.note(traffic);
        }
        let last = history.last_minute("a", &counts);
        let rate = last.requests as f64 / last.seconds;
        assert!((rate - 2.0).abs() < 0.05 && (60.0..=70.0).contains(&last.seconds), "{last:?}");
        assert_eq!(history.last_minute("new", &counts).requests, counts.all.requests);
    }
}
