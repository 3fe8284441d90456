//! `/oauth/authorize`: a customer logs in on a page of the gateway, for a client to which the browser then brings an
//! authorization code (RFC 6749 section 4.1, RFC 9700).
//!
//! A request becomes a form, in which it is sealed together with a cookie of the browser; the form becomes a proved
//! customer, and that a code. [`Gateway::answer_with_code`] takes a customer however proved.

pub(super) mod code;
mod page;
pub(crate) mod provider;
pub(super) mod request;

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response};
use serde::{Deserialize, Serialize};

use super::audited::EndpointEvent;
use super::form::{self, FORM, Form, MAX_FORM};
use super::login::{LoginForm, LoginGrant};
use super::session_cookie::cookie_line;
use crate::auth::credentials::cookies;
use crate::config::raw::Issue;
use crate::customer::Deriver;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Gateway, unix_seconds};
use crate::policy::accounts::Accounts;
use crate::policy::{Issuer, Login, Policy};
use crate::refusal::Refusal;
use crate::secret::random_bytes;
use crate::state::revocation::Issued;
use crate::state::session::{Found, Session};
use code::{AuthorizationCode, CustomerProof};
use page::{LoginFormPage, fault_page};
use request::{AuthorizationRequest, Prompt, RequestFault};

/// The route name in log and metrics.
pub(crate) const NAME: &str = "authorize";

/// The cookie that ties a form to its browser.
const COOKIE: &str = "__Host-authorize";
/// Bytes of its value, before base64url.
const COOKIE_BYTES: usize = 32;
/// How it begins.
const COOKIE_PREFIX: &str = "wgb_";
/// How the sealed value of a form begins.
const FORM_PREFIX: &str = "wgf_";
/// Lifetime of a form and of its cookie, in seconds.
const FORM_LIFETIME: u64 = 600;
/// What a form is sealed for.
const PURPOSE: &str = "login form";

/// The parts of the policy that a login page needs.
struct Issuance<'p> {
    login: &'p Login,
    issuer: &'p Issuer,
    deriver: &'p Deriver,
}

impl<'p> Issuance<'p> {
    fn of(policy: &'p Policy) -> Result<Self, Refusal> {
        let login = policy.login.as_ref().ok_or(Refusal::NoRoute)?;
        let issuer = policy.issuer.as_ref().ok_or(Refusal::Internal)?;
        let deriver = policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        Ok(Self { login, issuer, deriver })
    }
}

/// The sealed value of a form.
#[derive(Serialize, Deserialize)]
struct SealedForm {
    request: AuthorizationRequest,
    /// In seconds since 1970.
    expires_at: u64,
}

impl Gateway {
    /// Answers an authorization request, or a form of the login page. Refusals are pages too.
    pub(crate) async fn authorization(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        record.route = NAME.into();
        let issuance = Issuance::of(call.policy)?;
        let page = &issuance.login.page;
        let outcome = match call.parts.method {
            Method::POST => self.take_form(call, &issuance, record).await,
            _ => self.take_request(&call, &issuance, record).await,
        };
        Ok(outcome.unwrap_or_else(|refused| {
            record.refusal = Some(refused.refusal);
            fault_page(page, &refused)
        }))
    }

    /// An authorization request: a form, or an answer at once.
    async fn take_request(
        &self,
        call: &Call<'_>,
        issuance: &Issuance<'_>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let known = self.shared.state.revocations().seen();
        let query = form::open_query(call.parts.uri.query())?;
        let (request, prompt) = match AuthorizationRequest::read(call, issuance.issuer, &query, record) {
            Ok(read) => read,
            Err(RequestFault::Customer(refused)) => return Err(refused),
            Err(RequestFault::Client(to, error, refusal)) => {
                record.refusal = Some(refusal);
                return Ok(to.answer(issuance.issuer, &[("error", error)])?);
            }
        };
        // Whoever can pose as the client gets no code without a login (RFC 8252 section 8.6).
        let prompt = match prompt {
            Prompt::None if request.is_claimable(call) => Prompt::Never,
            Prompt::Usual if request.is_claimable(call) => Prompt::Login,
            prompt => prompt,
        };
        let session = match prompt {
            Prompt::Login | Prompt::Never => Ok(None),
            Prompt::None | Prompt::Usual => self.live_session(call, issuance.login).await,
        };
        match (session, prompt) {
            // Nor does a provider say how old its login is.
            (_, Prompt::Never) => Ok(request.to.answer(issuance.issuer, &[("error", "login_required")])?),
            (Ok(Some(session)), _) => {
                let proof = proof_of(session, issuance, unix_seconds(SystemTime::now())).ok_or(Refusal::Internal)?;
                record.known.customer = Some(proof.customer.clone());
                let issued = Issued { number: proof.issued.number.or(Some(known)), ..proof.issued };
                self.answer_with_code(call, issuance, request, CustomerProof { issued, ..proof }).await
            }
            (Ok(None) | Err(_), prompt) if let Some(provider) = &issuance.login.provider => {
                provider::depart(call, issuance, provider, request, prompt)
            }
            (Ok(None), Prompt::None) => Ok(request.to.answer(issuance.issuer, &[("error", "login_required")])?),
            (Err(refusal), Prompt::None) => {
                record.refusal = Some(refusal);
                Ok(request.to.answer(issuance.issuer, &[("error", "temporarily_unavailable")])?)
            }
            // Where nobody knows, a password does.
            (Ok(None) | Err(_), Prompt::Usual | Prompt::Login) => show_form(call, issuance, request, "", None),
        }
    }

