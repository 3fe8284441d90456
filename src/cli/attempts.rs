//! `wicketgate attempts`: lockouts after failed logins and client authentications. Asks the gateway that runs.

use std::net::IpAddr;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::admin_client::{ExpectedAnswer, ask, when};
use super::listing::Listing;
use super::{ConfigFile, say};
use crate::plural::counted;
use crate::server::admin::admin_socket::logins::MAX_SHOWN;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate attempts list\n  \
    wicketgate attempts list --login alice\n  \
    wicketgate attempts clear login alice                     from all networks\n  \
    wicketgate attempts clear login alice --from 192.0.2.7    and all failures of this network\n  \
    wicketgate attempts clear client asapp\n\n\
    Names are kept as digests only. The access log has the same digest in `attempt` where a login is refused.";

#[derive(Debug, Subcommand)]
pub(super) enum AttemptsCommand {
    /// List counted failures: by name within a network, and by network.
    #[command(after_help = "Examples:\n  wicketgate attempts list\n  wicketgate attempts list --login alice")]
    List(AttemptsList),
    /// Clear the failures of a name and end its lockout.
    #[command(after_help = "Example:\n  wicketgate attempts clear login alice --from 192.0.2.7")]
    Clear(Clear),
}

#[derive(Debug, Args)]
pub(super) struct AttemptsList {
    /// Only failures of this username.
    #[arg(long, value_name = "NAME", conflicts_with = "client")]
    login: Option<String>,
    /// Only failures of this client id.
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// Kind of the name.
    kind: Kind,
    /// The username as it is typed at the login, or the client id.
    name: String,
    /// Also the failures of the network of this address, all names.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Login,
    Client,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Client => "client",
        }
    }
}

/// Lists or clears.
pub(super) fn attempts(what: &AttemptsCommand) -> anyhow::Result<()> {
    match what {
        AttemptsCommand::List(list) => {
            let named = match (&list.login, &list.client) {
                (Some(name), _) => Some((Kind::Login, name)),
                (None, Some(id)) => Some((Kind::Client, id)),
                (None, None) => None,
            };
            let body = named.map(|(kind, name)| json!({ "kind": kind.as_str(), "name": name }));
            let found = ask(
                &list.file.config,
                Method::GET,
                "/attempts",
                body,
                ExpectedAnswer { at: "", what: "what attempts there were" },
            )?;
            let listing = Listing {
                rows: &found,
                heading: "attempt           failures  wait     forgotten at",
                line,
                cut_off: Some(format!("only {MAX_SHOWN} are shown: name one, by --login or --client")),
            };
            listing.print(list.json)
        }
        AttemptsCommand::Clear(clear) => {
            let from = clear.from.map(|address| address.to_string());
            let body = json!({ "kind": clear.kind.as_str(), "name": clear.name, "from": from });
            let answer = ask(
                &clear.file.config,
                Method::DELETE,
                "/attempts",
                Some(body),
                ExpectedAnswer { at: "/cleared", what: "that it cleared anything" },
            )?;
            let (attempt, count) = (answer["attempt"].as_str().unwrap_or_default(), &answer["cleared"]);
            let count = count.as_u64().unwrap_or_default();
            say(&format!("cleared: {} {attempt}: {}", clear.kind.as_str(), counted(count, "failure count")))
        }
    }
}

fn line(one: &Value) -> String {
    let wait = format!("{} s", one["wait"]);
    let attempt = one["attempt"].as_str().unwrap_or("(a network)");
    format!("{attempt:<16}  {:<8}  {wait:<7}  {}", one["failures"].to_string(), when(&one["forgotten_at"]))
}
