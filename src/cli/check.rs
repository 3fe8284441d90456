//! `wicketgate check`.

use std::io::Write as _;
use std::path::Path;

use http::Method;

use super::local::{is_running, tell};
use super::say;
use crate::app;
use crate::config::Config;
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
    needs_restart(&plan.config)?;
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

/// Says what the gateway that runs with this file would not take by a reload. Where none runs here, or it is another
/// user's, there is nothing to say.
fn needs_restart(config: &Config) -> anyhow::Result<()> {
    if !is_running(config).unwrap_or_default() {
        return Ok(());
    }
    let Ok(answer) = tell(config, Method::GET, "/reload") else { return Ok(()) };
    let keys: Vec<String> = answer["needs_restart"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| Some(format!("`{}`", key.as_str()?)))
        .collect();
    if !keys.is_empty() {
        let keys = keys.join(", ");
        let told = format!("the gateway that runs here needs an upgrade for this, a reload does not take it: {keys}");
        writeln!(std::io::stderr(), "warning: {told}")?;
    }
    Ok(())
}
