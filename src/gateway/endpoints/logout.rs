//! `POST /auth/logout`: ends the logins of the presented credentials, each with its cookie session, JWTs and refresh
//! tokens. 204 says that something has ended; otherwise the response says why not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::audited::EndpointEvent;
use super::form::{self, FORM, Form, MAX_FORM_WITH_TOKEN};
use super::session_cookie::cookie_line;
use crate::auth::PresentedCredentials;
use crate::auth::attribution::Attribution;
use crate::auth::introspection::{Inquiry, Inspected, Purpose};
use crate::customer::{Identifier, TracedCustomer};
use crate::gateway::authorize::csrf;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::rate_limit::keys::network;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Gateway, unix_seconds};
use crate::json_body::{Document, Pointer};
use crate::policy::{Login, Policy};
use crate::refusal::{Refusal, SessionFault, TokenFault};
use crate::state::refresh_token::{Family, RefreshToken};
use crate::state::revocation::{Revocations, Rule, Subject};
use crate::state::session::SessionDigest;
use crate::state::{LONGEST, LONGEST_SKEW, State, Unavailable};

/// The route name in log and metrics.
pub(crate) const NAME: &str = "logout";

/// The parameters of a logout.
struct Wishes {
    everywhere: bool,
    refresh_token: Option<RefreshToken>,
    /// The fault of a malformed refresh token.
    fault: Option<TokenFault>,
    /// The body, where it is JSON: a route may look for the customer's token in it.
    json: Option<Bytes>,
}

/// Collected customers and revocation rules of a logout, and the reason for which nothing has ended.
struct Ending<'a> {
    policy: &'a Policy,
    login: &'a Login,
    state: &'a State,
    /// The listener's own audience, where it has one.
    isolated_audience: Option<Arc<str>>,
    now: u64,
    /// The network of the caller.
    network: IpAddr,
    customers: Vec<Identifier>,
    rules: Vec<Rule>,
    fault: Option<Refusal>,
    /// The customers of refused tokens, for the log.
    known: Attribution,
}

impl Gateway {
    /// Ends all presented logins. With `everywhere=true` all logins of the customer end.
    pub(crate) async fn logout(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let outcome = self.log_out(call, record).await;
        self.note_outcome(EndpointEvent::Logout, record, &outcome);
        outcome
    }

    async fn log_out(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let login = policy.login.as_ref().ok_or(Refusal::NoRoute)?;
        let wishes = Wishes::read(&mut call, record).await?;
        if wishes.everywhere {
            record.fact("everywhere", "true");
        }
        let headers = &call.parts.headers;
        let shown = policy.auth.shown(headers, wishes.json.as_deref())?;
        if shown.by_cookie && !shown.by_header && !csrf::is_own(&policy.own_site, &call.head.host, headers) {
            return Err(Refusal::CrossSite.into());
        }
        let mut ending = Ending {
            policy,
            login,
            state: &self.shared.state,
            isolated_audience: call.audience_apart(),
            now: unix_seconds(SystemTime::now()),
            network: network(call.source.address),
            customers: Vec::new(),
            rules: Vec::new(),
            fault: None,
            known: Attribution::default(),
        };
        let outcome = ending.end(&shown, wishes).await;
        record.known.add(Attribution {
            customer: ending.customers.last().cloned().or(ending.known.customer),
            ..Attribution::default()
        });
        // Whatever became of it, it is of no use to the browser any more; while the store is away it may be.
        let cookie = match &policy.auth.cookie {
            Some(cookie) => Some(cookie_line(&cookie.name, "", 0, login.same_site)?),
            None => None,
        };
        match outcome {
            Ok(()) => {
                let mut response = Response::new(ResponseBody::full(""));
                *response.status_mut() = StatusCode::NO_CONTENT;
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.extend(cookie.map(|line| (header::SET_COOKIE, line)));
                Ok(response)
            }
            Err(refusal @ Refusal::StateUnavailable) => Err(refusal.into()),
            Err(refusal) => {
                let cookie = cookie.filter(|_| !shown.sessions.is_empty());
                Err(Refused { cookie, ..refusal.into() })
            }
        }
    }
}

