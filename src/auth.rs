//! Who calls? Credentials as presented in, a [`Caller`] or a refusal out. Only this module makes a `Caller`.

pub mod attribution;
pub mod client;
pub mod client_assertion;
pub mod credentials;
pub mod dpop;
pub mod introspection;
pub mod jwt;
pub mod requirements;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod token_binding;
pub mod token_cache;
#[cfg(test)]
mod vectors;
pub mod verdict;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::client::{Client, ClientSecret};
use crate::customer::{Deriver, Identifier};
use crate::refusal::{ApiKeyFault, DpopFault, Refusal, SessionFault, TokenFault};
use crate::state::State;
use crate::state::account_stamp::AccountStamps;
use crate::state::session::{Found, Session, SessionDigest};
use attribution::{Checked, Known};
pub use credentials::Shown;
use credentials::api_key::ApiKeys;
pub use credentials::api_key::{ApiKey, ApiKeyVersion};
use credentials::cookie::CookieKeys;
use credentials::{Presented, after_scheme, cookies, readable, single, text_of, with_proof};
use introspection::Inspected;
use jwt::remote_jwks::PublishedKeys;
use jwt::{Kind, Verifier};
pub use requirements::{ApiKeyHeader, CustomerTokenSource, Demand, DpopDemand};
use tls::certificate::Certificate;
use token_binding::{is_held, is_held_by_customer};
use token_cache::VerifiedTokens;
use verdict::{Access, Identity, Verdict};

/// The header of the API key.
pub const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// The header of the customer's token.
pub const CUSTOMER_AUTH: HeaderName = HeaderName::from_static("customer-auth");

/// Who calls, proved. A request reaches a backend only together with one of these.
#[derive(Debug)]
pub struct Caller {
    /// The client of the access token.
    pub client: Option<Arc<str>>,
    /// The id of the API key.
    pub api_key: Option<Arc<str>>,
    /// The customer.
    pub customer: Option<Identifier>,
    /// What the customer was called before the key of identifiers was rotated, for as long as that is told.
    pub previous: Option<Identifier>,
    /// Only a cookie speaks for the customer: a browser sends it along whoever made it call.
    pub by_cookie: bool,
    _proof: Proof,
}

/// Nobody outside of this module can make one.
#[derive(Debug)]
struct Proof;

impl Caller {
    fn nobody() -> Self {
        Self { client: None, api_key: None, customer: None, previous: None, by_cookie: false, _proof: Proof }
    }

    /// Whose credentials held, and whose are authentic at least.
    fn known(&self, around: &mut Surroundings<'_>) -> Known {
        let mut known = std::mem::take(&mut around.known);
        let Self { client, api_key, customer, .. } = self;
        known.add(Known { client: client.clone(), api_key: api_key.clone(), customer: customer.clone(), lacks: None });
        known
    }
}

/// The session cookie as configured.
#[derive(Debug)]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// The keys that sign it.
    pub keys: CookieKeys,
    /// How many seconds a session may go unused.
    pub idle: u64,
}

/// Everything that callers are checked against.
#[derive(Default)]
pub struct Authenticator {
    /// Checks our own access tokens.
    pub access: Option<Verifier>,
    /// Checks our own customer tokens.
    pub own: Option<Verifier>,
    /// Checks other issuers' customer tokens, by `iss`.
    pub trusted: HashMap<String, Verifier>,
    /// The systems that may call, by id.
    pub clients: HashMap<Arc<str>, Client>,
    /// The API keys.
    pub api_keys: ApiKeys<ApiKeyVersion>,
    /// The session cookie, where logins give one.
    pub cookie: Option<SessionCookie>,
    /// Makes identifiers.
    pub deriver: Option<Deriver>,
    /// Audiences whose tokens are good only where one of them is demanded.
    pub apart: Vec<Arc<str>>,
    /// The audience of all others.
    pub audience: Arc<str>,
    /// Every place where some route looks for a customer's credential.
    pub customer_places: Vec<CustomerTokenSource>,
    /// The accounts in force: a login ends with its own.
    pub accounts: AccountStamps,
}

