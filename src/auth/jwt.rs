//! Verification of signed tokens (RFC 7519, RFC 8725, RFC 9068).
//!
//! The order is the defence: what costs nothing is checked before a key is looked up, the signature before any claim.
//! `now` is an argument, in seconds since 1970.

pub mod algorithm;
pub mod claims;
pub mod confirmation;
pub mod delegation;
pub mod forwarded_claims;
pub mod jwk_set;
pub mod jws;
mod keys;
pub mod remote_jwks;
pub mod security_event;
pub mod signing_keys;
#[cfg(test)]
mod tests;
pub mod verifier;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

pub use self::keys::Keys;
pub(in crate::auth) use self::keys::verified_patiently;
use crate::refusal::TokenFault;
use crate::state::account_stamp::AccountStamp;
use crate::state::session::SessionDigest;
use confirmation::Binding;
use delegation::Delegation;
use forwarded_claims::ForwardedClaims;
use jws::{Jws, Members};
pub use verifier::Verifier;

/// A claim of ours in customers' tokens: the account that they were given to.
pub const ACCOUNT: &str = "wg_account";

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

    /// Its claims.
    pub(super) fn claims(&self) -> &Members {
        &self.claims
    }

    /// A claim that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
}

/// The claim by which a JWT finds the refresh tokens of its login, though it has expired itself. It says nothing to others:
/// it is the digest of a random number.
pub const FAMILY: &str = "refresh_family";

/// The claim of our own tokens by which rules are held against them: every rule up to this number had been given before the
/// token was earned. See [`crate::state::revocation::Issued`].
pub const RULES: &str = "wg_rules";

/// The value of the claim [`FAMILY`].
pub fn family_claim(family: &SessionDigest) -> String {
    BASE64.encode(family)
}

/// Purpose of a token. One kind is never taken for the other (RFC 8725 section 3.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A customer's login.
    Customer,
    /// A client's access token (RFC 9068).
    Access,
}

/// Claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The subject claim, a number as its digits: not empty, without control characters.
    pub subject: String,
    /// The audience of ours that it is for; the first where it names several. Empty where its issuer's tokens have none.
    pub audience: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: Option<u64>,
    /// [`RULES`], only of our own tokens; earlier versions wrote none.
    pub rules: Option<u64>,
    /// `exp`, in seconds since 1970; the allowed clock skew is not in it.
    pub expires_at: u64,
    /// The first second, since 1970, in which a fresh check would refuse it: clock skew and the end of its key are in it.
    pub ends: u64,
    /// The first second, since 1970, in which its key is no longer good. One that the issuer was asked about has none, and
    /// is asked about again.
    pub key_ends: u64,
    /// The first second, since 1970, in which it is refused whatever keys there are: a revocation is kept until then.
    pub over: u64,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`, only of our own tokens: the login that it is of.
    pub login: Option<String>,
    /// The session of another issuer that it is of, as the name of a [`Subject::Login`], where that issuer tells of their end.
    pub session: Option<Box<str>>,
    /// [`FAMILY`], only of our own tokens: the refresh tokens of that login, where it has some.
    pub family: Option<SessionDigest>,
    /// `client_id`, only of our own tokens (RFC 9068 section 2.2).
    pub client_id: Option<String>,
    /// `scope`, only of our own tokens: words separated by spaces (RFC 8693 section 4.2).
    pub scope: Option<String>,
    /// `cnf`: what it is bound to.
    pub binding: Option<Binding>,
    /// [`ACCOUNT`], only of our own tokens: the account that it was given to.
    pub account: Option<AccountStamp>,
    /// Who acts for the customer, or may.
    pub delegation: Option<Box<Delegation>>,
    /// Claims that backends may be told; `None` where the issuer's entry lists none.
    pub forwarded: Option<Arc<ForwardedClaims>>,
}