impl Wishes {
    async fn read(call: &mut Call<'_>, record: &Record) -> Result<Self, Refused> {
        let query = form::open_query(call.parts.uri.query())?;
        let kind = call.type_to_read()?;
        let body = call.read_body(MAX_FORM_WITH_TOKEN, record).await?;
        let (everywhere, refresh_token, json) = match kind.as_deref() {
            _ if body.is_empty() => (None, None, None),
            None | Some(FORM) => {
                let form = Form::parse(&body)?;
                let text = |name| Ok::<_, Refused>(form.one(name)?.map(str::to_owned));
                (text("everywhere")?, text("refresh_token")?, None)
            }
            Some("application/json") => (member(&body, "/everywhere")?, member(&body, "/refresh_token")?, Some(body)),
            Some(_) => return Err(Refused::of_types(&[FORM, "application/json"])),
        };
        let everywhere = match (query.one("everywhere")?, everywhere.as_deref()) {
            (None | Some("false"), None | Some("false")) => false,
            (Some("true"), None | Some("true")) | (None, Some("true")) => true,
            // Whoever wants something else must not believe to have it.
            (_, _) => return Err(Refused::of_parameter(Refusal::ParameterRepeated, "everywhere")),
        };
        let (is_shown, refresh_token) =
            (refresh_token.is_some(), refresh_token.as_deref().and_then(RefreshToken::parse));
        // A page that has lost its refresh token may still send its name: what else it shows is ended.
        let fault = (is_shown && refresh_token.is_none()).then_some(TokenFault::Malformed);
        Ok(Self { everywhere, refresh_token, fault, json })
    }
}

fn member(body: &[u8], pointer: &str) -> Result<Option<String>, Refusal> {
    let pointer = Pointer::parse(pointer).map_err(|_| Refusal::Internal)?;
    let document = Document::parse(body, &pointer).map_err(|_| Refusal::Json)?;
    Ok(document.value().map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty()))
}

impl Ending<'_> {
    /// Ends what can be ended.
    ///
    /// # Errors
    /// Nothing could: the first reason. [`Refusal::StateUnavailable`]: something may live on.
    async fn end(&mut self, shown: &PresentedCredentials<'_>, wishes: Wishes) -> Result<(), Refusal> {
        self.fault = shown.fault.map(Refusal::CustomerToken);
        let mut any = false;
        for token in &shown.tokens {
            any |= self.token(token).await?;
        }
        for value in &shown.sessions {
            any |= self.session(value).await?;
        }
        if let Some(token) = &wishes.refresh_token {
            any |= self.family(&token.family, TokenFault::Revoked).await?;
        }
        if let Some(fault) = wishes.fault {
            self.fault.get_or_insert(Refusal::CustomerToken(fault));
        }
        if !any {
            return Err(self.fault.unwrap_or(Refusal::NoCredential));
        }
        if wishes.everywhere {
            let audience = (!self.policy.auth.isolated_audiences.is_empty())
                .then(|| self.isolated_audience.clone().unwrap_or_else(|| Arc::clone(&self.policy.auth.audience)));
            let rules = self.state.revocations();
            let of = |customer| customer_rules(self.policy, rules, customer, audience.as_deref(), self.now);
            self.rules.extend(self.customers.iter().flat_map(of));
        }
        if self.rules.is_empty() {
            return Ok(());
        }
        self.state.revoke(std::mem::take(&mut self.rules)).await.map_err(|_| Refusal::StateUnavailable)
    }

    /// Ends a customer's token and its login. Returns whether there was anything to end.
    async fn token(&mut self, token: &str) -> Result<bool, Refusal> {
        let auth = &self.policy.auth;
        let inquiry = Inquiry { now: self.now, network: self.network, state: self.state };
        let fault = match auth.inspect_customer(token, inquiry, Purpose::End, &mut self.known).await {
            Ok(token) if !auth.is_for(&token.claims, self.isolated_audience.as_deref()) => TokenFault::Audience,
            // A client acts by it, which is not for the customer to hold: the client revokes it, and the customer logs out.
            Ok(token) if token.delegate().is_some() => TokenFault::Actor,
            Ok(token) => {
                self.rules.push(end_of(&token, Some(self.login), self.state, self.now).await?);
                self.customers.extend(token.customer().cloned());
                return Ok(true);
            }
            Err(fault @ (TokenFault::Expired | TokenFault::Revoked)) => {
                let isolated_audience = self.isolated_audience.as_deref();
                match auth.family_of_ended(token, self.now, |claims| auth.is_for(claims, isolated_audience)) {
                    Some(family) => return self.family(&family, fault).await,
                    None => fault,
                }
            }
            Err(fault) => fault,
        };
        self.fault.get_or_insert(Refusal::CustomerToken(fault));
        Ok(false)
    }

    /// Ends a session, also an idle one, and its login. Returns whether there was one.
    async fn session(&mut self, value: &str) -> Result<bool, Refusal> {
        let Some(cookie) = &self.policy.auth.cookie else { return Ok(false) };
        let fault = match cookie.keys.open(value, self.now) {
            Ok(digest) => match self.state.find_or_copy(&digest).await.map_err(|_| Refusal::StateUnavailable)? {
                Some(session) => {
                    let was_live = !self.state.is_session_revoked(&digest, &session);
                    // What is over by a rule may still be in the store: where that could not be written, say.
                    let ended = self.state.end_login(&digest, &session, last_end(Some(self.login), self.now)).await;
                    ended.map_err(|_| Refusal::StateUnavailable)?;
                    if was_live {
                        self.customers.push(session.customer);
                        return Ok(true);
                    }
                    SessionFault::Unknown
                }
                None => SessionFault::Unknown,
            },
            Err(fault) => fault,
        };
        self.fault.get_or_insert(Refusal::Session(fault));
        Ok(false)
    }

    /// Ends the login of a family of refresh tokens. Returns whether it was live.
    async fn family(&mut self, digest: &SessionDigest, fault: TokenFault) -> Result<bool, Refusal> {
        let ended = end_family(digest, Some(self.login), self.state, self.now).await;
        match ended.map_err(|_| Refusal::StateUnavailable)? {
            Some(family) => {
                self.customers.push(family.customer);
                Ok(true)
            }
            None => {
                self.fault.get_or_insert(Refusal::CustomerToken(fault));
                Ok(false)
            }
        }
    }
}

