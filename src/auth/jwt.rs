//! Verification of signed tokens (RFC 7519, RFC 8725, RFC 9068).
//!
//! The order is the defence: what costs nothing is checked before a key is looked up, the signature before any claim.
//! `now` is an argument, in seconds since 1970.

use serde_json::Value;

use super::jws::{Jws, Members};
use super::keys::KeySet;
use crate::customer;
use crate::refusal::TokenFault;

/// A compact JWS whose payload is a JSON object. Nothing of it has been verified.
#[derive(Debug)]
pub struct Compact<'a> {
    jws: Jws<'a>,
    claims: Members,
}

impl<'a> Compact<'a> {
    /// Reads a token strictly: three parts, canonical base64url, JSON objects in which no member stands twice, no header
    /// parameter that chooses the key or changes what is signed.
    ///
    /// # Errors
    /// [`TokenFault::TooLong`], [`TokenFault::Malformed`], [`TokenFault::HeaderNotAllowed`] or
    /// [`TokenFault::Algorithm`].
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        let jws = Jws::parse(token)?;
        let claims = Members::parse(jws.payload()).ok_or(TokenFault::Malformed)?;
        Ok(Self { jws, claims })
    }

    /// The `iss` that it claims, only to choose the verifier by; `None` where it is not a string.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}

/// What a token is for. One kind is never taken for the other (RFC 8725 section 3.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A customer's login.
    Customer,
    /// A client's access token (RFC 9068).
    Access,
}

/// Which `typ` is right (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy)]
enum Types {
    /// `at+jwt`.
    Access,
    /// `JWT`.
    Jwt,
    /// `JWT`, or none: what identity providers commonly send.
    JwtOrNone,
}

/// Checks the tokens of one kind from one issuer.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    keys: KeySet,
    skew: u64,
    types: Types,
    subject_claim: String,
    longest_subject: usize,
    reads_client: bool,
}

/// What a verified token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The subject claim: not empty, without control characters.
    pub subject: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: Option<u64>,
    /// `exp`, in seconds since 1970; the allowed clock skew is not in it.
    pub expires_at: u64,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`, only of our own tokens: the login that it is of.
    pub login: Option<String>,
    /// `client_id`, only of our own tokens (RFC 9068 section 2.2).
    pub client_id: Option<String>,
    /// `scope`, only of our own tokens: words separated by spaces (RFC 8693 section 4.2).
    pub scope: Option<String>,
}

impl Verifier {
    /// By how many seconds the issuer's clock may differ from ours.
    pub fn skew(&self) -> u64 {
        self.skew
    }

    /// For tokens that this gateway signed: `typ` must be there, and `sub` is the subject. `skew` is in seconds.
    pub fn own(kind: Kind, issuer: String, audiences: Vec<String>, keys: KeySet, skew: u64) -> Self {
        Self {
            issuer,
            audiences,
            keys,
            skew,
            types: match kind {
                Kind::Customer => Types::Jwt,
                Kind::Access => Types::Access,
            },
            subject_claim: "sub".into(),
            longest_subject: customer::LONGEST_IDENTIFIER,
            reads_client: true,
        }
    }

    /// For customers' tokens of another issuer, whose customers are told apart by the claim `subject_claim`. `skew` is in
    /// seconds.
    pub fn trusted(issuer: String, audiences: Vec<String>, keys: KeySet, skew: u64, subject_claim: String) -> Self {
        Self {
            issuer,
            audiences,
            keys,
            skew,
            types: Types::JwtOrNone,
            subject_claim,
            longest_subject: customer::LONGEST_SUBJECT,
            reads_client: false,
        }
    }

    /// The same with other keys.
    #[cfg(test)]
    pub(crate) fn with_keys(&self, keys: KeySet) -> Self {
        Self { keys, ..self.clone() }
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the token says, once type, signature, issuer, audience, times and subject are right. `now` is in seconds
    /// since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong, in that order.
    pub fn verify(&self, token: &Compact<'_>, now: u64) -> Result<Claims, TokenFault> {
        self.check_type(token.jws.kind())?;
        self.keys.verify_signature(&token.jws)?;
        let claims = &token.claims;
        if token.issuer() != Some(&self.issuer) {
            return Err(TokenFault::Issuer);
        }
        self.check_audience(claims.get("aud"))?;
        let expires_at = time(claims, "exp")?.ok_or(TokenFault::Malformed)?;
        let issued_at = time(claims, "iat")?;
        let not_before = time(claims, "nbf")?;
        let latest = now.saturating_add(self.skew);
        if [issued_at, not_before].into_iter().flatten().any(|time| time > latest) {
            return Err(TokenFault::NotYetValid);
        }
        if expires_at.saturating_add(self.skew) <= now {
            return Err(TokenFault::Expired);
        }
        let text = |name: &str| claims.text(name).map(|text| text.map(str::to_owned));
        Ok(Claims {
            subject: self.subject(claims)?.to_owned(),
            issued_at,
            expires_at,
            token_id: text("jti")?,
            login: if self.reads_client { text("sid")? } else { None },
            client_id: if self.reads_client { text("client_id")? } else { None },
            scope: if self.reads_client { text("scope")? } else { None },
        })
    }

    fn check_type(&self, kind: Option<&str>) -> Result<(), TokenFault> {
        let right = match self.types {
            Types::Access => kind == Some("at+jwt"),
            Types::Jwt => kind == Some("jwt"),
            Types::JwtOrNone => kind.is_none_or(|kind| kind == "jwt"),
        };
        if right { Ok(()) } else { Err(TokenFault::Type) }
    }

    /// `aud` is a string or a list of strings, one of which is us (RFC 7519 section 4.1.3).
    fn check_audience(&self, audience: Option<&Value>) -> Result<(), TokenFault> {
        let ours = |value: &Value| self.audiences.iter().any(|audience| value == audience.as_str());
        let right = match audience {
            Some(value @ Value::String(_)) => ours(value),
            Some(Value::Array(values)) => values.iter().all(Value::is_string) && values.iter().any(ours),
            _ => false,
        };
        if right { Ok(()) } else { Err(TokenFault::Audience) }
    }

    fn subject<'c>(&self, claims: &'c Members) -> Result<&'c str, TokenFault> {
        match claims.get(&self.subject_claim) {
            Some(Value::String(subject))
                if !subject.is_empty()
                    && subject.len() <= self.longest_subject
                    && !subject.chars().any(char::is_control) =>
            {
                Ok(subject)
            }
            _ => Err(TokenFault::Subject),
        }
    }
}

/// A NumericDate (RFC 7519 section 2) in whole seconds: a number from 0 on, fractions cut off, no string.
fn time(claims: &Members, name: &str) -> Result<Option<u64>, TokenFault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(seconds));
    }
    match value.as_f64() {
        // Above the range of u64 the conversion stays at its end: a time that never comes.
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds as u64)),
        _ => Err(TokenFault::Malformed),
    }
}

#[cfg(test)]
mod tests;
