//! `wicketgate completions`.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate completions bash > /etc/bash_completion.d/wicketgate";

#[derive(Debug, Args)]
pub(super) struct Completions {
    #[command(flatten)]
    file: ConfigFile,
}

/// Not there yet.
#[expect(clippy::unnecessary_wraps, reason = "filled in on a branch")]
pub(super) fn completions(what: &Completions) -> anyhow::Result<ExitCode> {
    let _ = &what.file;
    Ok(ExitCode::FAILURE)
}
