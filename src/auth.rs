//! Who calls? Credentials as presented in, a [`Caller`] or a refusal out. Only this module makes a `Caller`.

pub mod api_key;
pub mod assertion;
pub mod binding;
pub mod certificate;
pub mod claims;
pub mod cookie;
pub mod dpop;
pub mod inspected;
pub mod issuer;
pub mod jws;
pub mod jwt;
pub mod keys;
pub mod password;
pub mod peer;
pub mod published;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod trust;
#[cfg(test)]
mod vectors;
pub mod verified;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::body::{self, Pointer};
use crate::customer::{Deriver, Identifier};
use crate::dated::LastUse;
use crate::refusal::{ApiKeyFault, DpopFault, Refusal, SessionFault, TokenFault};
use crate::state::State;
use crate::state::session::{Found, Session, SessionDigest};
use api_key::ApiKeys;
use assertion::Assertions;
use binding::Binding;
use certificate::{Certificate, CertificateName, Thumbprint};
use cookie::CookieKeys;
use jwt::{Compact, Kind, Verifier};
use published::PublishedKeys;
use verified::{Access, Marks, Verdict, VerifiedTokens};

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
}

/// What a route demands of its callers.
#[derive(Debug, Default)]
pub struct Demand {
    /// The route's number, which API keys name.
    pub route: u32,
    /// An access token.
    pub client: bool,
    /// A customer's token or session.
    pub customer: bool,
    /// An API key.
    pub api_key: bool,
    /// The header in which it stands.
    pub api_key_header: ApiKeyHeader,
    /// Whom the access token must be for.
    pub audience: String,
    /// Whether the caller must show with each request that it has the key of its access token.
    pub proof: DpopDemand,
    /// Whom the customer's token must be for, where that is an audience set apart; else it must be for none of those.
    pub apart: Option<Arc<str>>,
    /// Scopes of the access token.
    pub scopes: Vec<String>,
    /// Where the customer's token may stand.
    pub customer_from: Vec<CustomerPlace>,
}

/// Whether a caller must show that it has the key of its access token (DPoP, RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DpopDemand {
    /// It cannot: tokens that are bound to such a key are not taken.
    #[default]
    None,
    /// Where its token is bound to such a key.
    Optional,
    /// Its token must be bound to such a key.
    Required,
}

/// A place where the customer's token may stand.
#[derive(Debug)]
pub enum CustomerPlace {
    /// A header, after a scheme word if there is one.
    Header(HeaderName, Option<String>),
    /// The session cookie.
    Session,
    /// A cookie that holds a JWT.
    Cookie(String),
    /// A member of the JSON body.
    Body(Pointer),
    /// `Authorization: Bearer`.
    Bearer,
}

/// A client as configured.
#[derive(Debug)]
pub struct Client {
    /// Its id.
    pub id: Arc<str>,
    /// Its secrets.
    pub secrets: Vec<ClientSecret>,
    /// Checks its assertions, where it has keys.
    pub assertions: Option<Assertions>,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// Whom its tokens may be for.
    pub audiences: Vec<String>,
    /// For how many seconds its tokens are, where not for the usual time.
    pub lifetime: Option<u64>,
    /// Its certificate, where its tokens are good only together with it.
    pub certificate: Option<Arc<CertificateName>>,
    /// Whether its tokens are bound to the certificate with which it asks for them.
    pub certificate_bound: bool,
    /// Whose certificate proves it, where a CA vouches for that.
    pub tls_client_auth: Option<CertificateName>,
    /// The certificates that prove it, whoever has signed them.
    pub certificates: Vec<Thumbprint>,
}

impl Client {
    /// Whether whoever has the key of this certificate is this client (RFC 8705 section 2).
    pub fn is_proved_by(&self, certificate: &Certificate) -> bool {
        self.tls_client_auth.as_ref().is_some_and(|name| name.fits(certificate))
            || self.certificates.contains(&certificate.thumbprint)
    }
}

/// A client's secret.
#[derive(Debug, Clone)]
pub struct ClientSecret {
    /// Its hash.
    pub hash: password::PasswordHash,
    /// The first second, since 1970, in which it is no longer good.
    pub until: u64,
    /// When it was last used.
    pub used: Arc<LastUse>,
}

/// The header of the API key.
#[derive(Debug, Clone)]
pub struct ApiKeyHeader(pub HeaderName);

impl Default for ApiKeyHeader {
    fn default() -> Self {
        Self(API_KEY)
    }
}

/// An API key as configured.
#[derive(Debug)]
pub struct ApiKey {
    /// Its name.
    pub id: Arc<str>,
    /// The only client that may use it.
    pub client: Option<Arc<str>>,
    /// The numbers of the routes that it opens, sorted.
    pub routes: Vec<u32>,
    /// The networks that it may be used from; empty: any.
    pub allow: Vec<IpNet>,
}

