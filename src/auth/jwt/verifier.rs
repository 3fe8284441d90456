//! Verification of the tokens of one issuer: what costs nothing first, the signature before any claim.

mod explained;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

use super::claims::{ClaimPath, ClaimRule};
use super::confirmation::Binding;
use super::delegation::Delegation;
use super::forwarded_claims::ForwardableClaims;
use super::jwk_set::JwkSet;
use super::jws::{Members, plain_type};
use super::remote_jwks::PublishedKeys;
use super::{ACCOUNT, Claims, Compact, FAMILY, Keys, RULES, TokenKind};
use crate::customer;
use crate::explanation::trace::StepSink;
use crate::refusal::TokenFault;
use crate::state::account_stamp::AccountStamp;
use crate::state::revocation::Subject;
use crate::state::session::SessionDigest;

/// The farthest `exp`, in seconds from now. One beyond it is in milliseconds, or a mistake that is valid for ever.
const FARTHEST_END: u64 = 10 * 366 * 24 * 3600;

/// Values of the *claim* `typ`, in small letters, of tokens that are no access or ID tokens: Keycloak signs all of them
/// with the same keys, for the same audiences (RFC 8725 section 3.12).
const OTHER_KINDS: [&str; 3] = ["refresh", "offline", "logout"];

/// Checks the tokens of one kind from one issuer.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    /// Other values of `iss` that are the same issuer.
    spellings: Vec<String>,
    /// `None`: tokens without `aud`, and only those.
    pub(super) audiences: Option<Vec<String>>,
    /// A token that is for somebody else too is refused.
    sole_audience: bool,
    pub(super) keys: Keys,
    pub(super) skew: u64,
    /// The values of `typ` that are right, in small letters; `None` for a missing one (RFC 8725 section 3.11).
    types: Vec<Option<String>>,
    subject: ClaimPath,
    longest_subject: usize,
    longest_life: Option<u64>,
    rules: Vec<ClaimRule>,
    tenant: String,
    reads_client: bool,
    reads_session: bool,
    takes_events: bool,
    forwardable: Option<ForwardableClaims>,
}

