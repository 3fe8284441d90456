//! Password hashing, at tens of milliseconds and 19 MiB each: apart from requests, few at once, behind a fair queue.
//! Its time is measured, so that all refusals of an endpoint can take as long as the most expensive of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, HashPermit};
use crate::auth::credentials::password::{self, Decoy, Kind, PasswordHash, Work};
use crate::refusal::Refusal;

/// The hashing threads and their queue.
#[derive(Debug)]
pub struct PasswordHashing {
    queue: FairQueue,
    stopwatch: Arc<Stopwatch>,
}

/// Count and speed of hashes on this machine.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    speeds: [Speed; Kind::COUNT],
    started: Instant,
    hashes: AtomicU64,
}

/// Speed of one kind of hash.
#[derive(Debug, Default)]
struct Speed {
    /// Picoseconds for each unit of cost; 0 before the first. It rises at once and falls slowly, so that few hashes take
    /// longer.
    unit: AtomicU64,
    /// When it was last measured, in seconds since the start.
    measured: AtomicU64,
}

/// How long the speed of a kind counts that nobody measures, in seconds.
const FRESH: u64 = 60;

impl Default for Stopwatch {
    fn default() -> Self {
        Self { speeds: Default::default(), started: Instant::now(), hashes: AtomicU64::default() }
    }
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

    /// Waits until the dearest refusal of these passwords would have taken its time. Each hash has one waiter at most,
    /// which holds nothing but its connection and its name.
    pub(super) async fn wait_as_for<'p, T>(
        &self,
        hashed: &Hashed<T>,
        decoy: &Decoy,
        shown: impl IntoIterator<Item = &'p [u8]>,
    ) {
        let time = shown.into_iter().map(|password| self.stopwatch.time_of(decoy, password)).sum::<Duration>();
        tokio::time::sleep_until((hashed.begun + time).into()).await;
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
        let fits = self.measure(hash, password);
        self.hashes.fetch_add(1, Ordering::Relaxed);
        fits
    }

    /// Measures the kinds in use that nobody has measured for a while, so that a refusal can take as long as any of them.
    /// It comes with a refusal, whoever is named.
    pub(crate) fn measure_all(&self, decoy: &Decoy, password: &[u8]) {
        let now = self.started.elapsed().as_secs();
        for sample in &decoy.samples {
            let speed = &self.speeds[sample.kind() as usize];
            let is_fresh = now.saturating_sub(speed.measured.load(Ordering::Relaxed)) < FRESH;
            if !is_fresh || speed.unit.load(Ordering::Relaxed) == 0 {
                self.measure(sample, password);
            }
        }
    }

    fn measure(&self, hash: &PasswordHash, password: &[u8]) -> bool {
        let begun = Instant::now();
        let (fits, forms) = password::verify(hash, password);
        let effort = hash.kind().effort(password.len()).saturating_mul(forms);
        self.note(begun.elapsed(), hash.kind(), hash.units().saturating_mul(effort));
        fits
    }

    fn note(&self, took: Duration, kind: Kind, units: u64) {
        let picos = took.as_nanos().saturating_mul(1_000) / u128::from(units.max(1));
        let one = u64::try_from(picos).unwrap_or(u64::MAX).max(1);
        let speed = &self.speeds[kind as usize];
        let slower = |unit: u64| Some(one.max(unit - unit.saturating_sub(one) / 8));
        let _ = speed.unit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower);
        speed.measured.store(self.started.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// The time of the dearest refusal of this password.
    fn time_of(&self, decoy: &Decoy, password: &[u8]) -> Duration {
        let time = |work: &Work| {
            work.by_kind().fold(0_u64, |time, (kind, units)| {
                let unit = self.speeds[kind as usize].unit.load(Ordering::Relaxed);
                time.saturating_add(unit.saturating_mul(units).saturating_mul(kind.effort(password.len())))
            })
        };
        let longest = decoy.refusals.iter().map(time).max().unwrap_or_default();
        Duration::from_nanos(longest / 1_000).saturating_mul(u32::try_from(password::forms(password)).unwrap_or(2))
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
        let hash = password::dummy();
        let (one, five) = (Decoy::of([[&hash]]), Decoy::of([[&hash; 5]]));
        let note = |took: u64| stopwatch.note(Duration::from_millis(took), Kind::Argon2id, hash.units());
        let time_of = |decoy: &Decoy| stopwatch.time_of(decoy, b"wrong").as_millis();
        note(40);
        assert_eq!((time_of(&one), time_of(&five)), (39, 199));
        assert_eq!(stopwatch.time_of(&one, "wro\u{308}ng".as_bytes()).as_millis(), 79, "its other form is hashed too");
        note(80);
        assert_eq!(time_of(&one), 79);
        note(40);
        assert!((74..=75).contains(&time_of(&one)));
        for _ in 0..100 {
            note(40);
        }
        assert!(time_of(&one) < 41);
        stopwatch.note(Duration::MAX, Kind::Argon2id, 0);
        assert!(time_of(&one) > 1_000);
    }

    #[test]
    fn a_refusal_takes_as_long_as_the_slowest_kind_on_this_machine_whose_speed_is_measured_when_nobody_has_used_it() {
        let bcrypt = password::parse("$2y$05$IvChdDl28Si0Bb8i.Z11TOD89vJ9qf.5c9.dkzxe0oVb5TyXk8xj.").unwrap();
        let sha_crypt =
            password::parse("$5$rounds=5000$saltsaltsalt$7axwV9kT3PvvGXgJl1FcfUCHLdLFhWk/dIFhzsbucLB").unwrap();
        let decoy = Decoy::of([vec![&bcrypt], vec![&sha_crypt]]);
        let stopwatch = Stopwatch::default();
        stopwatch.verify(&sha_crypt, b"wrong");
        stopwatch.measure_all(&decoy, b"wrong");
        assert_eq!(stopwatch.hashes.load(Ordering::Relaxed), 1, "a measurement is no attempt");
        let measured = |kind: Kind| stopwatch.speeds[kind as usize].unit.load(Ordering::Relaxed);
        assert!(measured(Kind::Bcrypt) > 0 && measured(Kind::Sha256Crypt) > 0 && measured(Kind::Scrypt) == 0);
        // A machine on which one kind is slow, then the other.
        for kind in [Kind::Bcrypt, Kind::Sha256Crypt] {
            let units = if kind == Kind::Bcrypt { bcrypt.units() } else { sha_crypt.units() * kind.effort(5) };
            stopwatch.note(Duration::from_secs(10), kind, units);
            assert!(stopwatch.time_of(&decoy, b"wrong") > Duration::from_secs(9), "{kind:?}");
        }
        let (short, long) = (stopwatch.time_of(&decoy, b"wrong"), stopwatch.time_of(&decoy, &[b'x'; 400]));
        assert!(long > short * 3, "SHA-crypt hashes a long password in each round: {long:?}, a short one: {short:?}");
    }
}