/// One of the secrets that an API key's id stands for.
#[derive(Debug, Clone)]
pub struct ApiKeyVersion {
    /// The key.
    pub key: Arc<ApiKey>,
    /// The first second, since 1970, in which it is no longer good.
    pub until: u64,
    /// When it was last used.
    pub used: Arc<LastUse>,
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
    /// Checks everything that the route demands, in the order of section 4 of the contract: the first failure answers.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(
        &self,
        demand: &Demand,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        around: &mut Surroundings<'_>,
    ) -> Result<Caller, Refusal> {
        let mut caller = Caller::nobody();
        self.check(demand, headers, body, around, &mut caller, &mut Err)?;
        Ok(caller)
    }

    /// Checks everything and refuses nothing: what could be proved, and the first failure.
    pub fn observe(
        &self,
        demand: &Demand,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        around: &mut Surroundings<'_>,
    ) -> (Caller, Option<Refusal>) {
        let mut caller = Caller::nobody();
        let mut first = None;
        let mut note = |refusal| {
            first.get_or_insert(refusal);
            Ok(())
        };
        let end = self.check(demand, headers, body, around, &mut caller, &mut note);
        (caller, first.or(end.err()))
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
        let presented = if demand.customer { self.presented(demand, headers, body)? } else { Presented::default() };
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
            caller.client = Some(Arc::clone(&access.client));
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
            refuse(Refusal::Scope)?;
        }
        Ok(())
    }

    fn api_key(
        &self,
        demand: &Demand,
        presented: Option<&HeaderValue>,
        around: &Surroundings<'_>,
    ) -> Result<&ApiKey, ApiKeyFault> {
        let presented = presented.ok_or(ApiKeyFault::Missing)?;
        let digest = api_key::digest(presented.as_bytes());
        let ApiKeyVersion { key, until, used } = self.api_keys.find(&digest).ok_or(ApiKeyFault::Unknown)?;
        if around.state.revocations().covers_api_key(&digest) {
            return Err(ApiKeyFault::Revoked);
        }
        if around.now >= *until {
            return Err(ApiKeyFault::Expired);
        }
        used.note(around.now);
        if !key.allow.is_empty() && !key.allow.iter().any(|network| network.contains(&around.address)) {
            return Err(ApiKeyFault::Address);
        }
        if key.routes.binary_search(&demand.route).is_err() {
            return Err(ApiKeyFault::Route);
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
        if *access.audience == *demand.audience { Ok(access) } else { Err(TokenFault::Audience) }
    }

    /// An access token that is good, whomever of us it is for.
    fn access_token(&self, token: &[u8], around: &mut Surroundings<'_>) -> Result<Access, TokenFault> {
        let revocations = around.state.revocations();
        if let Some(Verdict::Access(access)) = around.verified.find(Kind::Access, token, around.now, revocations) {
            return Ok(access.clone());
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let verifier = self.access.as_ref().ok_or(TokenFault::Issuer)?;
        let claims = verifier.verify(&Compact::parse(token)?, around.now)?;
        let marks = Marks::of(&claims, verifier.issuer(), true, token);
        let id = claims.client_id.ok_or(TokenFault::Malformed)?;
        let client = self.clients.get(id.as_str()).ok_or(TokenFault::UnknownClient)?;
        let is_apart = self.apart.iter().any(|apart| **apart == *claims.audience);
        if !is_apart && !client.audiences.contains(&claims.audience) {
            return Err(TokenFault::Audience);
        }
        let granted = claims.scope.unwrap_or_default();
        let scopes = granted.split(' ').filter(|scope| client.scopes.iter().any(|known| known == scope));
        let access = Access {
            // A name of this worker's own: workers that count references to the same one wait for each other.
            client: Arc::from(&*client.id),
            audience: claims.audience.into(),
            scopes: scopes.map(str::to_owned).collect(),
            certificate: client.certificate.clone(),
            binding: claims.binding,
        };
        let verdict = Verdict::Access(access.clone());
        if marks.are_revoked(&verdict, revocations) {
            return Err(TokenFault::Revoked);
        }
        around.verified.keep(Kind::Access, token, claims.ends, verdict, marks, generation);
        Ok(access)
    }

    /// Every place where the customer's token stands.
    fn presented<'a>(
        &self,
        demand: &Demand,
        headers: &'a HeaderMap,
        body: Option<&[u8]>,
    ) -> Result<Presented<'a>, Refusal> {
        let mut presented = Presented::default();
        for place in &demand.customer_from {
            let token = match place {
                CustomerPlace::Header(name, scheme) => {
                    single(headers, name)?.map(|value| after_scheme(value, scheme.as_deref()).map(Token::Borrowed))
                }
                CustomerPlace::Bearer => single(headers, &AUTHORIZATION)?
                    .map(|value| after_scheme(value, Some("Bearer")).map(Token::Borrowed)),
                CustomerPlace::Cookie(name) => {
                    single_cookie(headers, name)?.map(|value| Ok(Token::Borrowed(value.as_bytes())))
                }
                CustomerPlace::Body(pointer) => match body.map(|body| body::read(body, pointer)) {
                    Some(Ok(Some(token))) => Some(Ok(Token::Owned(token))),
                    Some(Err(_)) => return Err(Refusal::Json),
                    Some(Ok(None)) | None => None,
                },
                CustomerPlace::Session => {
                    if let Some(cookie) = &self.cookie {
                        presented.session = single_cookie(headers, &cookie.name)?;
                    }
                    None
                }
            };
            let is_cookie = matches!(place, CustomerPlace::Cookie(_));
            presented.by_cookie &= token.is_none() || is_cookie;
            match (token, &presented.token) {
                (Some(token), None) => presented.token = Some(token),
                (Some(Ok(token)), Some(Ok(other))) if token.as_bytes() != other.as_bytes() => {
                    match readable(other.as_bytes()).and(readable(token.as_bytes())) {
                        Ok(_) => return Err(Refusal::CredentialConflict),
                        Err(fault) => presented.token = Some(Err(fault)),
                    }
                }
                (Some(Err(fault)), Some(Ok(_))) => presented.token = Some(Err(fault)),
                (_, _) => {}
            }
        }
        Ok(presented)
    }

    fn customer(
        &self,
        presented: &Presented<'_>,
        apart: Option<&str>,
        around: &mut Surroundings<'_>,
    ) -> Result<Identifier, Refusal> {
        let by_token = match &presented.token {
            Some(Ok(token)) => {
                let (customer, found) =
                    self.customer_token(token.as_bytes(), around).map_err(Refusal::CustomerToken)?;
                // Also of a token that was verified before, on a listener for another audience.
                if found.as_deref() != apart {
                    return Err(Refusal::CustomerToken(TokenFault::Audience));
                }
                Some(customer)
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

    /// The customer of a token, and whom it is for where that is an audience set apart.
    fn customer_token(
        &self,
        token: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Result<(Identifier, Option<Arc<str>>), TokenFault> {
        let revocations = around.state.revocations();
        let known = around.verified.find(Kind::Customer, token, around.now, revocations);
        if let Some(Verdict::Customer(customer, apart)) = known {
            return Ok((customer.clone(), apart.clone()));
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let compact = Compact::parse(token)?;
        let deriver = self.deriver.as_ref().ok_or(TokenFault::Issuer)?;
        let issuer = compact.issuer().ok_or(TokenFault::Issuer)?;
        let own = self.own.as_ref().filter(|own| own.issuer() == issuer);
        let (verifier, claims) = match (own, self.trusted.get(issuer)) {
            (Some(own), _) => (own, own.verify(&compact, around.now)?),
            (None, Some(trusted)) => (trusted, of_other_issuer(trusted, &compact, around)?),
            (None, None) => return Err(TokenFault::Issuer),
        };
        let customer = match own {
            Some(_) => deriver.accept(&claims.subject, around.now).map_err(|_| TokenFault::Subject)?,
            None => deriver.derive(verifier.tenant(), &claims.subject).map_err(|_| TokenFault::Subject)?,
        };
        let apart = self.apart.iter().find(|apart| ***apart == *claims.audience).cloned();
        let verdict = Verdict::Customer(customer.clone(), apart.clone());
        let marks = Marks::of(&claims, verifier.issuer(), own.is_some(), token)
            .also_known_as(self.previous_of(&customer, around.now));
        if marks.are_revoked(&verdict, revocations) {
            return Err(TokenFault::Revoked);
        }
        around.verified.keep(Kind::Customer, token, claims.ends, verdict, marks, generation);
        Ok((customer, apart))
    }

    fn session(&self, value: &str, around: &mut Surroundings<'_>) -> Result<Identifier, SessionFault> {
        let cookie = self.cookie.as_ref().ok_or(SessionFault::Forged)?;
        let digest = cookie.keys.open(value, around.now)?;
        let found = match &around.learned.session {
            Some((told, session)) if *told == digest => {
                around.state.judge(&digest, session.as_ref(), around.now, cookie.idle)
            }
            _ => around.state.session(&digest, around.now, cookie.idle),
        };
        match found {
            // A login from before a rotation of the key names the customer as of then.
            Found::Live(customer) => match &self.deriver {
                Some(deriver) if !deriver.is_current(&customer) => {
                    deriver.accept(customer.as_str(), around.now).map_err(|_| SessionFault::Unknown)
                }
                _ => Ok(customer),
            },
            Found::Expired => Err(SessionFault::Expired),
            Found::Unknown => Err(SessionFault::Unknown),
            Found::Ask => {
                around.ask = Some(Ask::Store(digest));
                Err(SessionFault::Unknown)
            }
        }
    }

    /// The session that the cookie of a request names, where it is one of ours. Whether it is live is another question.
    pub fn named_session(&self, headers: &HeaderMap, now: u64) -> Option<SessionDigest> {
        let cookie = self.cookie.as_ref()?;
        let value = single_cookie(headers, &cookie.name).ok().flatten()?;
        cookie.keys.open(value, now).ok()
    }
}

/// Verifies a token of another issuer; one that names a key which is not known here may have to wait for it.
fn of_other_issuer(
    trusted: &Verifier,
    token: &Compact<'_>,
    around: &mut Surroundings<'_>,
) -> Result<jwt::Claims, TokenFault> {
    trusted.verify(token, around.now).map_err(|fault| {
        let Some(published) = trusted.published() else { return fault };
        if !around.learned.keys && published.may_learn(fault) {
            around.ask = Some(Ask::Issuer(Arc::clone(published)));
        }
        published.judged(fault)
    })
}

/// Whether whoever sends this token has the key that it is bound to.
fn is_held(
    access: &Access,
    authorization: Option<&HeaderValue>,
    demand: &Demand,
    around: &Surroundings<'_>,
) -> Result<(), Refusal> {
    let refused = |fault| Err(Refusal::Dpop(fault));
    let with_proof = authorization.and_then(with_proof);
    match (access.binding, with_proof) {
        (None, None) if demand.proof != DpopDemand::Required => Ok(()),
        (Some(Binding::Certificate(thumbprint)), None) if demand.proof != DpopDemand::Required => {
            let has_it = around.certificate.is_some_and(|certificate| certificate.thumbprint == thumbprint);
            if has_it { Ok(()) } else { Err(Refusal::TokenCertificate) }
        }
        // RFC 9449 section 7.1: the scheme says that the token is bound.
        (None | Some(Binding::Certificate(_)), _) => refused(DpopFault::Unbound),
        (Some(Binding::Key(_)), None) => refused(DpopFault::Scheme),
        (Some(Binding::Key(key)), Some(token)) => match around.proof {
            None => refused(DpopFault::Missing),
            Some(Err(fault)) => refused(*fault),
            Some(Ok(proof)) if proof.key != key => refused(DpopFault::Key),
            Some(Ok(proof)) if !proof.is_with(token) => refused(DpopFault::Token),
            Some(Ok(_)) => Ok(()),
        },
    }
}

/// The token of the scheme `DPoP` (RFC 9449 section 7.1).
fn with_proof(authorization: &HeaderValue) -> Option<&[u8]> {
    after_scheme(authorization, Some("DPoP")).ok()
}

/// What a request shows of its customer.
struct Presented<'a> {
    token: Option<Result<Token<'a>, TokenFault>>,
    session: Option<&'a str>,
    /// Nothing but cookies.
    by_cookie: bool,
}

impl Default for Presented<'_> {
    fn default() -> Self {
        Self { token: None, session: None, by_cookie: true }
    }
}

/// A token as it was sent; nothing of it has been read.
enum Token<'a> {
    Borrowed(&'a [u8]),
    Owned(String),
}

impl Token<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(token) => token,
            Self::Owned(token) => token.as_bytes(),
        }
    }
}

