//! Histograms of durations, in seconds.

use std::time::Duration;

/// Upper bounds of the duration buckets, in seconds.
pub(super) const BOUNDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Durations, by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Durations {
    pub(super) buckets: [u64; BOUNDS.len()],
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Durations {
    /// Adds one duration.
    pub(super) fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// Adds those of another worker.
    pub(super) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
    }
}
