//! The way back: bodies of responses, with the record that closes when they end.

pub(crate) mod body;
pub(crate) mod event_stream;
pub(crate) mod farewell;
pub(crate) mod response_framing;
pub(crate) mod trailers;
