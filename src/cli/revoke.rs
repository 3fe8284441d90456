//! `wicketgate revoke`: revokes tokens, logins, customers, clients and API keys. Asks the gateway that runs.

use std::io::Read as _;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::admin_client::{ExpectedAnswer, ask, when};
use super::listing::Listing;
use super::{ConfigFile, MARK, say};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate revoke customer t1-…      all logins of this customer until now\n  \
    wicketgate revoke client asapp       all its access tokens until now; it can get new ones\n  \
    wicketgate revoke api-key asapp-prod its present keys, for ever; give it new ones under the same id\n  \
    wicketgate revoke token -            the JWT (or its jti), refresh token or cookie on standard input\n  \
    wicketgate revoke token --issuer https://login.example.com JTI   a token of another issuer\n  \
    wicketgate revoke login 1f0a9c3be2d47788                         its session, JWTs and refresh tokens\n  \
    wicketgate revoke list";

#[derive(Debug, Subcommand)]
pub(super) enum Revoke {
    /// Revoke one token: its `jti`, or `-` to read the JWT from standard input. A refresh token, the value of a session
    /// cookie, or a JWT that has expired or whose account is not in force, ends its whole login.
    #[command(after_help = "Examples:\n  \
                      wicketgate revoke token - < token.txt\n  wicketgate revoke token --issuer https://login.example.com JTI")]
    Token(RevokeToken),
    /// End one login with its session, JWTs and refresh tokens, by its id in `wicketgate sessions list` or the `sid` of its
    /// JWTs.
    #[command(after_help = "Example:\n  wicketgate revoke login 1f0a9c3be2d47788")]
    Login(RevokeName),
    /// Revoke all present sessions and tokens of a customer, by identifier; also by that of a backend with `pairwise`, where
    /// it can be traced.
    #[command(after_help = "Example:\n  wicketgate revoke customer t1-…")]
    Customer(RevokeName),
    /// Revoke all present access tokens of a client, and for 400 days its secrets on routes whose `client_from` takes them.
    /// It can still get new access tokens: to shut it out, remove it or its secrets from the configuration.
    #[command(after_help = "Example:\n  wicketgate revoke client asapp")]
    Client(RevokeName),
    /// Revoke the present keys of an API key id, for ever.
    #[command(after_help = "Example:\n  wicketgate revoke api-key asapp-prod")]
    ApiKey(RevokeName),
    /// List the revocations in force.
    #[command(after_help = "Example:\n  wicketgate revoke list")]
    List(ConfigFile),
}

#[derive(Debug, Args)]
pub(super) struct RevokeToken {
    /// The issuer of the token with this `jti`, as in `trusted_issuers`. Default: this gateway.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    name: RevokeName,
}

#[derive(Debug, Args)]
pub(super) struct RevokeName {
    /// Which.
    name: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Revokes, or shows what is revoked.
pub(super) fn revoke(what: &Revoke) -> anyhow::Result<()> {
    let (asked, name) = match what {
        Revoke::Token(token) => ("token", &token.name),
        Revoke::Login(name) => ("login", name),
        Revoke::Customer(name) => ("customer", name),
        Revoke::Client(name) => ("client", name),
        Revoke::ApiKey(name) => ("api_key", name),
        Revoke::List(file) => return list(file),
    };
    let text = if asked == "token" && name.name == "-" {
        let mut text = String::new();
        std::io::stdin().take(64 * 1024).read_to_string(&mut text)?;
        text.trim_start_matches(MARK).trim().to_owned()
    } else {
        name.name.clone()
    };
    let mut body = json!({ "kind": asked, "name": text });
    if let Revoke::Token(RevokeToken { issuer: Some(issuer), .. }) = what {
        body["issuer"] = issuer.as_str().into();
    }
    let answer = ask(
        &name.file.config,
        Method::POST,
        "/revocations",
        Some(body),
        ExpectedAnswer { at: "/revoked/0", what: "that it revoked anything" },
    )?;
    // What is shown in place of a name may be of a login.
    let kind = answer["kind"].as_str().unwrap_or(asked);
    for revoked in answer["revoked"].as_array().into_iter().flatten() {
        say(&format!("revoked: {kind} {}", revoked.as_str().unwrap_or_default()))?;
    }
    if let Some(note) = answer["note"].as_str() {
        say(note)?;
    }
    Ok(())
}

fn list(file: &ConfigFile) -> anyhow::Result<()> {
    let rules =
        ask(&file.config, Method::GET, "/revocations", None, ExpectedAnswer { at: "", what: "what is revoked" })?;
    let heading = "kind      issued until          forgotten at          name";
    Listing { rows: &rules, heading, line, cut_off: None }.print(false)
}

fn line(rule: &Value) -> String {
    let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
    let since = if rule["since"] == Value::Null { "ever".to_owned() } else { when(&rule["since"]) };
    format!("{:<8}  {since:<20}  {:<20}  {}", text("kind"), when(&rule["until"]), text("name"))
}
