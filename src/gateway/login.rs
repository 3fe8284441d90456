//! `POST /auth/customer_authenticate`: a username and a password for a JWT, a cookie, or both (contract 1.1).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use serde_json::{Value, json};

use super::body::ResponseBody;
use super::call::Call;
use super::error::Refused;
use super::form::{self, Form};
use super::limits::Attempt;
use super::record::Record;
use super::request_id::REQUEST_ID;
use super::{Gateway, origin};
use crate::auth::password;
use crate::backend::answer::AnswerBody;
use crate::backend::circuit::Try;
use crate::backend::pool::{Errand, Patience, Repeat};
use crate::body;
use crate::config::raw::{Issue, NumberStyle};
use crate::customer::Identifier;
use crate::policy::accounts::{AccountFile, Accounts, LoginBackend};
use crate::policy::{Login, Policy};
use crate::refusal::Refusal;
use crate::secret::random_bytes;
use crate::state::Bound;
use crate::state::account::AccountStamp;
use crate::state::family::{Family, RefreshToken};
use crate::state::session::{Agent, Session, handle};
use crate::stream::{Pace, RequestBody};

/// What stands in the place of a route's name.
pub(super) const NAME: &str = "login";

/// No form that logs somebody in is larger.
pub(super) const MAX_FORM: u64 = 8 * 1024;

/// No answer of the company's own login is larger.
const MAX_ANSWER: usize = 64 * 1024;

/// Claims of an account that go into its JWT.
type Claims = BTreeMap<String, Value>;

/// Who has logged in: the customer, what the JWT also says, and the account where it is known.
type Proved = (Identifier, Claims, Option<AccountStamp>);

impl Gateway {
    /// Answers a login.
    pub(super) async fn login(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let outcome = self.log_in(call, record).await;
        self.cells().login(match &outcome {
            Ok(_) => "ok",
            Err(refused) => refused.refusal.word(),
        });
        outcome
    }

    async fn log_in(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let login = policy.login.as_ref().ok_or(Refusal::NoRoute)?;
        form::open_query(call.parts.uri.query())?;
        let is_json = match call.type_to_read()?.as_deref() {
            None | Some("application/x-www-form-urlencoded") => false,
            Some("application/json") if login.json => true,
            Some(_) => return Err(Refusal::ContentType.into()),
        };
        let body = call.read_body(MAX_FORM, record).await?;
        let form = if is_json { Form::parse_json(&body)? } else { Form::parse(&body)? };
        let username = form.one("username")?.ok_or(Refusal::ParameterMissing)?;
        let password = form.one("password")?.ok_or(Refusal::ParameterMissing)?;
        self.shared.limits.attempt(Attempt::Login, username, &login.limit, Refusal::LoginRate)?;
        if login.issue != Issue::Jwt && origin::is_strange(&policy.own_site, &call.head.host, &call.parts.headers) {
            return Err(Refusal::CrossSite.into());
        }
        let tried = self.try_as(Attempt::Login, username, call.source.address, login.attempts).await?;
        let proved = match &login.accounts {
            Accounts::File(accounts) => self.by_account(accounts, username, password).await,
            Accounts::Backend(backend) => self.by_backend(policy, login, backend, username, password, record).await,
        };
        self.judge(&tried, &proved).await;
        let proved = proved?;
        record.customer = Some(proved.0.clone());
        self.welcome(&call, login, proved).await
    }

    /// Unknown users cost the same hash as known ones.
    async fn by_account(&self, accounts: &AccountFile, username: &str, password: &str) -> Result<Proved, Refusal> {
        let (account, dummy) = (accounts.find(username), accounts.dummy());
        let password = zeroize::Zeroizing::new(password.to_owned());
        let job = move || match account {
            Some(account) if password::verify(&account.password, password.as_bytes()) => {
                Ok((account.customer.clone(), account.claims.clone(), Some(account.stamp)))
            }
            Some(_) => Err(Refusal::LoginWrongPassword),
            None => {
                password::verify(&dummy, password.as_bytes());
                Err(Refusal::LoginUnknownUser)
            }
        };
        self.shared.hashing.run(job).await?
    }

