//! A client that calls a route with its id and secret by `Basic`, each time (RFC 7617): proved as at the token endpoint, in
//! the same queue and with the same lockout, and remembered.

use std::sync::Arc;

use http::header::AUTHORIZATION;

use super::secret::{SecretCredential, ShownSecret};
use crate::gateway::endpoints::lockout::{Attempt, Who};
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::{Gateway, unix_seconds};
use crate::refusal::Refusal;

impl Gateway {
    /// The client that `Authorization: Basic` names, without proof: for explanations only.
    ///
    /// # Errors
    /// No client of gateway.yaml has this id.
    pub(crate) fn name_basic_caller(&self, call: &Call<'_>) -> Result<Arc<str>, Refusal> {
        let field = call.parts.headers.get(AUTHORIZATION);
        let secret = field.and_then(SecretCredential::from_field).ok_or(Refusal::ClientAuthenticationMalformed)?;
        let client = secret.ids().find_map(|id| call.policy.auth.clients.get(id)).ok_or(Refusal::UnknownClient)?;
        Ok(Arc::clone(&client.id))
    }

    /// The client that `Authorization: Basic` proves.
    ///
    /// # Errors
    /// The secret is wrong, too many attempts have failed before, or too many hashes wait.
    pub(crate) async fn prove_basic_caller(&self, call: &Call<'_>, record: &mut Record) -> Result<Arc<str>, Refused> {
        let policy = call.policy;
        let field = call.parts.headers.get(AUTHORIZATION);
        let secret = field.and_then(SecretCredential::from_field).ok_or(Refusal::ClientAuthenticationMalformed)?;
        let client = secret.ids().find_map(|id| policy.auth.clients.get(id));
        let name = client.map(|client| &*client.id).or(secret.ids().next()).unwrap_or_default();
        let who = Who::new(Attempt::AccessToken, name, None, call.source.address);
        record.attempt = Some(who.shown(policy));
        record.known.client = client.map(|client| Arc::clone(&client.id));
        let shown = ShownSecret { client, secret: &secret, now: unix_seconds(record.time) };
        self.prove_by_secret(policy, &policy.client_secrets, who, shown).await?;
        // Nothing of an attempt that was right.
        record.attempt = None;
        let client = client.ok_or(Refusal::UnknownClient)?;
        Ok(Arc::clone(&client.id))
    }
}
