//! Verdict on a verified token: the client or customer that it stands for, its key binding, and the marks by which it can
//! be revoked.

use std::sync::Arc;

use super::credentials::api_key;
use super::jwt::Claims;
use super::jwt::confirmation::Binding;
use super::jwt::forwarded_claims::ForwardedClaims;
use super::requirements::{IssuerNumber, Requirements};
use super::tls::certificate::CertificateName;
use crate::customer::Identifier;
use crate::explanation::trace::{StepDetail, StepSink};
use crate::hex::hex;
use crate::refusal::TokenFault;
use crate::state::revocation::{Issued, Revocations, Subject};

/// Verdict on a verified token.
#[derive(Debug, Clone)]
pub enum VerifiedToken {
    /// A client's access token.
    Access(Access),
    /// A customer's token.
    Customer(Identity),
}

impl VerifiedToken {
    /// The customer of the token; `None` for a client's.
    pub fn customer(&self) -> Option<&Identifier> {
        match self {
            Self::Customer(Identity { customer, .. }) => Some(customer),
            Self::Access(_) => None,
        }
    }
}

/// A verified access token.
#[derive(Debug, Clone)]
pub struct Access {
    /// The client.
    pub client: Arc<str>,
    /// The issuer of its token.
    pub issuer: IssuerNumber,
    /// Its audience.
    pub audience: Arc<str>,
    /// The audiences of a trusted issuer's token; `None` for one of ours.
    pub foreign: Option<Arc<ForeignAudiences>>,
    /// Its scopes.
    pub scopes: Arc<[String]>,
    /// The client's certificate, which must be that of the connection. Each request is held against it.
    pub certificate: Option<Arc<CertificateName>>,
    /// The key that it is bound to, checked with each request.
    pub binding: Option<Binding>,
}

/// The audiences of a trusted issuer's system token.
#[derive(Debug)]
pub struct ForeignAudiences {
    /// All that the token names.
    pub all: Vec<String>,
    /// One of them is set apart: it is good only where that is required.
    pub is_isolated: bool,
}

impl Access {
    /// Returns whether it is for a route with these requirements.
    pub(super) fn is_for(&self, requirements: &Requirements) -> bool {
        match &self.foreign {
            None => *self.audience == *requirements.audience,
            Some(foreign) if requirements.is_audience_set => foreign.all.contains(&requirements.audience),
            Some(foreign) => !foreign.is_isolated,
        }
    }

    /// The scopes among these that the token lacks, separated by spaces; `None` where it has all.
    pub(super) fn lacks(&self, scopes: &[String]) -> Option<Box<str>> {
        lacking(&self.scopes, scopes)
    }
}

/// A verified customer's token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The customer.
    pub customer: Identifier,
    /// The issuer of its token.
    pub issuer: IssuerNumber,
    /// Whom it is for, where that is an audience set apart.
    pub isolated_audience: Option<Arc<str>>,
    /// The key that it is bound to, checked with each request.
    pub binding: Option<Binding>,
    /// Claims that backends may be told; `None` where the issuer's entry lists none.
    pub claims: Option<Arc<ForwardedClaims>>,
    /// The client that acts for the customer, where the token was given to one.
    pub delegate: Option<Arc<Delegate>>,
}

/// A client that acts for a customer by a token of its own (RFC 8693), and how far.
#[derive(Debug)]
pub struct Delegate {
    /// The client.
    pub client: Arc<str>,
    /// The audience of the token.
    pub audience: Box<str>,
    /// Its scopes.
    pub scopes: Box<[String]>,
}

impl Delegate {
    /// Checks that the token is for this route, and, where a client is proved too, that it is the one that acts.
    pub(super) fn is_for(&self, requirements: &Requirements, client: Option<&str>) -> Result<(), TokenFault> {
        if requirements.audience != *self.audience {
            return Err(TokenFault::Audience);
        }
        if client.is_some_and(|client| *client != *self.client) {
            return Err(TokenFault::Actor);
        }
        Ok(())
    }

    /// The scopes among these that the token lacks, separated by spaces; `None` where it has all.
    pub(super) fn lacks(&self, scopes: &[String]) -> Option<Box<str>> {
        lacking(&self.scopes, scopes)
    }
}

fn lacking(has: &[String], scopes: &[String]) -> Option<Box<str>> {
    if scopes.iter().all(|scope| has.contains(scope)) {
        return None;
    }
    let lacks = scopes.iter().filter(|scope| !has.contains(scope));
    Some(lacks.map(String::as_str).collect::<Vec<_>>().join(" ").into())
}