    /// Asks the company's own login. Only its clear no is a no; whatever else goes wrong is an outage, never a 401.
    async fn by_backend(
        &self,
        policy: &Policy,
        login: &Login,
        asked: &LoginBackend,
        username: &str,
        password: &str,
        record: &mut Record,
    ) -> Result<Proved, Refusal> {
        let backend = &asked.backend;
        let outage = |kind: &'static str| {
            self.cells().backend_failed(&backend.name, kind);
            Refusal::LoginBackend
        };
        let _permit = backend.enter(Try::Complete).await.map_err(|failure| outage(failure.word()))?;
        let request = login_request(asked, username, password, record).ok_or(Refusal::Internal)?;
        let sent = std::time::Instant::now();
        let body = Pace { pause: backend.timeout, until: sent + backend.timeout * 2 };
        let patience = Patience { now: sent, head: backend.timeout, body };
        let begun = std::cell::Cell::new(sent);
        let errand = Errand {
            repeat: Repeat::Unsent,
            key: None,
            caller: Some(record.source.address),
            patience,
            begun: &begun,
            request_id: &record.request_id,
        };
        let answer = self.pool.send(backend, &mut Some(request), errand).await;
        record.backend_time = Some(begun.get().elapsed());
        let response = answer.map_err(|failure| outage(failure.word()))?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(Refusal::LoginWrongPassword),
            _ => return Err(outage("status")),
        }
        let answer = read_answer(response.into_body()).await.ok_or_else(|| outage("answer"))?;
        let subject = body::read(&answer, &asked.subject).ok().flatten().ok_or_else(|| outage("answer"))?;
        let deriver = policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let customer = deriver.derive(&login.tenant, &subject).map_err(|_| outage("answer"))?;
        Ok((customer, Claims::new(), None))
    }

    async fn welcome(
        &self,
        call: &Call<'_>,
        login: &Login,
        (customer, claims, account): Proved,
    ) -> Result<Response<ResponseBody>, Refused> {
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // In the very second of a revocation, what is new must not look old.
        let now = issued.as_secs().max(self.shared.state.earliest(&customer));
        let (cookie, by_cookie) = match login.issue {
            Issue::Jwt => (None, None),
            Issue::Cookie | Issue::Both => {
                let (line, sid) = self.begin_session(call, login, &customer, account, now).await?;
                (Some(line), Some(sid))
            }
        };
        let (refresh, by_refresh) = match login.refresh {
            Some(refresh) => {
                let first = RefreshToken::first();
                let family = Family {
                    customer: customer.clone(),
                    issued_at: now,
                    expires_at: now.saturating_add(refresh.lifetime),
                    current: first.digest,
                    predecessor: None,
                    account,
                };
                let bound =
                    Bound { most: login.max_per_customer, until: family.expires_at.saturating_add(login.lifetime) };
                self.shared.state.begin_family(&first, family, bound).await.map_err(|_| Refusal::State)?;
                let sid = handle(&first.family);
                (Some(first), Some(sid))
            }
            None => (None, None),
        };
        let (issued_at, expires_in) = times(issued, login.lifetime, login.number_style);
        let mut answer = format!(r#"{{"issued_at":{issued_at},"#);
        if login.issue != Issue::Cookie {
            let sid = by_refresh.or(by_cookie);
            let jwt = sign_customer(call, &customer, claims, now, login.lifetime, sid.as_deref())?;
            answer.push_str(&format!(r#""JWT":"{jwt}","#));
        }
        if let Some(refresh) = refresh {
            answer.push_str(&format!(r#""refresh_token":"{}","#, refresh.as_str()));
        }
        answer.push_str(&format!(r#""expires_in":{expires_in}}}"#));
        let mut response = json_response(answer);
        if let Some(cookie) = cookie {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// Always a new session, and the one whose cookie came with the request ends: whoever planted it has nothing of it.
    async fn begin_session(
        &self,
        call: &Call<'_>,
        login: &Login,
        customer: &Identifier,
        account: Option<AccountStamp>,
        now: u64,
    ) -> Result<(HeaderValue, String), Refusal> {
        let auth = &call.policy.auth;
        let headers = &call.parts.headers;
        let cookie = auth.cookie.as_ref().ok_or(Refusal::Internal)?;
        let new = cookie.keys.issue(now).ok_or(Refusal::Internal)?;
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(Agent::of);
        let expires_at = now.saturating_add(login.lifetime);
        let session = Session {
            customer: customer.clone(),
            issued_at: now,
            last_seen: now,
            expires_at,
            agent: agent.unwrap_or_default(),
            account,
        };
        let state = &self.shared.state;
        let bound = Bound { most: login.max_per_customer, until: expires_at };
        state.begin(new.digest, session, cookie.idle, bound).await.map_err(|_| Refusal::State)?;
        for old in auth.named_sessions(headers, now) {
            state.end(&old, expires_at).await.map_err(|_| Refusal::State)?;
        }
        Ok((cookie_line(&cookie.name, &new.value, login.lifetime, login.same_site)?, handle(&new.digest)))
    }
}

/// The `Set-Cookie` of a session; without a value and lifetime the one that removes it.
pub(super) fn cookie_line(name: &str, value: &str, lifetime: u64, same_site: &str) -> Result<HeaderValue, Refusal> {
    let line = format!("{name}={value}; Path=/; Max-Age={lifetime}; Secure; HttpOnly; SameSite={same_site}");
    HeaderValue::from_str(&line).map_err(|_| Refusal::Internal)
}

/// A customer's JWT. `login` is what ends it before its time.
pub(super) fn sign_customer(
    call: &Call<'_>,
    customer: &Identifier,
    claims: Claims,
    now: u64,
    lifetime: u64,
    login: Option<&str>,
) -> Result<String, Refusal> {
    let issuer = call.policy.issuer.as_ref().ok_or(Refusal::Internal)?;
    let mut claims = claims;
    let ours = json!({
        "iss": issuer.url, "aud": *call.audience(issuer), "sub": customer.as_str(),
        "iat": now, "nbf": now, "exp": now.saturating_add(lifetime), "jti": token_id(),
    });
    if let Value::Object(ours) = ours {
        claims.extend(ours);
    }
    if let Some(login) = login {
        claims.insert("sid".to_owned(), login.into());
    }
    issuer.keys.sign("JWT", &claims, now).map_err(|_| Refusal::Internal)
}

fn login_request(
    asked: &LoginBackend,
    username: &str,
    password: &str,
    record: &Record,
) -> Option<Request<RequestBody>> {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let form = format!("username={}&password={}", encode(username), encode(password));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(asked.path.as_str())
        .header(header::HOST, &asked.backend.host)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .header(REQUEST_ID, &record.request_id);
    if let Some((name, value)) = &asked.backend.authorization {
        request = request.header(name, value);
    }
    request.body(RequestBody::Full(form.into())).ok()
}

async fn read_answer(mut body: AnswerBody) -> Option<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > MAX_ANSWER {
            return None;
        }
    }
    Some(all.into())
}

/// `issued_at` in milliseconds and `expires_in` in seconds, as JSON values.
pub(super) fn times(issued: Duration, lifetime: u64, style: NumberStyle) -> (String, String) {
    match style {
        NumberStyle::String => (format!("\"{}\"", issued.as_millis()), format!("\"{lifetime}\"")),
        NumberStyle::Number => (issued.as_millis().to_string(), lifetime.to_string()),
    }
}

/// An answer that nobody may keep.
pub(super) fn json_response(text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// A token's own id: 128 random bits.
pub(super) fn token_id() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random_bytes::<16>())
}
