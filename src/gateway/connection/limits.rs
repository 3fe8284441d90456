//! Limits of one connection and its requests.

use std::time::Duration;

/// Limits of one connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// Longest request target, in bytes.
    pub(crate) target: usize,
    /// Largest request head, in bytes.
    pub(crate) head: usize,
    /// Most header fields in a request head.
    pub(crate) fields: usize,
    /// Longest token of a caller, in bytes.
    pub(crate) token: usize,
    /// Largest request body, in bytes.
    pub(crate) body: u64,
    /// Longest time from connecting to the end of the TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// Longest time from the first to the last byte of a request head.
    pub(crate) head_timeout: Duration,
    /// Longest pause within a body, in either direction.
    pub(crate) body_idle_timeout: Duration,
    /// Longest time from the head of a request to the last byte of its response.
    pub(crate) request_timeout: Duration,
    /// Longest time without a request.
    pub(crate) idle_timeout: Duration,
    /// Most concurrent streams of an HTTP/2 connection.
    pub(crate) streams: u32,
}
