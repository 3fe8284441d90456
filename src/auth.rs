//! Authentication: the credentials of a request in, a [`Caller`] or a refusal out. Only this module makes a `Caller`.

pub mod attribution;
mod caller;
pub mod client;
pub mod client_assertion;
pub mod client_role;
mod client_secret;
mod context;
pub mod credentials;
mod customer;
pub mod dpop;
mod explained;
pub mod id_token;
pub mod introspection;
pub mod jwt;
pub mod opaque_token;
pub mod provider_events;
pub mod redirect_uris;
pub mod requirements;
mod system_token;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod token_binding;
pub mod token_cache;
pub mod trusted_issuer;
#[cfg(test)]
mod vectors;
pub mod verdict;

use std::collections::HashMap;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::caller::Caller;
pub use self::client::{Client, ClientSecret, HeaderSecret};
pub use self::context::{AuthContext, LookupResult, PendingLookup};
use crate::customer::Deriver;
use crate::refusal::{ApiKeyFault, DpopFault, Refusal, TokenFault};
use crate::state::account_stamp::AccountStamps;
use crate::state::session::SessionDigest;
use attribution::Attributed;
pub use credentials::PresentedCredentials;
use credentials::api_key::ApiKeys;
pub use credentials::api_key::{ApiKey, ApiKeyVersion};
use credentials::cookie::CookieKeys;
use credentials::{CredentialPlaces, PresentedCustomer, after_scheme, cookies, readable, single, text_of, with_proof};
use customer::ProvedClient;
use introspection::{Inspected, Inspection};
use jwt::{TokenKind, Verifier};
pub use requirements::{ApiKeyHeader, ClientSources, CustomerTokenSource, DpopRequirement, IssuerNumber, Requirements};
use token_binding::is_held;
use token_cache::CachedVerdict;
use trusted_issuer::TrustedIssuers;
use verdict::{Access, VerifiedToken};

/// The header of the API key.
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// The header of the customer's token.
pub const CUSTOMER_AUTH: HeaderName = HeaderName::from_static("customer-auth");

/// The session cookie as configured.
#[derive(Debug)]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// The keys that sign it.
    pub keys: CookieKeys,
    /// Idle timeout of a session, in seconds.
    pub idle: u64,
}

/// Everything that callers are checked against.
#[derive(Default)]
pub struct Authenticator {
    /// Checks our own access tokens.
    pub access: Option<Verifier>,
    /// Checks our own customer tokens.
    pub own: Option<Verifier>,
    /// Checks other issuers' tokens.
    pub trusted: TrustedIssuers,
    /// The systems that may call, by id.
    pub clients: HashMap<Arc<str>, Client>,
    /// The secrets of clients for headers.
    pub header_secrets: ApiKeys<HeaderSecret>,
    /// The API keys.
    pub api_keys: ApiKeys<ApiKeyVersion>,
    /// The session cookie, where logins give one.
    pub cookie: Option<SessionCookie>,
    /// Derives identifiers of customers.
    pub deriver: Option<Deriver>,
    /// Audiences whose tokens are good only where one of them is demanded.
    pub isolated_audiences: Vec<Arc<str>>,
    /// The audience of all others.
    pub audience: Arc<str>,
    /// All places of customers' credentials, over all routes.
    pub customer_places: Vec<CustomerTokenSource>,
    /// The accounts in force: a login ends with its account.
    pub accounts: AccountStamps,
}

/// A request as far as it is checked here.
struct AccessRequest<'r> {
    requirements: &'r Requirements,
    headers: &'r HeaderMap,
    body: Option<&'r [u8]>,
}

impl Authenticator {
    /// Checks everything that the route demands, in the order of docs/asapp.md, "Status codes": the first failure answers.
    pub fn admit(
        &self,
        requirements: &Requirements,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        context: &mut AuthContext<'_>,
    ) -> Attributed<Result<Caller, Refusal>> {
        let (presented, mut caller) = (AccessRequest { requirements, headers, body }, Caller::nobody());
        let outcome = self.check(&presented, context, &mut caller, &mut Err);
        Attributed::new(caller.known(context), outcome.map(|()| caller))
    }

