//! Trusted issuers, read.

use std::sync::Arc;

use serde_json::Value;

use super::ca_certificates::Authorities;
use super::introspection::IntrospectorRegistry;
use super::remote_jwks::{self, JwksFault, JwksRegistry, Publisher};
use super::way_out;
use crate::auth::IssuerNumber;
use crate::auth::client_role::ClientRole;
use crate::auth::jwt::algorithm::Algorithm;
use crate::auth::jwt::claims::{ClaimPath, ClaimRule, ExpectedClaim};
use crate::auth::jwt::jwk_set::JwkSet;
use crate::auth::jwt::remote_jwks::JwksLocation;
use crate::auth::jwt::security_event::{EventKind, EventVerifier};
use crate::auth::jwt::{Keys, Verifier};
use crate::auth::opaque_token::Introspector;
use crate::auth::trusted_issuer::{ProviderEvents, TrustedIssuer, TrustedIssuers};
use crate::config::raw::{self, AcceptedAudiences, ClaimValue, NoAudience};
use crate::config::{Config, Problems};
use crate::state::{LONGEST, LONGEST_SKEW};

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
        let entry = read_keys(config, authorities, issuer, registry).and_then(|keys| {
            let introspector = introspectors.introspector(config, authorities, issuer)?;
            Ok(Entry { config, issuer, number, keys, introspector })
        });
        match entry.and_then(|entry| issuer.spellings().into_iter().map(|iss| entry.of_spellings(iss)).collect()) {
            Ok(issuers) => trusted.extend::<Vec<_>>(issuers),
            Err((key, message, help)) => problems.push(config.problem(&format!("{at}.{key}"), message, help)),
        }
    }
    trusted.into_iter().collect()
}

/// An entry of `trusted_issuers`: one issuer, or one for each of its tenants.
struct Entry<'c> {
    config: &'c Config,
    issuer: &'c raw::TrustedIssuer,
    number: usize,
    keys: Keys,
    introspector: Option<Arc<Introspector>>,
}

impl Entry<'_> {
    /// The issuer, or the tenant, with these values of `iss`.
    fn of_spellings(&self, spellings: Vec<String>) -> Result<(Vec<String>, TrustedIssuer), JwksFault> {
        let issuer = self.issuer;
        let verifier = verifier(issuer, &spellings, self.keys.clone());
        let is_for_clients = issuer.is_for(raw::IssuerRole::Client);
        let trusted = TrustedIssuer {
            number: IssuerNumber::at_place(self.number),
            clients: issuer.client.as_ref().filter(|_| is_for_clients).map(|role| {
                Box::new(ClientRole {
                    verifier: verifier.clone().of_subject(ClaimPath::parse(&role.id)),
                    scopes: ClaimPath::parse(&role.scopes),
                    any: role.any,
                    rules: role.claims.iter().map(|(claim, rule)| claim_rule(claim, rule)).collect(),
                })
            }),
            customers: issuer.is_for(raw::IssuerRole::Customer),
            events: events(self.config, issuer, &verifier)?,
            introspector: self.introspector.clone(),
            verifier,
        };
        Ok((spellings, trusted))
    }
}

/// The issuers of these names, for `routes[].issuers`; `None` for all.
pub(super) fn numbers_of(raw: &raw::Raw, named: &[String]) -> Option<Box<[IssuerNumber]>> {
    let number = |name: &String| {
        if raw.issuer.as_ref().is_some_and(|own| own.url == *name) {
            return Some(IssuerNumber::OWN);
        }
        raw.trusted_issuers.iter().position(|issuer| issuer.has_name(name)).map(IssuerNumber::at_place)
    };
    (!named.is_empty()).then(|| named.iter().filter_map(number).collect())
}

/// What the issuer may tell of its own accord.
fn events(
    config: &Config,
    issuer: &raw::TrustedIssuer,
    verifier: &Verifier,
) -> Result<Option<Arc<ProviderEvents>>, JwksFault> {
    /// Tokens of an earlier configuration may live longer than those of now.
    const DAY: u64 = 24 * 3600;
    if issuer.logout.is_none() && issuer.security_events.is_none() {
        return Ok(None);
    }
    let secret = issuer.security_events.as_ref().and_then(|events| events.authorization.as_ref());
    let authorization = match secret {
        Some(secret) => {
            let read = config.read_secret(secret);
            Some(read.map_err(|(message, help)| ("security_events.authorization", message, help))?)
        }
        None => None,
    };
    let provider = config.raw().login.as_ref().and_then(|login| login.provider.as_ref());
    let of = |kind, audiences: &Vec<String>| EventVerifier::of(verifier, kind, audiences.clone());
    Ok(Some(Arc::new(ProviderEvents {
        logout: issuer.logout.as_ref().map(|it| of(EventKind::Logout, &it.audiences)),
        security_events: issuer.security_events.as_ref().map(|it| of(EventKind::Security, &it.audiences)),
        authorization,
        names_by_sub: issuer.subject == "sub",
        logs_customers_in: provider.is_some_and(|provider| issuer.has_name(&provider.issuer)),
        longest: issuer.max_lifetime.map_or(LONGEST, |longest| longest.as_secs().max(DAY)) + 2 * LONGEST_SKEW,
    })))
}

