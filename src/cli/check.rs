//! `wicketgate check`.

use std::io::Write as _;
use std::path::Path;

use super::say;
use crate::app;
use crate::config::raw::Level;
use crate::policy::Lasting;
use crate::reload::Plan;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate check --config gateway.yaml\n\n\
    Exit code: 0 good, also where there are warnings, 1 problems (all of them are shown), 2 the command was not understood.";

/// Reads everything that `run` would read, and binds nothing.
pub(super) fn check(file: &Path) -> anyhow::Result<()> {
    app::start_logging(Level::Warn);
    let plan = Plan::read(file, &Lasting::default())?;
    for warning in plan.warnings() {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    let raw = plan.config.raw();
    say(&format!(
        "{} is good: {} listeners, {} routes, {} backends, {} clients, {} API keys",
        file.display(),
        raw.listen.len(),
        raw.routes.len(),
        raw.backends.len(),
        raw.clients.len(),
        raw.api_keys.len()
    ))
}