    /// Checks everything and refuses nothing: what could be proved, and the first failure.
    pub fn observe(
        &self,
        requirements: &Requirements,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        context: &mut AuthContext<'_>,
    ) -> Attributed<(Caller, Option<Refusal>)> {
        let (presented, mut caller) = (AccessRequest { requirements, headers, body }, Caller::nobody());
        let mut first = None;
        let mut note = |refusal| {
            first.get_or_insert(refusal);
            Ok(())
        };
        let end = self.check(&presented, context, &mut caller, &mut note);
        Attributed::new(caller.known(context), (caller, first.or(end.err())))
    }

    /// Fills in the caller. Each failure goes to `refuse`, which ends the check or lets it go on.
    fn check(
        &self,
        request: &AccessRequest<'_>,
        context: &mut AuthContext<'_>,
        caller: &mut Caller,
        refuse: &mut dyn FnMut(Refusal) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let AccessRequest { requirements, headers, .. } = *request;
        let authorization = single(headers, &AUTHORIZATION)?;
        single(headers, &CUSTOMER_AUTH)?;
        let api_key = single(headers, &requirements.api_key_header.name)?;
        let presented = self.presented(request)?;
        let sources = requirements.client_sources.as_deref();
        let has_secret = sources.is_some_and(|sources| sources.has_header(headers));
        let has_any = authorization.is_some() || api_key.is_some() || !presented.is_empty() || has_secret;
        let lacks_all = !has_any && (requirements.client || requirements.customer);
        context.steps.note("credentials", !lacks_all, || explained::credentials(requirements, headers, &presented));
        if lacks_all {
            refuse(Refusal::NoCredential)?;
        }
        let mut key_client = None;
        if requirements.api_key {
            let found = self.api_key(requirements, api_key, context);
            context.steps.note("api_key", found.is_ok(), || {
                explained::api_key(&self.api_keys, requirements, api_key, &found, context)
            });
            match found {
                Ok(key) => {
                    caller.api_key = Some(Arc::clone(&key.id));
                    key_client.clone_from(&key.client);
                }
                Err(fault) => refuse(Refusal::ApiKey(fault))?,
            }
        }
        let (mut access, mut is_by_secret) = (None, false);
        if requirements.client {
            let found = self.proved_client(request, authorization, &mut is_by_secret, context);
            context
                .steps
                .note("client", found.is_ok(), || explained::client(requirements, authorization, is_by_secret, &found));
            match found {
                Ok(found) => access = Some(found),
                Err(refusal) => refuse(refusal)?,
            }
        }
        if let Some(found) = &access {
            // Where the rest shows that somebody else has it, it is known whose it is.
            caller.client = Some(Arc::clone(&found.client));
            if key_client.as_ref().is_some_and(|client| *client != found.client) {
                context.steps.refuse("api_key.client", || explained::key_client(key_client.as_deref(), &found.client));
                refuse(Refusal::ApiKey(ApiKeyFault::Client))?;
                (context.known.api_key, key_client) = (caller.api_key.take(), None);
            }
            if let Err(refusal) = possesses(found, is_by_secret, authorization, requirements, context) {
                context.steps.refuse("possession", || explained::possession(found, requirements, context));
                refuse(refusal)?;
                context.known.client = caller.client.take();
                access = None;
            }
        }
        if requirements.customer {
            let client = proved_client(access.as_ref(), key_client.as_deref());
            let found = self.customer((&presented, headers), requirements, client, context);
            context.steps.note("customer", found.is_ok(), || explained::customer(requirements, &found));
            match found {
                Ok((customer, claims)) => {
                    caller.claims = claims;
                    caller.previous = self.previous_of(&customer, context.now);
                    caller.customer = Some(customer);
                    caller.by_cookie = presented.by_cookie;
                }
                Err(refusal) => refuse(refusal)?,
            }
        }
        match &access {
            Some(access) => has_scopes(access, requirements, context, refuse),
            None => Ok(()),
        }
    }

