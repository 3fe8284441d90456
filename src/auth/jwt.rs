//! Verification of signed tokens (RFC 7519, RFC 8725, RFC 9068).
//!
//! The order is the defence: what costs nothing is checked before a key is looked up, the signature before any claim.
//! `now` is an argument, in seconds since 1970.

pub mod algorithm;
pub mod claims;
pub mod confirmation;
pub mod forwarded_claims;
pub mod jwk_set;
pub mod jws;
mod keys;
pub mod remote_jwks;
pub mod signing_keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

pub use self::keys::Keys;
use crate::customer;
use crate::refusal::TokenFault;
use crate::state::account_stamp::AccountStamp;
use crate::state::session::SessionDigest;
use claims::{ClaimPath, ClaimRule};
use confirmation::Binding;
use forwarded_claims::{ForwardableClaims, ForwardedClaims};
use jwk_set::JwkSet;
use jws::{Jws, Members, plain_type};
use remote_jwks::PublishedKeys;

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

/// Checks the tokens of one kind from one issuer.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    /// A token that is for somebody else too is refused.
    sole_audience: bool,
    keys: Keys,
    skew: u64,
    /// The values of `typ` that are right, in small letters; `None` for a missing one (RFC 8725 section 3.11).
    types: Vec<Option<String>>,
    subject: ClaimPath,
    longest_subject: usize,
    longest_life: Option<u64>,
    rules: Vec<ClaimRule>,
    tenant: String,
    reads_client: bool,
    forwardable: Option<ForwardableClaims>,
}

/// Claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The subject claim: not empty, without control characters.
    pub subject: String,
    /// The audience of ours that it is for; the first where it names several.
    pub audience: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: Option<u64>,
    /// [`RULES`], only of our own tokens; earlier versions wrote none.
    pub rules: Option<u64>,
    /// `exp`, in seconds since 1970; the allowed clock skew is not in it.
    pub expires_at: u64,
    /// The first second, since 1970, in which a fresh check would refuse it: clock skew and the end of its key are in it.
    pub ends: u64,
    /// The first second, since 1970, in which it is refused whatever keys there are: a revocation is kept until then.
    pub over: u64,
    /// `jti`.
    pub token_id: Option<String>,
    /// `sid`, only of our own tokens: the login that it is of.
    pub login: Option<String>,
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
    /// Claims that backends may be told; `None` where the issuer's entry lists none.
    pub forwarded: Option<Arc<ForwardedClaims>>,
}

impl Verifier {
    /// For customers' tokens of one issuer with these keys: the usual checks, on which others build.
    fn of_issuer(issuer: String, audiences: Vec<String>, keys: Keys, skew: u64) -> Self {
        Self {
            tenant: issuer.clone(),
            issuer,
            audiences,
            sole_audience: false,
            keys,
            skew,
            types: vec![Some("jwt".to_owned()), None],
            subject: ClaimPath::parse("sub"),
            longest_subject: customer::LONGEST_SUBJECT,
            longest_life: None,
            rules: Vec::new(),
            reads_client: false,
            forwardable: None,
        }
    }

    /// For tokens that this gateway signed: `typ` must be there, and `sub` is the subject. `skew` is in seconds.
    pub fn own(kind: TokenKind, issuer: String, audiences: Vec<String>, keys: JwkSet, skew: u64) -> Self {
        Self {
            types: match kind {
                TokenKind::Customer => vec![Some("jwt".to_owned())],
                TokenKind::Access => vec![Some("at+jwt".to_owned())],
            },
            longest_subject: customer::LONGEST_IDENTIFIER,
            reads_client: true,
            ..Self::of_issuer(issuer, audiences, keys.into(), skew)
        }
    }

    /// For customers' tokens of another issuer, whose customers are told apart by the claim `subject`. `skew` is in
    /// seconds. Their `typ` is `JWT` or missing: what identity providers commonly send.
    pub fn trusted(
        issuer: String,
        audiences: Vec<String>,
        keys: impl Into<Keys>,
        skew: u64,
        subject: ClaimPath,
    ) -> Self {
        Self { subject, ..Self::of_issuer(issuer, audiences, keys.into(), skew) }
    }

