//! The company's own servers: what is known of them, and whose fault it is when they do not answer.

mod alarm;
pub mod answer;
mod balance;
mod dial;
pub mod health;
mod link;
pub mod pool;
mod resolve;
pub mod servers;
pub mod standing;
mod stations;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use servers::Servers;

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
    /// The proof that goes along with each request, where one is wanted.
    pub proof: Option<Proof>,
    /// The time to connect.
    pub connect_timeout: Duration,
    /// The time from sending a request to the head of its response, and between two pieces of its body.
    pub timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Requests in flight at once.
    pub concurrency: usize,
    /// Requests in flight now, on all workers.
    pub in_flight: Arc<AtomicUsize>,
}

/// How a backend is shown that a request came through the gateway.
#[derive(Debug)]
pub struct Proof {
    /// The header of the proof.
    pub header: HeaderName,
    /// Its `aud`.
    pub audience: String,
    /// For how many seconds it is good.
    pub lifetime: u64,
    /// Whether each body is read before it is sent on, so that the proof can cover it.
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
    /// The connection ended, or what came was not HTTP.
    Broken,
    /// Its limit of requests in flight is reached.
    Overload,
    /// None of its servers is well.
    Unavailable,
}

impl Failure {
    /// The word for metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Overload => "overload",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A place among the requests that a backend takes at once; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<AtomicUsize>);

impl Backend {
    /// What decides about the server of a customer, where customers have servers.
    pub fn key_of(&self, customer: Option<&str>) -> Option<u64> {
        customer.filter(|_| self.by_customer).map(balance::seed)
    }

    /// A place for one more request.
    ///
    /// # Errors
    /// [`Failure::Overload`] where all are taken.
    pub fn permit(&self) -> Result<Permit, Failure> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.in_flight));
        if before >= self.concurrency { Err(Failure::Overload) } else { Ok(permit) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Backend").field("name", &self.name).finish_non_exhaustive()
    }
}
