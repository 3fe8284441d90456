//! `wicketgate openapi`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::{ConfigFile, say};
use crate::app;
use crate::config::Config;
use crate::config::raw::{Level, LogFormat};
use crate::policy::Lasting;
use crate::reload::Plan;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate openapi --config gateway.yaml > openapi.json\n  \
    wicketgate openapi --config gateway.yaml --listener public    only what callers of this listener see\n\n\
    The document has no backends, no clients and no keys. docs/openapi.md says what is in it.\n\n\
    Exit code: 0 good; 1 the configuration has problems, which are shown, or there is no such listener; 2 the command was \
    not understood.";

#[derive(Debug, Args)]
pub(super) struct OpenApiCommand {
    #[command(flatten)]
    file: ConfigFile,
    /// Only the routes of this listener: its name, or its number in `listen`, from 0.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

/// Prints the document.
pub(super) fn openapi(what: &OpenApiCommand) -> anyhow::Result<ExitCode> {
    app::start_logging(Level::Warn, LogFormat::default());
    let plan = Plan::read(&what.file.config, &Lasting::default())?;
    let listener = what.listener.as_deref().map(|name| number_of(&plan.config, name)).transpose()?;
    let document = plan.policy.openapi_document(&plan.config, listener);
    say(&serde_json::to_string_pretty(&document)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The number of a listener, by its name or number.
fn number_of(config: &Config, name: &str) -> anyhow::Result<usize> {
    let listen = &config.raw().listen;
    let by_name = listen.iter().position(|listen| listen.name.as_deref() == Some(name));
    match by_name.or_else(|| name.parse().ok().filter(|number| *number < listen.len())) {
        Some(number) => Ok(number),
        None => bail!("there is no listener `{name}`: use a name in `listen`, or a number below {}", listen.len()),
    }
}
