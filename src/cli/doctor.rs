//! `wicketgate doctor`.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate doctor --url https://api.example.com ...";

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    file: ConfigFile,
}

/// Not there yet.
#[expect(clippy::unnecessary_wraps, reason = "filled in on a branch")]
pub(super) fn doctor(what: &Doctor) -> anyhow::Result<ExitCode> {
    let _ = &what.file;
    Ok(ExitCode::FAILURE)
}