    /// The client of a call, by a secret or by its token.
    fn proved_client(
        &self,
        request: &AccessRequest<'_>,
        authorization: Option<&HeaderValue>,
        is_by_secret: &mut bool,
        context: &mut AuthContext<'_>,
    ) -> Result<Access, Refusal> {
        let AccessRequest { requirements, headers, .. } = *request;
        let sources = requirements.client_sources.as_deref();
        let by_secret = sources.map(|sources| self.client_by_secret(sources, headers, requirements, context));
        match by_secret.transpose()?.flatten() {
            None => self.client(authorization, requirements, context).map_err(Refusal::ClientToken),
            Some(found) => {
                *is_by_secret = true;
                Ok(found)
            }
        }
    }

    /// The customer's credentials, where the route demands any.
    fn presented<'r>(&self, request: &AccessRequest<'r>) -> Result<PresentedCustomer<'r>, Refusal> {
        let AccessRequest { requirements, headers, body } = *request;
        if !requirements.customer {
            return Ok(PresentedCustomer::default());
        }
        let session_cookie = self.cookie.as_ref().map(|cookie| cookie.name.as_str());
        PresentedCustomer::read(&CredentialPlaces {
            sources: &requirements.customer_token_sources,
            session_cookie,
            headers,
            body,
        })
    }

    fn api_key(
        &self,
        requirements: &Requirements,
        presented: Option<&HeaderValue>,
        context: &mut AuthContext<'_>,
    ) -> Result<&ApiKey, ApiKeyFault> {
        let presented = presented.ok_or(ApiKeyFault::Missing)?;
        let presented = match &requirements.api_key_header.scheme {
            None => presented.as_bytes(),
            Some(scheme) => {
                let behind = after_scheme(presented, Some(scheme)).map_err(|_| ApiKeyFault::Missing)?;
                behind.trim_ascii_start()
            }
        };
        let digest = credentials::api_key::digest(presented);
        let ApiKeyVersion { key, until, used } = self.api_keys.find(&digest).ok_or(ApiKeyFault::Unknown)?;
        let mut refused = |fault| {
            context.known.api_key = Some(Arc::clone(&key.id));
            Err(fault)
        };
        if context.state.revocations().covers_api_key(&digest) {
            return refused(ApiKeyFault::Revoked);
        }
        if context.now >= *until {
            return refused(ApiKeyFault::Expired);
        }
        if !context.steps.is_on() {
            used.note(context.now);
        }
        if !key.allow.is_empty() && !key.allow.iter().any(|network| network.contains(&context.address)) {
            return refused(ApiKeyFault::Address);
        }
        if key.routes.binary_search(&requirements.route).is_err() {
            return refused(ApiKeyFault::Route);
        }
        Ok(key)
    }

    fn client(
        &self,
        authorization: Option<&HeaderValue>,
        requirements: &Requirements,
        context: &mut AuthContext<'_>,
    ) -> Result<Access, TokenFault> {
        let authorization = authorization.ok_or(TokenFault::Missing)?;
        let token = match with_proof(authorization) {
            Some(token) if requirements.proof != DpopRequirement::None => token,
            _ => after_scheme(authorization, Some("Bearer"))?,
        };
        let access = self.access_token(token, context)?;
        let steps = context.steps.within("client_token");
        steps.note("audience", access.is_for(requirements), || explained::audience(requirements, &access));
        steps.note("route_issuer", requirements.accepts(access.issuer), || requirements.explain_issuer(access.issuer));
        // Also of a token that was verified before, on a route for another audience or of other issuers.
        let fault = match access.is_for(requirements) {
            true if requirements.accepts(access.issuer) => return Ok(access),
            true => TokenFault::Issuer,
            false => TokenFault::Audience,
        };
        context.known.client = Some(access.client);
        Err(fault)
    }

    /// An access token that is good, whomever of us it is for.
    fn access_token(&self, token: &[u8], context: &mut AuthContext<'_>) -> Result<Access, TokenFault> {
        // Also of a token that was verified before, on a listener that takes longer ones.
        if token.len() > context.longest_token {
            return Err(TokenFault::TooLong);
        }
        let (revocations, steps) = (context.state.revocations(), context.steps.within("client_token"));
        if let Some(VerifiedToken::Access(access)) =
            context.verified.find(TokenKind::Access, token, context.now, revocations)
            && !steps.is_on()
        {
            return Ok(access.clone());
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let may_ask = !context.learned.client_keys && context.learned.client_token.is_none();
        let ask = may_ask.then_some(&mut context.ask);
        let told = context.learned.client_token.clone();
        let told = told.as_deref();
        let inspection =
            Inspection { now: context.now, revocations, accounts: None, told, known: &mut context.known, steps };
        let Inspected { verdict, marks, claims, .. } = self.access_token_of(token, inspection, ask)?;
        let VerifiedToken::Access(access) = verdict.clone() else { return Err(TokenFault::Type) };
        if !steps.is_on() {
            context.verified.keep(
                TokenKind::Access,
                token,
                CachedVerdict::new(claims.ends, verdict, marks, generation),
            );
        }
        Ok(access)
    }

    /// The sessions that the cookies of a request name, where they are ours. Whether they are live is another question.
    pub fn named_sessions(&self, headers: &HeaderMap, now: u64) -> Vec<SessionDigest> {
        let Some(cookie) = &self.cookie else { return Vec::new() };
        cookies(headers, &cookie.name).filter_map(|value| cookie.keys.open(text_of(value), now).ok()).collect()
    }

    /// All of the customer's credentials in a request, in any place that some route reads. `body` is JSON.
    ///
    /// # Errors
    /// A customer's credential cannot be read, or is there twice, in a place that nothing else uses.
    pub fn shown<'a>(&self, headers: &'a HeaderMap, body: Option<&[u8]>) -> Result<PresentedCredentials<'a>, Refusal> {
        let session_cookie = self.cookie.as_ref().map(|cookie| cookie.name.as_str());
        PresentedCredentials::read(&CredentialPlaces { sources: &self.customer_places, session_cookie, headers, body })
    }
}

