//! Observation of requests: one record each, which becomes one line of the access log, one set of counts and,
//! with `telemetry`, a trace.

pub mod access_log;
pub mod recent_refusals;
pub(crate) mod record;