    /// For what a client says of itself (RFC 7523 section 3), to one of these audiences and nobody else. `skew` is in
    /// seconds. `typ` is `JWT`, `client-authentication+jwt` or missing.
    pub fn client(id: String, audiences: Vec<String>, keys: Keys, skew: u64) -> Self {
        let types = ["jwt", "client-authentication+jwt"].map(|name| Some(name.to_owned()));
        let verifier = Self::trusted(id, audiences, keys, skew, ClaimPath::parse("sub"));
        Self { sole_audience: true, ..verifier }.of_types(types.into_iter().chain([None]))
    }

    /// Takes only tokens whose `typ` is one of these; `None` stands for a missing one.
    pub fn of_types(self, types: impl IntoIterator<Item = Option<String>>) -> Self {
        Self { types: types.into_iter().map(|name| name.map(|name| plain_type(&name))).collect(), ..self }
    }

    /// Takes only tokens that were issued for at most so many seconds.
    pub fn living_at_most(self, seconds: Option<u64>) -> Self {
        Self { longest_life: seconds, ..self }
    }

    /// Takes only tokens whose claims are as these say.
    pub fn with_rules(self, rules: Vec<ClaimRule>) -> Self {
        Self { rules, ..self }
    }

    /// Backends may be told these claims of its tokens: names or JSON pointers.
    pub fn forwarding(self, claims: &[String]) -> Self {
        Self { forwardable: ForwardableClaims::of(&self.issuer, claims), ..self }
    }

    /// Its subjects are unique within this, and not within the issuer.
    pub fn within(self, tenant: String) -> Self {
        Self { tenant, ..self }
    }

    /// The tenant within which its subjects are unique.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The keys, where they are fetched.
    pub fn published(&self) -> Option<&Arc<PublishedKeys>> {
        match &self.keys {
            Keys::Fixed(_) | Keys::Nowhere => None,
            Keys::Published(published) => Some(published),
        }
    }

    /// Returns whether there are keys to verify signatures with; otherwise the issuer is asked about each token.
    pub fn has_keys(&self) -> bool {
        !matches!(self.keys, Keys::Nowhere)
    }

    /// The same with other keys.
    #[cfg(test)]
    pub(in crate::auth) fn with_keys(&self, keys: JwkSet) -> Self {
        Self { keys: keys.into(), ..self.clone() }
    }

    /// The `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claims of the token, once type, signature, issuer, audience, times and subject are right. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong, in that order.
    pub fn verify(&self, token: &Compact<'_>, now: u64) -> Result<Claims, TokenFault> {
        self.verified(token, now, false, &mut false)
    }

    /// The same. A token that is refused though its signature and issuer are right goes to `authentic`: its claims are
    /// its issuer's.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub(super) fn verify_for(
        &self,
        token: &Compact<'_>,
        now: u64,
        authentic: impl FnOnce(&Compact<'_>),
    ) -> Result<Claims, TokenFault> {
        let mut is_authentic = false;
        let outcome = self.verified(token, now, false, &mut is_authentic);
        if outcome.is_err() && is_authentic {
            authentic(token);
        }
        outcome
    }

    /// The subject that a token claims, where it can be one.
    pub(super) fn subject_of<'c>(&self, token: &'c Compact<'_>) -> Option<&'c str> {
        self.subject(&token.claims).ok()
    }

    /// The same of a token that may have expired: it opens nothing any more, but still says of which login it is.
    ///
    /// # Errors
    /// As [`Verifier::verify`], but for [`TokenFault::Expired`].
    pub fn verify_but_end(&self, token: &Compact<'_>, now: u64) -> Result<Claims, TokenFault> {
        self.verified(token, now, true, &mut false)
    }