/// What a worker brings to a check.
pub struct Surroundings<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The caller's address.
    pub address: IpAddr,
    /// The caller's certificate, where it has shown one.
    pub certificate: Option<&'a Certificate>,
    /// Its proof of having a key, where the route asks for such and there is one.
    pub proof: Option<&'a Result<dpop::Proof, DpopFault>>,
    /// Tokens that this worker has verified before.
    pub verified: &'a mut VerifiedTokens,
    /// Logins and revocations.
    pub state: &'a State,
    /// Who knows more.
    pub ask: Option<Ask>,
    /// What they told.
    pub learned: Learned,
    /// Whose credentials were shown that are authentic and yet refused.
    pub known: Known,
}

/// Who knows what this worker does not know.
#[derive(Debug)]
pub enum Ask {
    /// The store, about this session.
    Store(SessionDigest),
    /// An issuer, about its keys.
    Issuer(Arc<PublishedKeys>),
}

/// What others told about a request.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    /// The store about a session.
    pub session: Option<(SessionDigest, Option<Session>)>,
    /// An issuer was asked for its keys, whatever it said.
    pub keys: bool,
}

impl Authenticator {
    /// Checks everything that the route demands, in the order of docs/asapp.md, "Status codes": the first failure answers.
    pub fn admit(
        &self,
        demand: &Demand,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        around: &mut Surroundings<'_>,
    ) -> Checked<Result<Caller, Refusal>> {
        let mut caller = Caller::nobody();
        let outcome = self.check(demand, headers, body, around, &mut caller, &mut Err);
        Checked::new(caller.known(around), outcome.map(|()| caller))
    }

    /// Checks everything and refuses nothing: what could be proved, and the first failure.
    pub fn observe(
        &self,
        demand: &Demand,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        around: &mut Surroundings<'_>,
    ) -> Checked<(Caller, Option<Refusal>)> {
        let mut caller = Caller::nobody();
        let mut first = None;
        let mut note = |refusal| {
            first.get_or_insert(refusal);
            Ok(())
        };
        let end = self.check(demand, headers, body, around, &mut caller, &mut note);
        Checked::new(caller.known(around), (caller, first.or(end.err())))
    }

    /// Fills in the caller. Each failure goes to `refuse`, which ends the check or lets it go on.
    fn check(
        &self,
        demand: &Demand,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        around: &mut Surroundings<'_>,
        caller: &mut Caller,
        refuse: &mut dyn FnMut(Refusal) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let authorization = single(headers, &AUTHORIZATION)?;
        single(headers, &CUSTOMER_AUTH)?;
        let api_key = single(headers, &demand.api_key_header.0)?;
        let presented = if demand.customer {
            let cookie = self.cookie.as_ref().map(|cookie| cookie.name.as_str());
            Presented::read(&demand.customer_token_sources, cookie, headers, body)?
        } else {
            Presented::default()
        };
        let nothing = authorization.is_none() && api_key.is_none() && presented.is_empty();
        if nothing && (demand.client || demand.customer) {
            refuse(Refusal::NoCredential)?;
        }
        let mut key_client = None;
        if demand.api_key {
            match self.api_key(demand, api_key, around) {
                Ok(key) => {
                    caller.api_key = Some(Arc::clone(&key.id));
                    key_client.clone_from(&key.client);
                }
                Err(fault) => refuse(Refusal::ApiKey(fault))?,
            }
        }
        let mut access = None;
        if demand.client {
            match self.client(authorization, demand, around) {
                Ok(found) => access = Some(found),
                Err(fault) => refuse(Refusal::ClientToken(fault))?,
            }
        }
        if let Some(access) = &access {
            // Where the rest shows that somebody else has it, it is known whose it is.
            caller.client = Some(Arc::clone(&access.client));
            if key_client.is_some_and(|client| client != access.client) {
                refuse(Refusal::ApiKey(ApiKeyFault::Client))?;
            }
            if access.binding.is_some() || demand.proof != DpopDemand::None {
                is_held(access, authorization, demand, around).or_else(&mut *refuse)?;
            }
            if let Some(name) = &access.certificate
                && !around.certificate.is_some_and(|certificate| name.fits(certificate))
            {
                refuse(Refusal::OtherCertificate)?;
            }
        }
        if demand.customer {
            match self.customer(&presented, demand.apart.as_deref(), around) {
                Ok(customer) => {
                    caller.previous = self.previous_of(&customer, around.now);
                    caller.customer = Some(customer);
                    caller.by_cookie = presented.by_cookie;
                }
                Err(refusal) => refuse(refusal)?,
            }
        }
        if let Some(access) = &access
            && !demand.scopes.iter().all(|scope| access.scopes.contains(scope))
        {
            let lacks = demand.scopes.iter().filter(|scope| !access.scopes.contains(scope));
            around.known.lacks = Some(lacks.map(String::as_str).collect::<Vec<_>>().join(" ").into());
            refuse(Refusal::Scope)?;
        }
        Ok(())
    }

