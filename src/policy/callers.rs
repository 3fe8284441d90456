//! Clients with their secrets and keys, and the keys of the session cookie, read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::Lasting;
use super::ca_certificates::Authorities;
use super::client_certificates::{client_authority, is_trusted_somewhere, read_name, read_own};
use super::key_lines::key_lines;
use super::key_usage::Uses;
use super::remote_jwks::{self, JwksFault, Publisher};
use super::trusted_issuers::{algorithm, claim_value};
use crate::auth::client_assertion::Assertions;
use crate::auth::credentials::cookie::{CookieKey, CookieKeys};
use crate::auth::credentials::{api_key, password};
use crate::auth::jwt::Keys;
use crate::auth::jwt::algorithm::Algorithm;
use crate::auth::jwt::remote_jwks::JwksLocation;
use crate::auth::redirect_uris::RedirectUris;
use crate::auth::tls::certificate::CertificateName;
use crate::auth::tls::client_authority::AuthorityId;
use crate::auth::{Client, ClientSecret, SessionCookie};
use crate::config::raw::FilePath;
use crate::config::{Config, Problems, raw};
use crate::fetch::Proxies;
use crate::hex::hex;
use crate::key_validity::{KeyVersion, Validity};

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
        let secrets = read_secrets(config, &at, client, &lasting.uses, problems);
        let (secrets, of_secrets): (Vec<_>, Vec<_>) = secrets.into_iter().unzip();
        versions.extend(of_secrets);
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
        let authority = client.client_ca.as_ref().and_then(|file| read_authority(config, file, &at, problems));
        let of_authority = |name: CertificateName| CertificateName { authority, ..name };
        let certificates = read_own(config, client, number, problems);
        let client = Client {
            id: Arc::clone(&id),
            secrets,
            assertions,
            scopes: client.scopes.clone(),
            audiences: usual.iter().chain(&client.audiences).cloned().collect(),
            lifetime: client.lifetime.map(|lifetime| lifetime.as_secs()),
            claims: claims(config.raw(), client),
            certificate: certificate.map(of_authority).map(Arc::new),
            certificate_bound: client.certificate_bound_tokens,
            tls_client_auth: tls_client_auth.map(of_authority),
            certificates,
            grant_types: client.grant_types().to_vec(),
            redirect_uris: RedirectUris::new(client.redirect_uris.clone(), client.public),
            is_public: client.public,
            requires_pkce: client.pkce == raw::Pkce::Required,
            introspect: client.introspect,
            revoke: client.revoke,
        };
        clients.insert(id, client);
    }
    clients
}

/// The claims of a client that go into its access tokens.
fn claims(raw: &raw::Raw, client: &raw::Client) -> BTreeMap<String, Value> {
    let listed = raw.access_token.as_ref().map(|token| &token.claims[..]).unwrap_or_default();
    let found = client.claims.iter().filter(|(name, _)| listed.contains(name));
    found.map(|(name, value)| (name.clone(), claim_value(value))).collect()
}

/// The name of the CA of a client.
fn read_authority(config: &Config, file: &FilePath, at: &str, problems: &mut Problems) -> Option<AuthorityId> {
    match client_authority(config, file) {
        Ok(authority) => {
            if !is_trusted_somewhere(config, file) {
                let message = "no listener's client_ca has one of these certificates, or one that belongs to them";
                let help = "a listener must trust them too, or the handshake fails";
                let warning = config.warning(&format!("{at}.client_ca"), message.to_owned(), help);
                tracing::warn!(place = warning.place, help, "{message}");
            }
            Some(authority.id())
        }
        Err((message, help)) => {
            problems.push(config.problem(&format!("{at}.client_ca"), message, help));
            None
        }
    }
}

/// The secrets of a client, each with its version as `wicketgate keys` shows it.
fn read_secrets(
    config: &Config,
    at: &str,
    client: &raw::Client,
    uses: &Uses,
    problems: &mut Problems,
) -> Vec<(ClientSecret, KeyVersion)> {
    let mut secrets = Vec::new();
    for (nth, secret) in client.secrets().iter().enumerate() {
        let dated = Validity::parse(secret).and_then(|dated| Ok((dated, password::parse(dated.value)?)));
        match dated {
            Ok((dated, hash)) => {
                let version = short_digest(dated.value.as_bytes());
                let used = uses.of("client_secret", &client.id, &version);
                let secret = ClientSecret { hash, until: dated.until, used: Arc::clone(&used) };
                let id = client.id.clone();
                secrets.push((
                    secret,
                    KeyVersion { kind: "client_secret", id, version, from: 0, until: dated.until, used },
                ));
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
) -> Result<Option<Keys>, JwksFault> {
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
        Some(raw::Jwks::Pem(file)) => {
            remote_jwks::read_pem(config, &name, &file.pem, &algorithms).map(|keys| Some(Keys::Fixed(keys)))
        }
        Some(raw::Jwks::Url(url)) => {
            let publisher = Publisher {
                name: &name,
                place: JwksLocation::Url(url.clone()),
                algorithms,
                // Nothing of a client's could switch it off.
                refresh: &raw::KeyRefresh { strict: true, ..raw::KeyRefresh::default() },
                ca: client.ca.as_deref(),
                plain: client.danger_plaintext,
                private: false,
                proxies: Proxies::Environment,
            };
            publisher.keys(config, authorities, &lasting.published).map(Some)
        }
    }
}

/// An assertion is for the issuer, by its own name or by the address of its token endpoint (OpenID Connect Core 1.0
/// section 9), and for nobody else.
fn assertions(raw: &raw::Raw, client: &raw::Client, keys: Keys) -> Assertions {
    let audiences = raw.issuer.iter().flat_map(|issuer| {
        let endpoint = raw.access_token.as_ref().map(|token| issuer.at_root(&token.path));
        [issuer.url.clone()].into_iter().chain(endpoint)
    });
    let skew = raw.issuer.as_ref().map_or(0, |issuer| issuer.clock_skew.as_secs());
    Assertions::new(&client.id, audiences.collect(), keys, client.assertion_lifetime.as_secs(), skew)
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

fn short_digest(bytes: &[u8]) -> String {
    hex(&api_key::digest(bytes)[..6])
}