/// Checks that a client's token has the scopes of the route.
fn has_scopes(
    access: &Access,
    requirements: &Requirements,
    context: &mut AuthContext<'_>,
    refuse: &mut dyn FnMut(Refusal) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let lacks = access.lacks(&requirements.scopes);
    if !requirements.scopes.is_empty() {
        let explained = || explained::scopes(requirements, &access.scopes, lacks.as_deref());
        context.steps.note("scopes", lacks.is_none(), explained);
    }
    if lacks.is_some() {
        context.known.lacks = lacks;
        refuse(Refusal::Scope)?;
    }
    Ok(())
}

/// The client that is proved when the customer is checked: by its own credential, else by its API key.
fn proved_client<'a>(access: Option<&'a Access>, key_client: Option<&'a str>) -> ProvedClient<'a> {
    let id = access.map(|access| &*access.client).or(key_client);
    ProvedClient { id, binding: access.and_then(|access| access.binding) }
}

/// Checks that a proved client holds what its credential is bound to: a DPoP key, a certificate.
fn possesses(
    access: &Access,
    is_by_secret: bool,
    authorization: Option<&HeaderValue>,
    requirements: &Requirements,
    context: &AuthContext<'_>,
) -> Result<(), Refusal> {
    if is_by_secret && requirements.proof == DpopRequirement::Required {
        return Err(Refusal::Dpop(DpopFault::Unbound));
    }
    if access.binding.is_some() || (requirements.proof != DpopRequirement::None && !is_by_secret) {
        is_held(access, authorization, requirements, context)?;
    }
    if let Some(name) = &access.certificate
        && !context.certificate.is_some_and(|certificate| name.fits(certificate))
    {
        return Err(Refusal::OtherCertificate);
    }
    Ok(())
}
