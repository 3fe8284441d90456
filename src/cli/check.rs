//! `wicketgate check`.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use http::Method;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::admin_client::{ExpectedAnswer, is_running, tell};
use super::{ConfigFile, say};
use crate::app::{self, startup_check};
use crate::backend::endpoints::servers::FIRST_LOOK;
use crate::config::raw::{Level, LogFormat};
use crate::config::{Config, Problems};
use crate::plural::counted;
use crate::policy::Lasting;
use crate::policy::accounts::Accounts;
use crate::reload::Plan;
use crate::state::State;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate check --config gateway.yaml\n  \
    wicketgate check --connect --config gateway.yaml\n  \
    wicketgate check --files-only --config gateway.yaml    in a pipeline, for another machine\n\n\
    Reads all files, and tries what a start needs of this machine: addresses, the directory and file of the state,\n\
    `admin.socket`. A gateway that runs with the same file is not disturbed. Run it as the user that runs the gateway.\n\n\
    Exit code: 0 good, warnings included; 1 problems, all of them are shown; 2 the command was not understood.";

/// Timeout of each other party that is asked.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Also connect to Redis, issuers and backends; each has 5 s.
    #[arg(long)]
    connect: bool,
    /// Read files only, and test nothing on this machine.
    #[arg(long, conflicts_with = "connect")]
    files_only: bool,
}

/// Reads everything that `run` would read, and tries what it needs.
pub(super) fn check(what: &Check) -> anyhow::Result<()> {
    let file = &what.file.config;
    app::start_logging(Level::Warn, LogFormat::Json);
    let plan = Plan::read(file, &Lasting::default())?;
    for warning in plan.warnings() {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    for note in plan.config.wider_secrets() {
        say(&format!("note: {note}"))?;
    }
    if !what.files_only {
        nothing_is_wrong(startup_check::rehearse(&plan, file))?;
    }
    say_good(&plan, file)?;
    if what.connect { connect(plan) } else { Ok(()) }
}

fn nothing_is_wrong(problems: Problems) -> anyhow::Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

fn say_good(plan: &Plan, file: &Path) -> anyhow::Result<()> {
    let raw = plan.config.raw();
    needs_restart(&plan.config)?;
    let file_of_keys = raw.api_keys_file.as_ref().and_then(|file| plan.config.read_api_keys(file).ok());
    let in_file = file_of_keys.map_or(0, |keys| keys.raw().api_keys.len());
    say(&format!(
        "{} is good: {}, {}, {}, {}, {}",
        file.display(),
        counted(raw.listen.len() as u64, "listener"),
        counted(raw.routes.len() as u64, "route"),
        counted(raw.backends.len() as u64, "backend"),
        counted(raw.clients.len() as u64, "client"),
        counted((raw.api_keys.len() + in_file) as u64, "API key")
    ))
}

/// One of the others, and why it cannot be used.
type Asked = (String, Result<(), String>);

/// Asks all others at once, and says of each whether it answers.
fn connect(plan: Plan) -> anyhow::Result<()> {
    let runtime = app::control_runtime()?;
    let control = runtime.handle().clone();
    let mut asked = runtime.block_on(async move {
        let mut questions = JoinSet::<Vec<Asked>>::new();
        for keys in plan.policy.published().cloned().collect::<Vec<_>>() {
            questions.spawn(async move {
                let outcome = in_time(async { keys.try_fetch().await.map(drop) }).await;
                vec![(format!("issuer {}", keys.issuer()), outcome)]
            });
        }
        for introspector in plan.policy.introspectors().cloned().collect::<Vec<_>>() {
            questions.spawn(async move {
                let who = format!("introspection of issuer {}", introspector.issuer());
                vec![(who, in_time(introspector.try_ask()).await)]
            });
        }
        for token in plan.policy.tokens().cloned().collect::<Vec<_>>() {
            questions.spawn(async move {
                let who = format!("access token of backend {}", token.standing().backend);
                vec![(who, in_time(token.try_fetch()).await)]
            });
        }
        for backend in plan.policy.backends.clone() {
            let control = control.clone();
            questions.spawn(async move {
                backend.servers.look_up(&control);
                backend.servers.first_look(Instant::now() + FIRST_LOOK).await;
                let name = |server: &str| format!("backend {} at {server}", backend.name);
                let servers = backend.servers.try_each(PATIENCE).await;
                servers.into_iter().map(|(server, outcome)| (name(&server), outcome)).collect()
            });
        }
        if let Some(Accounts::Directory(directory)) = plan.policy.login.as_ref().map(|login| &login.accounts) {
            let directory = Arc::clone(directory);
            questions.spawn(async move { vec![("login.accounts.ldap".to_owned(), directory.try_connect().await)] });
        }
        if plan.config.redis_place().is_some() {
            questions
                .spawn(async move { vec![("state.redis".to_owned(), in_time(State::try_connect(&plan.state)).await)] });
        }
        questions.join_all().await.concat()
    });
    asked.sort();
    let mut silent = 0_u64;
    for (who, outcome) in asked {
        silent += u64::from(outcome.is_err());
        say(&match outcome {
            Ok(()) => format!("{who}: answers"),
            Err(why) => format!("{who}: {why}"),
        })?;
    }
    runtime.shutdown_background();
    if silent > 0 {
        bail!("{} cannot be used: see above", counted(silent, "server"));
    }
    Ok(())
}

async fn in_time(question: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(PATIENCE, question).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

/// Says what the gateway that runs with this file would not take by a reload. Where none runs here, or it is another
/// user's, there is nothing to say.
fn needs_restart(config: &Config) -> anyhow::Result<()> {
    if !is_running(config).unwrap_or_default() {
        return Ok(());
    }
    let Ok(answer) =
        tell(config, Method::GET, "/reload", ExpectedAnswer { at: "/needs_restart", what: "what needs a restart" })
    else {
        return Ok(());
    };
    let keys: Vec<String> = answer["needs_restart"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| Some(format!("`{}`", key.as_str()?)))
        .collect();
    if !keys.is_empty() {
        let keys = keys.join(", ");
        let told = format!("the gateway that runs here needs an upgrade for this, a reload does not take it: {keys}");
        writeln!(std::io::stderr(), "warning: {told}")?;
    }
    Ok(())
}
