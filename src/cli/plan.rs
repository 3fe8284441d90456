//! `wicketgate plan`.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate plan new.yaml --config gateway.yaml";

#[derive(Debug, Args)]
pub(super) struct Preview {
    #[command(flatten)]
    file: ConfigFile,
}

/// Not there yet.
#[expect(clippy::unnecessary_wraps, reason = "filled in on a branch")]
pub(super) fn plan(what: &Preview) -> anyhow::Result<ExitCode> {
    let _ = &what.file;
    Ok(ExitCode::FAILURE)
}
