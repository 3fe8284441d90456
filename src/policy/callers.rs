//! Who may call: clients, API keys, and the keys of the session cookie, read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::client_trust::read_name;
use super::uses::Uses;
use crate::auth::api_key::{self, ApiKeys};
use crate::auth::cookie::{CookieKey, CookieKeys};
use crate::auth::{ApiKey, ApiKeyVersion, Client, ClientSecret, SessionCookie, password};
use crate::config::raw;
use crate::config::{Config, Problems};
use crate::dated::{Dated, KeyVersion, parse_time};
use crate::secret::Secret;
use crate::state::session::hex;

/// The clients by id.
pub(super) fn read_clients(
    config: &Config,
    uses: &Uses,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> HashMap<Arc<str>, Client> {
    let mut clients = HashMap::new();
    for (number, client) in config.raw().clients.iter().enumerate() {
        let mut secrets = Vec::new();
        for (nth, secret) in client.secrets.iter().enumerate() {
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
                    &format!("clients[{number}].secrets[{nth}]"),
                    fault,
                    "make a secret and its hash with `wicketgate new client-secret`",
                )),
            }
        }
        let id: Arc<str> = client.id.as_str().into();
        let named = client.certificate.as_ref();
        let certificate =
            named.and_then(|name| read_name(config, name, &format!("clients[{number}].certificate"), problems));
        let certificate = certificate.map(Arc::new);
        clients.insert(Arc::clone(&id), Client { id, secrets, scopes: client.scopes.clone(), certificate });
    }
    clients
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
    let mut ids: HashMap<String, String> = HashMap::new();
    for config in sources.iter().map(Source::config) {
        let raw = config.raw();
        let numbers: HashMap<&str, u32> = raw.routes.iter().map(|route| route.name.as_str()).zip(0..).collect();
        for (number, key) in raw.api_keys.iter().enumerate() {
            let at = format!("api_keys[{number}]");
            match ids.entry(key.id.clone()) {
                Entry::Vacant(free) => drop(free.insert(config.file().display().to_string())),
                Entry::Occupied(taken) if *taken.get() != config.file().display().to_string() => {
                    let message = format!("the API key id is already used in {}", taken.get());
                    problems.push(config.problem(&format!("{at}.id"), message, "change or remove one of the two"));
                }
                // Within one file that has been said.
                Entry::Occupied(_) => {}
            }
            let mut routes: Vec<u32> =
                key.routes.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect();
            routes.sort_unstable();
            let client =
                key.client.as_deref().and_then(|client| clients.get_key_value(client)).map(|(id, _)| Arc::clone(id));
            let record = ApiKey { id: key.id.as_str().into(), client, routes, allow: key.allow.clone() };
            let record = Arc::new(record);
            let expires = key.expires.as_deref().and_then(parse_time).unwrap_or(u64::MAX);
            for (nth, text) in key.sha256.iter().enumerate() {
                let read = Dated::parse(text).and_then(|dated| Ok((dated.until, api_key::parse_digest(dated.value)?)));
                match read {
                    Ok((until, digest)) => {
                        let (version, until) = (hex(&digest[..6]), until.min(expires));
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