    /// The claims of a token about which its issuer was asked, and which says that it is good: the same checks but for
    /// those of type and signature. It may leave out `iss` (RFC 7662 section 2.2). The answer is good until the second
    /// `until`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn verify_introspected(&self, claims: &Members, until: u64, now: u64) -> Result<Claims, TokenFault> {
        match claims.get("iss") {
            Some(issuer) if issuer.as_str() != Some(&self.issuer) => Err(TokenFault::Issuer),
            _ => self.checked(claims, until, now, false),
        }
    }

    /// The subject that claims name, where it can be one.
    pub(super) fn subject_in<'c>(&self, claims: &'c Members) -> Option<&'c str> {
        self.subject(claims).ok()
    }

    fn verified(
        &self,
        token: &Compact<'_>,
        now: u64,
        may_have_expired: bool,
        is_authentic: &mut bool,
    ) -> Result<Claims, TokenFault> {
        self.check_type(token.jws.kind())?;
        let key_ends = self.keys.verify_signature(&token.jws, now)?;
        if token.issuer() != Some(&self.issuer) {
            return Err(TokenFault::Issuer);
        }
        *is_authentic = true;
        self.checked(&token.claims, key_ends, now, may_have_expired)
    }

    /// Checks claims that are its issuer's; what vouches for that ends in the second `vouched_until`.
    fn checked(
        &self,
        claims: &Members,
        vouched_until: u64,
        now: u64,
        may_have_expired: bool,
    ) -> Result<Claims, TokenFault> {
        let audience = self.audience(claims.get("aud"))?;
        let expires_at = time(claims, "exp")?.ok_or(TokenFault::Malformed)?;
        let issued_at = time(claims, "iat")?;
        let not_before = time(claims, "nbf")?;
        let latest = now.saturating_add(self.skew);
        if [issued_at, not_before].into_iter().flatten().any(|time| time > latest) {
            return Err(TokenFault::NotYetValid);
        }
        if expires_at.saturating_add(self.skew) <= now && !may_have_expired {
            return Err(TokenFault::Expired);
        }
        if let Some(longest) = self.longest_life {
            let begun = issued_at.ok_or(TokenFault::Malformed)?;
            if expires_at.saturating_sub(begun) > longest {
                return Err(TokenFault::Lifetime);
            }
        }
        if !self.rules.iter().all(|rule| rule.holds(claims)) {
            return Err(TokenFault::Claim);
        }
        let text = |name: &str| claims.text(name).map(|text| text.map(str::to_owned));
        Ok(Claims {
            subject: self.subject(claims)?.to_owned(),
            audience: audience.to_owned(),
            issued_at,
            rules: match claims.get(RULES) {
                Some(number) if self.reads_client => Some(number.as_u64().ok_or(TokenFault::Malformed)?),
                _ => None,
            },
            expires_at,
            ends: expires_at.saturating_add(self.skew).min(vouched_until),
            over: expires_at.saturating_add(self.skew),
            token_id: text("jti")?,
            login: if self.reads_client { text("sid")? } else { None },
            family: if self.reads_client { text(FAMILY)?.map(|text| read_family(&text)).transpose()? } else { None },
            client_id: if self.reads_client { text("client_id")? } else { None },
            scope: if self.reads_client { text("scope")? } else { None },
            binding: match claims.get("cnf") {
                Some(confirmation) => Some(Binding::read(confirmation).ok_or(TokenFault::Binding)?),
                None => None,
            },
            account: match text(ACCOUNT)? {
                Some(text) if self.reads_client => Some(AccountStamp::parse(&text).ok_or(TokenFault::Malformed)?),
                _ => None,
            },
            forwarded: self.forwardable.as_ref().map(|forwardable| forwardable.read(claims)),
        })
    }

    fn check_type(&self, kind: Option<&str>) -> Result<(), TokenFault> {
        if self.types.iter().any(|right| right.as_deref() == kind) { Ok(()) } else { Err(TokenFault::Type) }
    }

    /// `aud` is a string or a list of strings, one of which is us (RFC 7519 section 4.1.3): which.
    fn audience(&self, audience: Option<&Value>) -> Result<&str, TokenFault> {
        let named = match audience {
            Some(value @ Value::String(_)) => std::slice::from_ref(value),
            Some(Value::Array(values)) => values,
            _ => return Err(TokenFault::Audience),
        };
        let right = named.iter().all(Value::is_string) && (named.len() == 1 || !self.sole_audience);
        let ours = self.audiences.iter().find(|ours| named.iter().any(|value| value == ours.as_str()));
        ours.filter(|_| right).map(String::as_str).ok_or(TokenFault::Audience)
    }

    fn subject<'c>(&self, claims: &'c Members) -> Result<&'c str, TokenFault> {
        match self.subject.find(claims) {
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

fn read_family(text: &str) -> Result<SessionDigest, TokenFault> {
    let digest = BASE64.decode(text).ok().and_then(|bytes| SessionDigest::try_from(bytes).ok());
    digest.ok_or(TokenFault::Malformed)
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
