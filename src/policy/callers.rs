//! Who may call: clients, API keys, other issuers, and the keys of the session cookie, read.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::api_key::{self, ApiKeys};
use crate::auth::cookie::CookieKeys;
use crate::auth::jwt::Verifier;
use crate::auth::keys::{Algorithm, KeySet};
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

/// The verifiers of other issuers' tokens, by `iss`.
pub(super) fn read_trusted(config: &Config, problems: &mut Problems) -> HashMap<String, Verifier> {
    let mut trusted = HashMap::new();
    for (number, issuer) in config.raw().trusted_issuers.iter().enumerate() {
        let at = format!("trusted_issuers[{number}].jwks");
        let raw::Jwks::File(file) = &issuer.jwks;
        let json = match config.read_file(file) {
            Ok(json) => json,
            Err((message, help)) => {
                problems.push(config.problem(&at, message, help));
                continue;
            }
        };
        let algorithms: Vec<_> = issuer.algorithms.iter().copied().map(algorithm).collect();
        match KeySet::from_jwks(&json, &algorithms) {
            Ok((keys, ignored)) => {
                for warning in ignored {
                    tracing::warn!(issuer = %issuer.issuer, "a key of this issuer is ignored: {warning}");
                }
                let verifier = Verifier::trusted(
                    issuer.issuer.clone(),
                    issuer.audiences.clone(),
                    keys,
                    issuer.clock_skew.as_secs(),
                    issuer.subject.clone(),
                );
                trusted.insert(issuer.issuer.clone(), verifier);
            }
            Err(fault) => {
                let message = format!("{}: {fault}", config.resolve(file).display());
                problems.push(config.problem(
                    &at,
                    message,
                    "put a JWK set with the issuer's public signing keys there",
                ));
            }
        }
    }
    trusted
}

fn algorithm(algorithm: raw::SignatureAlgorithm) -> Algorithm {
    use raw::SignatureAlgorithm as From;
    match algorithm {
        From::RS256 => Algorithm::Rs256,
        From::RS384 => Algorithm::Rs384,
        From::RS512 => Algorithm::Rs512,
        From::PS256 => Algorithm::Ps256,
        From::PS384 => Algorithm::Ps384,
        From::PS512 => Algorithm::Ps512,
        From::ES256 => Algorithm::Es256,
        From::ES384 => Algorithm::Es384,
        From::EdDSA => Algorithm::EdDsa,
    }
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