/// Ends the login of a family of refresh tokens; returns the family, where it was live.
///
/// # Errors
/// [`Unavailable`]: the login may live on.
pub async fn end_family(
    digest: &SessionDigest,
    login: Option<&Login>,
    state: &State,
    now: u64,
) -> Result<Option<Family>, Unavailable> {
    let Some(family) = state.live_family(digest, now).await? else { return Ok(None) };
    state.end_family(digest, last_jwt(login, family.expires_at)).await?;
    Ok(Some(family))
}

/// The revocation rule that ends a token, and its login where it has one; ends its refresh tokens first.
///
/// # Errors
/// [`Refusal::StateUnavailable`].
pub async fn end_of(token: &Inspected, login: Option<&Login>, state: &State, now: u64) -> Result<Rule, Refusal> {
    let (ends, Some(subject)) = (token.claims.over, token.login()) else {
        return Ok(Rule::forever(token.subject(), token.claims.over));
    };
    let Some(family) = token.claims.family else {
        return Ok(Rule::forever(subject, last_end(login, now).max(ends)));
    };
    let mut last = ends.max(last_jwt(login, now));
    if let Some(known) = state.live_family(&family, now).await.map_err(|_| Refusal::StateUnavailable)? {
        last = last.max(last_jwt(login, known.expires_at));
        state.end_family(&family, last).await.map_err(|_| Refusal::StateUnavailable)?;
    }
    Ok(Rule::forever(subject, last))
}

/// The time by which everything of a login that ends now has expired, where its refresh tokens are not known.
pub fn last_end(login: Option<&Login>, now: u64) -> u64 {
    match login {
        // Refresh tokens may have been given for longer than they are now.
        Some(login) if login.refresh.is_none() => last_jwt(Some(login), now),
        Some(_) | None => now.saturating_add(LONGEST),
    }
}

/// The expiry of a JWT that is issued then, whoever's clock is asked.
pub(super) fn last_jwt(login: Option<&Login>, issued: u64) -> u64 {
    issued.saturating_add(login.map_or(LONGEST, |login| login.lifetime)).saturating_add(LONGEST_SKEW)
}

/// The revocation rules that end all logins of a customer until now, under each name that the customer has; with an
/// audience only the tokens for it.
pub fn customer_rules(
    policy: &Policy,
    rules: &Revocations,
    customer: &Identifier,
    audience: Option<&str>,
    now: u64,
) -> Vec<Rule> {
    let known = policy.auth.deriver.as_ref().map(|deriver| {
        let current = deriver.accept(customer.as_str(), now).unwrap_or_else(|_| customer.clone());
        deriver.names(&current, now)
    });
    let mut names = known.unwrap_or_default();
    if !names.contains(customer) {
        names.push(customer.clone());
    }
    let rule = |name: Identifier| {
        let subject = match audience {
            Some(audience) => Subject::customer_for(name.as_str(), audience),
            None => Subject::Customer(name.as_str().into()),
        };
        rules.until_now(subject, now, now.saturating_add(LONGEST))
    };
    names.into_iter().map(rule).collect()
}

/// The customer behind a pairwise identifier of a backend, and that backend's name; `None` where no backend has it, or
/// in `one_way` mode, which cannot be reversed.
pub fn customer_of_backend(policy: &Policy, name: &str) -> Option<(Identifier, Arc<str>)> {
    let deriver = policy.auth.deriver.as_ref()?;
    policy.routes.iter().find_map(|route| {
        let TracedCustomer { issuer, subject } = route.pairwise.as_ref()?.trace(name).ok()?;
        Some((deriver.derive(&issuer, &subject).ok()?, Arc::clone(&route.backend.name)))
    })
}
