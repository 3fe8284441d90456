//! `wicketgate new`: secrets, shown once.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use super::say;
use crate::auth::issuer::{NewKey, SigningKeys};
use crate::auth::{api_key, password};
use crate::customer::IdentifierKey;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate new api-key\n  wicketgate new client-secret\n  \
    wicketgate new signing-key --directory certs/signing\n  wicketgate new identifier-key --file certs/identifier.key";

#[derive(Debug, Subcommand)]
pub(super) enum New {
    /// An API key, with the digest for `api_keys[].sha256`.
    #[command(after_help = "Example:\n  wicketgate new api-key --id asapp-prod")]
    ApiKey(NewApiKey),
    /// A client secret, with the hash for `clients[].secrets`.
    #[command(after_help = "Example:\n  wicketgate new client-secret")]
    ClientSecret,
    /// A key that signs tokens; the newest in `issuer.signing_keys` signs.
    #[command(after_help = "Example:\n  wicketgate new signing-key --directory certs/signing --algorithm es256")]
    SigningKey(SigningKey),
    /// A key that identifiers are derived with. Back it up: without it no identifier can be made or traced again.
    #[command(after_help = "Example:\n  wicketgate new identifier-key --file certs/identifier.key")]
    IdentifierKey(IdentifierKeyFile),
}

#[derive(Debug, Args)]
pub(super) struct NewApiKey {
    /// Its id in gateway.yaml, which stands at its beginning.
    #[arg(long, value_name = "ID", default_value = "key")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct SigningKey {
    /// The directory to put it into. Default: print it.
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
    /// What it signs with.
    #[arg(long, value_enum, default_value_t = Algorithm::Es256)]
    algorithm: Algorithm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Algorithm {
    Es256,
    Rs256,
    Eddsa,
}

impl Algorithm {
    pub(super) fn kind(self) -> NewKey {
        match self {
            Self::Es256 => NewKey::Es256,
            Self::Rs256 => NewKey::Rs256,
            Self::Eddsa => NewKey::EdDsa,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct IdentifierKeyFile {
    /// The file to put it into; an existing one is never replaced. Default: print it.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// Makes one.
pub(super) fn new(new: &New) -> anyhow::Result<()> {
    match new {
        New::ApiKey(what) => {
            let (key, digest) = api_key::generate(&what.id);
            say(&format!(
                "The API key, shown this once:\n  {}\n\nFor gateway.yaml:\n  sha256: [ {digest} ]",
                key.as_str()
            ))
        }
        New::ClientSecret => {
            let secret = password::new_client_secret();
            let hash = password::hash(secret.as_bytes()).map_err(|fault| anyhow::anyhow!(fault))?;
            say(&format!(
                "The client secret, shown this once:\n  {}\n\nFor gateway.yaml:\n  secrets: [ \"{hash}\" ]",
                secret.as_str()
            ))
        }
        New::SigningKey(what) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let (name, pem) =
                SigningKeys::generate(what.algorithm.kind(), now).map_err(|fault| anyhow::anyhow!(fault))?;
            match &what.directory {
                None => say(pem.trim_end()),
                Some(directory) => {
                    std::fs::create_dir_all(directory)
                        .with_context(|| format!("cannot make {}", directory.display()))?;
                    keep(&directory.join(name), pem.as_bytes())
                }
            }
        }
        New::IdentifierKey(what) => {
            let key = IdentifierKey::generate();
            match &what.file {
                None => say(key.trim_end()),
                Some(file) => keep(file, key.as_bytes()),
            }
        }
    }
}

/// Writes a new file that only its owner can read.
pub(super) fn keep(file: &Path, secret: &[u8]) -> anyhow::Result<()> {
    let shown = file.display();
    let mut open = std::fs::OpenOptions::new();
    let mut opened =
        open.write(true).create_new(true).mode(0o600).open(file).with_context(|| format!("cannot make {shown}"))?;
    opened.write_all(secret).and_then(|()| opened.sync_all()).with_context(|| format!("cannot write {shown}"))?;
    say(&format!("{shown} was made. Only its owner can read it; keep a backup in a safe place."))
}