    /// A form that was sent: a code, or the form again with the reason.
    async fn take_form(
        &self,
        mut call: Box<Call<'_>>,
        issuance: &Issuance<'_>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        // Before the password is looked at: what is revoked in between is revoked.
        let number = Some(self.shared.state.revocations().seen());
        form::open_query(call.parts.uri.query())?;
        if call.type_to_read()?.as_deref() != Some(FORM) {
            return Err(Refused::of_types(&[FORM]));
        }
        let body = call.read_body(MAX_FORM, record).await?;
        let form = Form::parse(&body)?;
        let request = sealed_request(&call, issuance.deriver, form.required("authorization")?)?;
        record.known.client = call.policy.auth.clients.get(request.client.as_str()).map(|client| client.id.clone());
        let typed = form.required("username").and_then(|username| {
            let password = form.required("password")?;
            Ok(LoginForm { username, password })
        });
        let proved = match typed {
            Ok(typed) => {
                let proved = self.prove(&call, issuance.login, typed, record).await;
                self.worker_metrics().login(proved.as_ref().map_or_else(|refused| refused.refusal.as_str(), |_| "ok"));
                self.note_outcome(EndpointEvent::Login, record, &proved);
                proved
            }
            Err(refused) => Err(refused),
        };
        match proved {
            Ok((customer, claims, account)) => {
                let issued = Issued { at: unix_seconds(SystemTime::now()), number };
                let proof = CustomerProof { customer, claims, account, issued, session: None };
                self.answer_with_code(&call, issuance, request, proof).await
            }
            Err(refused) => {
                record.refusal = Some(refused.refusal);
                let username = form.one("username").ok().flatten().unwrap_or_default();
                show_form(&call, issuance, request, username, Some(&refused))
            }
        }
    }