/// Checks the tokens of one issuer, or one tenant, whose `iss` is one of these.
fn verifier(issuer: &raw::TrustedIssuer, spellings: &[String], keys: Keys) -> Verifier {
    let (name, others) = spellings.split_first().map_or(("", &[][..]), |(name, others)| (name.as_str(), others));
    let audiences = match &issuer.audiences {
        AcceptedAudiences::Listed(audiences) => Some(audiences.clone()),
        AcceptedAudiences::Word(NoAudience::None) => None,
    };
    let is_without = audiences.is_none();
    let subject = ClaimPath::parse(&issuer.subject);
    let skew = issuer.clock_skew.as_secs();
    let verifier = Verifier::trusted(name.to_owned(), audiences.unwrap_or_default(), keys, skew, subject)
        .spelled(others.to_vec())
        .living_at_most(issuer.max_lifetime.map(|longest| longest.as_secs()))
        .with_rules(issuer.claims.iter().map(|(claim, rule)| claim_rule(claim, rule)).collect())
        .forwarding(&issuer.forward_claims)
        .within(issuer.tenant.clone().unwrap_or_else(|| name.to_owned()));
    let verifier = if is_without { verifier.without_audience() } else { verifier };
    let tells = issuer.logout.is_some() || issuer.security_events.is_some();
    let verifier = if tells { verifier.reading_sessions() } else { verifier };
    match &issuer.types {
        None => verifier,
        Some(types) => verifier.of_types(types.iter().map(|name| type_of(name))),
    }
}

/// The word `none` stands for a missing `typ`.
fn type_of(name: &str) -> Option<String> {
    (!name.eq_ignore_ascii_case("none")).then(|| name.to_owned())
}

fn claim_rule(claim: &str, rule: &raw::ClaimRule) -> ClaimRule {
    let value = claim_value;
    let expected = match rule {
        raw::ClaimRule::Equals(one) => ExpectedClaim::OneOf(vec![value(one)]),
        raw::ClaimRule::OneOf(values) => ExpectedClaim::OneOf(values.iter().map(value).collect()),
        raw::ClaimRule::Contains(one) => ExpectedClaim::Contains(value(one)),
        raw::ClaimRule::Present(_) => ExpectedClaim::Present,
        raw::ClaimRule::Absent(_) => ExpectedClaim::Absent,
    };
    ClaimRule { claim: ClaimPath::parse(claim), expected }
}

pub(super) fn claim_value(value: &ClaimValue) -> Value {
    match value {
        ClaimValue::Text(text) => Value::from(text.as_str()),
        ClaimValue::Flag(flag) => Value::from(*flag),
        ClaimValue::Number(number) => Value::from(*number),
    }
}

fn read_keys(
    config: &Config,
    authorities: &Authorities<'_>,
    issuer: &raw::TrustedIssuer,
    registry: &JwksRegistry,
) -> Result<Keys, JwksFault> {
    let name = issuer.name();
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
            let keys = remote_jwks::read_file(config, &name, &file.file, &algorithms, |_| None)?;
            return Ok(Keys::Fixed(keys));
        }
        Some(raw::Jwks::Pem(file)) => {
            return remote_jwks::read_pem(config, &name, &file.pem, &algorithms).map(Keys::Fixed);
        }
        Some(raw::Jwks::Url(url)) => JwksLocation::Url(url.clone()),
        None => match &issuer.discovery {
            raw::Discovery::Url(url) => JwksLocation::Metadata(url.clone()),
            raw::Discovery::Flag(true) => JwksLocation::Discovery,
            raw::Discovery::Flag(false) => return Ok(Keys::Nowhere),
        },
    };
    let publisher = Publisher {
        name: &name,
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
        From::EdDSA | From::Ed25519 => Algorithm::EdDsa,
        From::HS256 => Algorithm::Hs256,
        From::HS384 => Algorithm::Hs384,
        From::HS512 => Algorithm::Hs512,
    }
}