impl Verifier {
    /// For customers' tokens of one issuer with these keys: the usual checks, on which others build.
    fn of_issuer(issuer: String, audiences: Vec<String>, keys: Keys, skew: u64) -> Self {
        Self {
            tenant: issuer.clone(),
            issuer,
            spellings: Vec::new(),
            audiences: Some(audiences),
            sole_audience: false,
            keys,
            skew,
            types: vec![Some("jwt".to_owned()), None],
            subject: ClaimPath::parse("sub"),
            longest_subject: customer::LONGEST_SUBJECT,
            longest_life: None,
            rules: Vec::new(),
            reads_client: false,
            reads_session: false,
            takes_events: false,
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

    /// Takes ID tokens for this client of its issuer, whatever else the issuer's tokens are for (OpenID Connect Core 1.0
    /// section 3.1.3.7).
    pub fn of_id_tokens(self, client: &str) -> Self {
        Self { audiences: Some(vec![client.to_owned()]), ..self }.of_types([Some("JWT".to_owned()), None])
    }

    /// Takes this claim for the subject.
    pub fn of_subject(self, subject: ClaimPath) -> Self {
        Self { subject, ..self }
    }

    /// Takes these values of `iss` for the same issuer.
    pub fn spelled(self, spellings: Vec<String>) -> Self {
        Self { spellings, ..self }
    }

    /// Takes only tokens without `aud`, which say by other claims whom they are for: its rules must ask for them.
    pub fn without_audience(self) -> Self {
        Self { audiences: None, ..self }
    }

    /// Takes tokens with `events`, of which nobody is a customer (RFC 8417 section 2.2).
    pub fn of_events(self) -> Self {
        Self { takes_events: true, ..self }
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

    /// Its issuer tells when sessions end: its tokens say of which session they are.
    pub fn reading_sessions(self) -> Self {
        Self { reads_session: true, ..self }
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

    /// The `iss` of its tokens; where it has several, the one by which its customers are known.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The claims of the token, once type, signature, issuer, audience, times and subject are right. `now` is in
    /// seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong, in that order.
    pub fn verify(&self, token: &Compact<'_>, now: u64) -> Result<Claims, TokenFault> {
        self.verified(token, now, false, &mut false, StepSink::off())
    }

    /// The same. A token that is refused though its signature and issuer are right goes to `authentic`: its claims are
    /// its issuer's.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub(in crate::auth) fn verify_for(
        &self,
        token: &Compact<'_>,
        now: u64,
        steps: StepSink<'_>,
        authentic: impl FnOnce(&Compact<'_>),
    ) -> Result<Claims, TokenFault> {
        let mut is_authentic = false;
        let outcome = self.verified(token, now, false, &mut is_authentic, steps);
        if outcome.is_err() && is_authentic {
            authentic(token);
        }
        outcome
    }

    /// The subject that a token claims, where it can be one.
    pub(in crate::auth) fn subject_of<'c>(&self, token: &'c Compact<'_>) -> Option<Cow<'c, str>> {
        self.subject(&token.claims).ok()
    }

    /// The same of a token that may have expired: it opens nothing any more, but still says of which login it is.
    ///
    /// # Errors
    /// As [`Verifier::verify`], but for [`TokenFault::Expired`].
    pub fn verify_but_end(&self, token: &Compact<'_>, now: u64) -> Result<Claims, TokenFault> {
        self.verified(token, now, true, &mut false, StepSink::off())
    }

    /// The claims of a token about which its issuer was asked, and which says that it is good: the same checks but for
    /// those of type and signature. It may leave out `iss` (RFC 7662 section 2.2). The answer is good until the second
    /// `until`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(in crate::auth) fn verify_introspected(
        &self,
        claims: &Members,
        until: u64,
        now: u64,
        steps: StepSink<'_>,
    ) -> Result<Claims, TokenFault> {
        match claims.get("iss").filter(|issuer| !issuer.is_null()) {
            Some(issuer) if !issuer.as_str().is_some_and(|iss| self.is_issuer(iss)) => Err(TokenFault::Issuer),
            // Without a key: the end of the answer is only that of its use.
            _ => Ok(Claims { key_ends: u64::MAX, ..self.checked(claims, until, now, false, steps)? }),
        }
    }

    /// The subject that claims name, where it can be one.
    pub(in crate::auth) fn subject_in<'c>(&self, claims: &'c Members) -> Option<Cow<'c, str>> {
        self.subject(claims).ok()
    }

    fn verified(
        &self,
        token: &Compact<'_>,
        now: u64,
        may_have_expired: bool,
        is_authentic: &mut bool,
        steps: StepSink<'_>,
    ) -> Result<Claims, TokenFault> {
        let kind = self.check_type(token.jws.kind());
        steps.note("typ", kind.is_ok(), || self.explain_type(token.jws.kind()));
        kind?;
        let key_ends = self.keys.verify_signature(&token.jws, now, steps)?;
        let is_its = token.issuer().is_some_and(|iss| self.is_issuer(iss));
        steps.note("iss", is_its, || self.explain_issuer(token.issuer()));
        if !is_its {
            return Err(TokenFault::Issuer);
        }
        *is_authentic = true;
        self.checked(&token.claims, key_ends, now, may_have_expired, steps)
    }

    /// Checks claims that are its issuer's; what vouches for that ends in the second `vouched_until`.
    fn checked(
        &self,
        claims: &Members,
        vouched_until: u64,
        now: u64,
        may_have_expired: bool,
        steps: StepSink<'_>,
    ) -> Result<Claims, TokenFault> {
        let kind = self.check_kind(claims);
        if kind.is_err() {
            steps.refuse("typ", || self.explain_kind(claims));
        }
        kind?;
        let audience = self.audience(claims.get("aud"));
        steps.note("aud", audience.is_ok(), || self.explain_audience(claims.get("aud")));
        let audience = audience?;
        let times = self.times(claims, now, may_have_expired);
        steps.note("exp", times.is_ok(), || self.explain_times(claims, now));
        let (expires_at, issued_at) = times?;
        if steps.is_on() {
            self.explain_rules(claims, steps);
        }
        if !self.rules.iter().all(|rule| rule.holds(claims)) {
            return Err(TokenFault::Claim);
        }
        let subject = self.subject(claims);
        steps.note("sub", subject.is_ok(), || self.explain_subject(claims));
        let text = |name: &str| claims.text(name).map(|text| text.map(str::to_owned));
        Ok(Claims {
            subject: subject?.into_owned(),
            audience: audience.to_owned(),
            issued_at,
            rules: match claims.get(RULES) {
                Some(number) if self.reads_client => Some(number.as_u64().ok_or(TokenFault::Malformed)?),
                _ => None,
            },
            expires_at,
            ends: expires_at.saturating_add(self.skew).min(vouched_until),
            key_ends: vouched_until,
            over: expires_at.saturating_add(self.skew),
            token_id: text("jti")?,
            login: if self.reads_client { text("sid")? } else { None },
            session: if self.reads_session { self.session(claims)? } else { None },
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
            delegation: Delegation::read(claims, self.reads_client)?,
            forwarded: self.forwardable.as_ref().map(|forwardable| forwardable.read(claims)),
        })
    }

    /// `exp` and `iat`, in seconds since 1970, once they and `nbf` are right.
    fn times(&self, claims: &Members, now: u64, may_have_expired: bool) -> Result<(u64, Option<u64>), TokenFault> {
        let expires_at = time(claims, "exp")?.ok_or(TokenFault::Malformed)?;
        let issued_at = time(claims, "iat")?;
        let not_before = time(claims, "nbf")?;
        if expires_at > now.saturating_add(FARTHEST_END) {
            return Err(TokenFault::Lifetime);
        }
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
        Ok((expires_at, issued_at))
    }

    pub(super) fn is_issuer(&self, iss: &str) -> bool {
        self.issuer == iss || self.spellings.iter().any(|spelling| spelling == iss)
    }

    /// Refuses logout tokens and refresh tokens, which issuers sign with the same keys for the same audiences.
    fn check_kind(&self, claims: &Members) -> Result<(), TokenFault> {
        let is_event = claims.get("events").is_some_and(|events| !events.is_null());
        let kind = claims.get("typ").and_then(Value::as_str);
        let is_other = kind.is_some_and(|kind| OTHER_KINDS.iter().any(|other| kind.eq_ignore_ascii_case(other)));
        if (is_event || is_other) && !self.takes_events { Err(TokenFault::Type) } else { Ok(()) }
    }

    /// The session of a token; one without `sid` is of any of its `sub`.
    fn session(&self, claims: &Members) -> Result<Option<Box<str>>, TokenFault> {
        let subject = || claims.get("sub").and_then(name_in);
        let unnamed = || subject().map(|subject| Subject::unnamed_session_of(&self.issuer, &subject));
        let session = claims.text("sid")?;
        Ok(session.map(|session| Subject::session_of(&self.issuer, session)).or_else(unnamed))
    }

    pub(super) fn check_type(&self, kind: Option<&str>) -> Result<(), TokenFault> {
        if self.types.iter().any(|right| right.as_deref() == kind) { Ok(()) } else { Err(TokenFault::Type) }
    }

    /// `aud` is a string or a list of strings, one of which is us (RFC 7519 section 4.1.3): which. Empty where tokens have
    /// none.
    pub(super) fn audience(&self, audience: Option<&Value>) -> Result<&str, TokenFault> {
        let named = match audience {
            Some(value @ Value::String(_)) => std::slice::from_ref(value),
            Some(Value::Array(values)) => values,
            None | Some(Value::Null) if self.audiences.is_none() => return Ok(""),
            _ => return Err(TokenFault::Audience),
        };
        let right = named.iter().all(Value::is_string) && (named.len() == 1 || !self.sole_audience);
        let mut accepted = self.audiences.iter().flatten();
        let ours = accepted.find(|ours| named.iter().any(|value| value == ours.as_str()));
        ours.filter(|_| right).map(String::as_str).ok_or(TokenFault::Audience)
    }

    fn subject<'c>(&self, claims: &'c Members) -> Result<Cow<'c, str>, TokenFault> {
        let subject = self.subject.find(claims).and_then(name_in).ok_or(TokenFault::Subject)?;
        let right =
            !subject.is_empty() && subject.len() <= self.longest_subject && !subject.chars().any(char::is_control);
        if right { Ok(subject) } else { Err(TokenFault::Subject) }
    }
}

/// A text, or a whole number as its digits.
pub(super) fn name_in(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

fn read_family(text: &str) -> Result<SessionDigest, TokenFault> {
    let digest = BASE64.decode(text).ok().and_then(|bytes| SessionDigest::try_from(bytes).ok());
    digest.ok_or(TokenFault::Malformed)
}

/// A NumericDate (RFC 7519 section 2) in whole seconds: a number from 0 on, fractions cut off, no string. `null` is none.
pub(super) fn time(claims: &Members, name: &str) -> Result<Option<u64>, TokenFault> {
    let Some(value) = claims.get(name).filter(|value| !value.is_null()) else {
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
