//! System tokens of trusted issuers: a client's token that this gateway has not issued.
//!
//! A customer's token names a client too (`azp`), so an issuer says by which claims its system tokens differ
//! (`trusted_issuers[].client.claims`), and no token is good as both.

use std::borrow::Cow;
use std::sync::Arc;

use super::Authenticator;
use super::client_role::ClientRole;
use super::context::PendingLookup;
use super::introspection::{Inspected, Inspection};
use super::jwt::claims::{audiences_in, scopes_of};
use super::jwt::confirmation::Binding;
use super::jwt::jws::Members;
use super::jwt::{Claims, Compact};
use super::trusted_issuer::TrustedIssuer;
use super::verdict::{Access, ForeignAudiences, Marks, VerifiedToken};
use crate::explanation::trace::{StepDetail, shown};
use crate::refusal::TokenFault;

impl Authenticator {
    /// The trusted issuer of a token, where it issues system tokens.
    pub(super) fn issuer_of_clients(&self, token: &Compact<'_>) -> Option<&TrustedIssuer> {
        self.trusted.find(token.issuer()?).filter(|issuer| issuer.clients.is_some())
    }

    /// Verdict on a system token of a trusted issuer. The client of an authentic token is noted. One that names a key
    /// which is not known here may have to wait for it: then `ask` has whom to ask.
    pub(super) fn system_token_of(
        &self,
        issuer: &TrustedIssuer,
        (compact, token): (&Compact<'_>, &str),
        inspection: Inspection<'_>,
        ask: Option<&mut Option<PendingLookup>>,
    ) -> Result<Inspected, TokenFault> {
        let Inspection { now, revocations, accounts, told, known, steps } = inspection;
        let role = issuer.clients.as_deref().ok_or(TokenFault::Issuer)?;
        let verifier = &role.verifier;
        let (mut owner, mut is_of_customer) = (None, false);
        let note = |token: &Compact<'_>| {
            is_of_customer = !role.is_of_client(token.claims());
            owner = verifier.subject_of(token).map(Cow::into_owned);
        };
        let verified = verifier.verify_for(compact, now, steps, note).map_err(|fault| {
            let Some(published) = verifier.published() else { return fault };
            if let Some(ask) = ask
                && published.may_learn(fault)
            {
                *ask = Some(PendingLookup::ClientIssuer(Arc::clone(published)));
            }
            published.judged(fault)
        });
        // Before anything is said about a client, and also where nothing could name one: it is a customer's.
        if is_of_customer && matches!(verified, Err(TokenFault::Subject)) {
            return Err(TokenFault::Type);
        }
        let claims = verified.inspect_err(|_| {
            let owner = owner.filter(|_| !is_of_customer);
            known.client = owner.and_then(|id| self.name_of(role, &id).ok()).map(Arc::from);
        })?;
        let is_of_client = role.is_of_client(compact.claims());
        steps.note("role", is_of_client, || role.explain());
        if !is_of_client {
            return Err(TokenFault::Type);
        }
        let marks = Marks::of(&claims, verifier.issuer(), false, token);
        let inspection = Inspection { now, revocations, accounts, told, known, steps };
        self.system_access(issuer, compact.claims(), (claims, marks), inspection)
    }

    /// Verdict on a system token with these claims, which are its issuer's.
    pub(super) fn system_access(
        &self,
        issuer: &TrustedIssuer,
        members: &Members,
        (mut claims, marks): (Claims, Marks),
        inspection: Inspection<'_>,
    ) -> Result<Inspected, TokenFault> {
        let Inspection { now, revocations, known, steps, .. } = inspection;
        let role = issuer.clients.as_deref().ok_or(TokenFault::Issuer)?;
        let name = self.name_of(role, &claims.subject);
        known.client = name.as_ref().ok().map(|name| Arc::from(name.as_str()));
        let access = name.and_then(|name| self.foreign_access(issuer, role, members, &claims, name));
        steps.note("client", access.is_ok(), || {
            let saw = known.client.as_deref().map_or_else(|| "no usable name".to_owned(), shown);
            StepDetail::new("a client that may call here, bound to a certificate where it must be", saw).at("/clients")
        });
        let access = access?;
        claims.client_id = Some((*access.client).to_owned());
        let verdict = VerifiedToken::Access(access);
        marks.are_good(&verdict, revocations, now, steps)?;
        Ok(Inspected { verdict, marks, claims, issuer: role.verifier.issuer().to_owned() })
    }

    /// The name of a client of an issuer. One that is not configured never has the name of one that is, and none is
    /// taken for one that is by an issuer of any clients.
    fn name_of(&self, role: &ClientRole, id: &str) -> Result<String, TokenFault> {
        if !role.any {
            return Ok(id.to_owned());
        }
        let name = role.name_of(id)?;
        let is_taken = self.clients.contains_key(id) || self.clients.contains_key(name.as_str());
        if is_taken { Err(TokenFault::UnknownClient) } else { Ok(name) }
    }

    /// What a system token gives: the scopes in it that its client may have.
    fn foreign_access(
        &self,
        issuer: &TrustedIssuer,
        role: &ClientRole,
        members: &Members,
        claims: &Claims,
        name: String,
    ) -> Result<Access, TokenFault> {
        let client = match role.any {
            true => None,
            false => Some(self.clients.get(name.as_str()).ok_or(TokenFault::UnknownClient)?),
        };
        let is_bound = matches!(claims.binding, Some(Binding::Certificate(_)));
        if client.is_some_and(|client| client.certificate_bound) && !is_bound {
            return Err(TokenFault::Binding);
        }
        let mut scopes = scopes_of(members, &role.scopes)?;
        if let Some(client) = client {
            scopes.retain(|scope| client.scopes.contains(scope));
        }
        let all = audiences_in(members);
        let is_isolated = self.isolated_audiences.iter().any(|isolated| all.iter().any(|named| **named == **isolated));
        Ok(Access {
            client: name.into(),
            issuer: issuer.number,
            audience: claims.audience.as_str().into(),
            foreign: Some(Arc::new(ForeignAudiences { all, is_isolated })),
            scopes: scopes.into(),
            certificate: client.and_then(|client| client.certificate.clone()),
            binding: claims.binding,
        })
    }
}
