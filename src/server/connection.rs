//! One client connection: bytes, HTTP/2 flood detection, deadlines and GOAWAY.

pub(super) mod client_io;
pub(super) mod deadlines;
pub(super) mod goaway;
pub(super) mod h2_flood;
mod h2_frame;
pub(super) mod h2_streams;
pub(super) mod half_close;
pub(super) mod proxy_protocol;
