//! What issuers tell of their own accord: that a session has ended (OpenID Connect Back-Channel Logout 1.0), that it was
//! revoked, that a credential or an account is no longer what it was (OpenID CAEP 1.0, RISC 1.0). Who is meant comes out as
//! what must be revoked; what cannot be told so is a fault, and never passes for done.

mod subject_identifier;

use serde_json::Value;

use super::Authenticator;
use super::jwt::security_event::{EventVerifier, RECENT, SecurityEvent};
use super::jwt::{Compact, verified_patiently};
use super::trusted_issuer::{ProviderEvents, TrustedIssuer};
use crate::customer::Identifier;
use crate::refusal::TokenFault;
use crate::secret::Secret;
use crate::state::replay::{self, OnceId};
use crate::state::revocation::Subject;
use crate::state::session::digest_of;
use subject_identifier::NamedSubject;

/// Events that end one session, where they name one.
const OF_SESSIONS: [&str; 1] = ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"];
/// Events that end everything of a customer.
const OF_CUSTOMERS: [&str; 4] = [
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
];
/// Events by which a transmitter tries the way (OpenID Shared Signals Framework section 8.1.4, and drafts of it).
const OF_THE_WAY: [&str; 3] = [
    "https://schemas.openid.net/secevent/ssf/event-type/verification",
    "https://schemas.openid.net/secevent/sse/event-type/verification",
    "https://schemas.openid.net/secevent/risc/event-type/verification",
];

/// What ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A session of the issuer: the name of a [`Subject::Login`].
    Session(Box<str>),
    /// Everything of a customer.
    Customer(Identifier),
}

/// An authentic event.
#[derive(Debug)]
pub struct ProviderEvent {
    /// Its issuer.
    pub issuer: String,
    /// Digest of its issuer and `jti`, against replay.
    pub id: OnceId,
    /// `iat`, in seconds since 1970.
    pub issued_at: u64,
    /// The first second, since 1970, in which its id may be forgotten.
    pub forgotten: u64,
    /// What it ends; nothing where its type is not known here.
    pub ended: Vec<Ended>,
    /// It tries the way.
    pub is_verification: bool,
    /// For how long an ended session is remembered, in seconds.
    pub longest: u64,
}

impl Authenticator {
    /// What a logout token ends. Waits up to a second for keys that are being fetched. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The fault of the token; [`TokenFault::NoKeys`] where nobody knows.
    pub async fn logout_told(&self, token: &str, now: u64) -> Result<ProviderEvent, TokenFault> {
        let compact = Compact::parse(token)?;
        let (issuer, events) = self.teller(&compact)?;
        let verifier = events.logout.as_ref().ok_or(TokenFault::Issuer)?;
        let event = verified_patiently(verifier.published(), || verifier.verify(&compact, now)).await?;
        let mut told = Told { auth: self, issuer, events, ended: Vec::new() };
        told.session_or_customer(event.session.as_deref(), event.subject.as_deref())?;
        Ok(told.event(verifier, &event, false))
    }

    /// What a security event token ends; `authorization` is the field that came with it. Waits up to a second for keys that
    /// are being fetched. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The fault of the token, [`TokenFault::UnknownClient`] for another `authorization` than the transmitter's;
    /// [`TokenFault::NoKeys`] where nobody knows.
    pub async fn security_event_told(
        &self,
        token: &str,
        authorization: Option<&[u8]>,
        now: u64,
    ) -> Result<ProviderEvent, TokenFault> {
        let compact = Compact::parse(token)?;
        let (issuer, events) = self.teller(&compact)?;
        let verifier = events.security_events.as_ref().ok_or(TokenFault::Issuer)?;
        if events.authorization.as_ref().is_some_and(|secret| !is_same(secret, authorization)) {
            return Err(TokenFault::UnknownClient);
        }
        let event = verified_patiently(verifier.published(), || verifier.verify(&compact, now)).await?;
        let mut told = Told { auth: self, issuer, events, ended: Vec::new() };
        for (kind, content) in &event.events {
            let kind = kind.as_str();
            if OF_SESSIONS.contains(&kind) || OF_CUSTOMERS.contains(&kind) {
                told.security_event(&event, content, OF_CUSTOMERS.contains(&kind))?;
            }
        }
        let is_verification = event.events.keys().any(|kind| OF_THE_WAY.contains(&kind.as_str()));
        Ok(told.event(verifier, &event, is_verification))
    }

