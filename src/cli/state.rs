//! `wicketgate state`: backup of the embedded state, and migration between a file and Redis.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::admin_client::{ExpectedAnswer, is_running, socket_of, tell_at};
use super::{ConfigFile, audit, say};
use crate::audit::AuditEvent;
use crate::config::raw::Raw;
use crate::config::{self, Config, Problems};
use crate::key_validity::format_time;
use crate::plural::counted;
use crate::secret::has_secret_shape;
use crate::server::admin::admin_socket::socket_file;
use crate::state::StateSettings;
use crate::state::archive::{Archive, Logins, back_up_closed, restore};
use crate::state::redis::{self, transfer};
use crate::state::revocation::{Rule, Subject};
use crate::{app, policy};

/// A file that is older than so many seconds may miss what has ended since.
const A_WHILE: u64 = 300;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate state backup state-2026-11-27.backup\n  \
    systemctl stop wicketgate && wicketgate state restore state-2026-11-27.backup\n  \
    wicketgate state export moved.state    with the gateway.yaml of the store that it leaves\n  \
    wicketgate state import moved.state    with the one of the store that it goes to";

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Back up the state to a file, while the gateway runs or not.
    #[command(after_help = "Example:\n  wicketgate state backup state-2026-11-27.backup")]
    Backup(Backup),
    /// Replace the state of a stopped gateway by a backup. Customers log in again, and clients get new tokens; the previous
    /// state is kept beside it.
    #[command(after_help = "Example:\n  systemctl stop wicketgate && wicketgate state restore state-2026-11-27.backup")]
    Restore(Restore),
    /// Export the state to a file, also from Redis, for another store.
    #[command(after_help = "Example:\n  \
                      wicketgate state export moved.state    with the gateway.yaml of the store that it leaves")]
    Export(Backup),
    /// Import an export into the store of this configuration: into Redis, or into the file of a stopped gateway. Logins stay
    /// valid.
    #[command(after_help = "Example:\n  \
                      wicketgate state import moved.state    with the gateway.yaml of the store that it goes to")]
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The exported file.
    from: PathBuf,
    /// Import into a Redis that already has logins: existing records stay, and no revocation becomes weaker.
    #[arg(long)]
    merge: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write; only its owner can read it.
    to: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    from: PathBuf,
    /// Keep sessions, JWTs and refresh tokens valid, also those that were ended or revoked after the backup was made.
    #[arg(long)]
    keep_logins: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Backs up, restores or moves.
pub(super) fn state(what: &StateCommand) -> anyhow::Result<()> {
    if let StateCommand::Backup(what) = what
        && !config::read_draft(&what.file.config).is_ok_and(|(_, problems)| problems.is_empty())
    {
        // The gateway that runs notes it.
        return say_written(back_up_running(&what.to, &socket_of(&what.file.config)?)?, &what.to);
    }
    let (config, name, outcome) = match what {
        StateCommand::Backup(what) => {
            let config = not_in_redis(&what.file)?;
            let outcome = back_up(&what.to, &config);
            (config, "state_backup", outcome)
        }
        StateCommand::Restore(what) => {
            let config = not_in_redis(&what.file)?;
            let outcome = restore_from(&what.from, what.keep_logins, &config);
            (config, "state_restore", outcome)
        }
        StateCommand::Export(what) => {
            let config = configuration(&what.file)?;
            let outcome = export_to(&what.to, &config);
            (config, "state_export", outcome)
        }
        StateCommand::Import(what) => {
            let config = configuration(&what.file)?;
            let outcome = import_from(&what.from, what.merge, &config);
            (config, "state_import", outcome)
        }
    };
    audit::note_outcome(&config, AuditEvent::new(name, "ok"), outcome)?
}

fn configuration(file: &ConfigFile) -> anyhow::Result<Config> {
    let (config, problems) = config::read(&file.config)?;
    if problems.is_empty() { Ok(config) } else { Err(problems.into()) }
}

fn not_in_redis(file: &ConfigFile) -> anyhow::Result<Config> {
    let config = configuration(file)?;
    ensure!(
        config.raw().state.redis.is_none(),
        "the state is in Redis: back it up there (its file of `appendonly yes`, or a snapshot), or move it with \
         `wicketgate state export`"
    );
    Ok(config)
}

/// Settings of the state in Redis; `None` where it is embedded.
fn redis(config: &Config) -> anyhow::Result<Option<redis::RedisSettings>> {
    let mut problems = Problems::default();
    let settings = policy::state::read(config, &mut problems);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    Ok(match settings {
        Some(StateSettings::Redis(settings, _)) => Some(*settings),
        _ => None,
    })
}

fn directory(config: &Config) -> PathBuf {
    config.resolve(&config.raw().state.embedded.clone().unwrap_or_default().path)
}

fn back_up(to: &Path, config: &Config) -> anyhow::Result<()> {
    let count = if is_running(config)? {
        back_up_running(to, &socket_file::socket_path(config))?
    } else {
        back_up_closed(&directory(config), to, now())?
    };
    say_written(count, to)
}