    fn api_key(
        &self,
        demand: &Demand,
        presented: Option<&HeaderValue>,
        around: &mut Surroundings<'_>,
    ) -> Result<&ApiKey, ApiKeyFault> {
        let presented = presented.ok_or(ApiKeyFault::Missing)?;
        let digest = credentials::api_key::digest(presented.as_bytes());
        let ApiKeyVersion { key, until, used } = self.api_keys.find(&digest).ok_or(ApiKeyFault::Unknown)?;
        let mut refused = |fault| {
            around.known.api_key = Some(Arc::clone(&key.id));
            Err(fault)
        };
        if around.state.revocations().covers_api_key(&digest) {
            return refused(ApiKeyFault::Revoked);
        }
        if around.now >= *until {
            return refused(ApiKeyFault::Expired);
        }
        used.note(around.now);
        if !key.allow.is_empty() && !key.allow.iter().any(|network| network.contains(&around.address)) {
            return refused(ApiKeyFault::Address);
        }
        if key.routes.binary_search(&demand.route).is_err() {
            return refused(ApiKeyFault::Route);
        }
        Ok(key)
    }

    fn client(
        &self,
        authorization: Option<&HeaderValue>,
        demand: &Demand,
        around: &mut Surroundings<'_>,
    ) -> Result<Access, TokenFault> {
        let authorization = authorization.ok_or(TokenFault::Missing)?;
        let token = match with_proof(authorization) {
            Some(token) if demand.proof != DpopDemand::None => token,
            _ => after_scheme(authorization, Some("Bearer"))?,
        };
        let access = self.access_token(token, around)?;
        // Also of a token that was verified before, on a route for another audience.
        if *access.audience == *demand.audience {
            return Ok(access);
        }
        around.known.client = Some(access.client);
        Err(TokenFault::Audience)
    }

