//! Client authentication at the OAuth endpoints, by exactly one method (RFC 6749 section 2.3). One file below here for
//! each method.

mod assertion;
mod basic_caller;
mod certificate;
mod secret;
mod verified_secrets;

use std::sync::Arc;

use http::HeaderMap;
use http::header;

use super::form::{self, FORM, Form};
use super::lockout::{Attempt, Who};
use crate::auth::Client;
use crate::auth::tls::certificate::Certificate;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::{Gateway, unix_seconds};
use crate::policy::AccessToken;
use crate::refusal::Refusal;
use assertion::AssertionCredential;
use certificate::ByCertificate;
use secret::{SecretCredential, ShownSecret};
pub(crate) use verified_secrets::VerifiedSecrets;

/// Client credentials as presented.
enum Shown<'f> {
    /// `client_secret_basic` and `client_secret_post`: its id and a secret.
    Secret(SecretCredential),
    /// `private_key_jwt`: an assertion that it has signed.
    Assertion(AssertionCredential<'f>),
    /// `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of its connection.
    Certificate(ByCertificate<'f>),
}

impl<'f> Shown<'f> {
    /// The credentials of a request, by exactly one method.
    fn read(
        headers: &HeaderMap,
        query: &'f Form,
        form: &'f Form,
        certificate: Option<&'f Certificate>,
    ) -> Result<Self, Refused> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let (field, another) = (fields.next(), fields.next());
        let secret = form.one("client_secret")?;
        let assertion = form.one("client_assertion")?.or(form.one("client_assertion_type")?);
        match (field, secret, assertion) {
            _ if another.is_some() => Err(Refusal::ClientAuthentication.into()),
            (Some(field), None, None) => SecretCredential::from_basic(field, form).map(Self::Secret),
            (None, None, None) if let Some(certificate) = certificate => {
                ByCertificate::from_form(certificate, query, form).map(Self::Certificate)
            }
            (None, secret, None) => SecretCredential::from_form(secret, query, form).map(Self::Secret),
            (None, None, Some(_)) => AssertionCredential::from_form(query, form).map(Self::Assertion),
            (Some(_), _, _) | (None, Some(_), Some(_)) => Err(Refusal::ClientAuthentication.into()),
        }
    }

    /// The possible client ids, the likeliest first.
    fn ids(&self) -> Vec<&str> {
        match self {
            Self::Secret(secret) => secret.ids().collect(),
            Self::Assertion(assertion) => assertion.ids().collect(),
            Self::Certificate(shown) => vec![shown.id],
        }
    }
}

impl Gateway {
    /// The authenticated client.
    ///
    /// # Errors
    /// The authentication failed, or was tried too often.
    pub(crate) async fn authenticate<'a>(
        &self,
        call: &Call<'a>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<&'a Client, Refused> {
        let policy = call.policy;
        let certificate = call.certificate(unix_seconds(record.time));
        let certificate = certificate.map_err(|_| Refusal::ClientCertificate)?;
        let shown = Shown::read(&call.parts.headers, query, form, certificate)?;
        let ids = shown.ids();
        let client = ids.iter().find_map(|id| policy.auth.clients.get(*id));
        let name = client.map(|client| &*client.id).or(ids.first().copied()).unwrap_or_default();
        let who = Who::new(Attempt::AccessToken, name, None, call.source.address);
        let now = unix_seconds(record.time);
        let costs = endpoint.attempts;
        // Also where it does not prove itself: somebody must learn whose secret is wrong.
        record.attempt = Some(who.shown(policy));
        record.known.client = client.map(|client| Arc::clone(&client.id));
        match &shown {
            Shown::Secret(secret) => {
                self.prove_by_secret(policy, endpoint, who, ShownSecret { client, secret, now }).await?;
            }
            Shown::Assertion(assertion) => {
                self.judged(who, costs, self.prove_by_assertion(client, assertion, now)).await?;
            }
            Shown::Certificate(certificate) => self.judged(who, costs, async { certificate.prove(client) }).await?,
        }
        let client = client.ok_or(Refusal::UnknownClient)?;
        if let Some(name) = &client.certificate
            && !certificate.is_some_and(|certificate| name.fits(certificate))
        {
            return Err(Refusal::OtherCertificate.into());
        }
        Ok(client)
    }

    /// The client of a request whose other parts are proof enough: a public one by its id alone, any other by its proof.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub(super) async fn identify<'a>(
        &self,
        call: &Call<'a>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<&'a Client, Refused> {
        let id = one_of(query, form, "client_id")?;
        let known = id.and_then(|id| call.policy.auth.clients.get(id)).filter(|client| client.is_public);
        match known {
            Some(client) if !is_shown(&call.parts.headers, form)? => {
                record.known.client = Some(Arc::clone(&client.id));
                Ok(client)
            }
            _ => self.authenticate(call, query, form, endpoint, record).await,
        }
    }
}

/// The parameters of a request to an OAuth endpoint, in its query and in its body of at most `longest` bytes.
///
/// # Errors
/// A body that is no form, or a secret in the query.
pub(super) async fn read_forms(
    call: &mut Call<'_>,
    longest: u64,
    record: &mut Record,
) -> Result<(Form, Form), Refused> {
    let query = form::open_query(call.parts.uri.query())?;
    if !matches!(call.type_to_read()?.as_deref(), None | Some(FORM)) {
        return Err(Refused::of_types(&[FORM]));
    }
    let body = call.read_body(longest, record).await?;
    Ok((query, Form::parse(&body)?))
}

/// True if a client presents anything to authenticate with. An id alone is that of a public client (RFC 6749 section
/// 3.2.1): it is not even looked up.
///
/// # Errors
/// A parameter is repeated.
pub(super) fn is_shown(headers: &HeaderMap, form: &Form) -> Result<bool, Refused> {
    let mut is_shown = headers.contains_key(header::AUTHORIZATION);
    for name in ["client_secret", "client_assertion", "client_assertion_type"] {
        is_shown |= form.one(name)?.is_some();
    }
    Ok(is_shown)
}

/// The `client_id` that must accompany the credentials.
fn client_id<'a>(query: &'a Form, form: &'a Form) -> Result<&'a str, Refused> {
    one_of(query, form, "client_id")?.ok_or(Refused::of_parameter(Refusal::ClientAuthenticationMissing, "client_id"))
}

/// A parameter that may stand in the query or in the body, but not with two values.
pub(crate) fn one_of<'a>(query: &'a Form, form: &'a Form, name: &'static str) -> Result<Option<&'a str>, Refused> {
    match (query.one(name)?, form.one(name)?) {
        (Some(one), Some(other)) if one != other => Err(Refused::of_parameter(Refusal::ParameterRepeated, name)),
        (one, other) => Ok(one.or(other)),
    }
}
