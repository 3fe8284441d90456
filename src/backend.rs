//! Backends: the company's own servers, their limits, and the failures that are theirs.

pub mod admission;
pub(crate) mod balance;
mod clock;
mod connection;
pub mod endpoints;
pub(crate) mod fault;
pub mod pool;
pub mod proxy_protocol;
pub mod standing;
pub mod token;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, header};

pub use admission::Permit;
use admission::adaptive::Adaptive;
use admission::circuit_breaker::{CircuitRule, Try};
use admission::{Admission, Queue};
use clock::millis;
use endpoints::servers::Servers;
use token::BackendToken;

use crate::body_stream::BufferFiles;

/// A named group of servers with the same content.
pub struct Backend {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// Servers, with their health.
    pub servers: Arc<Servers>,
    /// Consistent hashing: each customer stays with one server.
    pub by_customer: bool,
    /// `Host` that its servers get.
    pub host: SentHost,
    /// Credential of the gateway, sent with each request.
    pub authorization: Option<BackendCredential>,
    /// Settings of the signed header that is sent with each request.
    pub backend_assertion: Option<BackendAssertion>,
    /// Where request bodies of unknown length are buffered, so that they have one.
    pub request_buffer: Option<RequestBuffer>,
    /// Connect timeout, TLS handshake included.
    pub connect_timeout: Duration,
    /// Longest wait for the response head, and longest pause within the response body.
    pub timeout: Duration,
    /// Longest idle time of a pooled connection.
    pub idle_timeout: Duration,
    /// Most requests in flight, on all workers.
    pub concurrency: usize,
    /// Share of `concurrency` that WebSockets of one caller may hold, in percent.
    pub websocket_share: u32,
    /// Share of `concurrency` that unfinished uploads of one caller may hold, in percent.
    pub upload_share: u32,
    /// Adaptive concurrency limit, at most `concurrency`.
    pub adaptive: Option<Arc<Adaptive>>,
    /// Most connections to one server: HTTP/2 ones of one worker, or HTTP/1.1 ones of all workers. `usize::MAX`: no limit.
    pub max_connections: usize,
    /// Most requests on one HTTP/1.1 connection. `u32::MAX`: no limit.
    pub requests_per_connection: u32,
    /// Queue for requests above the concurrency limit.
    pub queue: Option<Queue>,
    /// Circuit breaker settings.
    pub circuit_breaker: CircuitRule,
    /// Most retries, in percent of requests.
    pub retry_budget: u32,
    /// Admission control: requests in flight on all workers, queue and circuit breaker.
    pub admission: Arc<Admission>,
}

/// The `Host` (HTTP/2: `:authority`) that servers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentHost {
    /// The one that the caller asked for.
    Caller,
    /// That of the server's address; known only at each attempt.
    Server,
    /// Always this one.
    Name(HeaderValue),
}

/// Credential of the gateway at a backend.
#[derive(Debug)]
pub enum BackendCredential {
    /// Always this field.
    Fixed(HeaderName, HeaderValue),
    /// `Authorization: Bearer` with the access token in force.
    Token(Arc<BackendToken>),
}

/// There is no access token for a backend, so that it cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoToken;

impl BackendCredential {
    /// Writes it, in place of any other.
    ///
    /// # Errors
    /// [`NoToken`].
    pub fn write(&self, headers: &mut HeaderMap) -> Result<(), NoToken> {
        match self {
            Self::Fixed(name, value) => headers.insert(name, value.clone()),
            Self::Token(token) => headers.insert(header::AUTHORIZATION, token.field().ok_or(NoToken)?),
        };
        Ok(())
    }
}

/// Settings of the signed header that proves that a request came through the gateway.
#[derive(Debug)]
pub struct BackendAssertion {
    /// Header name.
    pub header: HeaderName,
    /// `aud` claim.
    pub audience: String,
    /// Lifetime in seconds.
    pub lifetime: u64,
    /// True if the assertion covers the body, which is then read as a whole before it is sent.
    pub covers_body: bool,
}

/// Where request bodies are buffered.
#[derive(Debug)]
pub struct RequestBuffer {
    /// Most bytes of a body in memory.
    pub bytes: u64,
    /// Temporary files for larger ones; `None`: they are refused.
    pub files: Option<BufferFiles>,
}

