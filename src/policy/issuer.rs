//! Issuer of our own tokens, read: signing keys, JWK set, metadata.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use super::access_token;
use super::key_usage::Uses;
use super::protected_resource::{self, Resources};
use super::trusted_issuers::algorithm;
use crate::auth::dpop;
use crate::auth::jwt::signing_keys::{KeyFile, Schedule, SigningKeys};
use crate::auth::jwt::{TokenKind, Verifier};
use crate::config::raw::{self, GrantType, Raw};
use crate::config::{Config, Problems};
use crate::secret::Secret;

/// The tokens that this gateway signs.
pub struct Issuer {
    /// Their `iss`.
    pub url: String,
    /// Their `aud`.
    pub audience: String,
    /// The published resources, which are names of audiences too.
    pub(crate) resources: Resources,
    /// By how many seconds other clocks may differ.
    pub clock_skew: u64,
    /// The signing keys.
    pub keys: SigningKeys,
    /// The public keys as a JWK set.
    pub jwks: Bytes,
    /// The public keys as certificates.
    pub certificates: Bytes,
    /// Authorization server metadata (RFC 8414).
    pub metadata: Bytes,
}

/// Reads the signing keys; what is wrong goes to `problems`.
pub(super) fn read(config: &Config, issuer: &raw::Issuer, uses: &Uses, problems: &mut Problems) -> Option<Issuer> {
    let at = "issuer.signing_keys";
    let directory = config.resolve(&issuer.signing_keys);
    let listing = match config.list_directory(&issuer.signing_keys) {
        Ok(listing) => listing,
        Err(message) => {
            problems.push(config.problem(
                at,
                message,
                "make the directory and a key in it with `wicketgate new signing-key`",
            ));
            return None;
        }
    };
    let mut pems = Vec::new();
    let mut readable = true;
    for path in listing {
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        match config.read_private_file(&path) {
            Ok(pem) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                pems.push(KeyFile { name, pem: Secret::new(pem), placed: placed(&path) });
            }
            Err((message, help)) => {
                problems.push(config.problem(at, message, help));
                readable = false;
            }
        }
    }
    if pems.is_empty() && readable {
        let message = format!("no private key (*.pem) in {}", directory.display());
        problems.push(config.problem(at, message, "make one with `wicketgate new signing-key`"));
    }
    if pems.is_empty() || !readable {
        return None;
    }
    let schedule = Schedule {
        delay: issuer.publish_delay.as_secs(),
        longest: longest_life(config.raw()).saturating_add(issuer.clock_skew.as_secs()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match SigningKeys::scheduled(pems, &issuer.url, schedule, |id| uses.of("signing_key", "", id)) {
        Ok(keys) => Some(Issuer {
            url: issuer.url.clone(),
            audience: issuer.audience.clone(),
            resources: protected_resource::audiences(config.raw()),
            clock_skew: issuer.clock_skew.as_secs(),
            jwks: keys.jwks(now).into(),
            certificates: keys.certificates_pem(now).into(),
            metadata: metadata(config.raw(), issuer).to_string().into(),
            keys,
        }),
        Err(faults) => {
            for (file, fault) in faults {
                let message = format!("{}: {fault}", directory.join(file).display());
                problems.push(config.problem(at, message, "make a new key with `wicketgate new signing-key`"));
            }
            None
        }
    }
}

/// Path of the metadata: the path of the issuer comes last (RFC 8414 section 3.1).
pub(super) fn metadata_path(issuer: &raw::Issuer) -> String {
    let rest = issuer.url.split_once("://").map_or(issuer.url.as_str(), |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
    format!("/.well-known/oauth-authorization-server{}", path.trim_end_matches('/'))
}

/// RFC 8414 section 2.
fn metadata(raw: &Raw, issuer: &raw::Issuer) -> Value {
    let at = |path: &str| Value::from(issuer.at_root(path));
    let mut metadata = json!({
        "issuer": issuer.url, "jwks_uri": at("/.well-known/jwks.json"), "response_types_supported": [],
    });
    let Some(token) = &raw.access_token else { return metadata };
    let refreshes = raw.login.as_ref().is_some_and(|login| login.refresh.is_some());
    let mut grants: Vec<&str> = access_token::grant_types(raw).into_iter().map(GrantType::as_str).collect();
    grants.extend(refreshes.then_some("refresh_token"));
    if raw.authorizes_customers() {
        grants.push("authorization_code");
        metadata["authorization_endpoint"] = at("/oauth/authorize");
        metadata["response_types_supported"] = ["code"].into();
        metadata["response_modes_supported"] = ["query"].into();
        metadata["code_challenge_methods_supported"] = ["S256"].into();
        metadata["prompt_values_supported"] = ["none", "login"].into();
        // RFC 9207 section 3.
        metadata["authorization_response_iss_parameter_supported"] = true.into();
    }
    let mut scopes: Vec<&str> = raw.clients.iter().flat_map(|client| &client.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let methods = client_authentication_methods(raw);
    let algorithms = assertion_algorithms(raw);
    metadata["token_endpoint"] = at(&token.path);
    metadata["grant_types_supported"] = grants.into();
    metadata["scopes_supported"] = scopes.into();
    for endpoint in ["token", "revocation", "introspection"] {
        metadata[format!("{endpoint}_endpoint_auth_methods_supported")] = methods.clone().into();
        if !algorithms.is_empty() {
            metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")] = algorithms.clone().into();
        }
    }
    let is_public = raw.clients.iter().any(|client| client.public);
    if (refreshes || is_public)
        && let Some(methods) = metadata["token_endpoint_auth_methods_supported"].as_array_mut()
    {
        // A refresh token is good without any, and a public client has none.
        methods.push("none".into());
    }
    if is_public && let Some(methods) = metadata["revocation_endpoint_auth_methods_supported"].as_array_mut() {
        methods.push("none".into());
    }
    if raw.listen.iter().filter_map(|listen| listen.tls.as_ref()).any(|tls| tls.client_ca.is_some()) {
        metadata["tls_client_certificate_bound_access_tokens"] = true.into();
    }
    if raw.routes.iter().any(|route| route.dpop.is_some()) {
        let names: Vec<&str> = dpop::ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect();
        metadata["dpop_signing_alg_values_supported"] = names.into();
    }
    metadata["revocation_endpoint"] = at("/oauth/revoke");
    metadata["introspection_endpoint"] = at("/oauth/introspect");
    metadata
}

/// `token_endpoint_auth_methods_supported`: the methods of the configured clients.
fn client_authentication_methods(raw: &Raw) -> Vec<&'static str> {
    let mut methods = Vec::new();
    if raw.clients.iter().any(|client| !client.secrets().is_empty()) {
        methods.extend(["client_secret_basic", "client_secret_post"]);
    }
    if raw.clients.iter().any(|client| client.jwks.is_some()) {
        methods.push("private_key_jwt");
    }
    if raw.clients.iter().any(|client| client.tls_client_auth.is_some()) {
        methods.push("tls_client_auth");
    }
    if raw.clients.iter().any(|client| !client.certificates.is_empty()) {
        methods.push("self_signed_tls_client_auth");
    }
    methods
}

/// `token_endpoint_auth_signing_alg_values_supported`: the assertion algorithms of the configured clients.
fn assertion_algorithms(raw: &Raw) -> Vec<&'static str> {
    let signing = raw.clients.iter().filter(|client| client.jwks.is_some());
    let mut names: Vec<_> = signing.flat_map(|client| client.algorithms()).map(|one| algorithm(*one).name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The time at which the file was put in place, in seconds since 1970: earlier times say nothing about others who know
/// it here.
fn placed(path: &Path) -> u64 {
    let changed = std::fs::metadata(path).map(|metadata| metadata.ctime());
    changed.ok().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
}

/// Longest lifetime of a token, in seconds; at least a day, as tokens of an earlier configuration may live longer.
fn longest_life(raw: &Raw) -> u64 {
    const DAY: u64 = 24 * 3600;
    let usual = [raw.login.as_ref().map(|login| login.lifetime), raw.access_token.as_ref().map(|token| token.lifetime)];
    let lives = usual.into_iter().chain(raw.clients.iter().map(|client| client.lifetime));
    lives.flatten().map(|life| life.as_secs()).fold(DAY, u64::max)
}

impl Issuer {
    /// The audience that a client names (RFC 8707 section 2), by itself or by a published resource: the usual one, or one of
    /// `others`. `None` for any other.
    pub fn audience_named<'a>(&'a self, named: &'a str, usual: &'a str, others: &[String]) -> Option<&'a str> {
        let is_allowed = |audience: &str| usual == audience || others.iter().any(|other| other == audience);
        if is_allowed(named) {
            return Some(named);
        }
        let audiences = self.resources.get(named)?;
        if audiences.contains(usual) {
            return Some(usual);
        }
        audiences.iter().map(String::as_str).find(|audience| is_allowed(audience))
    }

    /// Checks the customers' tokens that this gateway has signed.
    pub(super) fn customer_verifier(&self, raw: &Raw) -> Verifier {
        let audiences = self.all_audiences(raw);
        let forwarded = raw.login.as_ref().map(|login| &login.forward_claims[..]).unwrap_or_default();
        Verifier::own(TokenKind::Customer, self.url.clone(), audiences, self.keys.key_set(), self.clock_skew)
            .forwarding(forwarded)
    }

    /// The usual audience, and those that are set apart.
    fn audiences(&self, raw: &Raw) -> Vec<String> {
        let isolated_audience = raw.listen.iter().filter_map(|listen| listen.audience.clone());
        std::iter::once(self.audience.clone()).chain(isolated_audience).collect()
    }

    /// Checks the access tokens that this gateway has signed, whomever of us they are for: each route wants its own.
    pub(super) fn access_verifier(&self, raw: &Raw) -> Verifier {
        let audiences = self.all_audiences(raw);
        Verifier::own(TokenKind::Access, self.url.clone(), audiences, self.keys.key_set(), self.clock_skew)
    }

    /// The audiences of all tokens: also those that only clients may ask for.
    fn all_audiences(&self, raw: &Raw) -> Vec<String> {
        let mut audiences = self.audiences(raw);
        audiences.extend(raw.clients.iter().flat_map(|client| client.audiences.iter().cloned()));
        audiences.extend(raw.routes.iter().filter_map(|route| route.audience.clone()));
        audiences.sort_unstable();
        audiences.dedup();
        audiences
    }
}
