//! Admission control of a backend: concurrency limit, queue, circuit breaker and retry budget. Outlives a policy.

pub mod adaptive;
pub mod circuit_breaker;
pub mod retry_budget;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::Failure;
use super::clock::millis;
use crate::log_throttle::LogThrottle;
use circuit_breaker::Circuit;
use retry_budget::RetryBudget;

/// One started request: the upper 32 bits of the counter; the lower bits count those in flight.
const ONE: u64 = 1 << 32;

/// Requests in flight, queue, circuit breaker and retry budget of one backend.
#[derive(Debug, Default)]
pub struct Admission {
    /// Requests started (upper bits) and in flight (lower bits): one atomic, so that a request touches one.
    counter: AtomicU64,
    /// Requests in the queue for a permit.
    waiting: AtomicUsize,
    /// Requests that have a permit and wait for an HTTP/2 stream.
    waiting_for_stream: AtomicUsize,
    freed: Notify,
    /// Circuit breaker.
    pub circuit: Circuit,
    /// Retries, and their budget.
    pub retry_budget: RetryBudget,
    /// Throttle of log lines about unusable responses.
    pub(super) bad_responses: LogThrottle,
    /// Throttle of log lines about logins to which the backend gave no answer.
    login_outages: LogThrottle,
    /// Name of the backend.
    backend: Arc<str>,
}

/// Queue for requests above the concurrency limit.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Most requests in the queue.
    pub length: usize,
    /// Longest wait.
    pub timeout: Duration,
}

/// Permit for one request in flight; given back on drop.
#[derive(Debug)]
pub struct Permit(Arc<Admission>);

/// Place in the queue; given back on drop.
pub(super) struct WaitingRequest<'a>(&'a AtomicUsize);

impl Permit {
    /// Name of the backend.
    pub fn backend(&self) -> &Arc<str> {
        &self.0.backend
    }
}

impl Admission {
    /// Admission control of the backend of this name.
    pub fn new(backend: &str) -> Self {
        Self { backend: backend.into(), ..Self::default() }
    }

    /// Logs that a response cannot be used, and why: at most one line a second for each backend, with the count of
    /// suppressed lines.
    pub(super) fn log_bad_response(&self, server: &str, request_id: &HeaderValue, reason: &dyn fmt::Display) {
        if let Some(left_out) = self.bad_responses.allow() {
            let (backend, request_id) = (&*self.backend, request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, server, request_id, %reason, left_out, "unusable response from the backend");
        }
    }

    /// Logs that the backend did not answer a login: at most one line a second, with the count of suppressed
    /// lines.
    pub fn log_login_outage(&self, status: Option<u16>, reason: &str, request_id: &HeaderValue) {
        if let Some(left_out) = self.login_outages.allow() {
            let (backend, request_id) = (&*self.backend, request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, status, reason, request_id, left_out, "the company's login service is unavailable");
        }
    }

    /// True if there was no response since `time`.
    pub fn is_silent_since(&self, time: Instant) -> bool {
        !self.circuit.has_answered_since(millis(time))
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        (self.counter.load(Ordering::Relaxed) % ONE) as usize
    }

