//! `wicketgate rotate`: the next version of a key or secret takes over, the one before stays good for a while, and the
//! gateway that runs takes both up at once.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use http::Method;

use super::admin_client::{ExpectedAnswer, is_running, tell};
use super::new::{KeyAlgorithm, keep_signing_key};
use super::replicas::{self, RotatedKey};
use super::yaml_edit::{YamlList, replace_items, unwritable};
use super::{ConfigFile, audit, say};
use crate::audit::AuditEvent;
use crate::auth::credentials::{api_key, password};
use crate::config::raw::{Cookie, SecretRef};
use crate::config::scalar::Duration;
use crate::config::{self, Config};
use crate::customer::IdentifierKey;
use crate::hex::hex;
use crate::key_validity::{Validity, format_time, parse_time};
use crate::policy::{KeyLine, key_lines};
use crate::secret::{Secret, random_bytes, replace_keeping};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate rotate signing-key\n  \
    wicketgate rotate cookie-key --overlap 8h\n  wicketgate rotate api-key asapp-prod --overlap 7d\n  \
    wicketgate rotate client-secret asapp\n  wicketgate rotate identifier-key --overlap 90d\n\n\
    What is secret is shown once. See what is in use with `wicketgate keys`.";

#[derive(Debug, Subcommand)]
pub(super) enum Rotate {
    /// Add a key to `issuer.signing_keys`. It signs after `issuer.publish_delay`; the previous one verifies until the last
    /// token that it signed has expired.
    #[command(after_help = "Example:\n  wicketgate rotate signing-key --algorithm es256")]
    SigningKey(Signing),
    /// Add a key to the file of `login.cookie.keys`.
    #[command(after_help = "Example:\n  wicketgate rotate cookie-key --overlap 8h")]
    CookieKey(CookieFile),
    /// Add a key under the same id.
    #[command(after_help = "Example:\n  wicketgate rotate api-key asapp-prod --overlap 7d")]
    ApiKey(NamedKey),
    /// Add a secret of the same client.
    #[command(after_help = "Example:\n  wicketgate rotate client-secret asapp --overlap 7d")]
    ClientSecret(NamedKey),
    /// Add a key to derive identifiers with: all identifiers change, and backends get the old ones too during the overlap.
    #[command(after_help = "Example:\n  wicketgate rotate identifier-key --overlap 90d")]
    IdentifierKey(Overlapping),
}

