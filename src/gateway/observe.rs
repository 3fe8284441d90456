//! Observation of requests: one record each, which becomes one line of the access log, one set of counts and,
//! with `telemetry`, a trace.

pub mod access_log;
mod access_log_file;
pub mod observed_refusals;
pub mod recent_refusals;
pub(crate) mod record;
pub mod reload_history;
pub mod request_shapes;
