//! Who may call: clients, API keys, and the keys of the session cookie, read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use super::ca_certificates::Authorities;
use super::client_certificates::{read_name, read_own};
use super::key_usage::Uses;
use super::remote_jwks::{self, Fault, Publisher};
use super::trusted_issuers::algorithm;
use super::{Lasting, issuer};
use crate::auth::client_assertion::Assertions;
use crate::auth::credentials::api_key::{self, ApiKeys};
use crate::auth::credentials::cookie::{CookieKey, CookieKeys};
use crate::auth::credentials::password;
use crate::auth::jwt::Keys;
use crate::auth::jwt::jwk_set::Algorithm;
use crate::auth::jwt::remote_jwks::Place;
use crate::auth::{ApiKey, ApiKeyVersion, Client, ClientSecret, SessionCookie};
use crate::config::{Config, Problems, raw};
use crate::hex::hex;
use crate::secret::Secret;
use crate::validity::{Dated, KeyVersion, parse_time};

/// The clients by id.
pub(super) fn read_clients(
    config: &Config,
    authorities: &Authorities<'_>,
    lasting: &Lasting,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> HashMap<Arc<str>, Client> {
    let usual = config.raw().issuer.as_ref().map(|issuer| issuer.audience.clone());
    let mut clients = HashMap::new();
    for (number, client) in config.raw().clients.iter().enumerate() {
        let at = format!("clients[{number}]");
        let secrets = read_secrets(config, &at, client, &lasting.uses, versions, problems);
        let assertions = match read_client_keys(config, authorities, client, lasting, versions) {
            Ok(keys) => keys.map(|keys| assertions(config.raw(), client, keys)),
            Err((key, message, help)) => {
                problems.push(config.problem(&format!("{at}.{key}"), message, help));
                None
            }
        };
        let id: Arc<str> = client.id.as_str().into();
        let named = client.certificate.as_ref();
        let certificate = named.and_then(|name| read_name(config, name, &format!("{at}.certificate"), problems));
        let named = client.tls_client_auth.as_ref();
        let tls_client_auth =
            named.and_then(|name| read_name(config, name, &format!("{at}.tls_client_auth"), problems));
        let certificates = read_own(config, client, number, problems);
        let client = Client {
            id: Arc::clone(&id),
            secrets,
            assertions,
            scopes: client.scopes.clone(),
            audiences: usual.iter().chain(&client.audiences).cloned().collect(),
            lifetime: client.lifetime.map(|lifetime| lifetime.as_secs()),
            certificate: certificate.map(Arc::new),
            certificate_bound: client.certificate_bound_tokens,
            tls_client_auth,
            certificates,
            introspect: client.introspect,
            revoke: client.revoke,
        };
        clients.insert(id, client);
    }
    clients
}

fn read_secrets(
    config: &Config,
    at: &str,
    client: &raw::Client,
    uses: &Uses,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> Vec<ClientSecret> {
    let mut secrets = Vec::new();
    for (nth, secret) in client.secrets().iter().enumerate() {
        let dated = Dated::parse(secret).and_then(|dated| Ok((dated, password::parse(dated.value)?)));
        match dated {
            Ok((dated, hash)) => {
                let version = short_digest(dated.value.as_bytes());
                let used = uses.of("client_secret", &client.id, &version);
                secrets.push(ClientSecret { hash, until: dated.until, used: Arc::clone(&used) });
                let id = client.id.clone();
                versions.push(KeyVersion { kind: "client_secret", id, version, from: 0, until: dated.until, used });
            }
            Err(fault) => problems.push(config.problem(
                &format!("{at}.secrets[{nth}]"),
                fault,
                "make a secret and its hash with `wicketgate new client-secret`",
            )),
        }
    }
    secrets
}

/// The keys that a client signs assertions with, where it has any.
fn read_client_keys(
    config: &Config,
    authorities: &Authorities<'_>,
    client: &raw::Client,
    lasting: &Lasting,
    versions: &mut Vec<KeyVersion>,
) -> Result<Option<Keys>, Fault> {
    // Beside the issuers of customers' tokens, whose names are addresses.
    let name = format!("client {}", client.id);
    let algorithms: Vec<Algorithm> = client.algorithms().iter().copied().map(algorithm).collect();
    match &client.jwks {
        None => Ok(None),
        Some(raw::Jwks::File(file)) => {
            let of = |id: &str| lasting.uses.of("client_key", &client.id, id);
            let keys = remote_jwks::read_file(config, &name, &file.file, &algorithms, |id| Some(of(id)))?;
            versions.extend(keys.key_ids().map(|id| KeyVersion {
                kind: "client_key",
                id: client.id.clone(),
                version: id.to_owned(),
                from: 0,
                until: u64::MAX,
                used: of(id),
            }));
            Ok(Some(Keys::Fixed(keys)))
        }
        Some(raw::Jwks::Url(url)) => {
            let publisher = Publisher {
                name: &name,
                place: Place::Url(url.clone()),
                algorithms,
                refresh: &raw::KeyRefresh::default(),
                ca: client.ca.as_deref(),
                plain: client.danger_plaintext,
                private: false,
            };
            publisher.keys(config, authorities, &lasting.published).map(Some)
        }
    }
}

/// An assertion is for the issuer, by its own name or by the address of its token endpoint (OpenID Connect Core 1.0
/// section 9), and for nobody else.
fn assertions(raw: &raw::Raw, client: &raw::Client, keys: Keys) -> Assertions {
    let audiences = raw.issuer.iter().flat_map(|issuer| {
        let endpoint = raw.access_token.as_ref().map(|token| issuer::at_root(issuer, &token.path));
        [issuer.url.clone()].into_iter().chain(endpoint)
    });
    let skew = raw.issuer.as_ref().map_or(0, |issuer| issuer.clock_skew.as_secs());
    Assertions::new(&client.id, audiences.collect(), keys, client.assertion_lifetime.as_secs(), skew)
}

/// Where API keys stand: gateway.yaml, and a file of their own.
pub(super) fn all_api_keys<'c>(config: &'c Config, problems: &mut Problems) -> Vec<Source<'c>> {
    let mut sources = vec![Source::Gateway(config)];
    if let Some(file) = &config.raw().api_keys_file {
        match config.read_api_keys(file) {
            Ok(keys) => sources.push(Source::File(Box::new(keys))),
            Err(found) => problems.extend(found),
        }
    }
    sources
}

