//! The command line: one file per command.

mod admin_client;
mod attempts;
mod audit;
mod check;
mod completions;
mod demo;
mod doctor;
mod explain;
mod id;
mod keys;
mod listing;
mod new;
mod openapi;
mod password;
mod plan;
mod readiness;
mod replicas;
mod revoke;
mod rotate;
mod run;
mod sessions;
mod state;
mod top;
mod yaml_edit;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::version;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// The mark of the byte order, with which some programs begin a text: no part of what stands on standard input.
const MARK: &str = "\u{feff}";

/// Exit codes, in `--help` of each command that has no others.
const EXIT_CODES: &str = "Exit code: 0 done; 1 not done, standard error says why; 2 the command was not understood.";

#[derive(Debug, Parser)]
#[command(name = "wicketgate", version = version::FULL, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    #[command(after_help = run::EXAMPLE)]
    Run(run::Run),
    /// Check gateway.yaml, all files that it names and the needs of a start on this machine; report all problems.
    #[command(after_help = check::EXAMPLE)]
    Check(check::Check),
    /// Print the JSON Schema of gateway.yaml, for editors.
    #[command(after_help = "Example:\n  wicketgate schema > gateway.schema.json\n  \
                            then put `# yaml-language-server: $schema=gateway.schema.json` at the top of gateway.yaml")]
    Schema,
    /// Run the gateway with development certificates and a sample backend, and print three calls to try.
    #[command(after_help = "Example:\n  wicketgate demo --config gateway.yaml")]
    Demo(ConfigFile),
    /// Create a secret; it is shown once, with the line for gateway.yaml.
    #[command(subcommand, after_help = new::EXAMPLE)]
    New(new::New),
    /// Create the next version of a key or secret; the previous one stays valid for a while.
    #[command(subcommand, after_help = rotate::EXAMPLE)]
    Rotate(rotate::Rotate),
    /// List all versions of all keys and secrets, their last use, and which can be removed.
    #[command(after_help = keys::EXAMPLE)]
    Keys(ConfigFile),
    /// Hash a password from standard input, for accounts.yaml.
    #[command(after_help = password::EXAMPLE)]
    HashPassword,
    /// Map customers to identifiers and back.
    #[command(subcommand, after_help = id::EXAMPLE)]
    Id(id::Id),
    /// List and end customers' sessions in the running gateway.
    #[command(subcommand, after_help = sessions::EXAMPLE)]
    Sessions(sessions::SessionsCommand),
    /// List failed attempts and lockouts in the running gateway, and clear them.
    #[command(subcommand, after_help = attempts::EXAMPLE)]
    Attempts(attempts::AttemptsCommand),
    /// Revoke tokens, customers' logins, clients' tokens or API keys in the running gateway.
    #[command(subcommand, after_help = revoke::EXAMPLE)]
    Revoke(revoke::Revoke),
    /// Back up the state to a file, restore it, or move it to Redis and back.
    #[command(subcommand, after_help = state::EXAMPLE)]
    State(state::StateCommand),
    /// Explain a refusal, or what would happen to a request: each check with what it wanted and what it saw.
    #[command(after_help = explain::EXAMPLE)]
    Explain(explain::Explain),
    /// Show what a new gateway.yaml would do to callers, before it is in force.
    #[command(after_help = plan::EXAMPLE)]
    Plan(plan::Preview),
    /// List who would be refused on routes that observe, by client, route and refusal.
    #[command(after_help = readiness::EXAMPLE)]
    Readiness(readiness::ReadinessCommand),
    /// Call a deployed gateway from outside as ASAPP does, and report what is wrong.
    #[command(after_help = doctor::EXAMPLE)]
    Doctor(Box<doctor::Doctor>),
    /// Show requests, refusals, backends and sessions of the running gateway in the terminal.
    #[command(after_help = top::EXAMPLE)]
    Top(top::Top),
    /// Verify the audit log.
    #[command(after_help = audit::EXAMPLE)]
    Audit(audit::AuditCommand),
    /// Print an OpenAPI 3.1 document of what the gateway serves and protects.
    #[command(after_help = openapi::EXAMPLE)]
    Openapi(openapi::OpenApiCommand),
    /// Print the completions of a shell.
    #[command(after_help = completions::EXAMPLE)]
    Completions(completions::Completions),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "PATH", default_value = "gateway.yaml")]
    config: PathBuf,
}

/// Runs the command of this process's arguments; its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::from_arg_matches(&command().get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let outcome = match cli.command {
        Command::Run(what) => run::run(&what),
        Command::Check(what) => check::check(&what),
        Command::Schema => schema(),
        Command::Demo(file) => demo::demo(&file.config),
        Command::New(new) => new::new(&new),
        Command::Rotate(what) => rotate::rotate(&what),
        Command::Keys(file) => keys::keys(&file),
        Command::HashPassword => password::hash(),
        Command::Id(id) => id::id(&id),
        Command::Sessions(what) => sessions::sessions(&what),
        Command::Attempts(what) => attempts::attempts(&what),
        Command::Revoke(what) => revoke::revoke(&what),
        Command::State(what) => state::state(&what),
        Command::Explain(what) => return exit(explain::explain(&what)),
        Command::Plan(what) => return exit(plan::plan(&what)),
        Command::Readiness(what) => return exit(readiness::readiness(&what)),
        Command::Doctor(what) => return exit(doctor::doctor(&what)),
        Command::Top(what) => return exit(top::top(&what)),
        Command::Audit(what) => return exit(audit::audit(&what)),
        Command::Openapi(what) => return exit(openapi::openapi(&what)),
        Command::Completions(what) => return exit(completions::completions(&what)),
    };
    exit(outcome.map(|()| ExitCode::SUCCESS))
}

/// All commands; the `--help` of each tells its exit codes.
fn command() -> clap::Command {
    fn telling_codes(command: clap::Command) -> clap::Command {
        let command = command.mut_subcommands(telling_codes);
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if help.contains("Exit code") {
            return command;
        }
        let paragraphs: Vec<&str> = [&help, EXIT_CODES].into_iter().filter(|text| !text.is_empty()).collect();
        command.after_help(paragraphs.join("\n\n"))
    }
    telling_codes(Cli::command())
}

/// The exit code of a command; what went wrong is said.
fn exit(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    crate::process_log::flush();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, on standard error.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "{error:#}");
}

/// Says something, on standard output.
///
/// # Errors
/// Standard output is closed.
fn say(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{text}")?;
    output.flush()?;
    Ok(())
}

fn schema() -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(&crate::config::schema())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command that does something, by its whole name.
    fn leaves(command: &clap::Command, before: &str) -> Vec<(String, String)> {
        let name = format!("{before} {}", command.get_name());
        let within: Vec<_> = command.get_subcommands().flat_map(|inner| leaves(inner, &name)).collect();
        if !within.is_empty() {
            return within;
        }
        vec![(name, command.get_after_help().map(ToString::to_string).unwrap_or_default())]
    }

    #[test]
    fn every_command_is_sound_and_its_help_has_an_example_of_it_and_its_exit_codes() {
        command().debug_assert();
        let leaves = leaves(&command(), "");
        assert!(leaves.len() > 30, "{}", leaves.len());
        for (name, help) in leaves {
            let name = name.trim_start();
            assert!(help.contains("Example") && help.contains(name), "no example of `{name}`: {help}");
            assert!(help.contains("Exit code"), "no exit codes of `{name}`: {help}");
        }
    }
}
