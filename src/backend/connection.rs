//! Connections to a backend server: dialling, HTTP/1.1 and HTTP/2.

pub(crate) mod dial;
pub(crate) mod empty_data;
pub(crate) mod half_close;
pub(crate) mod http1_conn;
pub(crate) mod http2_conn;
pub(crate) mod http2_pool;
