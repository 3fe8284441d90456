//! The logs of the process, begun: the access log, the log of the process, and what the audit log has about the process.

use std::sync::Arc;

use anyhow::Context as _;

use crate::audit::AuditEvent;
use crate::config::Config;
use crate::config::raw::{AccessLogTo, Level, LogFormat};
use crate::gateway::Shared;
use crate::gateway::observe::access_log::AccessLogWriter;
use crate::metrics::Metrics;
use crate::{process_log, reload, version};

/// Begins the access log, where there is one.
pub(super) fn access_log(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<Option<AccessLogWriter>> {
    let access = &config.raw().log.access;
    if access.to() == AccessLogTo::Off {
        return Ok(None);
    }
    let file = access.file().map(|file| config.resolve(file));
    Ok(Some(AccessLogWriter::start(file, Arc::clone(metrics)).context("cannot start the access log")?))
}

/// An event about this process.
pub(super) fn process_event(name: &'static str, shared: &Shared) -> AuditEvent {
    AuditEvent::new(name, "ok")
        .with("pid", std::process::id())
        .with("version", version::FULL)
        .with("config_sha256", shared.policy().config_digest.as_str())
}

/// Says on standard error what happens, one line each.
pub fn start_logging(level: Level, format: LogFormat) {
    process_log::start(reload::level(level), format == LogFormat::Human);
}
