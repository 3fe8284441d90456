//! Observation of requests: one record each, which becomes one line of the access log and one set of counts.

pub mod access_log;
pub mod observed_refusals;
pub mod recent_refusals;
pub(crate) mod record;
pub mod reload_history;
pub mod request_shapes;
