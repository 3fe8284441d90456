//! Metric families of the Prometheus client library.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::histogram::Durations;
use foldhash::HashMap;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

pub(super) type Labels = Vec<(&'static str, String)>;

pub(super) fn add_counts<K: Clone + Eq + Hash>(sum: &mut HashMap<K, u64>, more: &HashMap<K, u64>) {
    for (key, count) in more {
        *sum.entry(key.clone()).or_default() += count;
    }
}

pub(super) fn counters(name: &str, help: &str, series: impl IntoIterator<Item = (Labels, u64)>) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, count)| {
        let mut counter = Counter::default();
        counter.set_value(count as f64);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

pub(super) fn gauges(name: &str, help: &str, series: impl IntoIterator<Item = (Labels, i64)>) -> MetricFamily {
    let metrics = series.into_iter().map(|(labels, value)| {
        let mut gauge = Gauge::default();
        gauge.set_value(value as f64);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        metric
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

pub(super) fn seconds(name: &str, help: &str, value: Duration) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value.as_secs_f64());
    let mut metric = labelled(Vec::new());
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, vec![metric])
}

pub(super) fn histograms(
    name: &str,
    help: &str,
    label: &'static str,
    series: HashMap<Arc<str>, Durations>,
) -> MetricFamily {
    let metrics = series.into_iter().map(|(value, durations)| {
        let mut below = 0;
        let buckets = durations.bounds.all().iter().zip(&durations.buckets).map(|(bound, count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(durations.count);
        histogram.set_sample_sum(durations.sum);
        let mut metric = labelled(vec![(label, value.to_string())]);
        metric.set_histogram(histogram);
        metric
    });
    family(name, help, MetricType::HISTOGRAM, metrics.collect())
}

fn labelled(labels: Labels) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    });
    Metric::from_label(pairs.collect())
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    /// prometheus.io/docs/practices/naming.
    #[test]
    fn names_say_what_kind_a_metric_is_and_its_unit() {
        for family in Metrics::default().families() {
            let (name, kind) = (family.name(), family.get_field_type());
            let word = name.strip_prefix("wicketgate_").unwrap_or_default();
            assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(word.ends_with("_total"), kind == MetricType::COUNTER, "{name}");
            assert!(kind != MetricType::HISTOGRAM || word.ends_with("_duration_seconds"), "{name}");
            // A time is in seconds since 1970, and a length of time in seconds.
            let is_time = family.help().ends_with(", in seconds since 1970.");
            assert_eq!(word.ends_with("_timestamp_seconds"), is_time, "{name}: {}", family.help());
        }
    }
}
