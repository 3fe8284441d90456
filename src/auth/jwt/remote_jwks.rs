//! Remote JWK sets: fetched ahead of time and off the path of requests, kept while the issuer is unreachable, fetched
//! again where a token names an unknown key.
//!
//! However many tokens name unknown keys, there is one fetch at a time and none within the cooldown after it.

mod copy;
mod discovery;
mod failure;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::algorithm::Algorithm;
use super::jwk_set::{JwkSet, NewKeySet, listed};
use super::jws::Jws;
use crate::explanation::trace::StepSink;
use crate::fetch::{ChosenBy, Fetcher};
use crate::refusal::TokenFault;
use failure::FetchFailure;

/// Longest wait of a request for a key that it names.
const PATIENCE: Duration = Duration::from_secs(1);
/// Limit of requests that wait at once.
const MAX_WAITING: usize = 1_024;
/// The first pause after a failed fetch; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Keys that may be kept for less are still fetched no more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);

/// Location of an issuer's keys, and how long they are kept.
#[derive(Debug, Clone)]
pub struct JwksSource {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The location of its keys.
    pub place: JwksLocation,
    /// Signature algorithms that its tokens may use.
    pub algorithms: Vec<Algorithm>,
    /// Time between fetches, unless `max-age` of the response is shorter.
    pub interval: Duration,
    /// Shortest time between a fetch and the next one that a token causes.
    pub cooldown: Duration,
    /// Longest use of the keys while the issuer is unreachable.
    pub keep: Duration,
    /// Use of a key that the issuer no longer lists, since it was last seen. Zero: none.
    pub lapse: Duration,
    /// The HTTP client.
    pub fetcher: Fetcher,
    /// The file of the copy that survives a restart.
    pub copy: PathBuf,
}

/// Location of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksLocation {
    /// At this address.
    Url(String),
    /// `jwks_uri` of the issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414).
    Discovery,
    /// `jwks_uri` of the metadata at this address, whichever issuer they name.
    Metadata(String),
}

/// The keys of one issuer, as they were last fetched.
pub struct PublishedKeys {
    source: JwksSource,
    current: ArcSwapOption<Current>,
    /// Count of finished fetches.
    rounds: watch::Sender<u64>,
    requirements: Notify,
    is_started: AtomicBool,
    is_fetching: AtomicBool,
    is_failing: AtomicBool,
    /// The earliest time of the next fetch that a token causes, in milliseconds of `clock`.
    next_on_demand: AtomicU64,
    waiting: AtomicUsize,
    outcomes: Mutex<Outcomes>,
    /// The issuer that the metadata name, where it is another.
    other_issuer: Mutex<Option<String>>,
    clock: Instant,
}

/// Outcomes of fetches.
#[derive(Debug, Clone, Default)]
struct Outcomes {
    counts: BTreeMap<&'static str, u64>,
    last: Option<&'static str>,
    failure: Option<(u64, String)>,
}

struct Current {
    keys: JwkSet,
    fetched: FetchedKeys,
    until: u64,
}

/// JWKs of an issuer.
#[derive(Debug, Clone, PartialEq)]
struct FetchedKeys {
    /// Time of the fetch, in seconds since 1970.
    fetched_at: u64,
    /// Those of the last good set.
    listed: Vec<Value>,
    /// Those of earlier sets that are still good, each until its `exp`.
    lapsed: Vec<Value>,
}

/// Status of an issuer's keys, for operators.
#[derive(Debug, Clone)]
pub struct JwksStatus {
    /// The issuer.
    pub issuer: String,
    /// Count of keys in use.
    pub keys: usize,
    /// Age of the keys, in seconds; `None` without keys.
    pub age: Option<u64>,
    /// Count of fetches by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Outcome of the last fetch.
    pub last_outcome: Option<&'static str>,
    /// Time and reason of the last fetch, where it failed.
    pub last_failure: Option<(u64, String)>,
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PublishedKeys({})", self.source.issuer)
    }
}

