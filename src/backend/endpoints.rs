//! The servers of a backend and their state: addresses, health and ejection; outlives a policy.

pub mod endpoint_status;
pub(in crate::backend) mod failure_log;
pub mod health_check;
pub mod http_options;
pub mod outlier_detection;
pub mod servers;
