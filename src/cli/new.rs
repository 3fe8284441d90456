//! `wicketgate new`: secrets, shown once.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::say;
use crate::auth::credentials::{api_key, password};
use crate::auth::jwt::signing_keys::{NewKey, SigningKeys};
use crate::customer::IdentifierKey;
use crate::hex::hex;
use crate::secret::write_new;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate new api-key\n  wicketgate new client-secret\n  \
    wicketgate new signing-key --directory certs/signing\n  wicketgate new identifier-key --file certs/identifier.key";

#[derive(Debug, Subcommand)]
pub(super) enum New {
    /// Create an API key, with the digest for `api_keys[].sha256`.
    #[command(after_help = "Example:\n  wicketgate new api-key --id asapp-prod")]
    ApiKey(NewApiKey),
    /// Create a client secret, with the hash for `clients[].secrets`.
    #[command(after_help = "Example:\n  wicketgate new client-secret")]
    ClientSecret,
    /// Create a secret that a client shows in a header of its own, with the digest for `clients[].header_secrets`.
    #[command(after_help = "Example:\n  wicketgate new header-secret")]
    HeaderSecret,
    /// Create a key that signs tokens; the newest in `issuer.signing_keys` signs.
    #[command(after_help = "Example:\n  wicketgate new signing-key --directory certs/signing --algorithm es256")]
    SigningKey(SigningKey),
    /// Create the key to derive identifiers with. Back it up: without it no identifier can be derived or traced again.
    #[command(after_help = "Example:\n  wicketgate new identifier-key --file certs/identifier.key")]
    IdentifierKey(IdentifierKeyFile),
}

#[derive(Debug, Args)]
pub(super) struct NewApiKey {
    /// Its id in gateway.yaml; the key starts with it.
    #[arg(long, value_name = "ID", default_value = "key")]
    id: String,
}

#[derive(Debug, Args)]
pub(super) struct SigningKey {
    /// The directory to write it to. Default: print it.
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
    /// The signature algorithm.
    #[arg(long, value_enum, default_value_t = KeyAlgorithm::Es256)]
    algorithm: KeyAlgorithm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyAlgorithm {
    Es256,
    Rs256,
    Eddsa,
}

impl KeyAlgorithm {
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
    /// The file to write it to; an existing one is never replaced. Default: print it.
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
                "The client secret, shown this once:\n  {}\n\nFor gateway.yaml or `clients_file`:\n  secrets: [ \"{hash}\" ]",
                secret.as_str()
            ))
        }
        New::HeaderSecret => {
            let secret = password::new_client_secret();
            let digest = hex(&api_key::digest(secret.as_bytes()));
            say(&format!(
                "The client's secret for a header, shown this once:\n  {}\n\nFor gateway.yaml:\n  header_secrets: [ {digest} ]",
                secret.as_str()
            ))
        }
        New::SigningKey(what) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            match &what.directory {
                None => {
                    let made = SigningKeys::generate(what.algorithm.kind(), now);
                    let (_, pem) = made.map_err(|fault| anyhow::anyhow!(fault))?;
                    say(pem.trim_end())
                }
                Some(directory) => {
                    std::fs::create_dir_all(directory)
                        .with_context(|| format!("cannot make {}", directory.display()))?;
                    keep_signing_key(directory, what.algorithm, now).map(|_| ())
                }
            }
        }
        New::IdentifierKey(what) => {
            let key = IdentifierKey::generate();
            match &what.file {
                None => say(key.trim_end()),
                Some(file) => keep(file, &key),
            }
        }
    }
}

/// Puts a new signing key into a directory. Its name has the first second from `now` on that no other name has, so that
/// it sorts behind all that were made before; that second.
pub(super) fn keep_signing_key(directory: &Path, algorithm: KeyAlgorithm, now: u64) -> anyhow::Result<u64> {
    let kind = algorithm.kind();
    let (_, pem) = SigningKeys::generate(kind, now).map_err(|fault| anyhow::anyhow!(fault))?;
    let mut second = now;
    loop {
        let name = SigningKeys::file_name(kind, second).map_err(|fault| anyhow::anyhow!(fault))?;
        let file = directory.join(&name);
        match if has_time_of(directory, &name) { Err(io::ErrorKind::AlreadyExists.into()) } else { write(&file, &pem) }
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => second += 1,
            outcome => {
                outcome.with_context(|| format!("cannot write {}", file.display()))?;
                return say_kept(&file).map(|()| second);
            }
        }
    }
}

/// Returns whether a file in this directory has the time of this name: all before the first `-`.
fn has_time_of(directory: &Path, name: &str) -> bool {
    let time = name.split('-').next().unwrap_or(name);
    let listing = std::fs::read_dir(directory);
    listing.is_ok_and(|listing| {
        listing.flatten().any(|entry| entry.file_name().as_encoded_bytes().starts_with(time.as_bytes()))
    })
}

/// Writes a new file that only its owner can read.
fn keep(file: &Path, secret: &str) -> anyhow::Result<()> {
    write(file, secret).with_context(|| format!("cannot write {}", file.display()))?;
    say_kept(file)
}

fn write(file: &Path, secret: &str) -> io::Result<()> {
    write_new(file, 0o600, secret.as_bytes())
}

fn say_kept(file: &Path) -> anyhow::Result<()> {
    say(&format!("{} was made. Only its owner can read it; keep a backup in a safe place.", file.display()))
}