    /// An access token that is good, whomever of us it is for.
    fn access_token(&self, token: &[u8], around: &mut Surroundings<'_>) -> Result<Access, TokenFault> {
        let revocations = around.state.revocations();
        if let Some(Verdict::Access(access)) = around.verified.find(Kind::Access, token, around.now, revocations) {
            return Ok(access.clone());
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let Inspected { verdict, marks, claims, .. } =
            self.access_token_of(token, around.now, revocations, &mut around.known)?;
        let Verdict::Access(access) = verdict.clone() else { return Err(TokenFault::Type) };
        around.verified.keep(Kind::Access, token, claims.ends, verdict, marks, generation);
        Ok(access)
    }

    fn customer(
        &self,
        presented: &Presented<'_>,
        apart: Option<&str>,
        around: &mut Surroundings<'_>,
    ) -> Result<Identifier, Refusal> {
        let by_token = match &presented.token {
            Some(Ok(token)) => {
                let found = self.customer_token(token.as_bytes(), around).map_err(Refusal::CustomerToken)?;
                // Also of a token that was verified before, on a listener for another audience.
                let mut fits = if found.apart.as_deref() == apart { Ok(()) } else { Err(TokenFault::Audience) };
                if fits.is_ok() && (found.binding.is_some() || presented.with_proof) {
                    fits = is_held_by_customer(found.binding, token.as_bytes(), around);
                }
                if let Err(fault) = fits {
                    around.known.customer = Some(found.customer);
                    return Err(Refusal::CustomerToken(fault));
                }
                Some(found.customer)
            }
            Some(Err(fault)) => return Err(Refusal::CustomerToken(*fault)),
            None => None,
        };
        let by_session = match presented.session {
            Some(value) => Some(self.session(value, around).map_err(Refusal::Session)?),
            None => None,
        };
        match (by_token, by_session) {
            (Some(one), Some(other)) if one != other => Err(Refusal::CredentialConflict),
            (Some(customer), _) | (None, Some(customer)) => Ok(customer),
            (None, None) => Err(Refusal::CustomerToken(TokenFault::Missing)),
        }
    }

    fn previous_of(&self, customer: &Identifier, now: u64) -> Option<Identifier> {
        self.deriver.as_ref()?.previous_of(customer, now)
    }

    /// A customer's token that is good, whomever of us it is for and whoever has it.
    fn customer_token(&self, token: &[u8], around: &mut Surroundings<'_>) -> Result<Identity, TokenFault> {
        let revocations = around.state.revocations();
        let known = around.verified.find(Kind::Customer, token, around.now, revocations);
        if let Some(Verdict::Customer(identity)) = known {
            return Ok(identity.clone());
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let ask = (!around.learned.keys).then_some(&mut around.ask);
        let Inspected { verdict, marks, claims, .. } =
            self.customer_token_of(token, around.now, revocations, Some(&self.accounts), ask, &mut around.known)?;
        let Verdict::Customer(identity) = verdict.clone() else { return Err(TokenFault::Type) };
        around.verified.keep(Kind::Customer, token, claims.ends, verdict, marks, generation);
        Ok(identity)
    }

    fn session(&self, value: &str, around: &mut Surroundings<'_>) -> Result<Identifier, SessionFault> {
        let cookie = self.cookie.as_ref().ok_or(SessionFault::Forged)?;
        let digest = cookie.keys.open(value, around.now)?;
        let found = match &around.learned.session {
            Some((told, session)) if *told == digest => {
                around.state.judge(&digest, session.as_ref(), around.now, cookie.idle, &self.accounts)
            }
            _ => around.state.session(&digest, around.now, cookie.idle, &self.accounts),
        };
        if matches!(found, Found::Expired | Found::NoAccount) {
            around.known.customer = match &around.learned.session {
                Some((told, Some(session))) if *told == digest => Some(session.customer.clone()),
                _ => around.state.customer_of(&digest),
            };
        }
        match found {
            // A login from before a rotation of the key names the customer as of then.
            Found::Live(customer) => match &self.deriver {
                Some(deriver) if !deriver.is_current(&customer) => {
                    deriver.accept(customer.as_str(), around.now).map_err(|_| SessionFault::Unknown)
                }
                _ => Ok(customer),
            },
            Found::Expired => Err(SessionFault::Expired),
            Found::NoAccount => Err(SessionFault::Account),
            Found::Unknown => Err(SessionFault::Unknown),
            Found::Ask => {
                around.ask = Some(Ask::Store(digest));
                Err(SessionFault::Unknown)
            }
        }
    }

    /// The sessions that the cookies of a request name, where they are ours. Whether they are live is another question.
    pub fn named_sessions(&self, headers: &HeaderMap, now: u64) -> Vec<SessionDigest> {
        let Some(cookie) = &self.cookie else { return Vec::new() };
        cookies(headers, &cookie.name).filter_map(|value| cookie.keys.open(text_of(value), now).ok()).collect()
    }

    /// All that a request shows of a customer, wherever some route would look. `body` is JSON.
    ///
    /// # Errors
    /// What stands where only a customer's credential may cannot be read, or stands there twice.
    pub fn shown<'a>(&self, headers: &'a HeaderMap, body: Option<&[u8]>) -> Result<Shown<'a>, Refusal> {
        let cookie = self.cookie.as_ref().map(|cookie| cookie.name.as_str());
        Shown::read(&self.customer_places, cookie, headers, body)
    }
}
