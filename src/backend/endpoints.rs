//! The servers of a backend and their state: addresses, health and ejection; outlives a policy.

pub(in crate::backend) mod connection_limit;
pub mod endpoint_status;
pub(in crate::backend) mod failure_log;
pub mod health_check;
pub(in crate::backend) mod idle_life;
pub mod outlier_detection;
pub mod servers;
