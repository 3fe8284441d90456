//! Tokens that only their issuer can read: it is asked (RFC 7662), and its answers are kept for a while, for all workers.
//!
//! One question at a time goes out for one token, however many requests wait for it. Questions of all tokens have a limit,
//! and each network its share of it, so that a flood of tokens that nobody issued fills only the share of who sends it.

mod answers;
pub mod endpoint;
mod share;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::timeout;

use super::jwt::jws::Members;
use crate::log_throttle::LogThrottle;
use crate::secret::Secret;
use crate::state::session::{SessionDigest, digest_of};
use answers::Answers;
use endpoint::IntrospectionEndpoint;
use share::FairShare;

/// How long an issuer counts as degraded after a question that failed.
const DEGRADED: u64 = 30;

/// What an issuer says about a token.
#[derive(Debug, Clone)]
pub(super) enum TokenAnswer {
    /// It is good.
    Active(Arc<ActiveToken>),
    /// It is not: it has expired, was revoked, or was never issued.
    Inactive,
}

/// A token that is good.
#[derive(Debug)]
pub(super) struct ActiveToken {
    /// The members of the answer.
    pub(super) claims: Members,
    /// The first second, since 1970, in which the issuer must be asked again.
    pub(super) until: u64,
}

/// Reason why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// Too many questions wait, of this network or of all.
    Busy,
    /// The issuer did not answer, or not as RFC 7662 has it.
    Failed,
}

type Outcome = Result<TokenAnswer, NoAnswer>;

/// Asks one issuer about tokens.
pub struct Introspector {
    endpoint: IntrospectionEndpoint,
    answers: Answers,
    /// Questions that are being asked.
    flights: Mutex<HashMap<SessionDigest, watch::Receiver<Option<Outcome>>>>,
    share: FairShare,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    /// The second, since 1970, in which it could not be reached; 0 where it has answered since.
    failed_at: AtomicU64,
    throttle: LogThrottle,
    /// Longest use of an answer that a token is good, in seconds.
    cache: u64,
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Introspector({})", self.endpoint.issuer)
    }
}

impl Introspector {
    /// For the tokens of one issuer, whose answers are used for so long.
    pub fn new(endpoint: IntrospectionEndpoint, cache: Duration) -> Self {
        Self {
            endpoint,
            answers: Answers::default(),
            flights: Mutex::default(),
            share: FairShare::default(),
            outcomes: Mutex::default(),
            failed_at: AtomicU64::new(0),
            throttle: LogThrottle::default(),
            cache: cache.as_secs(),
        }
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.endpoint.issuer
    }

