//! Trusted issuers of customers' tokens, read.

use serde_json::Value;

use super::ca_certificates::Authorities;
use super::introspection::IntrospectorRegistry;
use super::remote_jwks::{self, JwksFault, JwksRegistry, Publisher};
use super::way_out;
use crate::auth::jwt::algorithm::Algorithm;
use crate::auth::jwt::claims::{ClaimPath, ClaimRule, ExpectedClaim};
use crate::auth::jwt::jwk_set::JwkSet;
use crate::auth::jwt::remote_jwks::JwksLocation;
use crate::auth::jwt::{Keys, Verifier};
use crate::auth::trusted_issuer::{TrustedIssuer, TrustedIssuers};
use crate::config::raw::{self, ClaimValue};
use crate::config::{Config, Problems};

/// The trusted issuers, by `iss`.
pub(super) fn read(
    config: &Config,
    authorities: &Authorities<'_>,
    registry: &JwksRegistry,
    introspectors: &IntrospectorRegistry,
    problems: &mut Problems,
) -> TrustedIssuers {
    let mut trusted = Vec::new();
    for (number, issuer) in config.raw().trusted_issuers.iter().enumerate() {
        let at = format!("trusted_issuers[{number}]");
        let read = read_keys(config, authorities, issuer, registry)
            .and_then(|keys| Ok((keys, introspectors.introspector(config, authorities, issuer)?)));
        match read {
            Ok((keys, introspector)) => {
                let verifier = verifier(issuer, keys);
                trusted.push((issuer.issuer.clone(), TrustedIssuer { verifier, introspector }));
            }
            Err((key, message, help)) => problems.push(config.problem(&format!("{at}.{key}"), message, help)),
        }
    }
    trusted.into_iter().collect()
}

fn verifier(issuer: &raw::TrustedIssuer, keys: Keys) -> Verifier {
    let audiences = issuer.audiences.clone();
    let subject = ClaimPath::parse(&issuer.subject);
    let verifier = Verifier::trusted(issuer.issuer.clone(), audiences, keys, issuer.clock_skew.as_secs(), subject)
        .living_at_most(issuer.max_lifetime.map(|longest| longest.as_secs()))
        .with_rules(issuer.claims.iter().map(|(claim, rule)| claim_rule(claim, rule)).collect())
        .forwarding(&issuer.forward_claims)
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
        raw::ClaimRule::Equals(one) => ExpectedClaim::OneOf(vec![value(one)]),
        raw::ClaimRule::OneOf(values) => ExpectedClaim::OneOf(values.iter().map(value).collect()),
        raw::ClaimRule::Contains(one) => ExpectedClaim::Contains(value(one)),
        raw::ClaimRule::Present(_) => ExpectedClaim::Present,
    };
    ClaimRule { claim: ClaimPath::parse(claim), expected }
}

fn read_keys(
    config: &Config,
    authorities: &Authorities<'_>,
    issuer: &raw::TrustedIssuer,
    registry: &JwksRegistry,
) -> Result<Keys, JwksFault> {
    let algorithms: Vec<Algorithm> = issuer.algorithms.iter().copied().map(algorithm).collect();
    if let Some(reference) = &issuer.secret {
        let secret = config.read_secret(reference).map_err(|(message, help)| ("secret", message, help))?;
        if secret.repeats_itself() {
            let message = "this secret repeats itself: anybody could guess it, and sign".to_owned();
            return Err(("secret", message, "agree with the issuer on a random one".to_owned()));
        }
        let keys = JwkSet::from_secret(&secret, &algorithms);
        let keys = keys.map_err(|fault| ("secret", fault, "agree with the issuer on a longer secret".to_owned()))?;
        return Ok(Keys::Fixed(keys));
    }
    let place = match &issuer.jwks {
        Some(raw::Jwks::File(file)) => {
            let keys = remote_jwks::read_file(config, &issuer.issuer, &file.file, &algorithms, |_| None)?;
            return Ok(Keys::Fixed(keys));
        }
        Some(raw::Jwks::Url(url)) => JwksLocation::Url(url.clone()),
        None => match &issuer.discovery {
            raw::Discovery::Url(url) => JwksLocation::Metadata(url.clone()),
            raw::Discovery::Flag(true) => JwksLocation::Discovery,
            raw::Discovery::Flag(false) => return Ok(Keys::Nowhere),
        },
    };
    let publisher = Publisher {
        name: &issuer.issuer,
        place,
        algorithms,
        refresh: &issuer.refresh,
        ca: issuer.ca.as_deref(),
        plain: issuer.danger_plaintext,
        private: issuer.danger_private_addresses,
        proxies: way_out::read(config, issuer.proxy.as_ref())?,
    };
    publisher.keys(config, authorities, registry)
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