impl PublishedKeys {
    /// With the copy of an earlier run, where there is one that is not too old. `now` is in seconds since 1970.
    pub fn new(source: JwksSource, now: u64) -> Self {
        let keys = Self {
            source,
            current: ArcSwapOption::empty(),
            rounds: watch::Sender::new(0),
            requirements: Notify::new(),
            is_started: AtomicBool::new(false),
            is_fetching: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            next_on_demand: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            outcomes: Mutex::default(),
            other_issuer: Mutex::default(),
            clock: Instant::now(),
        };
        if let Some(mut fetched) = copy::read(&keys.source)
            && fetched.fetched_at <= now
        {
            if keys.source.lapse.is_zero() {
                fetched.lapsed.clear();
            }
            keys.warn(&keys.put(fetched, now).unwrap_or_default());
        }
        keys
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.source.issuer
    }

    /// Verifies a signature; returns the end of the key that made it. Times are in seconds since 1970.
    ///
    /// # Errors
    /// The faults of [`JwkSet`], and [`TokenFault::NoKeys`] where the keys have expired or were never fetched.
    pub(super) fn verify_signature(&self, jws: &Jws<'_>, now: u64, steps: StepSink<'_>) -> Result<u64, TokenFault> {
        let current = self.current.load();
        let current = current.as_ref().filter(|current| now < current.until).ok_or(TokenFault::NoKeys)?;
        Ok(current.keys.verify_signature(jws, now, steps)?.min(current.until))
    }

    /// Returns whether there are keys that have not expired.
    pub fn has_keys(&self, now: u64) -> bool {
        self.current.load().as_ref().is_some_and(|current| now < current.until)
    }

    /// The status of the keys. `now` is in seconds since 1970.
    pub fn standing(&self, now: u64) -> JwksStatus {
        let current = self.current.load();
        let current = current.as_ref().filter(|current| now < current.until);
        let Outcomes { counts, last, failure } = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        JwksStatus {
            issuer: self.source.issuer.clone(),
            keys: current.map_or(0, |current| current.keys.count(now)),
            age: current.map(|current| now.saturating_sub(current.fetched.fetched_at)),
            outcomes: counts,
            last_outcome: last,
            last_failure: failure,
        }
    }

    /// Returns whether a fetch could cure this fault, and one runs or may begin now.
    pub(in crate::auth) fn may_learn(&self, fault: TokenFault) -> bool {
        let helps = matches!(fault, TokenFault::UnknownKey | TokenFault::NoKeys | TokenFault::Signature);
        helps
            && self.is_started.load(Ordering::Relaxed)
            && (self.is_fetching.load(Ordering::Relaxed) || self.may_fetch())
            && self.waiting.load(Ordering::Relaxed) < MAX_WAITING
    }

    /// Turns an unknown key into [`TokenFault::NoKeys`] while the issuer is unreachable or being asked.
    pub(in crate::auth) fn judged(&self, fault: TokenFault) -> TokenFault {
        let is_open = self.is_failing.load(Ordering::Relaxed) || self.is_fetching.load(Ordering::Relaxed);
        if fault == TokenFault::UnknownKey && is_open { TokenFault::NoKeys } else { fault }
    }

    /// Waits for the end of a fetch, but not for long.
    pub async fn ask(&self) {
        let mut rounds = self.rounds.subscribe();
        let _waiting = Waiting::new(&self.waiting);
        if !self.is_fetching.load(Ordering::Relaxed) {
            if !self.may_fetch() {
                // The fetch that was worth waiting for has just ended.
                return;
            }
            self.requirements.notify_one();
        }
        if tokio::time::timeout(PATIENCE, rounds.changed()).await.is_err() {
            // For as long as that fetch takes, nobody knows.
            self.is_failing.store(true, Ordering::Relaxed);
        }
    }

