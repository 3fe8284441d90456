//! Clients that show a secret with each call, on routes that take it: `routes[].client_from`.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::Authenticator;
use super::client::Client;
use super::context::{AuthContext, PendingLookup};
use super::credentials::{api_key, single};
use super::requirements::{ClientSources, IssuerNumber, Requirements};
use super::tls::certificate::Certificate;
use super::verdict::Access;
use crate::refusal::{Refusal, TokenFault};
use crate::state::revocation::Subject;

/// A client's credential as it is presented.
enum ShownClient<'a> {
    /// None.
    Nothing,
    /// A token in `Authorization`, or something odd there.
    Token,
    /// An id and a secret in `Authorization`.
    Basic,
    /// A secret in a header.
    Secret(&'a HeaderValue),
}

impl<'a> ShownClient<'a> {
    /// The credential of a request.
    ///
    /// # Errors
    /// A header stands there twice, or there are two credentials.
    fn read(sources: &ClientSources, headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let mut shown = match single(headers, &AUTHORIZATION)? {
            Some(_) if sources.is_by_basic(headers) || (sources.basic && !sources.bearer) => Self::Basic,
            Some(_) if sources.bearer => Self::Token,
            Some(_) | None => Self::Nothing,
        };
        for name in &sources.headers {
            let Some(value) = single(headers, name)? else { continue };
            if !matches!(shown, Self::Nothing) {
                return Err(Refusal::CredentialConflict);
            }
            shown = Self::Secret(value);
        }
        Ok(shown)
    }
}

impl Authenticator {
    /// The client of a call by its secret; `None` where it shows a token instead. An id and a secret that have not been
    /// proved yet are asked about.
    pub(super) fn client_by_secret(
        &self,
        sources: &ClientSources,
        headers: &HeaderMap,
        requirements: &Requirements,
        context: &mut AuthContext<'_>,
    ) -> Result<Option<Access>, Refusal> {
        let client = match ShownClient::read(sources, headers)? {
            ShownClient::Token => return Ok(None),
            ShownClient::Nothing => return Err(Refusal::ClientToken(TokenFault::Missing)),
            ShownClient::Secret(value) => self.client_of_header(value, context)?,
            ShownClient::Basic => match &context.learned.client {
                Some(proved) => {
                    let id = proved.as_ref().map_err(|refusal| *refusal)?;
                    self.clients.get(id).ok_or(Refusal::UnknownClient)?
                }
                None => {
                    context.ask = Some(PendingLookup::ClientSecret);
                    return Err(Refusal::ClientToken(TokenFault::Missing));
                }
            },
        };
        self.access_by_secret(client, requirements, context)
            .inspect_err(|_| context.known.client = Some(Arc::clone(&client.id)))
            .map(Some)
    }

    /// The client of a secret in a header. As with an API key, nobody guesses 256 random bits.
    fn client_of_header(&self, value: &HeaderValue, context: &mut AuthContext<'_>) -> Result<&Client, Refusal> {
        let digest = api_key::digest(value.as_bytes());
        let secret = self.header_secrets.find(&digest).ok_or(Refusal::UnknownClient)?;
        let client = self.clients.get(&secret.client).ok_or(Refusal::UnknownClient)?;
        if context.now >= secret.until {
            context.known.client = Some(Arc::clone(&client.id));
            return Err(Refusal::WrongClientSecret);
        }
        if !context.steps.is_on() {
            secret.used.note(context.now);
        }
        Ok(client)
    }

    /// What a secret gives: all scopes of the client, where a token for the route could be had.
    fn access_by_secret(
        &self,
        client: &Client,
        requirements: &Requirements,
        context: &AuthContext<'_>,
    ) -> Result<Access, Refusal> {
        let revocations = context.state.revocations();
        // A rule about all tokens is none about secrets.
        if !revocations.is_empty() && revocations.rule(&Subject::Client((*client.id).into())).is_some() {
            return Err(Refusal::ClientToken(TokenFault::Revoked));
        }
        let is_its_own = |certificate: &Certificate| {
            client.is_proved_by(certificate) || client.certificate.as_ref().is_some_and(|name| name.fits(certificate))
        };
        if client.certificate_bound && !context.certificate.is_some_and(is_its_own) {
            return Err(Refusal::OtherCertificate);
        }
        let audience = &requirements.audience;
        let is_usual = audience.is_empty() || requirements.isolated_audience.as_deref() == Some(audience);
        if !is_usual && !client.audiences.contains(audience) {
            return Err(Refusal::ClientToken(TokenFault::Audience));
        }
        if !requirements.accepts(IssuerNumber::OWN) {
            return Err(Refusal::ClientToken(TokenFault::Issuer));
        }
        Ok(Access {
            client: Arc::from(&*client.id),
            issuer: IssuerNumber::OWN,
            audience: audience.as_str().into(),
            foreign: None,
            scopes: client.scopes.clone().into(),
            certificate: client.certificate.clone(),
            binding: None,
        })
    }
}