    /// Sends a proved customer back to the client with a code. Where logins give a cookie, a new login begins a session
    /// as well, so that the next client need not ask for the password again.
    async fn answer_with_code(
        &self,
        call: &Call<'_>,
        issuance: &Issuance<'_>,
        request: AuthorizationRequest,
        proof: CustomerProof,
    ) -> Result<Response<ResponseBody>, Refused> {
        let Issuance { login, issuer, deriver } = *issuance;
        let (to, is_new) = (request.to.clone(), proof.session.is_none());
        let (customer, account, issued) = (proof.customer.clone(), proof.account, proof.issued);
        let code = AuthorizationCode::new(request, proof, unix_seconds(SystemTime::now()));
        let text = code.seal(deriver)?;
        let mut response = to.answer(issuer, &[("code", text.as_str())])?;
        if is_new && login.issue != Issue::Jwt {
            let grant = LoginGrant { id: text.login(), customer, account, issued };
            let cookie = self.begin_session(call, login, &grant).await?;
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// The live session of the browser, where logins give one.
    ///
    /// # Errors
    /// [`Refusal::StateUnavailable`]: nobody knows.
    async fn live_session(&self, call: &Call<'_>, login: &Login) -> Result<Option<Session>, Refusal> {
        let (auth, state) = (&call.policy.auth, &self.shared.state);
        let Some(cookie) = auth.cookie.as_ref().filter(|_| login.issue != Issue::Jwt) else { return Ok(None) };
        let now = unix_seconds(SystemTime::now());
        for digest in auth.named_sessions(&call.parts.headers, now) {
            if state.is_stale() {
                return Err(Refusal::StateUnavailable);
            }
            let session = state.fetch(&digest).await.map_err(|_| Refusal::StateUnavailable)?;
            let found = state.judge(&digest, session.as_ref(), now, cookie.idle, &auth.accounts);
            if matches!(found, Found::Live(_)) {
                return Ok(session);
            }
        }
        Ok(None)
    }
}

/// The proof that a session is: its customer, with the claims of the account. `None` where the account is not known.
fn proof_of(session: Session, issuance: &Issuance<'_>, now: u64) -> Option<CustomerProof> {
    let customer = issuance.deriver.accept(session.customer.as_str(), now).ok()?;
    let claims = match &issuance.login.accounts {
        Accounts::File(accounts) => accounts.of_login(session.account, &customer)?.claims.clone(),
        Accounts::Backend(_) | Accounts::Directory(_) | Accounts::Provider => Default::default(),
    };
    let (issued, session_of) = (session.issued(), Some((session.login, session.expires_at)));
    Some(CustomerProof { customer, claims, account: session.account, issued, session: session_of })
}

/// The request in a form of this browser.
///
/// # Errors
/// [`Refusal::LoginForm`]: the form is old or another browser's, or the client has lost its redirect URI since.
fn sealed_request(call: &Call<'_>, deriver: &Deriver, sealed: &str) -> Result<AuthorizationRequest, Refusal> {
    let mut own = browser_cookies(&call.parts.headers);
    let sealed = sealed.strip_prefix(FORM_PREFIX).ok_or(Refusal::LoginForm)?;
    let value = own.find_map(|cookie| deriver.unseal(PURPOSE, cookie, sealed)).ok_or(Refusal::LoginForm)?;
    let SealedForm { request, expires_at } = serde_json::from_slice(&value).map_err(|_| Refusal::LoginForm)?;
    if is_good(call, &request, expires_at) { Ok(request) } else { Err(Refusal::LoginForm) }
}

/// Returns whether what was sealed is not too old, and its client still has the redirect URI.
fn is_good(call: &Call<'_>, request: &AuthorizationRequest, expires_at: u64) -> bool {
    let client = call.policy.auth.clients.get(request.client.as_str());
    let has_uri = client.is_some_and(|client| client.redirect_uris.has(&request.to.redirect_uri));
    has_uri && unix_seconds(SystemTime::now()) < expires_at
}

/// The page with the form, and the cookie that ties it to this browser. A browser keeps its cookie: it may have several
/// forms open.
fn show_form(
    call: &Call<'_>,
    issuance: &Issuance<'_>,
    request: AuthorizationRequest,
    username: &str,
    refused: Option<&Refused>,
) -> Result<Response<ResponseBody>, Refused> {
    let cookie = cookie_of(call);
    let expires_at = unix_seconds(SystemTime::now()).saturating_add(FORM_LIFETIME);
    let form = SealedForm { request, expires_at };
    let value = serde_json::to_vec(&form).map_err(|_| Refusal::Internal)?;
    let sealed = issuance.deriver.seal(PURPOSE, cookie.as_bytes(), &value).ok_or(Refusal::Internal)?;
    let look = &issuance.login.page;
    let page =
        LoginFormPage { look, sealed: &format!("{FORM_PREFIX}{sealed}"), to: &form.request.to, username, refused };
    let mut response = page.response();
    keep_cookie(&mut response, &cookie)?;
    Ok(response)
}

/// The cookie of this browser; a new one where it has none.
fn cookie_of(call: &Call<'_>) -> String {
    let known = browser_cookies(&call.parts.headers).next().and_then(|value| std::str::from_utf8(value).ok());
    let new = || format!("{COOKIE_PREFIX}{}", BASE64.encode(random_bytes::<COOKIE_BYTES>()));
    known.map_or_else(new, str::to_owned)
}

fn keep_cookie(response: &mut Response<ResponseBody>, cookie: &str) -> Result<(), Refusal> {
    let line: HeaderValue = cookie_line(COOKIE, cookie, FORM_LIFETIME, "Lax")?;
    response.headers_mut().append(header::SET_COOKIE, line);
    Ok(())
}

/// The values of our cookie, where they have its form.
fn browser_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let is_ours = |value: &&[u8]| {
        let random = value.strip_prefix(COOKIE_PREFIX.as_bytes()).and_then(|random| BASE64.decode(random).ok());
        random.is_some_and(|bytes| bytes.len() == COOKIE_BYTES)
    };
    cookies(headers, COOKIE).filter(is_ours)
}
