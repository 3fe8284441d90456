//! One client connection: bytes, HTTP/2 flood detection, deadlines and GOAWAY.

pub(crate) mod client_io;
pub(crate) mod deadlines;
pub(crate) mod goaway;
pub(crate) mod h2_flood;
pub(crate) mod h2_streams;
pub(crate) mod proxy_protocol;
