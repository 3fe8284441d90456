//! Who may call: clients, API keys, and the keys of the session cookie, read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::api_key::{self, ApiKeys};
use crate::auth::cookie::CookieKeys;
use crate::auth::{ApiKey, Client, SessionCookie, password};
use crate::config::raw;
use crate::config::{Config, Problems};

/// The clients by id.
pub(super) fn read_clients(config: &Config, problems: &mut Problems) -> HashMap<Arc<str>, Client> {
    let mut clients = HashMap::new();
    for (number, client) in config.raw().clients.iter().enumerate() {
        let mut secrets = Vec::new();
        for (nth, secret) in client.secrets.iter().enumerate() {
            match password::parse(secret) {
                Ok(hash) => secrets.push(hash),
                Err(fault) => problems.push(config.problem(
                    &format!("clients[{number}].secrets[{nth}]"),
                    fault,
                    "make a secret and its hash with `wicketgate new client-secret`",
                )),
            }
        }
        let id: Arc<str> = client.id.as_str().into();
        clients.insert(Arc::clone(&id), Client { id, secrets, scopes: client.scopes.clone() });
    }
    clients
}

/// The API keys by digest.
pub(super) fn read_api_keys(
    config: &Config,
    clients: &HashMap<Arc<str>, Client>,
    problems: &mut Problems,
) -> ApiKeys<Arc<ApiKey>> {
    let raw = config.raw();
    let numbers: HashMap<&str, u32> = raw.routes.iter().map(|route| route.name.as_str()).zip(0..).collect();
    let mut records = Vec::new();
    for (number, key) in raw.api_keys.iter().enumerate() {
        let mut routes: Vec<u32> = key.routes.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect();
        routes.sort_unstable();
        let client =
            key.client.as_deref().and_then(|client| clients.get_key_value(client)).map(|(id, _)| Arc::clone(id));
        let record = Arc::new(ApiKey { id: key.id.as_str().into(), client, routes });
        for (nth, digest) in key.sha256.iter().enumerate() {
            match api_key::parse_digest(digest) {
                Ok(digest) => records.push((digest, Arc::clone(&record))),
                Err(fault) => {
                    let at = format!("api_keys[{number}].sha256[{nth}]");
                    problems.push(config.problem(
                        &at,
                        fault,
                        "make a key and its digest with `wicketgate new api-key`",
                    ));
                }
            }
        }
    }
    ApiKeys::new(records).unwrap_or_else(|repeated| {
        let message = format!("two API keys have the digest of `{}`", repeated.id);
        problems.push(config.problem("api_keys", message, "make another key with `wicketgate new api-key`"));
        ApiKeys::default()
    })
}

/// The session cookie; `None` where one of its keys is not usable.
pub(super) fn read_cookie(config: &Config, cookie: &raw::Cookie, problems: &mut Problems) -> Option<SessionCookie> {
    let mut secrets = Vec::new();
    for (number, reference) in cookie.keys.iter().enumerate() {
        let at = format!("login.cookie.keys[{number}]");
        match config.read_secret(reference) {
            Ok(secret) if secret.expose().len() >= 32 => secrets.push(secret),
            Ok(_) => problems.push(config.problem(
                &at,
                "this key is shorter than 32 bytes",
                "make one with `openssl rand -hex 32`",
            )),
            Err((message, help)) => problems.push(config.problem(&at, message, help)),
        }
    }
    (secrets.len() == cookie.keys.len()).then(|| SessionCookie {
        name: cookie.name.clone(),
        keys: CookieKeys::new(&secrets),
        idle: cookie.idle.as_secs(),
    })
}