#[derive(Debug, Args)]
pub(super) struct Signing {
    /// The signature algorithm.
    #[arg(long, value_enum, default_value_t = KeyAlgorithm::Es256)]
    algorithm: KeyAlgorithm,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct CookieFile {
    /// How long previous versions without an end stay valid. Default: `login.lifetime`.
    #[arg(long, value_name = "TIME")]
    overlap: Option<Duration>,
    /// Delay before the new one signs, so that all replicas have it. Default: 5m with a shared state, else 0s.
    #[arg(long, value_name = "TIME")]
    delay: Option<Duration>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct NamedKey {
    /// The id of the API key or client.
    id: String,
    /// How long previous versions without an end stay valid.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    overlap: Duration,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct Overlapping {
    /// How long the previous key stays valid.
    #[arg(long, value_name = "TIME", default_value = "90d")]
    overlap: Duration,
    #[command(flatten)]
    file: ConfigFile,
}

/// Rotates one.
pub(super) fn rotate(what: &Rotate) -> anyhow::Result<()> {
    let (file, rotated) = match what {
        Rotate::SigningKey(what) => (&what.file, RotatedKey::SigningKey),
        Rotate::CookieKey(what) => (&what.file, RotatedKey::CookieKey),
        Rotate::ApiKey(what) => (&what.file, RotatedKey::ApiKey(&what.id)),
        Rotate::ClientSecret(what) => (&what.file, RotatedKey::ClientSecret(&what.id)),
        Rotate::IdentifierKey(what) => (&what.file, RotatedKey::IdentifierKey),
    };
    let lock = wait_for_others(&file.config);
    let (config, problems) = config::read(&file.config)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let now = unix_seconds();
    let outcome = match what {
        Rotate::SigningKey(what) => signing_key(&config, what.algorithm, now),
        Rotate::CookieKey(what) => cookie_key(&config, what, now),
        Rotate::ApiKey(what) => api_key(&config, what, now),
        Rotate::ClientSecret(what) => client_secret(&config, what, now),
        Rotate::IdentifierKey(what) => identifier_key(&config, what.overlap, now),
    };
    let noted = audit::note_outcome(&config, event(what), outcome)?;
    drop(lock);
    let others = replicas::steps(rotated, &file.config);
    let file = file.config.display();
    if is_running(&config)
        .with_context(|| format!("{file} or a file that it names has been changed; who runs it was not told"))?
    {
        tell(&config, Method::POST, "/reload", ExpectedAnswer { at: "/reloaded", what: "that it reloaded" }).context(
            "the files have the new one, and the gateway that runs did not say that it took it up: what was in force there \
             before still is, and `wicketgate keys` shows whether the new one is too. It will be after the next reload or \
             start that succeeds",
        )?;
        say("The gateway that runs here has taken it up.")?;
    } else {
        say("No gateway runs here; it takes it up when it starts.")?;
    }
    if let Some(steps) = others? {
        say(&steps)?;
    }
    noted
}

/// The event of the audit log.
fn event(what: &Rotate) -> AuditEvent {
    let (kind, id) = match what {
        Rotate::SigningKey(_) => ("signing_key", None),
        Rotate::CookieKey(_) => ("cookie_key", None),
        Rotate::ApiKey(what) => ("api_key", Some(what.id.as_str())),
        Rotate::ClientSecret(what) => ("client_secret", Some(what.id.as_str())),
        Rotate::IdentifierKey(_) => ("identifier_key", None),
    };
    AuditEvent::new("key_rotated", "ok").with("kind", kind).with_some("id", id)
}

/// Waits until no other rotation of this file is going on, and keeps others waiting until the lock is dropped: each must
/// read what the one before has written, or a secret would be shown that stands nowhere. `None` on file systems that
/// cannot lock a directory, and where there is no such file, which whoever reads it says.
fn wait_for_others(file: &Path) -> Option<File> {
    // The files themselves are replaced, their directory stays.
    let directory = File::open(file.canonicalize().ok()?.parent()?).ok()?;
    directory.lock().ok()?;
    Some(directory)
}

fn signing_key(config: &Config, algorithm: KeyAlgorithm, now: u64) -> anyhow::Result<()> {
    let issuer = config.raw().issuer.as_ref().context("gateway.yaml has no `issuer`")?;
    let made = keep_signing_key(&config.resolve(&issuer.signing_keys), algorithm, now)?;
    let from = made.saturating_add(issuer.publish_delay.as_secs());
    say(&format!("It signs from {} on. `wicketgate keys` tells when the one before can go.", format_time(from)))
}

fn cookie_key(config: &Config, what: &CookieFile, now: u64) -> anyhow::Result<()> {
    let login = config.raw().login.as_ref().context("gateway.yaml has no `login`")?;
    let cookie: &Cookie = login.cookie.as_ref().context("gateway.yaml has no `login.cookie`")?;
    let Some(SecretRef::File(path)) = cookie.keys.first() else {
        bail!("the first of `login.cookie.keys` is not a file: put the new key there yourself, before the present one");
    };
    let is_shared = config.raw().state.redis.is_some();
    let delay = what.delay.unwrap_or(Duration::seconds(if is_shared { 300 } else { 0 }));
    let from = if delay.is_zero() { 0 } else { now.saturating_add(delay.as_secs()) };
    let new = hex(&random_bytes::<32>());
    let overlap = what.overlap.unwrap_or(login.lifetime);
    let file = KeyLinesFile { config, path, at: "login.cookie.keys[0]" };
    for until in file.prepend(&NextKey { text: &new, from, overlap }, now)? {
        say(&format!("The key before verifies until {}.", format_time(until)))?;
    }
    Ok(())
}

fn identifier_key(config: &Config, overlap: Duration, now: u64) -> anyhow::Result<()> {
    let identifier = config.raw().identifier.as_ref().context("gateway.yaml has no `identifier`")?;
    let SecretRef::File(path) = &identifier.key else {
        bail!("`identifier.key` is not a file: put the new key there yourself, on a line before the present one");
    };
    let lines = lines_of(config, &identifier.key, "identifier.key")?;
    let newest = lines.first().context("the file of `identifier.key` has no key")?;
    let key = IdentifierKey::parse(&newest.secret)?;
    let Some(next) = key.next() else { bail!("there is no version after v99") };
    if let Some(running) = lines.iter().skip(1).find(|line| now < line.until) {
        bail!(
            "the key before the present one is still good until {}: three would be good at once. Wait, or remove its line",
            format_time(running.until)
        );
    }
    let until = now.saturating_add(overlap.as_secs());
    let file = KeyLinesFile { config, path, at: "identifier.key" };
    file.prepend(&NextKey { text: &next, from: 0, overlap }, now)?;
    say(&format!(
        "Keep a backup of {} in a safe place, with all its lines.\nUntil {} backends get the old identifier too, as X-Customer-Id-Previous.\n\
         `wicketgate id migrate` writes old and new identifiers for a list of subjects.",
        config.resolve(path).display(),
        format_time(until)
    ))
}

/// A file of keys that the configuration names.
struct KeyLinesFile<'a> {
    config: &'a Config,
    path: &'a Path,
    /// The key of the configuration.
    at: &'static str,
}

/// The next key of a file.
struct NextKey<'a> {
    text: &'a str,
    /// The first second, since 1970, in which it is given out.
    from: u64,
    /// How long those before it stay good.
    overlap: Duration,
}

