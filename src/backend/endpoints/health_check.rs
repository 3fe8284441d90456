//! The rules of active health checks: the request, the interval, and the thresholds.

use std::time::Duration;

use http::HeaderValue;

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    /// The path.
    pub path: String,
    /// The `Host` that is sent.
    pub host: HeaderValue,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The status codes of a good answer; empty: 200 to 299.
    pub status: Vec<u16>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// How many answers change what is known.
    pub thresholds: Thresholds,
}

/// How many checks of one kind, in a row, change what is known of a server.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Good ones.
    pub healthy: u32,
    /// Bad ones.
    pub unhealthy: u32,
}
