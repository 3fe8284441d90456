//! Histograms of durations, in seconds.

use std::sync::Arc;
use std::time::Duration;

/// Upper bounds of the duration buckets without `metrics.buckets`, in seconds.
pub const DEFAULT_BUCKETS: [f64; 17] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// Upper bounds of the duration buckets, in seconds, ascending; the same for all histograms.
#[derive(Debug, Clone)]
pub struct BucketBounds(Arc<[f64]>);

impl BucketBounds {
    /// These bounds, ascending.
    pub fn new(seconds: &[f64]) -> Self {
        Self(seconds.into())
    }

    /// The bounds of `metrics.buckets`, or the default ones.
    pub fn configured(seconds: Option<&[f64]>) -> Self {
        seconds.map(Self::new).unwrap_or_default()
    }

    /// The bounds.
    pub(super) fn all(&self) -> &[f64] {
        &self.0
    }

    /// The bucket of a duration; `None` above all bounds.
    pub(super) fn bucket(&self, duration: Duration) -> Option<usize> {
        let seconds = duration.as_secs_f64();
        self.0.iter().position(|bound| seconds <= *bound)
    }
}

impl Default for BucketBounds {
    fn default() -> Self {
        Self::new(&DEFAULT_BUCKETS)
    }
}

/// Durations, by bucket.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    pub(super) bounds: BucketBounds,
    pub(super) buckets: Box<[u64]>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Durations {
    pub(super) fn new(bounds: &BucketBounds) -> Self {
        let buckets = vec![0; bounds.all().len()].into();
        Self { bounds: bounds.clone(), buckets, count: 0, sum: 0.0 }
    }

    /// Adds one duration.
    pub(super) fn observe(&mut self, duration: Duration) {
        if let Some(bucket) = self.bounds.bucket(duration) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += duration.as_secs_f64();
    }

    /// Adds those of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}
