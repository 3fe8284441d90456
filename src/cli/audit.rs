//! `wicketgate audit`: verifies the audit log; and what other commands note in it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{ConfigFile, say};
use crate::audit::verification::verify;
use crate::audit::{self, AuditEvent, FILE};
use crate::config::{self, Config};
use crate::plural::counted;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate audit verify --config gateway.yaml\n  \
    wicketgate audit verify --config gateway.yaml data/audit.jsonl.2 data/audit.jsonl.1 data/audit.jsonl\n  \
    wicketgate audit verify --config gateway.yaml --anchor 6b86b273ff34…\n\n\
    Exit codes: 0 the log is whole, 1 it is not: the first wrong line is named, 2 the command was not understood.";

#[derive(Debug, Args)]
pub(super) struct AuditCommand {
    #[command(subcommand)]
    what: AuditAction,
}

#[derive(Debug, Subcommand)]
enum AuditAction {
    /// Verify that no line of the audit log was changed, removed, put in or moved; print the count of lines and the last hash.
    #[command(after_help = EXAMPLE)]
    Verify(Verify),
}

#[derive(Debug, Args)]
struct Verify {
    /// The files of the log, the oldest first. Default: audit.jsonl beside the state.
    files: Vec<PathBuf>,
    /// A hash that an earlier run printed and that was kept elsewhere: it must be in the log. Without it nobody can tell
    /// whether lines at the end were removed.
    #[arg(long, value_name = "HASH")]
    anchor: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Verifies the log.
pub(super) fn audit(what: &AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditAction::Verify(what) = &what.what;
    let files = if what.files.is_empty() {
        let (config, problems) = config::read(&what.file.config)?;
        if !problems.is_empty() {
            return Err(problems.into());
        }
        vec![config.data_directory().join(FILE)]
    } else {
        what.files.clone()
    };
    let log = verify(&files, what.anchor.as_deref())?;
    if log.lines == 0 && log.unchained == 0 {
        bail!("{}: no lines: a gateway that has run has some", files[0].display());
    }
    if log.lines == 0 {
        bail!("{}:1: no line here is of a chain", files[0].display());
    }
    if what.anchor.is_some() && !log.has_anchor {
        bail!("the anchor is not in this log: lines at its end were removed, or all was written anew");
    }
    say(&format!("{}, whole; the last hash is {}", counted(log.lines, "line"), log.head.hash))?;
    if log.begins_at > 1 {
        say(&format!(
            "it begins at line {}: the files before it, renamed by a rotation, were not given",
            log.begins_at
        ))?;
    }
    if log.unchained > 0 {
        say(&format!(
            "before the chain: {} of an earlier version, as when the chain began",
            counted(log.unchained, "line")
        ))?;
    }
    if log.incomplete > 0 {
        let bytes = counted(log.incomplete, "byte");
        say(&format!(
            "the last line is incomplete ({bytes}), as after a crash: the next start cuts it off and says so"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes what a command does, with the user who runs it.
///
/// # Errors
/// The log cannot be written.
pub(super) fn note(config: &Config, event: AuditEvent) -> anyhow::Result<()> {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).ok();
    let event = event.by_operator(Some(rustix::process::getuid().as_raw()), None).with_some("user", user);
    let directory = config.data_directory();
    audit::append(&directory, event).with_context(|| format!("{} cannot be written", directory.join(FILE).display()))
}

/// Notes the outcome of what a command has done; the error of the log goes back with it, for the end of the command.
///
/// # Errors
/// That of the command.
pub(super) fn note_outcome(
    config: &Config,
    event: AuditEvent,
    outcome: anyhow::Result<()>,
) -> anyhow::Result<anyhow::Result<()>> {
    let event = if outcome.is_ok() { event } else { event.failed() };
    let noted = note(config, event).context("done, but not noted in the audit log");
    outcome.map(|()| noted)
}
