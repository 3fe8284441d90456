//! The name and the version by which HTTP asks for a WebSocket (RFC 6455, RFC 8441).

/// The protocol in `Upgrade` and in `:protocol`.
pub(super) const WEBSOCKET: &str = "websocket";

/// The only supported value of `Sec-WebSocket-Version` (RFC 6455 section 4.1).
pub(crate) const VERSION: &str = "13";
