//! `wicketgate explain`.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate explain 3f2a... --config gateway.yaml";

#[derive(Debug, Args)]
pub(super) struct Explain {
    #[command(flatten)]
    file: ConfigFile,
}

/// Not there yet.
#[expect(clippy::unnecessary_wraps, reason = "filled in on a branch")]
pub(super) fn explain(what: &Explain) -> anyhow::Result<ExitCode> {
    let _ = &what.file;
    Ok(ExitCode::FAILURE)
}
