//! Verdict on a verified token: the client or customer that it stands for, its key binding, and the marks by which it can
//! be revoked.

use std::sync::Arc;

use super::credentials::api_key;
use super::jwt::Claims;
use super::jwt::confirmation::Binding;
use super::jwt::forwarded_claims::ForwardedClaims;
use super::tls::certificate::CertificateName;
use crate::customer::Identifier;
use crate::hex::hex;
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
    /// Its audience.
    pub audience: Arc<str>,
    /// Its scopes.
    pub scopes: Arc<[String]>,
    /// The client's certificate, which must be that of the connection. Each request is held against it.
    pub certificate: Option<Arc<CertificateName>>,
    /// The key that it is bound to, checked with each request.
    pub binding: Option<Binding>,
}

impl Access {
    /// The scopes among these that the token lacks, separated by spaces; `None` where it has all.
    pub(super) fn lacks(&self, scopes: &[String]) -> Option<Box<str>> {
        if scopes.iter().all(|scope| self.scopes.contains(scope)) {
            return None;
        }
        let lacks = scopes.iter().filter(|scope| !self.scopes.contains(scope));
        Some(lacks.map(String::as_str).collect::<Vec<_>>().join(" ").into())
    }
}

/// A verified customer's token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The customer.
    pub customer: Identifier,
    /// Whom it is for, where that is an audience set apart.
    pub isolated_audience: Option<Arc<str>>,
    /// The key that it is bound to, checked with each request.
    pub binding: Option<Binding>,
    /// Claims that backends may be told; `None` where the issuer's entry lists none.
    pub claims: Option<Arc<ForwardedClaims>>,
}

/// Marks by which a token can be revoked, beside its owner.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Its id: see [`Subject::Token`].
    pub id: Box<str>,
    /// Another id, under which it may have been revoked: of a JWT the digest of the whole token, as a version before wrote
    /// it, of one that only its issuer can read the `jti`.
    pub earlier_id: Option<Box<str>>,
    /// The login that it is of.
    pub login: Option<Box<str>>,
    /// `iat`, where it has one.
    pub issued: Option<Issued>,
    /// Another name of the customer, which a revocation may bear.
    pub also: Option<Identifier>,
    /// Whom it is for, where a customer's logins are ended for one audience only.
    pub audience: Box<str>,
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
        let login = if own { claims.login.as_deref().map(Into::into) } else { None };
        Self {
            id,
            earlier_id,
            login,
            issued: claims.issued_at.map(|at| Issued { at, number: claims.rules.filter(|_| own) }),
            also: None,
            audience: claims.audience.as_str().into(),
        }
    }

    /// The marks of another issuer's token that only the issuer can read: the digest of the whole of it, and its `jti`
    /// where the issuer has told one.
    pub fn of_opaque(claims: &Claims, issuer: &str, token: &str) -> Self {
        let id = format!("sha256 {}", hex(&api_key::digest(token.as_bytes()))).into();
        let told = claims.token_id.as_deref().map(|told| Subject::token_of(issuer, told));
        Self { id, earlier_id: told, ..Self::of(claims, issuer, false, token) }
    }

    /// It counts as one for this audience.
    pub fn counted_for(self, audience: &str) -> Self {
        Self { audience: audience.into(), ..self }
    }

    /// The customer has another name too.
    pub fn also_known_as(self, also: Option<Identifier>) -> Self {
        Self { also, ..self }
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
    }
}