impl KeyLinesFile<'_> {
    /// Writes a key before those in the file. Those that have no end yet get one; no end that has been told comes earlier.
    /// Returns the ends of those that are live, newest first, in seconds since 1970.
    fn prepend(&self, next: &NextKey<'_>, now: u64) -> anyhow::Result<Vec<u64>> {
        let lines = lines_of(self.config, &SecretRef::File(self.path.to_owned()), self.at)?;
        let dated = Validity { value: next.text, from: next.from, until: u64::MAX };
        let mut text = zeroize::Zeroizing::new(dated.text());
        text.push('\n');
        let mut ends = Vec::new();
        // An identifier key of long ago still traces; others are no longer of use.
        for line in lines.iter().filter(|line| now < line.until || self.at == "identifier.key") {
            let value = line.secret.expose_str().context("the present key is not text: it cannot stand on a line")?;
            // One whose time has not come yet is given out until then.
            let end = now.max(next.from).max(line.from).saturating_add(next.overlap.as_secs());
            let until = if line.until == u64::MAX { end } else { line.until };
            text.push_str(&Validity { value, from: line.from, until }.text());
            text.push('\n');
            ends.extend(Some(until).filter(|until| now < *until));
        }
        let file = std::fs::canonicalize(self.config.resolve(self.path))
            .with_context(|| format!("cannot find {}", self.path.display()))?;
        replace_keeping(&file, text.as_bytes())
            .map_err(|fault| anyhow::anyhow!("{} has not been changed: {}", file.display(), unwritable(&fault)))?;
        Ok(ends)
    }
}

fn lines_of(config: &Config, reference: &SecretRef, at: &str) -> anyhow::Result<Vec<KeyLine>> {
    let secret: Secret = config
        .read_secret(reference)
        .map_err(|(message, help)| config::Problems::from(config.problem(at, message, help)))?;
    key_lines(&secret).map_err(|fault| anyhow::anyhow!(fault))
}

fn api_key(config: &Config, what: &NamedKey, now: u64) -> anyhow::Result<()> {
    let position = |config: &Config| config.raw().api_keys.iter().position(|key| key.id == what.id);
    let own_file = match &config.raw().api_keys_file {
        Some(file) => Some(config.read_api_keys(file)?),
        None => None,
    };
    let places = [Some(config), own_file.as_ref()];
    let found = places.into_iter().flatten().find_map(|place| Some((place, position(place)?)));
    let (place, position) = found.with_context(|| format!("there is no API key `{}`", what.id))?;
    let known = place.raw().api_keys.get(position).cloned();
    let known = known.with_context(|| format!("there is no API key `{}`", what.id))?;
    let expires = known.expires.as_deref().and_then(parse_time).unwrap_or(u64::MAX);
    if expires <= now {
        bail!("the API key `{}` has `expires` {}: a new key would never be good", what.id, format_time(expires));
    }
    let (key, digest) = api_key::generate(&what.id);
    let versions = Versions::after(digest, &known.sha256, what.overlap, now);
    let list = YamlList { at: format!("api_keys[{position}].sha256"), items: versions.items };
    let written = replace_items(place, &list, |raw, items| raw.api_keys[position].sha256 = items);
    show("API key", &key, written)?;
    let revoked = revoked_api_keys(config);
    for (digest, until) in versions.before {
        let until = format_time(until.min(expires));
        say(&match &revoked {
            Some(revoked) if revoked.contains(&digest.to_ascii_lowercase()) => {
                "The key before is revoked: it stays refused.".to_owned()
            }
            Some(_) => format!("The key before is good until {until}."),
            None => format!("The key before is good until {until}, unless it is revoked: no gateway here could tell."),
        })?;
    }
    Ok(())
}

