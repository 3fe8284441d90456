//! The servers of a backend, and how they are watched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::scalar::Duration;

/// A server: its address, or its address with a weight.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Server {
    /// An address.
    Address(String),
    /// An address with a weight.
    Weighted(WeightedServer),
}

impl Server {
    /// Its address.
    pub fn url(&self) -> &str {
        match self {
            Self::Address(url) => url,
            Self::Weighted(server) => &server.url,
        }
    }

    /// Its weight.
    pub fn weight(&self) -> u32 {
        match self {
            Self::Address(_) => 1,
            Self::Weighted(server) => server.weight,
        }
    }
}

/// An address with a weight.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedServer {
    /// The address.
    pub url: String,
    /// Its share of the requests relative to the other servers: 1 to 100.
    #[serde(default = "default_weight")]
    pub weight: u32,
}

fn default_weight() -> u32 {
    1
}

/// Whether HTTP/1.1 connections serve several requests: yes or no, or how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum KeepAlive {
    /// Without a limit, or one request on each.
    Switch(bool),
    /// Up to a limit.
    Limited(KeepAliveLimit),
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self::Switch(true)
    }
}

impl KeepAlive {
    /// Most requests on a connection; `u32::MAX`: no limit.
    pub fn requests(self) -> u32 {
        match self {
            Self::Switch(true) => u32::MAX,
            Self::Switch(false) => 1,
            Self::Limited(limit) => limit.requests,
        }
    }
}

/// Limit of requests on an HTTP/1.1 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepAliveLimit {
    /// Most requests on a connection.
    pub requests: u32,
}

/// HTTP version towards servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: https servers must offer it by ALPN, and others are taken to know it. Needed for gRPC.
    Http2,
}

/// Load-balancing policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Of two that are drawn, the one with fewer requests in flight.
    #[default]
    LeastRequest,
    /// The same server for the same customer, for as long as it is there. Calls without a customer as in `least_request`.
    ConsistentHash,
}

/// Ask each server now and then how it is: `GET path`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The path.
    pub path: String,
    /// Time between checks.
    #[serde(default = "default_health_interval")]
    pub interval: Duration,
    /// Timeout of a check.
    #[serde(default = "default_health_timeout")]
    pub timeout: Duration,
    /// Successful checks in a row that make a server healthy.
    #[serde(default = "default_healthy_threshold")]
    pub healthy_threshold: u32,
    /// Failed checks in a row that make a server unhealthy.
    #[serde(default = "default_unhealthy_threshold")]
    pub unhealthy_threshold: u32,
    /// Status codes of a successful check. Default: 200 to 299.
    pub status: Option<Vec<u32>>,
}

fn default_health_interval() -> Duration {
    Duration::seconds(5)
}

fn default_health_timeout() -> Duration {
    Duration::seconds(2)
}

fn default_healthy_threshold() -> u32 {
    2
}

fn default_unhealthy_threshold() -> u32 {
    3
}

/// Outlier detection: ejection of a failing server for a time. The last server is never ejected.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierDetection {
    /// Failures in a row that eject a server: no connection, a timeout, a connection that closed without a response, or
    /// a status above 499 (but not 501 and 505). 0: never.
    pub failures: u32,
    /// Duration of the first ejection; it doubles with each one in a row.
    pub base_ejection_time: Duration,
    /// Longest ejection.
    pub max_ejection_time: Duration,
    /// Maximum of ejected servers, in percent. One may always be ejected.
    pub max_ejection_percent: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            failures: 5,
            base_ejection_time: Duration::seconds(10),
            max_ejection_time: Duration::seconds(300),
            max_ejection_percent: 50,
        }
    }
}

/// DNS look-ups of server names. Each address of a name is a server of its own.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resolve {
    /// Time between lookups. The previous addresses stay in use while a lookup fails.
    pub interval: Duration,
}

impl Default for Resolve {
    fn default() -> Self {
        Self { interval: Duration::seconds(5) }
    }
}

/// Adaptive concurrency limit, for a backend that has become slow.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adaptive {
    /// Requests in flight that are always allowed.
    pub min: usize,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { min: 4 }
    }
}

/// Queue of requests above the concurrency limit of a backend.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Requests that may wait; above it 503.
    pub length: usize,
    /// Longest wait; after it 503.
    #[serde(default = "default_queue_timeout")]
    pub timeout: Duration,
}

fn default_queue_timeout() -> Duration {
    Duration::seconds(1)
}

/// Circuit breaker: a pause after consecutive failures of a backend.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// Requests in a row without a backend that open it: no connection, a timeout, or a connection that closed without
    /// a response. 0: never.
    pub failures: u32,
    /// How long it stays open; then one request probes the backend. A request whose body is still arriving is used only
    /// after twice that time, where there is no other.
    pub pause: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 20, pause: Duration::seconds(5) }
    }
}
