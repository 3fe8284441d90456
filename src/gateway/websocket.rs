//! WebSockets (RFC 6455, RFC 8441): the handshake comes in as a request; once both sides agree, bytes are relayed until one side, a limit or a check ends it.

pub(crate) mod caller_stream;
pub(crate) mod frames;
pub(crate) mod handshake;
mod recheck;
pub(crate) mod relay;
pub(crate) mod tunnel;
