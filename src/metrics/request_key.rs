//! Labels of a request in the metrics.

use std::sync::Arc;

/// Labels of one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Route name, or the word for an endpoint of the gateway.
    pub route: Arc<str>,
    /// A known method, or `other`.
    pub method: &'static str,
    /// Status of the response; 499 if the caller left first.
    pub status: u16,
    /// Word of the refusal, or empty.
    pub refusal: &'static str,
}