/// Reason why a backend gave no usable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection to any of its servers.
    Connect,
    /// TLS handshake failed, or the certificate is not accepted.
    Tls,
    /// No response in time.
    Timeout,
    /// The connection ended before the first byte of a response.
    Broken,
    /// No valid response: not HTTP, cut off within the head, this stream only reset, or ambiguous framing.
    Malformed,
    /// Limit of requests in flight is reached.
    Overload,
    /// No healthy server, or the circuit breaker is open: no request was sent.
    Unavailable,
}

impl Failure {
    /// Label of metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::Overload => "overload",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Failure {
    /// True if the server itself is gone; false if only one response was bad or there was no capacity.
    pub fn means_gone(self) -> bool {
        matches!(self, Self::Connect | Self::Tls | Self::Timeout | Self::Broken)
    }
}

impl Backend {
    /// The backend has refused the gateway's credential.
    pub fn refused_credential(&self) {
        if let Some(BackendCredential::Token(token)) = &self.authorization {
            token.refused();
        }
    }

    /// Key of consistent hashing for a customer; `None` where the backend does not use it.
    pub fn key_of(&self, customer: Option<&str>) -> Option<u64> {
        customer.filter(|_| self.by_customer).map(balance::seed)
    }

    /// Concurrency limit at present.
    pub fn limit(&self) -> usize {
        self.adaptive.as_ref().map_or(self.concurrency, |adaptive| adaptive.limit())
    }

    /// Most WebSockets of one caller.
    pub fn websockets_per_caller(&self) -> usize {
        (self.limit().saturating_mul(self.websocket_share as usize) / 100).max(1)
    }

    /// Most unfinished uploads of one caller.
    pub fn uploads_per_caller(&self) -> usize {
        (self.limit().saturating_mul(self.upload_share as usize) / 100).max(1)
    }

    /// Feeds the adaptive limit with the duration of a response; `None`: there was no response.
    pub fn learn_from(&self, time: Option<Duration>, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.answered(now, time, self.admission.in_flight());
        }
    }

    /// Permit for one more request. Waits in the queue, where there is one and the circuit is closed.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] while the circuit is open, and [`Failure::Overload`] where no permit is free.
    pub async fn enter(&self, try_by: Try) -> Result<Permit, Failure> {
        let circuit = &self.admission.circuit;
        if circuit.is_open() {
            let now = millis(Instant::now());
            if !circuit.is_due(&self.circuit_breaker, try_by, now) {
                return Err(Failure::Unavailable);
            }
            // Only what really goes out is a try.
            let permit = self.admission.permit(self.limit())?;
            return if circuit.lets_pass(&self.circuit_breaker, try_by, now) {
                Ok(permit)
            } else {
                Err(Failure::Unavailable)
            };
        }
        match (self.admission.permit(self.limit()), self.queue) {
            // Rare: it does not belong into the state of each request.
            (Err(_), Some(queue)) => Box::pin(self.admission.wait(self.limit(), queue)).await,
            (permit, _) => permit,
        }
    }

    /// `Retry-After` in seconds while the backend is unavailable.
    pub fn retry_after(&self) -> u64 {
        self.admission.circuit.left(millis(Instant::now())).as_secs() + 1
    }

    /// Closes the circuit: there was a response, with any status.
    fn answered(&self) {
        if self.admission.circuit.succeeded() {
            tracing::info!(backend = &*self.name, "circuit breaker closed: the backend answers again");
        }
    }

    /// Records the time of a response.
    pub fn note_answer(&self, now: Instant) {
        self.admission.circuit.note_answer(millis(now));
    }

    /// Counts a failed request that began at `begun`, and opens the circuit where that is due.
    fn failed(&self, failure: Failure, begun: Instant) {
        // A page may be slow for many callers at once while all others are answered.
        if failure == Failure::Timeout && self.admission.circuit.has_answered_since(millis(begun)) {
            return;
        }
        if failure.means_gone() && self.admission.circuit.failed(&self.circuit_breaker, millis(Instant::now())) {
            let (last, seconds) = (failure.as_str(), self.circuit_breaker.pause.as_secs_f64());
            tracing::warn!(backend = &*self.name, last, seconds, "circuit breaker open: the backend does not answer");
        }
    }

    /// True if the retry budget allows one more retry; takes it.
    pub(crate) fn may_repeat(&self) -> bool {
        let admission = &self.admission;
        admission.retry_budget.allow(self.retry_budget, admission.begun(), millis(Instant::now()))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Backend").field("name", &self.name).finish_non_exhaustive()
    }
}
