//! `wicketgate openapi`.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate openapi --config gateway.yaml > openapi.json";

#[derive(Debug, Args)]
pub(super) struct OpenApiCommand {
    #[command(flatten)]
    file: ConfigFile,
}

/// Not there yet.
#[expect(clippy::unnecessary_wraps, reason = "filled in on a branch")]
pub(super) fn openapi(what: &OpenApiCommand) -> anyhow::Result<ExitCode> {
    let _ = &what.file;
    Ok(ExitCode::FAILURE)
}
