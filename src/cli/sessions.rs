//! `wicketgate sessions`: live sessions and refresh tokens. Asks the gateway that runs.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::admin_client::{ExpectedAnswer, ask, when};
use super::listing::Listing;
use super::{ConfigFile, say};
use crate::secret::has_secret_shape;
use crate::server::admin::admin_socket::logins::MAX_SHOWN;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate sessions list --config gateway.yaml\n  \
    wicketgate sessions list --customer t1-…\n  wicketgate sessions end 1f0a9c3be2d47788\n\n\
    All logins of a customer end with `wicketgate revoke customer t1-…`.";

#[derive(Debug, Subcommand)]
pub(super) enum SessionsCommand {
    /// List the live sessions and the logins with refresh tokens, the last used first.
    #[command(after_help = "Examples:\n  wicketgate sessions list\n  wicketgate sessions list --customer t1-… --json")]
    List(SessionsList),
    /// Show one login.
    #[command(after_help = "Example:\n  wicketgate sessions show 1f0a9c3be2d47788")]
    Show(One),
    /// End one login: its session, JWTs and refresh tokens.
    #[command(after_help = "Example:\n  wicketgate sessions end 1f0a9c3be2d47788")]
    End(One),
}

#[derive(Debug, Args)]
pub(super) struct SessionsList {
    /// Only those of the customer with this opaque identifier.
    #[arg(long, value_name = "IDENTIFIER")]
    customer: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The id of the login, as in `sessions list`.
    id: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Lists, shows or ends.
pub(super) fn sessions(what: &SessionsCommand) -> anyhow::Result<()> {
    match what {
        SessionsCommand::List(list) => {
            let target = match &list.customer {
                Some(customer) => format!("/sessions?customer={}", word(customer)?),
                None => "/sessions".to_owned(),
            };
            let found = ask(
                &list.file.config,
                Method::GET,
                &target,
                None,
                ExpectedAnswer { at: "", what: "what sessions there are" },
            )?;
            let listing = Listing {
                rows: &found,
                heading: "id                kind             last seen             began                 agent    customer",
                line,
                cut_off: Some(format!("only the {MAX_SHOWN} that were used last are shown: name a `--customer`")),
            };
            listing.print(list.json)
        }
        SessionsCommand::Show(one) => {
            let session = ask(
                &one.file.config,
                Method::GET,
                &format!("/sessions/{}", word(&one.id)?),
                None,
                ExpectedAnswer { at: "/id", what: "which session that is" },
            )?;
            for key in ["id", "kind", "customer", "agent"] {
                say(&format!("{key:<10}{}", session[key].as_str().unwrap_or_default()))?;
            }
            for (name, key) in [("began", "issued_at"), ("last seen", "last_seen"), ("ends", "expires_at")] {
                say(&format!("{name:<10}{}", when(&session[key])))?;
            }
            Ok(())
        }
        SessionsCommand::End(one) => {
            let session = ask(
                &one.file.config,
                Method::DELETE,
                &format!("/sessions/{}", word(&one.id)?),
                None,
                ExpectedAnswer { at: "/id", what: "that it ended anything" },
            )?;
            say(&format!("ended: {}", line(&session)))
        }
    }
}

fn line(session: &Value) -> String {
    let text = |key: &str| session[key].as_str().unwrap_or_default().to_owned();
    format!(
        "{}  {:<15}  {:<20}  {}  {:<7}  {}",
        text("id"),
        text("kind"),
        when(&session["last_seen"]),
        when(&session["issued_at"]),
        text("agent"),
        text("customer")
    )
}

/// Ids and identifiers are plain words: anything else would be another request.
fn word(text: &str) -> anyhow::Result<&str> {
    anyhow::ensure!(!has_secret_shape(text), "this is a secret, and no id: see `wicketgate sessions list`");
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain.then_some(text).ok_or_else(|| anyhow::anyhow!("`{text}` is not an id: see `wicketgate sessions list`"))
}
