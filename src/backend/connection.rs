//! Connections to a backend server: dialling, HTTP/1.1 and HTTP/2.

pub(in crate::backend) mod causes;
pub(in crate::backend) mod dial;
pub(in crate::backend) mod empty_data;
pub(in crate::backend) mod half_close;
pub(in crate::backend) mod http1_conn;
pub(in crate::backend) mod http1_stream;
pub(in crate::backend) mod http2_conn;
pub(in crate::backend) mod http2_pool;
pub(in crate::backend) mod keep_alive;
mod request_names;
mod response_head;
pub(in crate::backend) mod stream_waiters;
mod tls_fault;
