//! Access token of a backend from the company's OAuth server (client credentials grant, RFC 6749 section 4.4): fetched
//! ahead of time and off the path of requests, renewed before it expires, used until then while the server is away.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::fetch::{FetchFault, Fetcher, PostAnswer};
use crate::secret::{Secret, random_bytes};

/// The first pause after a failed fetch; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Shortest time between two fetches that requests cause.
const COOLDOWN: Duration = Duration::from_secs(10);
/// The same while there is no token.
const COOLDOWN_WITHOUT: Duration = Duration::from_secs(5);
/// Lifetime of a token where the server says none.
const USUAL_LIFETIME: Duration = Duration::from_secs(300);
/// Whoever waits for the next time looks this often whether anybody uses the token still.
const LOOK: Duration = Duration::from_secs(60);

/// Where a token comes from, and what is shown for it.
#[derive(Debug, Clone)]
pub struct TokenSource {
    /// The backend that it is for.
    pub backend: Arc<str>,
    /// The token endpoint.
    pub url: String,
    /// The body of the request.
    pub form: Secret,
    /// `Authorization` of the request, where the client does not authenticate in the body.
    pub authorization: Option<HeaderValue>,
    /// The HTTP client.
    pub fetcher: Fetcher,
}

/// The access token of one backend.
pub struct BackendToken {
    source: TokenSource,
    current: ArcSwapOption<Held>,
    /// Count of finished fetches.
    rounds: watch::Sender<u64>,
    wanted: Notify,
    is_started: AtomicBool,
    /// The earliest time of the next fetch that a request causes, in milliseconds of `clock`.
    next_on_demand: AtomicU64,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    clock: Instant,
}

struct Held {
    field: HeaderValue,
    /// In milliseconds of the clock.
    until: u64,
}

/// Status of a token, for operators.
#[derive(Debug, Clone)]
pub struct TokenStatus {
    /// The backend.
    pub backend: Arc<str>,
    /// Seconds until it expires; `None` without a token.
    pub left: Option<u64>,
    /// Count of fetches by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
}

impl std::fmt::Debug for BackendToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "BackendToken({})", self.source.backend)
    }
}

impl BackendToken {
    /// With what `former` holds for the same purpose, until the first fetch; otherwise without a token yet.
    pub fn new(source: TokenSource, former: Option<&Self>) -> Self {
        let clock = Instant::now();
        let held = former.and_then(|former| former.current.load_full().map(|held| (former.clock, held)));
        let held = held.map(|(former, held)| {
            let passed = milliseconds(clock.saturating_duration_since(former));
            Arc::new(Held { field: held.field.clone(), until: held.until.saturating_sub(passed) })
        });
        Self {
            source,
            current: ArcSwapOption::new(held),
            rounds: watch::Sender::new(0),
            wanted: Notify::new(),
            is_started: AtomicBool::new(false),
            next_on_demand: AtomicU64::new(0),
            outcomes: Mutex::default(),
            clock,
        }
    }

    /// The value of `Authorization`; `None` where there is no token that has not expired. Then one is asked for.
    pub fn field(&self) -> Option<HeaderValue> {
        let now = self.millis();
        let current = self.current.load();
        let field = current.as_ref().filter(|held| now < held.until).map(|held| held.field.clone());
        if field.is_none() {
            self.want(now, COOLDOWN_WITHOUT);
        }
        field
    }

    /// The backend has refused the token: later requests may have another. It is used until then.
    pub fn refused(&self) {
        self.want(self.millis(), COOLDOWN);
    }

