//! `wicketgate id`: from a customer to the identifier and back. Whoever can read the key can do this.

use clap::{Args, Subcommand};

use super::{ConfigFile, say};
use crate::config;
use crate::config::Problems;
use crate::customer::Deriver;
use crate::policy;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate id for customer-1001 --config gateway.yaml\n  \
    wicketgate id for auth0-17 --issuer https://login.example.com\n  wicketgate id trace t1-… --config gateway.yaml";

#[derive(Debug, Subcommand)]
pub(super) enum Id {
    /// The identifier of a customer.
    #[command(after_help = EXAMPLE)]
    For(For),
    /// The customer of an identifier; needs `identifier.mode: traceable`.
    #[command(after_help = EXAMPLE)]
    Trace(Trace),
}

#[derive(Debug, Args)]
pub(super) struct For {
    /// The company's own key of the customer: `subject` in accounts.yaml, or the subject claim of an issuer's tokens.
    subject: String,
    /// The issuer whose customer it is. Default: our own accounts.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// What backends and ASAPP know the customer by.
    identifier: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Maps one way or the other.
pub(super) fn id(id: &Id) -> anyhow::Result<()> {
    match id {
        Id::For(what) => {
            let (deriver, tenant) = deriver(&what.file)?;
            let issuer = what.issuer.as_deref().unwrap_or(&tenant);
            let identifier = deriver.derive(issuer, &what.subject).map_err(|fault| anyhow::anyhow!("{fault}"))?;
            say(identifier.as_str())
        }
        Id::Trace(what) => {
            let (deriver, _) = deriver(&what.file)?;
            let origin = deriver.trace(&what.identifier).map_err(|fault| anyhow::anyhow!("{fault}"))?;
            say(&format!("issuer   {}\nsubject  {}", origin.issuer, origin.subject))
        }
    }
}

fn deriver(file: &ConfigFile) -> anyhow::Result<(Deriver, String)> {
    let (config, problems) = config::read(&file.config)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let identifier = config.raw().identifier.as_ref();
    let identifier = identifier.ok_or_else(|| anyhow::anyhow!("{} has no `identifier`", file.config.display()))?;
    let mut problems = Problems::default();
    match policy::read_deriver(&config, identifier, &mut problems) {
        Some(deriver) => Ok((deriver, policy::tenant(config.raw()))),
        None => Err(problems.into()),
    }
}
