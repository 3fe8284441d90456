//! Whether a backend takes one more request: its limit, the queue before it, and the circuit that is open while it does
//! not answer at all. Outlives a policy.

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
use retry_budget::Repeats;

/// One request, in the upper bits of the counter that both counts requests and those in flight.
const ONE: u64 = 1 << 32;

/// What is in flight to a backend.
#[derive(Debug, Default)]
pub struct Admission {
    /// How many requests have begun, above how many are in flight: one counter, so that a request touches one.
    counter: AtomicU64,
    /// How many wait for a place.
    waiting: AtomicUsize,
    /// How many have a place and wait for a stream, as there are in HTTP/2.
    waiting_for_stream: AtomicUsize,
    freed: Notify,
    /// Whether it is asked at all.
    pub circuit: Circuit,
    /// How many requests were sent again.
    pub repeats: Repeats,
    /// For log lines about answers that cannot be used.
    pub(super) bad_responses: LogThrottle,
    /// For log lines about logins that it was asked for and said nothing about.
    login_outages: LogThrottle,
    /// The backend's name.
    backend: Arc<str>,
}

/// How many requests may wait for a place, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// How many.
    pub length: usize,
    /// For how long.
    pub timeout: Duration,
}

/// A place among the requests that a backend takes at once; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Admission>);

/// A place among those that wait; given back when dropped.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Permit {
    /// The name of the backend.
    pub fn backend(&self) -> &Arc<str> {
        &self.0.backend
    }
}

impl Admission {
    /// Of the backend of this name.
    pub fn new(backend: &str) -> Self {
        Self { backend: backend.into(), ..Self::default() }
    }

    /// Says in the log why the answer of a server to this request cannot be used: at most one line a second for each
    /// backend, with the count of those left out.
    pub(super) fn log_bad_response(&self, server: &str, request_id: &HeaderValue, reason: &dyn fmt::Display) {
        if let Some(left_out) = self.bad_responses.allow() {
            let (backend, request_id) = (&*self.backend, request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, server, request_id, %reason, left_out, "the backend's answer cannot be used");
        }
    }

    /// Says in the log why this backend said nothing about a login: at most one line a second, with the count of those
    /// left out.
    pub fn log_login_outage(&self, status: Option<u16>, reason: &str, request_id: &HeaderValue) {
        if let Some(left_out) = self.login_outages.allow() {
            let (backend, request_id) = (&*self.backend, request_id.to_str().unwrap_or_default());
            tracing::warn!(backend, status, reason, request_id, left_out, "the company's own login is not available");
        }
    }

    /// Whether it has answered nobody since then.
    pub fn is_silent_since(&self, time: Instant) -> bool {
        !self.circuit.has_answered_since(millis(time))
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        (self.counter.load(Ordering::Relaxed) % ONE) as usize
    }

    /// Requests that wait, for a place or for a stream.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed) + self.waiting_for_stream.load(Ordering::Relaxed)
    }

    /// How many requests have begun, from some number on.
    pub(super) fn begun(&self) -> u32 {
        (self.counter.load(Ordering::Relaxed) / ONE) as u32
    }

    /// A place for one more request, where fewer than `limit` are in flight and nobody waits already.
    ///
    /// # Errors
    /// [`Failure::Overload`].
    pub fn permit(self: &Arc<Self>, limit: usize) -> Result<Permit, Failure> {
        if self.waiting.load(Ordering::SeqCst) > 0 { Err(Failure::Overload) } else { self.take(limit) }
    }

    /// Never takes more than there are, not even for a moment: somebody who waits would look at just that moment.
    fn take(self: &Arc<Self>, limit: usize) -> Result<Permit, Failure> {
        let one_more = |counter: u64| {
            let is_free = ((counter % ONE) as usize) < limit;
            is_free.then(|| counter.wrapping_add(ONE + 1))
        };
        let taken = self.counter.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more);
        taken.map(|_| Permit(Arc::clone(self))).map_err(|_| Failure::Overload)
    }

    /// A place in the queue of those that wait for a stream.
    ///
    /// # Errors
    /// [`Failure::Overload`] where the queue is full.
    pub(super) fn wait_for_stream(&self, queue: Queue) -> Result<Waiting<'_>, Failure> {
        Waiting::new(&self.waiting_for_stream, queue)
    }

    /// The same, waiting for a place in the queue.
    ///
    /// # Errors
    /// [`Failure::Overload`] where the queue is full or the time is over.
    pub async fn wait(self: &Arc<Self>, limit: usize, queue: Queue) -> Result<Permit, Failure> {
        let deadline = tokio::time::Instant::now() + queue.timeout;
        let _waiting = Waiting::new(&self.waiting, queue)?;
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

impl<'a> Waiting<'a> {
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

impl Drop for Waiting<'_> {
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
