//! Security event tokens (RFC 8417), and logout tokens, which are a kind of them (OpenID Connect Back-Channel Logout 1.0
//! section 2.4). No credential is ever one of them, nor they one.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::jws::Members;
use super::remote_jwks::PublishedKeys;
use super::verifier::{name_in, time};
use super::{Compact, Verifier};
use crate::explanation::trace::StepSink;
use crate::refusal::TokenFault;

/// The event of a logout token.
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be when it comes, in seconds.
pub const RECENT: u64 = 300;
/// The longest `sid`, in bytes.
const LONGEST_SESSION: usize = 512;

/// Kind of a security event token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A logout token: `typ` is `logout+jwt`, `JWT` or missing; at most [`RECENT`] seconds old.
    Logout,
    /// Any event: `typ` is `secevent+jwt`.
    Security,
}

/// Checks the security event tokens of one kind from one issuer.
#[derive(Debug, Clone)]
pub struct EventVerifier {
    verifier: Verifier,
    kind: EventKind,
}

/// A verified security event token.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityEvent {
    /// `jti`.
    pub id: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: u64,
    /// `sub`.
    pub subject: Option<String>,
    /// `sid`.
    pub session: Option<String>,
    /// `sub_id` (RFC 9493 section 4).
    pub about: Option<Value>,
    /// `events`, by type.
    pub events: Map<String, Value>,
}

impl EventVerifier {
    /// For the issuer of these tokens, whose events are for one of these audiences.
    pub fn of(verifier: &Verifier, kind: EventKind, audiences: Vec<String>) -> Self {
        let types: &[Option<&str>] = match kind {
            EventKind::Logout => &[Some("logout+jwt"), Some("jwt"), None],
            EventKind::Security => &[Some("secevent+jwt")],
        };
        let types = types.iter().map(|name| name.map(str::to_owned));
        let mut verifier = verifier.clone().of_types(types);
        verifier.audiences = Some(audiences);
        Self { verifier, kind }
    }

    /// The keys, where they are fetched.
    pub fn published(&self) -> Option<&Arc<PublishedKeys>> {
        self.verifier.published()
    }

    /// Tolerated difference of its clock, in seconds.
    pub fn skew(&self) -> u64 {
        self.verifier.skew
    }

    /// The event, once type, signature, issuer, audience, times and events are right (Back-Channel Logout section 2.6, RFC
    /// 8417 section 2). `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong, in that order.
    pub fn verify(&self, token: &Compact<'_>, now: u64) -> Result<SecurityEvent, TokenFault> {
        let verifier = &self.verifier;
        verifier.check_type(token.jws.kind())?;
        verifier.keys.verify_signature(&token.jws, now, StepSink::off())?;
        let claims = &token.claims;
        if !token.issuer().is_some_and(|iss| verifier.is_issuer(iss)) {
            return Err(TokenFault::Issuer);
        }
        verifier.audience(claims.get("aud"))?;
        let issued_at = self.times(claims, now)?;
        let id = claims.text("jti")?.filter(|id| !id.is_empty()).ok_or(TokenFault::Claim)?;
        let Some(Value::Object(events)) = claims.get("events") else { return Err(TokenFault::Claim) };
        if self.kind == EventKind::Logout {
            // One with `nonce` could be taken for an ID token, and an ID token for one.
            if claims.get("nonce").is_some() || !events.get(LOGOUT).is_some_and(Value::is_object) {
                return Err(TokenFault::Claim);
            }
        }
        Ok(SecurityEvent {
            id: id.to_owned(),
            issued_at,
            subject: claims
                .get("sub")
                .map(|sub| name_in(sub).ok_or(TokenFault::Malformed))
                .transpose()?
                .map(Cow::into_owned),
            session: claims.text("sid")?.map(|sid| readable(sid).ok_or(TokenFault::Subject)).transpose()?,
            about: claims.get("sub_id").cloned(),
            events: events.clone(),
        })
    }

    /// `iat`, where the token is of now.
    fn times(&self, claims: &Members, now: u64) -> Result<u64, TokenFault> {
        let skew = self.skew();
        let issued_at = time(claims, "iat")?.ok_or(TokenFault::Claim)?;
        let not_before = time(claims, "nbf")?.unwrap_or_default();
        if issued_at.max(not_before) > now.saturating_add(skew) {
            return Err(TokenFault::NotYetValid);
        }
        // RFC 8417 section 2.2: few have an end.
        let ends = time(claims, "exp")?.unwrap_or(u64::MAX);
        let is_old = self.kind == EventKind::Logout && issued_at.saturating_add(RECENT).saturating_add(skew) <= now;
        if is_old || ends.saturating_add(skew) <= now {
            return Err(TokenFault::Expired);
        }
        Ok(issued_at)
    }
}

/// A name of a session, where it can be one.
pub(in crate::auth) fn readable(name: &str) -> Option<String> {
    let is_name = !name.is_empty() && name.len() <= LONGEST_SESSION && !name.chars().any(char::is_control);
    is_name.then(|| name.to_owned())
}