    /// Asks for a fetch, unless a request did so lately.
    fn want(&self, now: u64, cooldown: Duration) {
        let next = self.next_on_demand.load(Ordering::Relaxed);
        let later = now.saturating_add(milliseconds(cooldown));
        let taken = || self.next_on_demand.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed);
        if now >= next && taken().is_ok() {
            self.wanted.notify_one();
        }
    }

    /// The status of the token.
    pub fn standing(&self) -> TokenStatus {
        let now = self.millis();
        let current = self.current.load();
        let left = current.as_ref().and_then(|held| held.until.checked_sub(now)).filter(|left| *left > 0);
        TokenStatus {
            backend: Arc::clone(&self.source.backend),
            left: left.map(|left| left / 1_000),
            outcomes: self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Fetches once and keeps nothing.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub async fn try_fetch(&self) -> Result<(), String> {
        self.found().await.map(drop).map_err(|(_, message)| message)
    }

    /// Waits for the first fetch to end, however it does, or until this time.
    pub async fn first_round(&self, until: Instant) {
        let mut rounds = self.rounds.subscribe();
        let _ = tokio::time::timeout_at(until.into(), rounds.wait_for(|count| *count > 0)).await;
    }

    /// Fetches from now on, for as long as somebody holds the token.
    pub fn start(self: &Arc<Self>, runtime: &tokio::runtime::Handle) {
        if !self.is_started.swap(true, Ordering::Relaxed) {
            runtime.spawn(keep_fetching(Arc::downgrade(self)));
        }
    }

    /// Fetches once; how long to wait before the next time.
    async fn fetch(&self, failures: &mut u32) -> Duration {
        // The server counts from when it answers, which is later.
        let asked_at = self.millis();
        let backend = &*self.source.backend;
        let (outcome, pause) = match self.found().await {
            Ok((field, lifetime)) => {
                if *failures > 0 || self.current.load().is_none() {
                    tracing::info!(backend, lifetime = lifetime.as_secs(), "access token fetched for a backend");
                }
                *failures = 0;
                let until = asked_at.saturating_add(milliseconds(lifetime));
                self.current.store(Some(Arc::new(Held { field, until })));
                ("ok", ahead_of(lifetime))
            }
            Err((word, message)) => {
                *failures = failures.saturating_add(1);
                let left = self.standing().left;
                tracing::warn!(backend, kind = word, left, "cannot fetch the access token of a backend: {message}");
                (word, (FIRST_PAUSE * 2_u32.saturating_pow((*failures - 1).min(16))).min(LONGEST_PAUSE))
            }
        };
        *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
        self.rounds.send_modify(|count| *count += 1);
        pause
    }

    async fn found(&self) -> Result<(HeaderValue, Duration), (&'static str, String)> {
        let TokenSource { url, form, authorization, fetcher, .. } = &self.source;
        let fault = |fault: FetchFault| (fault.as_str(), format!("{url}: {fault}"));
        let form = Bytes::copy_from_slice(form.expose());
        let answer = fetcher.post_form(url, form, authorization.clone()).await.map_err(fault)?;
        read(&answer).map_err(|(word, message)| (word, format!("{url}: {message}")))
    }

    fn millis(&self) -> u64 {
        milliseconds(self.clock.elapsed())
    }
}

async fn keep_fetching(token: Weak<BackendToken>) {
    let mut failures = 0;
    loop {
        let pause = match token.upgrade() {
            Some(token) => token.fetch(&mut failures).await,
            None => return,
        };
        let due = tokio::time::Instant::now() + spread(pause);
        loop {
            // Nobody's token is fetched by nobody: whoever waits here holds it only for the moment.
            let Some(held) = token.upgrade() else { return };
            let wait = due.min(tokio::time::Instant::now() + LOOK);
            let is_wanted = tokio::select! {
                () = held.wanted.notified() => true,
                () = tokio::time::sleep_until(wait) => false,
            };
            if is_wanted || tokio::time::Instant::now() >= due {
                break;
            }
        }
    }
}

/// The value of `Authorization` in an answer of a token endpoint, and the lifetime of the token (RFC 6749 section 5).
fn read(answer: &PostAnswer) -> Result<(HeaderValue, Duration), (&'static str, String)> {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        // Nothing else of it is logged: what was sent could stand there.
        let is_word =
            |word: &&str| word.len() <= 64 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let said = document["error"].as_str().filter(is_word).map(|word| format!(", {word}")).unwrap_or_default();
        return Err(("status", format!("the server answered {}{said}", answer.status)));
    }
    let broken = |what: &str| ("answer", format!("the answer is none of a token endpoint: {what}"));
    if document["token_type"].as_str().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(broken("`token_type` is not Bearer"));
    }
    let token = document["access_token"].as_str().ok_or_else(|| broken("it has no `access_token`"))?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let field = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token);
    let mut field = field.ok_or_else(|| broken("no header field can carry its `access_token`"))?;
    field.set_sensitive(true);
    let lifetime = match &document["expires_in"] {
        Value::Null => Some(USUAL_LIFETIME.as_secs()),
        // Some write it as a text.
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().or_else(|| number.as_f64().filter(|seconds| *seconds >= 0.0).map(|some| some as u64)),
    };
    match lifetime {
        Some(0) => Err(broken("the token has expired already")),
        Some(seconds) => Ok((field, Duration::from_secs(seconds))),
        None => Err(broken("`expires_in` is no number of seconds")),
    }
}

/// Time until a token is renewed: three quarters of its lifetime, and at least a second.
fn ahead_of(lifetime: Duration) -> Duration {
    (lifetime.min(Duration::from_secs(30 * 24 * 3_600)) * 3 / 4).max(Duration::from_secs(1))
}

/// Up to a tenth earlier, so that replicas do not ask at the same time.
fn spread(pause: Duration) -> Duration {
    let [random] = random_bytes::<1>();
    pause - pause.mul_f64(f64::from(random) / 2_560.0)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