    /// The issuer of an event, where it may tell any.
    fn teller(&self, token: &Compact<'_>) -> Result<(&TrustedIssuer, &ProviderEvents), TokenFault> {
        let issuer = token.issuer().and_then(|issuer| self.trusted.find(issuer)).ok_or(TokenFault::Issuer)?;
        Ok((issuer, issuer.events.as_deref().ok_or(TokenFault::Issuer)?))
    }
}

/// Whether a field is the transmitter's, alone or after `Bearer`.
fn is_same(secret: &Secret, shown: Option<&[u8]>) -> bool {
    const BEARER: &[u8] = b"bearer ";
    let is = |shown: &[u8]| aws_lc_rs::constant_time::verify_slices_are_equal(secret.expose(), shown).is_ok();
    let after_bearer = |shown: &[u8]| match shown.split_at_checked(BEARER.len()) {
        Some((scheme, shown)) => scheme.eq_ignore_ascii_case(BEARER) && is(shown),
        None => false,
    };
    shown.is_some_and(|shown| is(shown) || after_bearer(shown))
}

/// What an event ends, as it is found out.
struct Told<'a> {
    auth: &'a Authenticator,
    issuer: &'a TrustedIssuer,
    events: &'a ProviderEvents,
    ended: Vec<Ended>,
}

impl Told<'_> {
    /// The session where one is named, else everything of the customer.
    fn session_or_customer(&mut self, session: Option<&str>, subject: Option<&str>) -> Result<(), TokenFault> {
        let issuer = self.issuer.verifier.issuer();
        let Some(session) = session else { return self.customer(subject) };
        self.ended.push(Ended::Session(Subject::session_of(issuer, session)));
        if let Some(subject) = subject {
            // Tokens that do not say of which session they are may be of this one.
            self.ended.push(Ended::Session(Subject::unnamed_session_of(issuer, subject)));
        }
        // Logins that began at it do not say of which session they are.
        if subject.is_some() && self.events.logs_customers_in && self.events.names_by_sub {
            return self.customer(subject);
        }
        Ok(())
    }

    fn customer(&mut self, subject: Option<&str>) -> Result<(), TokenFault> {
        let subject = subject.filter(|_| self.events.names_by_sub).ok_or(TokenFault::Subject)?;
        let deriver = self.auth.deriver.as_ref().ok_or(TokenFault::Subject)?;
        let customer = deriver.derive(self.issuer.verifier.tenant(), subject).map_err(|_| TokenFault::Subject)?;
        self.ended.push(Ended::Customer(customer));
        Ok(())
    }

    /// `is_of_customer`: the event is about all sessions, whichever is named.
    fn security_event(
        &mut self,
        event: &SecurityEvent,
        content: &Value,
        is_of_customer: bool,
    ) -> Result<(), TokenFault> {
        let named = match (event.about.as_ref().or_else(|| content.get("subject")), &event.subject) {
            (Some(identifier), _) => NamedSubject::read(identifier, self.issuer.verifier.issuer()),
            (None, Some(subject)) => Some(NamedSubject::of_customer(subject)),
            (None, None) => None,
        };
        let NamedSubject { customer, session, is_either } = named.ok_or(TokenFault::Subject)?;
        match session.filter(|_| !is_of_customer) {
            Some(session) => {
                self.session_or_customer(Some(&session), customer.as_deref())?;
                // An identifier that may be either's ends both, where it can be a customer's.
                if is_either && self.events.names_by_sub { self.customer(customer.as_deref()) } else { Ok(()) }
            }
            None => self.customer(customer.as_deref()),
        }
    }

    fn event(self, verifier: &EventVerifier, event: &SecurityEvent, is_verification: bool) -> ProviderEvent {
        let issuer = self.issuer.verifier.issuer();
        let digest = digest_of(format!("event {} {issuer} {}", issuer.len(), event.id).as_bytes());
        ProviderEvent {
            id: replay::owned(digest, &format!("issuer {issuer}")),
            issuer: issuer.to_owned(),
            issued_at: event.issued_at,
            forgotten: event.issued_at.saturating_add(RECENT).saturating_add(2 * verifier.skew()).saturating_add(1),
            ended: self.ended,
            is_verification,
            longest: self.events.longest,
        }
    }
}
