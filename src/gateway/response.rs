//! Response bodies: a backend's body or bytes come in; a body with the record of its request, and trailers that may
//! pass, goes out.

pub(crate) mod body;
pub(crate) mod date;
pub(crate) mod event_stream;
pub(crate) mod graceful_close;
pub(crate) mod response_framing;
pub(crate) mod text_form;
pub(crate) mod trailers;
