//! `wicketgate state`: backups of the state that is in a file.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::local::{is_running, tell};
use super::{ConfigFile, say};
use crate::config::{self, Config};
use crate::dated::format_time;
use crate::secret::has_secret_shape;
use crate::state::archive::{Archive, back_up_closed, restore};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate state backup state-2026-11-27.backup\n  \
    systemctl stop wicketgate && wicketgate state restore state-2026-11-27.backup";

#[derive(Debug, Subcommand)]
pub(super) enum State {
    /// Write all of it into a file, while the gateway runs or not.
    Backup(Backup),
    /// Put a backup in the place of the state of a gateway that does not run. Customers log in again, and clients get new
    /// tokens; the state before is kept beside.
    Restore(Restore),
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where to: a file that only its owner can read.
    to: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    from: PathBuf,
    /// Sessions, JWTs and refresh tokens go on, also those that were ended or revoked after the backup was made.
    #[arg(long)]
    keep_logins: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Backs up or restores.
pub(super) fn state(what: &State) -> anyhow::Result<()> {
    match what {
        State::Backup(what) => back_up(&what.to, &configuration(&what.file)?),
        State::Restore(what) => restore_from(&what.from, what.keep_logins, &configuration(&what.file)?),
    }
}

fn configuration(file: &ConfigFile) -> anyhow::Result<Config> {
    let (config, problems) = config::read(&file.config)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    ensure!(
        config.raw().state.redis.is_none(),
        "the state is in Redis: back it up there (its file of `appendonly yes`, or a snapshot)"
    );
    Ok(config)
}

fn directory(config: &Config) -> PathBuf {
    config.resolve(&config.raw().state.embedded.clone().unwrap_or_default().path)
}

fn back_up(to: &Path, config: &Config) -> anyhow::Result<()> {
    let count = if is_running(config)? {
        let mut archive = Archive::begin(to, now())?;
        let mut target = "/state/records".to_owned();
        loop {
            let page = tell(config, Method::GET, &target)?;
            for record in page["records"].as_array().context("the gateway that runs is of another version")? {
                archive.record(record.as_str().context("the gateway that runs is of another version")?)?;
            }
            match &page["next"] {
                Value::String(next) => target = format!("/state/records?at={next}"),
                _ => break,
            }
        }
        archive.finish()?
    } else {
        back_up_closed(&directory(config), to, now())?
    };
    say(&format!("{count} records are in {}. Keep it as safe as the state itself.", to.display()))
}

fn restore_from(from: &Path, keep_logins: bool, config: &Config) -> anyhow::Result<()> {
    if is_running(config)? {
        bail!("a gateway runs with this state: stop it first");
    }
    let restored = restore(&directory(config), from, keep_logins, now())?;
    let made = format_time(restored.made);
    say(&format!("restored: {} records, of {made}", restored.count))?;
    if let Some(before) = &restored.before {
        say(&format!("The state before is {}.", before.display()))?;
    }
    say(&if keep_logins {
        format!(
            "Sessions, JWTs and refresh tokens go on. Risk: logins that have ended since {made}, and tokens, customers and \
             clients that were revoked since then, are good again."
        )
    } else {
        "Sessions, JWTs and refresh tokens from before now are refused: customers log in again, clients get new tokens."
            .to_owned()
    })?;
    say(&format!(
        "Not known here: which API keys were revoked since {made}. They are good again: revoke them again, or take them out \
         of the configuration. Revocations in this backup:"
    ))?;
    for rule in &restored.rules {
        let name = Some(rule.subject.name()).filter(|name| !has_secret_shape(name)).unwrap_or("(a secret)");
        say(&format!("  {} {name}", rule.subject.kind()))?;
    }
    if restored.rules.is_empty() {
        say("  none")?;
    }
    Ok(())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
