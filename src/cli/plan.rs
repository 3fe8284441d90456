//! `wicketgate plan`: what a new gateway.yaml would do to callers.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use http::Method;
use serde_json::json;

use super::admin_client::{ExpectedAnswer, ask};
use super::{ConfigFile, say};
use crate::app;
use crate::config::Config;
use crate::config::raw::{Level, LogFormat};
use crate::plural::counted;
use crate::policy::Lasting;
use crate::policy_change::{ChangeSubject, PolicyChange};
use crate::reload::Plan;
use crate::reload::preview::{self, Compared, Meaning};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate plan new.yaml --config gateway.yaml           against the gateway that runs here\n  \
    wicketgate plan new.yaml --config gateway.yaml --replay  and against the calls of its last hour\n  \
    wicketgate plan new.yaml --against gateway.yaml --json   in a pipeline, where none runs\n\n\
    Reads all files that both configurations name, those of secrets among them, and shows none of these. Nothing changes.\n\
    Dangerous is what takes access or protection from somebody: a route that loses a check, a client that vanishes, other\n\
    identifiers of customers. Other spellings of the same are no change.\n\n\
    Exit code: 0 harmless or no change; 1 new.yaml is wrong, or there is nothing to compare it with; 2 the command was not\n\
    understood; 3 dangerous.";

/// Exit code for changes that are dangerous.
const DANGER: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Preview {
    /// The new configuration file.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    file: ConfigFile,
    /// Compare with this file instead of the running gateway.
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// Also show which calls of the last hour would be refused.
    #[arg(long, conflicts_with = "against")]
    replay: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows all changes.
pub(super) fn plan(what: &Preview) -> anyhow::Result<ExitCode> {
    app::start_logging(Level::Error, LogFormat::default());
    let (changes, note) = match &what.against {
        Some(old) => (between(old, &what.new)?, None),
        None => of_running(what)?,
    };
    let danger = changes.iter().any(|change| change.danger);
    if what.json {
        say(&serde_json::to_string_pretty(&json!({ "danger": danger, "changes": changes, "note": note }))?)?;
    } else {
        say_all(&changes, note.as_deref())?;
    }
    Ok(if danger { ExitCode::from(DANGER) } else { ExitCode::SUCCESS })
}

/// The changes between two files.
fn between(old: &Path, new: &Path) -> anyhow::Result<Vec<PolicyChange>> {
    let read = |file: &Path| -> anyhow::Result<(Compared, Config)> {
        let plan = Plan::read(file, &Lasting::default())?;
        let meaning = Arc::new(Meaning::of(&plan.config));
        let policy = Arc::new(plan.policy);
        Ok((Compared { meaning, policy }, plan.config))
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ((old, old_config), (new, new_config)) = (read(old)?, read(new)?);
    let mut changes = preview::differences(&old, &new, now);
    changes.extend(preview::restart_change(&crate::reload::needs_restart(old_config.raw(), new_config.raw())));
    Ok(preview::in_order(changes))
}

/// The changes to what is in force in the gateway that runs here, and a note about its own file.
fn of_running(what: &Preview) -> anyhow::Result<(Vec<PolicyChange>, Option<String>)> {
    let file = std::path::absolute(&what.new)?;
    let question = json!({ "file": file, "replay": what.replay });
    let expected = ExpectedAnswer { at: "/changes", what: "what would change" };
    let answer = ask(&what.file.config, Method::POST, "/plan", Some(question), expected)?;
    let changes =
        serde_json::from_value(answer["changes"].clone()).context("the answer of the gateway is not understood")?;
    let note = answer["not_in_force"].as_str().map(|fault| {
        let file = what.file.config.display();
        format!("compared with what is in force, which is not what stands in {file}: {fault}")
    });
    Ok((changes, note))
}

fn say_all(changes: &[PolicyChange], note: Option<&str>) -> anyhow::Result<()> {
    if let Some(note) = note {
        say(&format!("note: {note}"))?;
    }
    if changes.is_empty() {
        return say("no change");
    }
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut group = None;
    for change in changes {
        if group.replace((change.danger, change.about)) != Some((change.danger, change.about)) {
            say(title(change.about))?;
        }
        let line = line(change);
        let is_worst = change.danger && change.about == ChangeSubject::Identifiers;
        say(&if colours && is_worst { format!("\x1b[1;31m{line}\x1b[0m") } else { line })?;
    }
    let dangerous = changes.iter().filter(|change| change.danger).count() as u64;
    say(&format!("{}, {dangerous} dangerous", counted(changes.len() as u64, "change")))
}

fn title(about: ChangeSubject) -> &'static str {
    match about {
        ChangeSubject::Identifiers => "identifiers of customers",
        ChangeSubject::Calls => "calls of the last hour",
        ChangeSubject::Routes => "routes",
        ChangeSubject::Callers => "clients and API keys",
        ChangeSubject::Issuers => "issuers and keys",
        ChangeSubject::Limits => "limits",
        ChangeSubject::Backends => "backends",
        ChangeSubject::Listeners => "listeners",
        ChangeSubject::Restart => "needs an upgrade",
        ChangeSubject::Other => "other settings",
    }
}

fn line(change: &PolicyChange) -> String {
    let mark = if change.danger { "DANGER " } else { "" };
    let values = match (&change.before, &change.after) {
        (Some(before), Some(after)) if !change.what.contains(before.as_str()) => format!(" ({before} -> {after})"),
        _ => String::new(),
    };
    format!("  {mark}{}{values}", change.what)
}
