//! `private_key_jwt`: a client presents a JWT about itself that it has signed with its own key (RFC 7523 section 2.2).
//! Each is good once.

use super::super::form::Form;
use super::one_of;
use crate::auth::Client;
use crate::auth::jwt::Compact;
use crate::gateway::Gateway;
use crate::gateway::authorize::dpop::once_owner;
use crate::gateway::error::Refused;
use crate::refusal::{Refusal, TokenFault};
use crate::state::replay::{self, Use};

/// The only supported `client_assertion_type`.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion as presented; nothing of it has been verified.
pub(super) struct AssertionCredential<'f> {
    jwt: Result<Compact<'f>, TokenFault>,
    /// The `client_id` beside it.
    posted: Option<&'f str>,
}

impl<'f> AssertionCredential<'f> {
    /// Reads the assertion from the form.
    ///
    /// # Errors
    /// A parameter is missing or repeated.
    pub(super) fn from_form(query: &'f Form, form: &'f Form) -> Result<Self, Refused> {
        let kind = form.required("client_assertion_type")?;
        let text = form.required("client_assertion")?;
        let jwt = if kind == JWT_BEARER { Compact::parse(text) } else { Err(TokenFault::Type) };
        Ok(Self { jwt, posted: one_of(query, form, "client_id")? })
    }

    /// The possible client ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let issuer = self.jwt.as_ref().ok().and_then(Compact::issuer);
        issuer.into_iter().chain(self.posted)
    }
}

impl Gateway {
    /// Verifies the assertion as the client's, and marks it as used. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The assertion is not valid, was used before, or the store is away.
    pub(super) async fn prove_by_assertion(
        &self,
        client: Option<&Client>,
        assertion: &AssertionCredential<'_>,
        now: u64,
    ) -> Result<(), Refusal> {
        let refused = Refusal::ClientAssertion;
        let jwt = assertion.jwt.as_ref().map_err(|fault| refused(*fault))?;
        let client = client.ok_or(Refusal::UnknownClient)?;
        // RFC 7521 section 4.2: what stands beside the assertion names the same client.
        if assertion.posted.is_some_and(|id| *id != *client.id) {
            return Err(refused(TokenFault::Issuer));
        }
        let assertions = client.assertions.as_ref().ok_or(refused(TokenFault::UnknownKey))?;
        let verified = assertions.verify(jwt, now).await.map_err(refused)?;
        // Last, so that nothing but a right one is used up.
        let id = replay::owned(verified.id, &once_owner(&client.id));
        let used = self.shared.state.use_once(id, verified.made, verified.ends, now).await;
        match used.map_err(|_| Refusal::StateUnavailable)? {
            Use::First => Ok(()),
            Use::Again => Err(refused(TokenFault::Used)),
            Use::ShareIsFull => Err(Refusal::ReplayShare),
        }
    }
}