/// The digests of the API keys that are revoked, in hex; `None` where no gateway runs that says so.
fn revoked_api_keys(config: &Config) -> Option<HashSet<String>> {
    if !is_running(config).ok()? {
        return None;
    }
    let rules = tell(config, Method::GET, "/revocations", ExpectedAnswer { at: "", what: "what is revoked" }).ok()?;
    let of_api_keys = rules.as_array()?.iter().filter(|rule| rule["kind"] == "api_key");
    Some(of_api_keys.filter_map(|rule| rule["name"].as_str()).map(str::to_owned).collect())
}

fn client_secret(config: &Config, what: &NamedKey, now: u64) -> anyhow::Result<()> {
    let own_file = match &config.raw().clients_file {
        Some(file) => Some(config.read_clients(file)?),
        None => None,
    };
    let position = |config: &Config| config.raw().clients.iter().position(|client| client.id == what.id);
    let places = [Some(config), own_file.as_ref()];
    let found = places.into_iter().flatten().find_map(|place| Some((place, position(place)?)));
    let (place, position) = found.with_context(|| format!("there is no client `{}`", what.id))?;
    let secret = password::new_client_secret();
    let hash = password::hash(secret.as_bytes()).map_err(|fault| anyhow::anyhow!(fault))?;
    let known = place.raw().clients.get(position).map(|client| client.secrets().to_vec()).unwrap_or_default();
    let versions = Versions::after(hash, &known, what.overlap, now);
    let list = YamlList { at: format!("clients[{position}].secrets"), items: versions.items };
    let written = replace_items(place, &list, |raw, items| raw.clients[position].secrets = Some(items));
    show("client secret", &secret, written)?;
    for (_, until) in versions.before {
        say(&format!("The secret before is good until {}.", format_time(until)))?;
    }
    Ok(())
}

/// Shows a new key or secret, also where the file could not be changed: whoever then writes into it what the error says
/// needs what is good by it.
fn show(what: &str, secret: &str, written: anyhow::Result<()>) -> anyhow::Result<()> {
    let standing = match &written {
        Ok(()) => "",
        Err(_) => "It is not good yet: the change has not been made. Make it as the error says, or forget this one.\n",
    };
    let shown = say(&format!("The {what}, shown this once:\n  {secret}\n{standing}"));
    shown.with_context(|| match &written {
        Ok(()) => format!("the new {what} is good but could not be shown, so nobody has it: rotate again"),
        Err(_) => format!("the new {what} could not be shown, and no file has been changed: rotate again"),
    })?;
    written
}

/// The list of a key's or secret's versions with a new one.
struct Versions {
    /// Newest first.
    items: Vec<String>,
    /// Each of those before the new one, and when it ends.
    before: Vec<(String, u64)>,
}

impl Versions {
    /// The new one before all that are live. Those that have no end yet get one; no end that has been told comes earlier.
    fn after(new: String, known: &[String], overlap: Duration, now: u64) -> Self {
        let end = now.saturating_add(overlap.as_secs());
        let live = known.iter().filter_map(|text| Validity::parse(text).ok()).filter(|dated| now < dated.until);
        let ended =
            live.map(|dated| Validity { until: if dated.until == u64::MAX { end } else { dated.until }, ..dated });
        let before: Vec<Validity<'_>> = ended.collect();
        Self {
            items: std::iter::once(new).chain(before.iter().map(Validity::text)).collect(),
            before: before.iter().map(|dated| (dated.value.to_owned(), dated.until)).collect(),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
