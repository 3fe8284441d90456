//! A token that is looked at by itself: to be revoked, or described.

use std::sync::Arc;

use super::jwt::{self, Compact, Kind, Verifier};
use super::verified::{Access, Marks, Verdict};
use super::{Authenticator, readable};
use crate::refusal::TokenFault;
use crate::state::State;
use crate::state::revocation::Subject;

/// A token that is good.
#[derive(Debug)]
pub struct Inspected {
    /// Whose it is.
    pub verdict: Verdict,
    /// What a rule that revokes it is about.
    pub subject: Subject,
    /// The login that it is of, where it says.
    pub login: Option<Box<str>>,
    /// The first second in which it is no longer good, clock skew included.
    pub ends: u64,
    /// What it says.
    pub claims: jwt::Claims,
}

impl Authenticator {
    /// What a token that is good now says, whatever it is for: of a client, or of a customer.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn inspect<'s>(&'s self, token: &str, now: u64, state: &State) -> Result<Inspected, TokenFault> {
        let token = readable(token.as_bytes())?;
        let compact = Compact::parse(token)?;
        let issuer = compact.issuer().ok_or(TokenFault::Issuer)?;
        let by = |verifier: Option<&'s Verifier>, kind| {
            let verifier = verifier.filter(|verifier| verifier.issuer() == issuer)?;
            Some((verifier.verify(&compact, now).ok()?, kind, verifier.tenant()))
        };
        let own = by(self.access.as_ref(), Kind::Access).or_else(|| by(self.own.as_ref(), Kind::Customer));
        let is_own = own.is_some();
        let (claims, kind, tenant) = match (own, self.trusted.get(issuer)) {
            (Some(own), _) => own,
            (None, Some(trusted)) => (trusted.verify(&compact, now)?, Kind::Customer, trusted.tenant()),
            (None, None) => return Err(TokenFault::Signature),
        };
        let marks = Marks::of(&claims, issuer, is_own, token);
        let verdict = match kind {
            Kind::Access => {
                let id = claims.client_id.as_deref().ok_or(TokenFault::Malformed)?;
                let client = self.clients.get(id).ok_or(TokenFault::UnknownClient)?;
                Verdict::Access(Access {
                    client: Arc::clone(&client.id),
                    audience: claims.audience.as_str().into(),
                    scopes: Arc::default(),
                    certificate: None,
                    binding: None,
                })
            }
            Kind::Customer => {
                let deriver = self.deriver.as_ref().ok_or(TokenFault::Issuer)?;
                if is_own && !self.accounts.admit(claims.account) {
                    return Err(TokenFault::Account);
                }
                let customer = if is_own {
                    deriver.accept(&claims.subject, now).map_err(|_| TokenFault::Subject)?
                } else {
                    deriver.derive(tenant, &claims.subject).map_err(|_| TokenFault::Subject)?
                };
                Verdict::Customer(customer, None)
            }
        };
        let marks = match &verdict {
            Verdict::Customer(customer, _) => marks.also_known_as(self.previous_of(customer, now)),
            Verdict::Access(_) => marks,
        };
        if marks.are_revoked(&verdict, state.revocations()) {
            return Err(TokenFault::Revoked);
        }
        let ends = claims.ends;
        Ok(Inspected { verdict, subject: Subject::Token(marks.id), login: marks.login, ends, claims })
    }
}
