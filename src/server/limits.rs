//! Limits on client connections: per listener, per client address and by open file descriptors.

pub mod conn_limits;
pub(super) mod fd_limit;
pub(super) mod per_ip_limit;