/// Marks by which a token can be revoked, beside its owner.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Its id: see [`Subject::Token`].
    pub id: Box<str>,
    /// Another id, under which it may have been revoked: of a JWT the digest of the whole token, as a version before wrote
    /// it, of one that only its issuer can read the `jti`.
    pub earlier_id: Option<Box<str>>,
    /// The login that it is of, or the session of another issuer.
    pub login: Option<Box<str>>,
    /// `iat`, where it has one.
    pub issued: Option<Issued>,
    /// Another name of the customer, which a revocation may bear.
    pub also: Option<Identifier>,
    /// Whom it is for, where a customer's logins are ended for one audience only.
    pub audience: Box<str>,
    /// What else ends it: it was given for another token, and is of a client.
    pub ends_with: Box<[Subject]>,
}

impl Marks {
    /// The marks of a token. `own`: this gateway issued it.
    ///
    /// One without `jti` goes by the digest of what is signed. The signature is not part of it: of ECDSA there are always two
    /// that are right, and whoever has one has the other.
    pub fn of(claims: &Claims, issuer: &str, own: bool, token: &str) -> Self {
        let digest = |text: &str| format!("sha256 {}", hex(&api_key::digest(text.as_bytes()))).into();
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let (id, earlier_id) = match &claims.token_id {
            Some(id) if own => (id.as_str().into(), None),
            Some(id) => (Subject::token_of(issuer, id), None),
            None => (digest(signed), Some(digest(token))),
        };
        let login = if own { claims.login.as_deref().map(Into::into) } else { claims.session.clone() };
        Self {
            id,
            earlier_id,
            login,
            issued: claims.issued_at.map(|at| Issued { at, number: claims.rules.filter(|_| own) }),
            also: None,
            audience: claims.audience.as_str().into(),
            ends_with: Box::default(),
        }
    }

    /// The subjects of all rules that end the token, beside those about its owner.
    pub fn subjects(&self) -> Vec<Subject> {
        let Self { id, earlier_id, login, issued: _, also: _, audience: _, ends_with } = self;
        let ids = [Some(id), earlier_id.as_ref()].into_iter().flatten().cloned().map(Subject::Token);
        ids.chain(login.clone().map(Subject::Login)).chain(ends_with.iter().cloned()).collect()
    }

    /// The marks of another issuer's token that only the issuer can read: the digest of the whole of it, and its `jti`
    /// where the issuer has told one.
    pub fn of_opaque(claims: &Claims, issuer: &str, token: &str) -> Self {
        let id = format!("sha256 {}", hex(&api_key::digest(token.as_bytes()))).into();
        let told = claims.token_id.as_deref().map(|told| Subject::token_of(issuer, told));
        Self { id, earlier_id: told, ..Self::of(claims, issuer, false, token) }
    }

    /// A revocation of one of these ends it too.
    pub fn ended_with(self, ends_with: Box<[Subject]>) -> Self {
        Self { ends_with, ..self }
    }

    /// It counts as one for this audience.
    pub fn counted_for(self, audience: &str) -> Self {
        Self { audience: audience.into(), ..self }
    }

    /// The customer has another name too.
    pub fn also_known_as(self, also: Option<Identifier>) -> Self {
        Self { also, ..self }
    }

    /// Notes the time of issue, and checks that no rule covers the token, its login or its owner. `now` is in seconds
    /// since 1970.
    pub(super) fn are_good(
        &self,
        verdict: &VerifiedToken,
        revocations: &Revocations,
        now: u64,
        steps: StepSink<'_>,
    ) -> Result<(), TokenFault> {
        if !steps.is_on() {
            revocations.note(self.issued, now);
        }
        let is_revoked = self.are_revoked(verdict, revocations);
        steps.note("revocation", !is_revoked, || {
            StepDetail::new(
                "no revocation of this token, its login or its owner",
                if is_revoked { "one" } else { "none" },
            )
        });
        if is_revoked { Err(TokenFault::Revoked) } else { Ok(()) }
    }

    /// Returns whether a rule covers the token, its login or its owner.
    pub fn are_revoked(&self, verdict: &VerifiedToken, revocations: &Revocations) -> bool {
        if revocations.is_empty() {
            return false;
        }
        let covered = |subject: &Subject| revocations.covers(subject, self.issued);
        let of_owner = match verdict {
            VerifiedToken::Access(access) => covered(&Subject::Client((*access.client).into())),
            VerifiedToken::Customer(Identity { customer, .. }) => {
                [Some(customer), self.also.as_ref()].into_iter().flatten().any(|name| {
                    covered(&Subject::Customer(name.as_str().into()))
                        || covered(&Subject::customer_for(name.as_str(), &self.audience))
                })
            }
        };
        of_owner
            || [Some(&self.id), self.earlier_id.as_ref()]
                .into_iter()
                .flatten()
                .any(|id| covered(&Subject::Token(id.clone())))
            || self.login.as_ref().is_some_and(|login| covered(&Subject::Login(login.clone())))
            || self.ends_with.iter().any(covered)
    }
}
