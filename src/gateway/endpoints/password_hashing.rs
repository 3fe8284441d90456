//! Password hashing, at tens of milliseconds and 19 MiB each: apart from requests, few at once, behind a fair queue.
//! Its time is measured, so that all refusals of an endpoint can take as long as the most expensive of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, HashPermit};
use crate::auth::credentials::password::{self, PasswordHash};
use crate::refusal::Refusal;

/// The hashing threads and their queue.
#[derive(Debug)]
pub struct PasswordHashing {
    queue: FairQueue,
    stopwatch: Arc<Stopwatch>,
}

/// Count and speed of hashes on this machine.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    /// Picoseconds for each unit of cost. It rises at once and falls slowly, so that few hashes take longer.
    unit: AtomicU64,
    hashes: AtomicU64,
}

/// The outcome of a job, and its start.
#[derive(Debug)]
pub(crate) struct Hashed<T> {
    pub(crate) outcome: T,
    begun: Instant,
}

impl Default for PasswordHashing {
    /// Runs hashes on at most half of the cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { queue: FairQueue::new((cores / 2).max(1)), stopwatch: Arc::default() }
    }
}

impl PasswordHashing {
    /// The queue for a permit to hash.
    pub(crate) fn queue(&self) -> &FairQueue {
        &self.queue
    }

    /// Runs a hashing job on a thread of its own: nothing else that may take long stands before it. The permit is held
    /// until the job has ended, also where its caller has gone, as the memory is in use.
    ///
    /// # Errors
    /// [`Refusal::Internal`]: it did not begin, or did not end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        permit: HashPermit,
        job: impl FnOnce(&Stopwatch) -> T + Send + 'static,
    ) -> Result<Hashed<T>, Refusal> {
        let stopwatch = Arc::clone(&self.stopwatch);
        let (tell, told) = oneshot::channel();
        let work = move || {
            // Given up by its caller before it has begun, it does not begin.
            if !tell.is_closed() {
                let begun = Instant::now();
                let hashed = Hashed { outcome: job(&stopwatch), begun };
                drop(permit);
                let _ = tell.send(hashed);
            }
        };
        let begun = std::thread::Builder::new().name("hash".to_owned()).spawn(work);
        begun.map_err(|_| Refusal::Internal)?;
        told.await.map_err(|_| Refusal::Internal)
    }

    /// Waits until a refusal of this cost would have taken its time. Each hash has one waiter at most, which holds
    /// nothing but its connection and its name.
    pub(super) async fn wait_as_for<T>(&self, hashed: &Hashed<T>, cost: u64) {
        tokio::time::sleep_until((hashed.begun + self.stopwatch.time_of(cost)).into()).await;
    }

    /// Number of jobs that run or wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Number of hashes verified since this process started.
    pub fn hashed(&self) -> u64 {
        self.stopwatch.hashes.load(Ordering::Relaxed)
    }
}

impl Stopwatch {
    /// True if this is the password of the hash; measures the time.
    pub(crate) fn verify(&self, hash: &PasswordHash, password: &[u8]) -> bool {
        let begun = Instant::now();
        let fits = password::verify(hash, password);
        self.note(begun.elapsed(), hash.cost());
        self.hashes.fetch_add(1, Ordering::Relaxed);
        fits
    }

    fn note(&self, took: Duration, cost: u64) {
        let picos = took.as_nanos().saturating_mul(1_000) / u128::from(cost.max(1));
        let one = u64::try_from(picos).unwrap_or(u64::MAX);
        let slower = |unit: u64| Some(one.max(unit - unit.saturating_sub(one) / 8));
        let _ = self.unit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower);
    }

    fn time_of(&self, cost: u64) -> Duration {
        Duration::from_nanos(self.unit.load(Ordering::Relaxed).saturating_mul(cost) / 1_000)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::fair_queue::{AttemptOrigin, Lane, Turn};
    use super::*;

    async fn turn(hashing: &PasswordHashing, name: u8) -> Turn {
        let origin = AttemptOrigin { network: [192, 0, 2, 1].into(), name: [name; 16], lane: Lane::Unknown };
        hashing.queue().turn(origin).await.unwrap()
    }

    #[tokio::test]
    async fn a_job_whose_caller_goes_holds_its_permit_to_its_end_and_then_others_run() {
        let hashing = Arc::new(PasswordHashing::default());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let running = Arc::clone(&hashing);
        let caller = tokio::spawn(async move {
            let turn = turn(&running, 1).await;
            let job = move |_: &Stopwatch| (begun.send(()), gate.recv());
            running.run(turn.permit, job).await.unwrap().outcome.1.is_ok()
        });
        has_begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(hashing.waiting(), 1);
        open.send(()).unwrap();
        while hashing.waiting() > 0 {
            tokio::task::yield_now().await;
        }
        let turn = turn(&hashing, 1).await;
        assert_eq!(hashing.run(turn.permit, |_| 7).await.unwrap().outcome, 7);
    }

    #[test]
    fn a_refusal_takes_as_long_as_the_slowest_hashes_and_that_is_forgotten_slowly() {
        let stopwatch = Stopwatch::default();
        stopwatch.note(Duration::from_millis(40), 20_000);
        assert_eq!(stopwatch.time_of(20_000), Duration::from_millis(40));
        assert_eq!(stopwatch.time_of(100_000), Duration::from_millis(200));
        stopwatch.note(Duration::from_millis(80), 20_000);
        assert_eq!(stopwatch.time_of(20_000), Duration::from_millis(80));
        stopwatch.note(Duration::from_millis(40), 20_000);
        assert_eq!(stopwatch.time_of(20_000), Duration::from_millis(75));
        for _ in 0..100 {
            stopwatch.note(Duration::from_millis(40), 20_000);
        }
        assert!(stopwatch.time_of(20_000) < Duration::from_millis(41));
        stopwatch.note(Duration::MAX, 0);
        assert!(stopwatch.time_of(u64::MAX) > Duration::from_secs(1));
    }
}
