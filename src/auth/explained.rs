//! What the checks of credentials want and see, for explanations. No credential is told, only where it stands, by which
//! id it goes and how long it is.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::context::AuthContext;
use super::credentials::api_key::{ApiKey, ApiKeyVersion, ApiKeys};
use super::credentials::{PresentedCustomer, after_scheme, api_key as keys};
use super::requirements::{CustomerTokenSource, DpopRequirement, Requirements};
use super::verdict::Access;
use crate::customer::Identifier;
use crate::explanation::trace::{StepDetail, pointer_step, shown, span};
use crate::refusal::{ApiKeyFault, Refusal, TokenFault};

/// A key of the route that decides.
fn key_of(requirements: &Requirements, key: &str) -> String {
    format!("/routes/{}/{key}", requirements.route)
}

/// Where credentials stand.
pub(super) fn credentials(
    requirements: &Requirements,
    headers: &HeaderMap,
    presented: &PresentedCustomer<'_>,
) -> StepDetail {
    let key_header = &requirements.api_key_header.name;
    let wanted = [
        requirements.api_key.then(|| format!("an API key in {key_header}")),
        requirements.client.then(|| "a client's credential in authorization".to_owned()),
        requirements.customer.then(|| format!("a customer's in {}", places(&requirements.customer_token_sources))),
    ];
    let wanted: Vec<String> = wanted.into_iter().flatten().collect();
    let length = |value: &HeaderValue| value.as_bytes().len();
    let authorization = headers.get(AUTHORIZATION).map(|value| {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        let known = SCHEMES.into_iter().find(|name| scheme.eq_ignore_ascii_case(name.as_bytes()));
        format!("authorization ({}, {} bytes)", known.unwrap_or("another scheme"), length(value))
    });
    let api_key = headers.get(key_header).map(|value| format!("{key_header} ({} bytes)", length(value)));
    let token = match &presented.token {
        Some(Ok(token)) => Some(format!("a customer's token ({} bytes)", token.as_bytes().len())),
        Some(Err(_)) => Some("a customer's token that cannot be read".to_owned()),
        None => None,
    };
    let session = presented.session.map(|value| format!("a session cookie ({} bytes)", value.len()));
    let saw: Vec<String> = [authorization, api_key, token, session].into_iter().flatten().collect();
    let none = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
    StepDetail::new(none(wanted), none(saw)).at(key_of(requirements, "require"))
}

fn places(sources: &[CustomerTokenSource]) -> String {
    let place = |source: &CustomerTokenSource| match source {
        CustomerTokenSource::Header(name, Some(scheme)) => format!("{name}: {scheme}"),
        CustomerTokenSource::Header(name, None) => name.to_string(),
        CustomerTokenSource::Session => "the session cookie".to_owned(),
        CustomerTokenSource::Cookie(name) => format!("the cookie {name}"),
        CustomerTokenSource::Body(_) => "a member of the body".to_owned(),
        CustomerTokenSource::Bearer => "authorization: Bearer".to_owned(),
    };
    sources.iter().map(place).collect::<Vec<_>>().join(" or ")
}

/// An API key, by its id and version.
pub(super) fn api_key(
    known: &ApiKeys<ApiKeyVersion>,
    requirements: &Requirements,
    presented: Option<&HeaderValue>,
    found: &Result<&ApiKey, ApiKeyFault>,
    context: &AuthContext<'_>,
) -> StepDetail {
    let header = &requirements.api_key_header;
    let bytes = presented.map(|value| match &header.scheme {
        None => value.as_bytes(),
        Some(scheme) => after_scheme(value, Some(scheme)).unwrap_or_default().trim_ascii_start(),
    });
    let digest = bytes.map(keys::digest);
    let version = digest.as_ref().and_then(|digest| known.find(digest));
    let id = version.map_or_else(|| "none that is configured".to_owned(), |version| version.key.id.to_string());
    let age = version.zip(digest).map_or_else(String::new, |(version, digest)| {
        let mut text = format!(", version {}", keys::version(&digest));
        if version.until != u64::MAX {
            let until = version.until;
            text.push_str(&if until > context.now {
                format!(", ends in {}", span(until - context.now))
            } else {
                format!(", ended {} ago", span(context.now - until))
            });
        }
        if let Some(last) = version.used.seconds() {
            text.push_str(&format!(", last used {} ago", span(context.now.saturating_sub(last))));
        }
        text
    });
    let why = match found {
        Ok(_) => "",
        Err(ApiKeyFault::Missing) => ": no key, or not behind its scheme",
        Err(ApiKeyFault::Unknown) => ": its SHA-256 stands at no key",
        Err(ApiKeyFault::Route) => ": it does not open this route",
        Err(ApiKeyFault::Client) => ": it is of another client",
        Err(ApiKeyFault::Revoked) => ": it is revoked",
        Err(ApiKeyFault::Expired) => ": it has expired",
        Err(ApiKeyFault::Address) => ": not from this address",
    };
    let part = match found {
        Err(ApiKeyFault::Route) => "/routes",
        Err(ApiKeyFault::Address) => "/allow",
        _ => "",
    };
    let key = match version {
        Some(version) => format!("/api_keys/{}{part}", pointer_step(&version.key.id)),
        None => key_of(requirements, "require"),
    };
    let scheme = header.scheme.as_deref().map_or_else(String::new, |scheme| format!(" {scheme}"));
    StepDetail::new(format!("{}:{scheme} a key that opens this route", header.name), format!("{id}{age}{why}")).at(key)
}

