//! Issuers of customers' tokens besides this gateway, read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use serde_json::Value;

use super::trust;
use crate::auth::claims::{ClaimPath, ClaimRule, Expected};
use crate::auth::jwt::{Keys, Verifier};
use crate::auth::keys::{Algorithm, KeySet};
use crate::auth::published::{Place, PublishedKeys, Source};
use crate::config::raw::{self, ClaimValue};
use crate::config::{Config, Problems};
use crate::fetch::Fetcher;
use crate::state::session::hex;

/// What outlives a policy: keys that have been fetched.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<HashMap<String, Weak<PublishedKeys>>>);

impl Registry {
    /// The keys of this description, as they are held already or made now.
    fn get(&self, description: String, make: impl FnOnce() -> PublishedKeys) -> Arc<PublishedKeys> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, keys| keys.strong_count() > 0);
        if let Some(keys) = known.get(&description).and_then(Weak::upgrade) {
            return keys;
        }
        let keys = Arc::new(make());
        known.insert(description, Arc::downgrade(&keys));
        keys
    }
}

/// The verifiers of other issuers' tokens, by `iss`.
pub(super) fn read(config: &Config, registry: &Registry, problems: &mut Problems) -> HashMap<String, Verifier> {
    let mut trusted = HashMap::new();
    for (number, issuer) in config.raw().trusted_issuers.iter().enumerate() {
        let at = format!("trusted_issuers[{number}]");
        match read_keys(config, issuer, registry) {
            Ok(keys) => {
                trusted.insert(issuer.issuer.clone(), verifier(issuer, keys));
            }
            Err((key, message, help)) => problems.push(config.problem(&format!("{at}.{key}"), message, help)),
        }
    }
    trusted
}

fn verifier(issuer: &raw::TrustedIssuer, keys: Keys) -> Verifier {
    let audiences = issuer.audiences.clone();
    let subject = ClaimPath::parse(&issuer.subject);
    let verifier = Verifier::trusted(issuer.issuer.clone(), audiences, keys, issuer.clock_skew.as_secs(), subject)
        .living_at_most(issuer.max_lifetime.map(|longest| longest.as_secs()))
        .with_rules(issuer.claims.iter().map(|(claim, rule)| claim_rule(claim, rule)).collect())
        .within(issuer.tenant.clone().unwrap_or_else(|| issuer.issuer.clone()));
    match &issuer.types {
        None => verifier,
        Some(types) => verifier.of_types(types.iter().cloned().map(Some)),
    }
}

fn claim_rule(claim: &str, rule: &raw::ClaimRule) -> ClaimRule {
    let value = |value: &ClaimValue| match value {
        ClaimValue::Text(text) => Value::from(text.as_str()),
        ClaimValue::Flag(flag) => Value::from(*flag),
        ClaimValue::Number(number) => Value::from(*number),
    };
    let expected = match rule {
        raw::ClaimRule::Equals(one) => Expected::OneOf(vec![value(one)]),
        raw::ClaimRule::OneOf(values) => Expected::OneOf(values.iter().map(value).collect()),
        raw::ClaimRule::Contains(one) => Expected::Contains(value(one)),
        raw::ClaimRule::Present(_) => Expected::Present,
    };
    ClaimRule { claim: ClaimPath::parse(claim), expected }
}

/// The key of the configuration at which something is wrong, what, and what to do.
type Fault = (&'static str, String, String);

fn read_keys(config: &Config, issuer: &raw::TrustedIssuer, registry: &Registry) -> Result<Keys, Fault> {
    let algorithms: Vec<Algorithm> = issuer.algorithms.iter().copied().map(algorithm).collect();
    if let Some(reference) = &issuer.secret {
        let secret = config.read_secret(reference).map_err(|(message, help)| ("secret", message, help))?;
        let keys = KeySet::from_secret(&secret, &algorithms);
        let keys = keys.map_err(|fault| ("secret", fault, "agree with the issuer on a longer secret".to_owned()))?;
        return Ok(Keys::Fixed(keys));
    }
    match &issuer.jwks {
        Some(raw::Jwks::File(file)) => {
            let keys = read_file(config, &issuer.issuer, &file.file, &algorithms);
            keys.map(Keys::Fixed).map_err(|(message, help)| ("jwks", message, help))
        }
        Some(raw::Jwks::Url(url)) => published(config, issuer, Place::Url(url.clone()), algorithms, registry),
        None => published(config, issuer, Place::Discovery, algorithms, registry),
    }
}

/// The usable keys of a JWK set in a file; a warning for each other.
pub(super) fn read_file(
    config: &Config,
    whose: &str,
    file: &std::path::Path,
    algorithms: &[Algorithm],
) -> Result<KeySet, (String, String)> {
    let json = config.read_file(file)?;
    let (keys, ignored) = KeySet::from_jwks(&json, algorithms).map_err(|fault| {
        let message = format!("{}: {fault}", config.resolve(file).display());
        (message, "put a JWK set with the issuer's public signing keys there".to_owned())
    })?;
    for warning in ignored {
        tracing::warn!(issuer = whose, "a key of this issuer is ignored: {warning}");
    }
    Ok(keys)
}

fn published(
    config: &Config,
    issuer: &raw::TrustedIssuer,
    place: Place,
    algorithms: Vec<Algorithm>,
    registry: &Registry,
) -> Result<Keys, Fault> {
    let roots = trust::roots(config, issuer.ca.as_deref()).map_err(|(message, help)| ("ca", message, help))?;
    let refresh = &issuer.refresh;
    // What decides about the fetching; all else may change without another fetch.
    let description = format!(
        "{} {place:?} {algorithms:?} {refresh:?} {} {} {:?}",
        issuer.issuer, issuer.danger_plain_http, issuer.danger_private_addresses, issuer.ca
    );
    let ca: Vec<u8> = roots.roots.iter().flat_map(|anchor| anchor.subject_public_key_info.to_vec()).collect();
    let description = format!("{description} {}", hex(digest::digest(&digest::SHA256, &ca).as_ref()));
    let tls = trust::client(roots)
        .ok_or_else(|| ("ca", "these certificates cannot be used".to_owned(), "give others".to_owned()))?;
    let name = digest::digest(&digest::SHA256, format!("{} {place:?}", issuer.issuer).as_bytes());
    let source = Source {
        issuer: issuer.issuer.clone(),
        place,
        algorithms,
        interval: refresh.interval.get(),
        cooldown: refresh.cooldown.get(),
        keep: refresh.keep.get(),
        fetcher: Fetcher {
            tls,
            plain: issuer.danger_plain_http,
            private: issuer.danger_private_addresses,
            timeout: refresh.timeout.get(),
        },
        copy: config.data_directory().join("issuers").join(format!("{}.json", hex(&name.as_ref()[..16]))),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Keys::Published(registry.get(description, || PublishedKeys::new(source, now))))
}

pub(super) fn algorithm(algorithm: raw::SignatureAlgorithm) -> Algorithm {
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
        From::ES512 => Algorithm::Es512,
        From::EdDSA => Algorithm::EdDsa,
        From::HS256 => Algorithm::Hs256,
        From::HS384 => Algorithm::Hs384,
        From::HS512 => Algorithm::Hs512,
    }
}
