//! Password hashes cost tens of milliseconds and 19 MiB each: they run apart from requests, few at once, and
//! behind a queue that has an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::refusal::Refusal;

/// How many may wait. Those hold no memory yet: the ceiling is 19 MiB for each hash that runs, so half the cores times 19 MiB.
const MAX_WAITING: usize = 64;

/// Where passwords are hashed.
#[derive(Debug)]
pub struct Hashing {
    runtime: Handle,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    begun: AtomicU64,
}

impl Hashing {
    /// Hashes on the blocking threads of this runtime, on at most half of the cores.
    pub fn new(runtime: Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let running = Arc::new(Semaphore::new((cores / 2).max(1)));
        Self { runtime, running, waiting: AtomicUsize::new(0), begun: AtomicU64::new(0) }
    }

    /// Runs a job that hashes.
    ///
    /// # Errors
    /// [`Refusal::HashQueue`] where too many wait already.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let _place = self.place()?;
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Refusal::Internal)?;
        self.begun.fetch_add(1, Ordering::Relaxed);
        let task = self.runtime.spawn_blocking(move || {
            let _permit = permit;
            job()
        });
        task.await.map_err(|_| Refusal::Internal)
    }

    /// How many run or wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many jobs have begun since this process started.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn place(&self) -> Result<Place<'_>, Refusal> {
        let place = Place(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING { Ok(place) } else { Err(Refusal::HashQueue) }
    }
}

/// A place in the queue; given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_has_an_end_and_recovers() {
        let hashing = Arc::new(Hashing::new(Handle::current()));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let jobs: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let (hashing, gate) = (Arc::clone(&hashing), Arc::clone(&gate));
                tokio::spawn(async move { hashing.run(move || gate.lock().unwrap().recv().is_ok()).await })
            })
            .collect();
        while hashing.waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(hashing.run(|| ()).await, Err(Refusal::HashQueue));
        for _ in 0..MAX_WAITING {
            open.send(()).unwrap();
        }
        for job in jobs {
            assert_eq!(job.await.unwrap(), Ok(true));
        }
        assert_eq!(hashing.run(|| 7).await, Ok(7));
    }
}
