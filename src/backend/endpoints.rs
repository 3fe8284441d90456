//! The servers of a backend and their state: addresses, health and ejection; outlives a policy.

pub mod endpoint_status;
pub(crate) mod failure_log;
pub mod servers;