/// A configuration with API keys.
pub(super) enum Source<'c> {
    Gateway(&'c Config),
    File(Box<Config>),
}

impl Source<'_> {
    fn config(&self) -> &Config {
        match self {
            Self::Gateway(config) => config,
            Self::File(config) => config,
        }
    }

    pub(super) fn raw(&self) -> &raw::Raw {
        self.config().raw()
    }
}

/// The API keys by digest.
pub(super) fn read_api_keys(
    sources: &[Source<'_>],
    clients: &HashMap<Arc<str>, Client>,
    uses: &Uses,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> ApiKeys<ApiKeyVersion> {
    let mut records = Vec::new();
    let mut ids: HashMap<&str, &Path> = HashMap::new();
    for config in sources.iter().map(Source::config) {
        let raw = config.raw();
        let numbers: HashMap<&str, u32> = raw.routes.iter().map(|route| route.name.as_str()).zip(0..).collect();
        for (number, key) in raw.api_keys.iter().enumerate() {
            let at = format!("api_keys[{number}]");
            match ids.entry(&key.id) {
                Entry::Vacant(free) => drop(free.insert(config.file())),
                Entry::Occupied(taken) if *taken.get() != config.file() => {
                    let message = format!("the API key id is already used in {}", taken.get().display());
                    problems.push(config.problem(&format!("{at}.id"), message, "change or remove one of the two"));
                }
                // Within one file that has been said.
                Entry::Occupied(_) => {}
            }
            let mut routes: Vec<u32> =
                key.routes.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect();
            routes.sort_unstable();
            let client = match key.client.as_deref().map(|client| clients.get_key_value(client)) {
                None => None,
                Some(Some((id, _))) => Some(Arc::clone(id)),
                // Its client has been taken out, and it speaks for nobody else.
                Some(None) => continue,
            };
            let record = ApiKey { id: key.id.as_str().into(), client, routes, allow: key.allow.clone() };
            let record = Arc::new(record);
            let expires = key.expires.as_deref().and_then(parse_time).unwrap_or(u64::MAX);
            for (nth, text) in key.sha256.iter().enumerate() {
                let read = Dated::parse(text).and_then(|dated| Ok((dated.until, api_key::parse_digest(dated.value)?)));
                match read {
                    Ok((until, digest)) => {
                        let (version, until) = (api_key::version(&digest), until.min(expires));
                        let used = uses.of("api_key", &key.id, &version);
                        records
                            .push((digest, ApiKeyVersion { key: Arc::clone(&record), until, used: Arc::clone(&used) }));
                        let id = key.id.clone();
                        versions.push(KeyVersion { kind: "api_key", id, version, from: 0, until, used });
                    }
                    Err(fault) => problems.push(config.problem(
                        &format!("{at}.sha256[{nth}]"),
                        fault,
                        "make a key and its digest with `wicketgate new api-key`",
                    )),
                }
            }
        }
    }
    ApiKeys::new(records).unwrap_or_else(|repeated| {
        let message = format!("two API keys have the digest of `{}`", repeated.key.id);
        if let Some(first) = sources.first() {
            let help = "make another key with `wicketgate new api-key`";
            problems.push(first.config().problem("api_keys", message, help));
        }
        ApiKeys::default()
    })
}

/// The session cookie; `None` where one of its keys is not usable.
pub(super) fn read_cookie(
    config: &Config,
    cookie: &raw::Cookie,
    uses: &Uses,
    problems: &mut Problems,
) -> Option<SessionCookie> {
    let count = problems.len();
    let mut keys = Vec::new();
    for (number, reference) in cookie.keys.iter().enumerate() {
        let at = format!("login.cookie.keys[{number}]");
        let lines = config
            .read_secret(reference)
            .and_then(|secret| key_lines(&secret).map_err(|fault| (fault, "write one key on each line".to_owned())));
        match lines {
            Ok(lines) if lines.iter().any(|line| line.secret.repeats_itself()) => problems.push(config.problem(
                &at,
                "this key repeats itself: anybody could guess it",
                "make one with `openssl rand -hex 32`",
            )),
            Ok(lines) if lines.iter().all(|line| line.secret.expose().len() >= 32) => {
                keys.extend(lines.iter().map(|line| {
                    let key = CookieKey::new(&line.secret, line.from, line.until);
                    let used = uses.of("cookie_key", "", key.name());
                    key.noted(used)
                }));
            }
            Ok(_) => problems.push(config.problem(
                &at,
                "this key is shorter than 32 bytes",
                "make one with `openssl rand -hex 32`",
            )),
            Err((message, help)) => problems.push(config.problem(&at, message, help)),
        }
    }
    (problems.len() == count).then(|| SessionCookie {
        name: cookie.name.clone(),
        keys: CookieKeys::dated(keys),
        idle: cookie.idle.as_secs(),
    })
}

/// A key in a file, with its times.
pub struct KeyLine {
    /// The key.
    pub secret: Secret,
    /// The first second in which it is given out.
    pub from: u64,
    /// The first second in which it is no longer accepted.
    pub until: u64,
}

/// The keys in a file, newest first: one on each line. What is not lines of visible ASCII is one key.
///
/// # Errors
/// What is wrong with a line, without the key.
pub fn key_lines(secret: &Secret) -> Result<Vec<KeyLine>, String> {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r');
    let text = secret.expose_str().filter(|text| text.as_bytes().iter().all(is_text));
    let Some(text) = text else {
        return Ok(vec![KeyLine { secret: secret.clone(), from: 0, until: u64::MAX }]);
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let dated = Dated::parse(line)?;
            Ok(KeyLine { secret: Secret::new(dated.value), from: dated.from, until: dated.until })
        })
        .collect()
}

fn short_digest(bytes: &[u8]) -> String {
    hex(&api_key::digest(bytes)[..6])
}