/// Fetches the state from the gateway at this socket; the number of records.
fn back_up_running(to: &Path, socket: &Path) -> anyhow::Result<u64> {
    const EXPECTED: ExpectedAnswer = ExpectedAnswer { at: "/records", what: "what is in the state" };
    let mut archive = Archive::begin(to, now())?;
    let mut target = "/state/records".to_owned();
    loop {
        let page = tell_at(socket, Method::GET, &target, EXPECTED)?;
        for record in page["records"].as_array().context("the gateway that runs is of another version")? {
            archive.record(record.as_str().context("the gateway that runs is of another version")?)?;
        }
        match &page["next"] {
            Value::String(next) => target = format!("/state/records?at={next}"),
            _ => break,
        }
    }
    Ok(archive.finish()?)
}

fn say_written(count: u64, to: &Path) -> anyhow::Result<()> {
    say(&format!("{} written to {}. Keep it as safe as the state itself.", counted(count, "record"), to.display()))
}

fn export_to(to: &Path, config: &Config) -> anyhow::Result<()> {
    let Some(settings) = redis(config)? else { return back_up(to, config) };
    let count = app::control_runtime()?.block_on(transfer::export(settings, to, now()))?;
    say_written(count, to)
}

fn import_from(from: &Path, merge: bool, config: &Config) -> anyhow::Result<()> {
    let (made, count) = if let Some(settings) = redis(config)? {
        let imported = app::control_runtime()?.block_on(transfer::import(settings, from, merge, now()))?;
        (imported.made, imported.count)
    } else {
        ensure!(
            !merge,
            "`--merge` is for Redis: a state in a file is replaced, and what was revoked in it stays revoked"
        );
        not_while_it_runs(config)?;
        let restored = restore(&directory(config), from, Logins::Move, now())?;
        if let Some(before) = &restored.before {
            say(&format!("The state before is {}.", before.display()))?;
        }
        (restored.made, restored.count)
    };
    say(&format!("imported: {}, of {}. Logins go on.", counted(count, "record"), format_time(made)))?;
    if now().saturating_sub(made) > A_WHILE { say(&risk(made)) } else { Ok(()) }
}

/// How far ahead a token, an assertion or a proof may be dated, in seconds.
fn longest_skew(raw: &Raw) -> u64 {
    let own = raw.issuer.iter().map(|issuer| issuer.clock_skew);
    let of_others = raw.trusted_issuers.iter().map(|issuer| issuer.clock_skew);
    own.chain(of_others).map(|skew| skew.as_secs()).max().unwrap_or_default().max(60)
}

fn restore_from(from: &Path, keep_logins: bool, config: &Config) -> anyhow::Result<()> {
    not_while_it_runs(config)?;
    let skew = longest_skew(config.raw());
    let logins = if keep_logins { Logins::Keep } else { Logins::End { skew } };
    let restored = restore(&directory(config), from, logins, now())?;
    let made = format_time(restored.made);
    say(&format!("restored: {}, of {made}", counted(restored.count, "record")))?;
    if let Some(before) = &restored.before {
        say(&format!("The state before is {}.", before.display()))?;
    }
    say(&if keep_logins {
        format!("Sessions, JWTs and refresh tokens go on. {}", risk(restored.made))
    } else {
        format!(
            "Sessions, JWTs and refresh tokens from before now are refused: customers log in again, clients get new tokens. \
             Tokens of other issuers, clients' assertions and DPoP proofs that are dated before the next {} are over are \
             refused too.",
            counted(skew, "second")
        )
    })?;
    say(&format!(
        "Not known here: which API keys were revoked since {made}. They are good again: revoke them again, or take them out \
         of the configuration. Revocations in this backup:"
    ))?;
    let (mut logins, mut tokens) = (0, 0);
    for Rule { subject, .. } in &restored.rules {
        match subject {
            Subject::Login(_) => logins += 1,
            Subject::Token(_) => tokens += 1,
            _ => {
                let name = Some(subject.name()).filter(|name| !has_secret_shape(name)).unwrap_or("(a secret)");
                say(&format!("  {} {name}", subject.kind()))?;
            }
        }
    }
    for (count, what) in [(logins, "logins"), (tokens, "tokens")] {
        if count > 0 {
            say(&format!("  {what}: {count}"))?;
        }
    }
    if restored.rules.is_empty() {
        say("  none")?;
    }
    Ok(())
}

fn not_while_it_runs(config: &Config) -> anyhow::Result<()> {
    ensure!(!is_running(config)?, "a gateway runs with this state: stop it first");
    Ok(())
}

fn risk(made: u64) -> String {
    format!(
        "Risk: logins that have ended since {}, and tokens, customers and clients that were revoked since then, are good \
         again. Clients' assertions and DPoP proofs that were used since then can be used again until they end: assertions for \
         up to `assertion_lifetime`, proofs for a minute.",
        format_time(made)
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
