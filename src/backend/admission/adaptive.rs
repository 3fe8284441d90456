//! Adaptive concurrency limit, learnt from response times: a backend that becomes slow gets fewer requests, and those
//! above the limit are refused at once, before a queue grows that no client waits for.
//!
//! Every 100 ms the mean response time is compared with the baseline, the time without queueing. Up to twice the
//! baseline the limit grows by its square root, if it is used; beyond, it shrinks in proportion. Failed requests shrink
//! it too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest measuring window.
const WINDOW: Duration = Duration::from_millis(100);
/// Fewest responses in a window.
const ANSWERS: u32 = 10;
/// Multiple of the baseline that is still fine.
const TOLERANCE: f64 = 2.0;
/// Smoothing: weight of one window.
const STEP: f64 = 0.2;
/// Drift of the baseline towards a longer mean, for each window.
const DRIFT: f64 = 0.001;
/// Adaptive limit of one backend, shared by all workers.
#[derive(Debug)]
pub struct Adaptive {
    /// Least and greatest limit.
    bounds: (usize, usize),
    limit: AtomicUsize,
    learned: Mutex<Learned>,
}

/// State of the estimate.
#[derive(Debug)]
struct Learned {
    min: f64,
    max: f64,
    limit: f64,
    /// Baseline response time in seconds.
    usual: Option<f64>,
    window: Window,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    answers: u32,
    /// Sum of response times, in seconds.
    time: f64,
    failures: u32,
    /// Most requests in flight.
    busiest: usize,
}

impl Adaptive {
    /// A limit between `min` and `max`; starts at `max`.
    pub fn new(min: usize, max: usize, now: Instant) -> Self {
        let learned = Learned::new(min, max, now);
        Self { bounds: (min, max), limit: AtomicUsize::new(max), learned: Mutex::new(learned) }
    }

    /// True if these are its bounds.
    pub fn is_between(&self, min: usize, max: usize) -> bool {
        self.bounds == (min, max)
    }

    /// Concurrency limit at present.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Adds a response time, seen with `in_flight` requests in flight; `None`: there was no response.
    pub fn answered(&self, now: Instant, time: Option<Duration>, in_flight: usize) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.answered(now, time, in_flight);
        self.limit.store(learned.whole(), Ordering::Relaxed);
    }
}

impl Learned {
    fn new(min: usize, max: usize, now: Instant) -> Self {
        Self { min: min as f64, max: max as f64, limit: max as f64, usual: None, window: Window::new(now) }
    }

    fn answered(&mut self, now: Instant, time: Option<Duration>, in_flight: usize) {
        let window = &mut self.window;
        match time {
            Some(time) => {
                window.answers += 1;
                window.time += time.as_secs_f64();
            }
            None => window.failures += 1,
        }
        window.busiest = window.busiest.max(in_flight);
        let is_over = now.saturating_duration_since(window.begun) >= WINDOW;
        if is_over && window.answers + window.failures >= ANSWERS {
            self.decide();
            self.window = Window::new(now);
        }
    }

    fn decide(&mut self) {
        let window = &self.window;
        let wanted = if window.failures * 2 > window.answers {
            self.limit / 2.0
        } else {
            let mean = window.time / f64::from(window.answers);
            let usual =
                self.usual.map_or(mean, |usual| if mean < usual { mean } else { usual + (mean - usual) * DRIFT });
            self.usual = Some(usual);
            let fits = (TOLERANCE * usual / mean).clamp(0.5, 1.0);
            let is_used = window.busiest as f64 * 2.0 >= self.limit;
            self.limit * fits + if is_used { self.limit.sqrt() } else { 0.0 }
        };
        self.limit = (self.limit + (wanted - self.limit) * STEP).clamp(self.min.min(self.max), self.max);
    }

    fn whole(&self) -> usize {
        // Between two limits that are whole numbers themselves.
        self.limit.round() as usize
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { begun: now, answers: 0, time: 0.0, failures: 0, busiest: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock {
        learned: Learned,
        now: Instant,
    }

    impl Clock {
        fn new(min: usize, max: usize) -> Self {
            let now = Instant::now();
            Self { learned: Learned::new(min, max, now), now }
        }

        /// Seconds in which 200 answers a second take so long each, with as many in flight as are let through.
        fn pass(&mut self, seconds: u32, time: Option<Duration>) -> usize {
            for _ in 0..200 * seconds {
                self.now += Duration::from_millis(5);
                let in_flight = self.learned.whole();
                self.learned.answered(self.now, time, in_flight);
            }
            self.learned.whole()
        }
    }

    const FAST: Option<Duration> = Some(Duration::from_millis(20));
    const SLOW: Option<Duration> = Some(Duration::from_millis(800));

    #[test]
    fn a_backend_that_becomes_slow_gets_fewer_requests_and_more_once_it_is_fast_again() {
        let mut clock = Clock::new(3, 200);
        let fast = clock.pass(5, FAST);
        assert_eq!(fast, 200, "as many as are allowed");
        let slow = clock.pass(10, SLOW);
        assert!(slow <= 6, "{slow}");
        let again = clock.pass(60, FAST);
        assert!(again >= 150, "{again}");
    }

    #[test]
    fn a_backend_that_does_not_answer_gets_as_few_as_are_allowed() {
        let mut clock = Clock::new(2, 100);
        clock.pass(5, FAST);
        assert_eq!(clock.pass(10, None), 2);
        assert!(clock.pass(10, FAST) > 20);
    }

    #[test]
    fn a_limit_that_is_not_made_use_of_does_not_grow() {
        let mut clock = Clock::new(10, 1_000);
        assert_eq!(clock.pass(60, None), 10);
        for _ in 0..10_000 {
            clock.now += Duration::from_millis(5);
            clock.learned.answered(clock.now, FAST, 2);
        }
        assert_eq!(clock.learned.whole(), 10);
    }

    #[test]
    fn slowness_that_lasts_becomes_usual() {
        let mut clock = Clock::new(1, 50);
        clock.pass(10, FAST);
        let slow = clock.pass(5, Some(Duration::from_millis(100)));
        assert!(slow < 20, "{slow}");
        assert_eq!(clock.pass(600, Some(Duration::from_millis(100))), 50);
    }

    #[test]
    fn the_limits_hold_also_where_they_are_one() {
        let mut clock = Clock::new(7, 7);
        assert_eq!(clock.pass(5, SLOW), 7);
        assert_eq!(clock.pass(5, None), 7);
    }
}