/// The client of a call.
pub(super) fn client(
    requirements: &Requirements,
    authorization: Option<&HeaderValue>,
    is_by_secret: bool,
    found: &Result<Access, Refusal>,
) -> StepDetail {
    let wanted = match &requirements.client_sources {
        Some(_) => "a client, by one of client_from",
        None => "a client, by its access token in authorization: Bearer",
    };
    let saw = match found {
        Ok(access) if is_by_secret => format!("{}, by its secret", shown(&access.client)),
        Ok(access) => format!("{}, by its token", shown(&access.client)),
        Err(Refusal::ClientToken(TokenFault::Malformed)) => {
            authorization.and_then(|value| wrong_scheme(value, Some("Bearer"))).map_or_else(
                || sentence(Refusal::ClientToken(TokenFault::Malformed)),
                |why| format!("authorization: {why}"),
            )
        }
        Err(refusal) => sentence(*refusal),
    };
    StepDetail::new(wanted, saw).at(key_of(requirements, "require"))
}

pub(super) fn key_client(of_key: Option<&str>, client: &str) -> StepDetail {
    let wanted = format!("the client of the API key, {}", of_key.unwrap_or_default());
    StepDetail::new(wanted, shown(client)).at("/api_keys")
}

/// The audience of a client's token.
pub(super) fn audience(requirements: &Requirements, access: &Access) -> StepDetail {
    let saw = match &access.foreign {
        None => shown(&access.audience),
        Some(foreign) => foreign.all.iter().take(5).map(|name| shown(name)).collect::<Vec<_>>().join(", "),
    };
    StepDetail::new(format!("aud {}", requirements.audience), saw).at(key_of(requirements, "audience"))
}

/// What a token is bound to, and what the caller has shown.
pub(super) fn possession(access: &Access, requirements: &Requirements, context: &AuthContext<'_>) -> StepDetail {
    let wanted = match (&access.binding, requirements.proof, &access.certificate) {
        (Some(_), ..) => "the key or certificate that the token is bound to",
        (None, DpopRequirement::Required, _) => "a token that is bound to a DPoP key",
        (None, _, Some(_)) => "the client's certificate",
        (None, ..) => "the scheme Bearer, as the token is bound to no key",
    };
    let proof = match context.proof {
        None => "no DPoP proof",
        Some(Ok(_)) => "a DPoP proof",
        Some(Err(_)) => "a DPoP proof that is not good",
    };
    let certificate = if context.certificate.is_some() { "a client certificate" } else { "no client certificate" };
    StepDetail::new(wanted, format!("{proof}, {certificate}")).at(key_of(requirements, "dpop"))
}

/// Schemes that are told by name: another word there can be a credential.
const SCHEMES: [&str; 9] = ["Bearer", "JWT", "DPoP", "Basic", "Token", "Digest", "Negotiate", "ApiKey", "Api-Key"];