impl Presented<'_> {
    fn is_empty(&self) -> bool {
        self.token.is_none() && self.session.is_none()
    }
}

/// The only value of a header, if it has one.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Refusal::CredentialRepeated),
        (first, None) => Ok(first),
    }
}

/// The only cookie of this name, if there is one.
fn single_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = None;
    for line in headers.get_all(COOKIE) {
        for pair in line.to_str().unwrap_or_default().split(';') {
            let Some((key, value)) = pair.trim_matches(' ').split_once('=') else { continue };
            if key == name && found.replace(value).is_some() {
                return Err(Refusal::CredentialRepeated);
            }
        }
    }
    Ok(found)
}

/// What stands after the scheme word and one space (RFC 9110 section 11.4).
fn after_scheme<'a>(value: &'a HeaderValue, scheme: Option<&str>) -> Result<&'a [u8], TokenFault> {
    let bytes = value.as_bytes();
    let Some(scheme) = scheme else { return Ok(bytes) };
    match bytes.split_at_checked(scheme.len()) {
        Some((word, [b' ', token @ ..])) if word.eq_ignore_ascii_case(scheme.as_bytes()) => Ok(token),
        _ => Err(TokenFault::Malformed),
    }
}

/// A token that has not been verified before, as text: one word.
fn readable(token: &[u8]) -> Result<&str, TokenFault> {
    let is_word = !token.is_empty() && token.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    std::str::from_utf8(token).ok().filter(|_| is_word).ok_or(TokenFault::Malformed)
}