    /// Fetches once and keeps nothing; how many keys there are.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub async fn try_fetch(&self) -> Result<usize, String> {
        let now = unix_seconds();
        let found = self.found().await.and_then(|(keys, url, _)| self.usable(&keys, &url, now));
        let (set, warnings) = found.map_err(|failure| failure.message)?;
        self.warn(&warnings);
        Ok(set.count(now))
    }

    /// Waits for the first fetch to end, however it does, or until this time.
    pub async fn first_round(&self, until: Instant) {
        let mut rounds = self.rounds.subscribe();
        let _ = tokio::time::timeout_at(until.into(), rounds.wait_for(|count| *count > 0)).await;
    }

    /// Fetches from now on, for as long as somebody holds the keys. `changed` is called when they are others than before.
    pub fn start(self: &Arc<Self>, runtime: &tokio::runtime::Handle, changed: impl Fn() + Send + Sync + 'static) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            runtime.spawn(schedule::keep_fetching(Arc::downgrade(self), changed));
        }
    }

    /// Fetches once; how long to wait before the next time.
    async fn fetch(&self, failures: &mut u32, changed: &impl Fn()) -> Duration {
        self.is_fetching.store(true, Ordering::Relaxed);
        let found = self.found().await;
        let now = unix_seconds();
        let found = found.and_then(|(keys, url, max_age)| Ok((self.succeed(keys, &url, now)?, max_age)));
        let mut rest = self.source.cooldown;
        let (pause, is_new) = match found {
            Ok((is_new, max_age)) => {
                *failures = 0;
                self.count("ok", None);
                self.is_failing.store(false, Ordering::Relaxed);
                (self.interval(max_age), is_new)
            }
            Err(FetchFailure { word, message, retry_after, listed }) => {
                *failures = failures.saturating_add(1);
                self.count(word, Some((now, message.clone())));
                self.is_failing.store(true, Ordering::Relaxed);
                tracing::warn!(issuer = %self.source.issuer, kind = word, "cannot fetch issuer keys: {message}");
                let asked = retry_after.unwrap_or_default().min(self.source.interval);
                rest = rest.max(asked);
                let doubled = FIRST_PAUSE * 2_u32.saturating_pow((*failures - 1).min(16));
                (doubled.max(asked).min(self.source.interval), self.withdraw(&listed, now))
            }
        };
        if is_new {
            changed();
        }
        let next = self.millis().saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
        self.next_on_demand.store(next, Ordering::Relaxed);
        self.is_fetching.store(false, Ordering::Relaxed);
        self.rounds.send_modify(|count| *count += 1);
        pause
    }

    /// The JWKs, the address that they were at, and their `max-age`.
    async fn found(&self) -> Result<(Vec<Value>, String, Option<u64>), FetchFailure> {
        let fetcher = &self.source.fetcher;
        let (url, chosen) = match &self.source.place {
            JwksLocation::Url(url) => (url.clone(), ChosenBy::Us),
            JwksLocation::Discovery => {
                let url = discovery::jwks_uri(fetcher, &self.source.issuer).await?;
                (url, ChosenBy::Them(discovery::host_of(&self.source.issuer)))
            }
            JwksLocation::Metadata(at) => {
                let (url, named) = discovery::jwks_uri_at(fetcher, at, &self.source.issuer).await?;
                self.note_other_issuer(at, named);
                (url, ChosenBy::Them(discovery::host_of(at)))
            }
        };
        let document = fetcher.get(&url, chosen).await.map_err(|fault| FetchFailure::of_fetch(&url, &fault))?;
        let keys = listed(&document.body).map_err(|message| FetchFailure::of_document("json", &url, &message))?;
        Ok((keys, url, document.max_age))
    }

    /// Says once that the metadata name another issuer, for as long as they name the same one.
    fn note_other_issuer(&self, at: &str, named: Option<String>) {
        let mut known = self.other_issuer.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != named
            && let Some(named) = &named
        {
            let message = "the metadata name another issuer than the configuration: its keys are used, as configured";
            tracing::info!(issuer = %self.source.issuer, named = %named, address = at, "{message}");
        }
        *known = named;
    }

    fn usable(&self, keys: &[Value], url: &str, now: u64) -> Result<(JwkSet, Vec<String>), FetchFailure> {
        JwkSet::from_keys(keys, &self.source.algorithms, now).map_err(|message| FetchFailure {
            listed: keys.to_vec(),
            ..FetchFailure::of_document("empty", url, &message)
        })
    }

    /// Takes a new set, where it is of use; whether that changes anything.
    fn succeed(&self, keys: Vec<Value>, url: &str, now: u64) -> Result<bool, FetchFailure> {
        let current = self.current.load_full();
        if let Some(current) = current.as_ref().filter(|current| current.fetched.listed == keys) {
            let lapsed = current.fetched.lapsed.clone();
            self.store(current.keys.clone(), FetchedKeys { fetched_at: now, listed: keys, lapsed });
            self.write_copy();
            return Ok(false);
        }
        // What has lapsed does not make up for a set without any key of use.
        self.usable(&keys, url, now)?;
        let lapsed = current.map(|current| {
            let FetchedKeys { fetched_at, listed, lapsed } = &current.fetched;
            let ends = fetched_at.saturating_add(self.source.lapse.as_secs());
            NewKeySet::of(&keys, &self.source.algorithms, now).lapsed(listed, lapsed, ends)
        });
        let fetched = FetchedKeys { fetched_at: now, listed: keys, lapsed: lapsed.unwrap_or_default() };
        let lapsed = fetched.lapsed.len();
        let put = self.put(fetched, now);
        let warnings = put.map_err(|message| FetchFailure::of_document("empty", url, &message))?;
        self.write_copy();
        tracing::info!(issuer = %self.source.issuer, keys = self.standing(now).keys, lapsed, "issuer keys changed");
        self.warn(&warnings);
        Ok(true)
    }

    /// Drops the keys that a set marks as withdrawn which is of no use itself; whether there were any.
    fn withdraw(&self, listed: &[Value], now: u64) -> bool {
        let Some(current) = self.current.load_full().filter(|_| !listed.is_empty()) else { return false };
        let before = &current.fetched;
        let new = NewKeySet::of(listed, &self.source.algorithms, now);
        if !new.withdraws(&before.listed) && !new.withdraws(&before.lapsed) {
            return false;
        }
        let left = FetchedKeys {
            fetched_at: before.fetched_at,
            listed: new.left(&before.listed),
            lapsed: new.left(&before.lapsed),
        };
        copy::write(&self.source, &left);
        if self.put(left, now).is_err() {
            self.current.store(None);
        }
        tracing::warn!(issuer = %self.source.issuer, "issuer keys withdrawn: tokens of theirs are refused");
        true
    }

    /// Uses these keys from now on; a sentence about each that cannot be used.
    fn put(&self, fetched: FetchedKeys, now: u64) -> Result<Vec<String>, String> {
        let all = [&fetched.listed[..], &fetched.lapsed].concat();
        let (keys, warnings) = JwkSet::from_keys(&all, &self.source.algorithms, now)?;
        self.store(keys, fetched);
        Ok(warnings)
    }

    fn store(&self, keys: JwkSet, fetched: FetchedKeys) {
        let until = fetched.fetched_at.saturating_add(self.source.keep.as_secs());
        self.current.store(Some(Arc::new(Current { keys, fetched, until })));
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            tracing::warn!(issuer = %self.source.issuer, "ignoring an issuer key: {warning}");
        }
    }

    /// Ahead of the time at which they are old.
    fn interval(&self, max_age: Option<u64>) -> Duration {
        let said = max_age.map_or(self.source.interval, |seconds| Duration::from_secs(seconds) * 3 / 4);
        said.max(SHORTEST_INTERVAL).min(self.source.interval)
    }

    fn may_fetch(&self) -> bool {
        self.millis() >= self.next_on_demand.load(Ordering::Relaxed)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn count(&self, outcome: &'static str, failure: Option<(u64, String)>) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        *outcomes.counts.entry(outcome).or_default() += 1;
        (outcomes.last, outcomes.failure) = (Some(outcome), failure);
    }

    fn write_copy(&self) {
        if let Some(current) = self.current.load_full() {
            copy::write(&self.source, &current.fetched);
        }
    }
}

/// A request that waits for a fetch; it may be given up at any time.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
