//! Limits on client connections: per listener, per client address and by open file descriptors.

pub mod conn_limits;
pub(crate) mod fd_limit;
pub(crate) mod per_ip_limit;
