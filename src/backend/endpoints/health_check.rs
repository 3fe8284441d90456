//! Settings of active health checks: request, interval and thresholds.

use std::time::Duration;

use http::HeaderValue;

/// Health check of the servers of a backend.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    /// Path of the request.
    pub path: String,
    /// `Host` of the request; `None`: that of the server.
    pub host: Option<HeaderValue>,
    /// Interval between checks.
    pub interval: Duration,
    /// Longest wait for a response.
    pub timeout: Duration,
    /// Healthy status codes; empty: 200 to 299.
    pub status: Vec<u16>,
    /// True for HTTP/2.
    pub http2: bool,
    /// Checks in a row that change the status.
    pub thresholds: Thresholds,
}

/// Checks in a row that change the status of a server.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Successes that make it healthy.
    pub healthy: u32,
    /// Failures that make it unhealthy.
    pub unhealthy: u32,
}