    /// Questions by outcome.
    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.outcomes).clone()
    }

    /// Returns whether the issuer could not be reached a short while ago, and has answered none since. `now` is in seconds since 1970.
    pub fn is_failing(&self, now: u64) -> bool {
        now < self.failed_at.load(Ordering::Relaxed).saturating_add(DEGRADED)
    }

    /// Asks about a token that nobody issued, and keeps nothing.
    ///
    /// # Errors
    /// The reason why the issuer cannot be asked, in a sentence.
    pub async fn try_ask(&self) -> Result<(), String> {
        let token = crate::hex::hex(&crate::secret::random_bytes::<16>());
        self.endpoint.ask(&token, unix_seconds()).await.map(drop).map_err(|(_, message)| message)
    }

    /// What is known about a token. `now` is in seconds since 1970.
    pub(super) fn known(&self, token: &SessionDigest, now: u64) -> Option<TokenAnswer> {
        self.answers.find(token, now)
    }

    /// The answer to this token, asked for where it is not known. `network` is that of who has shown it.
    async fn answer(&self, token: &str, digest: SessionDigest, network: IpAddr) -> Outcome {
        let is_asking = AtomicBool::new(false);
        let asked = async {
            loop {
                if let Some(known) = self.known(&digest, unix_seconds()) {
                    return Ok(known);
                }
                let mut landed = match self.board(digest) {
                    Ok(flight) => {
                        is_asking.store(true, Ordering::Relaxed);
                        return flight.land(self.ask(token, digest, network).await);
                    }
                    Err(landed) => landed,
                };
                let outcome = landed.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
                match outcome {
                    // Whoever asked has gone, or had no share left: now it is our turn.
                    None | Some(Err(NoAnswer::Busy)) => {}
                    Some(outcome) => return outcome,
                }
            }
        };
        match timeout(self.endpoint.fetcher.timeout, asked).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if is_asking.into_inner() {
                    self.note("timeout", "no answer in time");
                }
                Err(NoAnswer::Failed)
            }
        }
    }

    /// Takes part in the question about a token: by asking it, or by waiting for who does.
    fn board(&self, digest: SessionDigest) -> Result<Flight<'_>, watch::Receiver<Option<Outcome>>> {
        let mut flights = lock(&self.flights);
        if let Some(landed) = flights.get(&digest) {
            return Err(landed.clone());
        }
        let (tell, landed) = watch::channel(None);
        flights.insert(digest, landed);
        Ok(Flight { introspector: self, digest, tell })
    }

    async fn ask(&self, token: &str, digest: SessionDigest, network: IpAddr) -> Outcome {
        let Some(_turn) = self.share.turn(network).await else {
            self.count("busy");
            return Err(NoAnswer::Busy);
        };
        let now = unix_seconds();
        match self.endpoint.ask(token, now).await {
            Ok(found) => {
                self.failed_at.store(0, Ordering::Relaxed);
                let Some((claims, size)) = found else {
                    self.answers.keep_inactive(digest, now);
                    self.count("inactive");
                    return Ok(TokenAnswer::Inactive);
                };
                let active = Arc::new(ActiveToken { claims, until: now.saturating_add(self.cache) });
                self.answers.keep_active(digest, Arc::clone(&active), size);
                self.count("active");
                Ok(TokenAnswer::Active(active))
            }
            Err((word, message)) => {
                self.note(word, &message);
                Err(NoAnswer::Failed)
            }
        }
    }

    /// Counts and logs a failure.
    fn note(&self, word: &'static str, message: &str) {
        self.count(word);
        // What a caller could bring about by an odd token says nothing about the issuer.
        if [endpoint::UNAUTHORIZED, "dns", "connect", "proxy", "tls", "timeout", "address", "redirect"].contains(&word)
        {
            self.failed_at.store(unix_seconds(), Ordering::Relaxed);
        }
        if let Some(suppressed) = self.throttle.allow() {
            let issuer = self.issuer();
            tracing::warn!(issuer, kind = word, suppressed, "cannot introspect a token: {message}");
        }
    }

    fn count(&self, outcome: &'static str) {
        *lock(&self.outcomes).entry(outcome).or_default() += 1;
    }
}

/// A question on its way. Where it is given up, somebody else who waits asks it.
struct Flight<'i> {
    introspector: &'i Introspector,
    digest: SessionDigest,
    tell: watch::Sender<Option<Outcome>>,
}

impl Flight<'_> {
    fn land(self, outcome: Outcome) -> Outcome {
        // Whoever is told may ask again at once.
        lock(&self.introspector.flights).remove(&self.digest);
        self.tell.send_replace(Some(outcome.clone()));
        outcome
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.introspector.flights);
        // Only this one, and not the next of the same token.
        if flights.get(&self.digest).is_some_and(|landed| landed.same_channel(&self.tell.subscribe())) {
            flights.remove(&self.digest);
        }
    }
}

/// A question about one token, to the issuers that may have issued it, one after the other.
#[derive(Debug)]
pub struct TokenQuestion {
    token: Secret,
    introspectors: Vec<Arc<Introspector>>,
}

/// What the issuers have said to it.
#[derive(Debug, Default)]
pub struct TokenAnswers {
    digest: SessionDigest,
    outcomes: Vec<(Arc<Introspector>, Outcome)>,
}

impl TokenQuestion {
    pub(super) fn new(token: &str, introspectors: Vec<Arc<Introspector>>) -> Self {
        Self { token: Secret::new(token), introspectors }
    }

    /// Asks until one says that the token is good. `network` is that of who has shown it.
    pub async fn ask(self, network: IpAddr) -> TokenAnswers {
        let digest = digest_of(self.token.expose());
        let mut outcomes = Vec::new();
        for introspector in self.introspectors {
            let outcome = introspector.answer(self.token.expose_str().unwrap_or_default(), digest, network).await;
            let is_active = matches!(outcome, Ok(TokenAnswer::Active(_)));
            outcomes.push((introspector, outcome));
            if is_active {
                break;
            }
        }
        TokenAnswers { digest, outcomes }
    }
}

impl TokenAnswers {
    /// What this one has said about this token; `None`: it was not asked.
    pub(super) fn of(&self, introspector: &Arc<Introspector>, token: &SessionDigest) -> Option<Outcome> {
        let mut of_it =
            self.outcomes.iter().filter(|(asked, _)| self.digest == *token && Arc::ptr_eq(asked, introspector));
        of_it.next().map(|(_, outcome)| outcome.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
