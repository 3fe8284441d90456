//! The company's own servers: what is known of them, and whose fault it is when they do not answer.

pub mod admission;
mod balance;
mod clock;
mod connection;
pub mod endpoints;
mod fault;
pub mod pool;
pub mod proxy_protocol;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};

pub use admission::Permit;
use admission::adaptive::Adaptive;
use admission::circuit_breaker::{CircuitRule, Try};
use admission::{Admission, Queue};
use clock::millis;
use endpoints::servers::Servers;

/// A named group of servers that answer alike.
pub struct Backend {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its servers.
    pub servers: Arc<Servers>,
    /// Whether the same customer gets the same server.
    pub by_customer: bool,
    /// The host of its first server, for requests of the gateway's own.
    pub host: HeaderValue,
    /// The gateway's own credential.
    pub authorization: Option<(HeaderName, HeaderValue)>,
    /// The signed header that goes along with each request, where one is wanted.
    pub backend_assertion: Option<BackendAssertion>,
    /// The time to connect.
    pub connect_timeout: Duration,
    /// The time from sending a request to the head of its response, and between two pieces of its body.
    pub timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// How much of that one caller may hold by WebSockets, in percent.
    pub websocket_share: u32,
    /// The same by uploads that are still coming.
    pub upload_share: u32,
    /// Fewer than that while answers take longer than usual.
    pub adaptive: Option<Arc<Adaptive>>,
    /// HTTP/2 connections of a worker to each server.
    pub max_connections: usize,
    /// How many requests may wait for a place, and for how long.
    pub queue: Option<Queue>,
    /// When it is not asked for a while.
    pub circuit_breaker: CircuitRule,
    /// How many requests may be sent again, in percent of all.
    pub retry_budget: u32,
    /// What is in flight, on all workers.
    pub admission: Arc<Admission>,
}

/// How a backend is shown that a request came through the gateway.
#[derive(Debug)]
pub struct BackendAssertion {
    /// The name of the header.
    pub header: HeaderName,
    /// Its `aud`.
    pub audience: String,
    /// For how many seconds it is good.
    pub lifetime: u64,
    /// Whether each body is read before it is sent on, so that the assertion can cover it.
    pub covers_body: bool,
}

/// Why a backend gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No server of it could be connected.
    Connect,
    /// The TLS handshake failed, its certificate included.
    Tls,
    /// It did not answer in time.
    Timeout,
    /// The connection ended before a byte of an answer came.
    Broken,
    /// What came was no answer: not HTTP, cut off within its head, a reset of this exchange only, or with two readings.
    Malformed,
    /// Its limit of requests in flight is reached.
    Overload,
    /// None of its servers is well, or the circuit is open: it is not asked.
    Unavailable,
}

impl Failure {
    /// The word for metrics and logs.
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
    /// Whether it says that a server is gone, and not only that one answer was bad or that there was no room.
    pub fn means_gone(self) -> bool {
        matches!(self, Self::Connect | Self::Tls | Self::Timeout | Self::Broken)
    }
}

impl Backend {
    /// What decides about the server of a customer, where customers have servers.
    pub fn key_of(&self, customer: Option<&str>) -> Option<u64> {
        customer.filter(|_| self.by_customer).map(balance::seed)
    }

    /// How many requests it takes at once now.
    pub fn limit(&self) -> usize {
        self.adaptive.as_ref().map_or(self.concurrency, |adaptive| adaptive.limit())
    }

    /// How many of them may be WebSockets of one caller.
    pub fn websockets_per_caller(&self) -> usize {
        (self.limit().saturating_mul(self.websocket_share as usize) / 100).max(1)
    }

    /// How many of them may be uploads of one caller that are still coming.
    pub fn uploads_per_caller(&self) -> usize {
        (self.limit().saturating_mul(self.upload_share as usize) / 100).max(1)
    }

    /// Learns from an answer that took so long; `None`: none came.
    pub fn learn_from(&self, time: Option<Duration>, now: Instant) {
        if let Some(adaptive) = &self.adaptive {
            adaptive.answered(now, time, self.admission.in_flight());
        }
    }

    /// A place for one more request, waiting for it where there is a queue and the circuit is closed.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] while the circuit is open, and [`Failure::Overload`] where all places are taken.
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

    /// After how many seconds another try makes sense, where the backend is not available.
    pub fn retry_after(&self) -> u64 {
        self.admission.circuit.left(millis(Instant::now())).as_secs() + 1
    }

    /// It answered, whatever it said.
    fn answered(&self) {
        if self.admission.circuit.succeeded() {
            tracing::info!(backend = &*self.name, "this backend answers again: the circuit is closed");
        }
    }

    /// It answered at this time.
    pub fn note_answer(&self, now: Instant) {
        self.admission.circuit.note_answer(millis(now));
    }

    /// It did not answer a request that began then.
    fn failed(&self, failure: Failure, begun: Instant) {
        // A page may be slow for many callers at once while all others are answered.
        if failure == Failure::Timeout && self.admission.circuit.has_answered_since(millis(begun)) {
            return;
        }
        if failure.means_gone() && self.admission.circuit.failed(&self.circuit_breaker, millis(Instant::now())) {
            let (last, seconds) = (failure.as_str(), self.circuit_breaker.pause.as_secs_f64());
            tracing::warn!(backend = &*self.name, last, seconds, "this backend does not answer: the circuit is open");
        }
    }

    /// Whether one more request may be sent again.
    fn may_repeat(&self) -> bool {
        let admission = &self.admission;
        admission.repeats.allow(self.retry_budget, admission.begun(), millis(Instant::now()))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Backend").field("name", &self.name).finish_non_exhaustive()
    }
}