    /// Requests that wait for a permit or for an HTTP/2 stream.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.waiting_for_stream.load(Ordering::Relaxed)
    }

    /// Requests started so far; wraps.
    pub(super) fn begun(&self) -> u32 {
        (self.counter.load(Ordering::Relaxed) / ONE) as u32
    }

    /// Permit for one more request, if fewer than `limit` are in flight and the queue is empty.
    ///
    /// # Errors
    /// [`Failure::Overload`].
    pub fn permit(self: &Arc<Self>, limit: usize) -> Result<Permit, Failure> {
        if self.waiting.load(Ordering::SeqCst) > 0 { Err(Failure::Overload) } else { self.take(limit) }
    }

    /// Never exceeds the limit, not even for a moment: a waiting request might look at just that moment.
    fn take(self: &Arc<Self>, limit: usize) -> Result<Permit, Failure> {
        let one_more = |counter: u64| {
            let is_free = ((counter % ONE) as usize) < limit;
            is_free.then(|| counter.wrapping_add(ONE + 1))
        };
        let taken = self.counter.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more);
        taken.map(|_| Permit(Arc::clone(self))).map_err(|_| Failure::Overload)
    }

    /// Place in the queue for an HTTP/2 stream.
    ///
    /// # Errors
    /// [`Failure::Overload`] if the queue is full.
    pub(super) fn wait_for_stream(&self, queue: Queue) -> Result<WaitingRequest<'_>, Failure> {
        WaitingRequest::new(&self.waiting_for_stream, queue)
    }

    /// Permit for one more request, after waiting in the queue.
    ///
    /// # Errors
    /// [`Failure::Overload`] if the queue is full or the wait times out.
    pub async fn wait(self: &Arc<Self>, limit: usize, queue: Queue) -> Result<Permit, Failure> {
        let deadline = tokio::time::Instant::now() + queue.timeout;
        let _waiting = WaitingRequest::new(&self.waiting, queue)?;
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no place that is given back is missed.
            freed.as_mut().enable();
            if let Ok(permit) = self.take(limit) {
                return Ok(permit);
            }
            timeout_at(deadline, freed).await.map_err(|_| Failure::Overload)?;
        }
    }
}

impl<'a> WaitingRequest<'a> {
    fn new(count: &'a AtomicUsize, queue: Queue) -> Result<Self, Failure> {
        let before = count.fetch_add(1, Ordering::SeqCst);
        let waiting = Self(count);
        if before >= queue.length { Err(Failure::Overload) } else { Ok(waiting) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.counter.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.freed.notify_one();
        }
    }
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const QUEUE: Queue = Queue { length: 2, timeout: Duration::from_secs(60) };

    #[test]
    fn a_place_is_given_back_and_requests_are_counted() {
        let admission = Arc::<Admission>::default();
        let (one, two) = (admission.permit(2).unwrap(), admission.permit(2).unwrap());
        admission.permit(2).unwrap_err();
        assert_eq!((admission.in_flight(), admission.begun()), (2, 2));
        drop(one);
        drop(admission.permit(2).unwrap());
        drop(two);
        assert_eq!((admission.in_flight(), admission.begun()), (0, 3));
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_whoever_waits_gets_the_next_place() {
        let admission = Arc::<Admission>::default();
        let held = admission.permit(1).unwrap();
        let waiting = [(); 2].map(|()| {
            let admission = Arc::clone(&admission);
            tokio::spawn(async move { admission.wait(1, QUEUE).await.map(drop) })
        });
        while admission.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.wait(1, QUEUE).await.unwrap_err(), Failure::Overload);
        drop(held);
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
        assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
        let _held = admission.permit(1).unwrap();
        let soon = Queue { timeout: Duration::from_millis(5), ..QUEUE };
        assert_eq!(admission.wait(1, soon).await.unwrap_err(), Failure::Overload);
        assert_eq!(admission.waiting(), 0);
    }

    #[test]
    fn no_place_is_lost_and_none_is_given_twice_however_threads_meet() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        let admission = Arc::<Admission>::default();
        runtime.block_on(async {
            let queue = Queue { length: 1_000, timeout: Duration::from_secs(60) };
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let admission = Arc::clone(&admission);
                    tokio::spawn(async move {
                        for _ in 0..50 {
                            let permit = match admission.permit(3) {
                                Ok(permit) => permit,
                                Err(_) => admission.wait(3, queue).await.unwrap(),
                            };
                            assert!(admission.in_flight() <= 3);
                            tokio::task::yield_now().await;
                            drop(permit);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!((admission.in_flight(), admission.waiting(), admission.begun()), (0, 0, 5_000));
    }
}