/// What is wrong with the scheme of a field; `None` where it is the right one.
fn wrong_scheme(value: &HeaderValue, wanted: Option<&str>) -> Option<String> {
    let wanted = wanted.filter(|wanted| after_scheme(value, Some(wanted)).is_err())?;
    let (word, rest) = match value.as_bytes().iter().position(|byte| *byte == b' ') {
        Some(at) => (&value.as_bytes()[..at], true),
        None => (value.as_bytes(), false),
    };
    let known = SCHEMES.into_iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()));
    Some(match (known, rest) {
        (Some(name), true) => format!("scheme {name}, wanted {wanted}"),
        (Some(name), false) => format!("scheme {name} and nothing behind it, wanted {wanted} and a token"),
        (None, true) => format!("another scheme, wanted {wanted}"),
        (None, false) => format!("no scheme, wanted {wanted} before the token"),
    })
}

/// A customer's token that cannot be read where it stands.
pub(super) fn misplaced_token(requirements: &Requirements, headers: &HeaderMap) -> StepDetail {
    let sources = &requirements.customer_token_sources;
    let fault = |source: &CustomerTokenSource| match source {
        CustomerTokenSource::Header(name, scheme) => {
            Some(format!("{name}: {}", wrong_scheme(headers.get(name)?, scheme.as_deref())?))
        }
        CustomerTokenSource::Bearer => {
            Some(format!("authorization: {}", wrong_scheme(headers.get(AUTHORIZATION)?, Some("Bearer"))?))
        }
        _ => None,
    };
    let saw = sources.iter().find_map(fault).unwrap_or_else(|| "it is no single word, or there are two".to_owned());
    let wanted = format!("one token in {}", places(sources));
    StepDetail::new(wanted, saw).at(key_of(requirements, "customer_token_sources"))
}

/// A refusal in a sentence.
fn sentence(refusal: Refusal) -> String {
    use TokenFault as T;
    let (kind, fault) = match refusal {
        Refusal::ClientToken(fault) => ("access token", fault),
        Refusal::CustomerToken(fault) => ("customer's token", fault),
        _ => {
            let cause = refusal.cause();
            return cause.split_once(". ").map_or(cause, |(first, _)| first).trim_end_matches('.').to_owned();
        }
    };
    let what = match fault {
        T::Missing => return format!("no {kind}"),
        T::TooLong => "is longer than the listener takes",
        T::Malformed => "cannot be read: it is no JWT of three parts with plain JSON, or not behind its scheme",
        T::HeaderNotAllowed => "has a header parameter that is not taken: crit, b64, zip or enc",
        T::Algorithm => "has another alg than the key",
        T::Type => "is another kind of token",
        T::Issuer => "is of an issuer that is not taken here",
        T::UnknownKey => "names a key that the issuer does not have",
        T::Signature => "has a signature that is not the key's",
        T::Expired => "has expired",
        T::NotYetValid => "is not valid yet",
        T::Audience => "is for another audience",
        T::Subject => "names no usable subject",
        T::UnknownClient => "is of a client that is not configured",
        T::Revoked => "was revoked, or its login has ended",
        T::Lifetime => "lives longer than it may",
        T::Claim => "lacks a claim that is wanted, or has another value",
        T::NoKeys => "cannot be verified: the issuer's keys are not there",
        T::Used => "was used before",
        T::Binding => "is bound to a key or certificate that the caller has not shown",
        T::Account => "is of an account that is gone, or has another password",
        T::Actor => "is for another client to act with",
        T::Inactive => "is not good, by its issuer's answer",
        T::Introspection => "cannot be judged: its issuer cannot be asked",
    };
    format!("the {kind} {what}")
}

/// The customer of a call. The identifier is opaque.
pub(super) fn customer<T>(requirements: &Requirements, found: &Result<(Identifier, T), Refusal>) -> StepDetail {
    let saw = match found {
        Ok((customer, _)) => customer.as_str().to_owned(),
        Err(Refusal::CustomerToken(TokenFault::Missing)) => {
            format!("no token in {}", places(&requirements.customer_token_sources))
        }
        Err(refusal) => sentence(*refusal),
    };
    StepDetail::new("a customer, by a token or a session", saw).at(key_of(requirements, "require"))
}

/// The scopes of a client's token.
pub(super) fn scopes(requirements: &Requirements, has: &Arc<[String]>, lacks: Option<&str>) -> StepDetail {
    let has: Vec<String> = has.iter().take(20).map(|scope| shown(scope)).collect();
    let has = if has.is_empty() { "none".to_owned() } else { has.join(" ") };
    let saw = match lacks {
        Some(lacks) => format!("{has}: {lacks} is missing"),
        None => has,
    };
    StepDetail::new(requirements.scopes.join(" "), saw).at(key_of(requirements, "scopes"))
}
