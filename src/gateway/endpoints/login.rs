//! `POST /auth/customer_authenticate`: a username and a password for a JWT, a cookie, or both (docs/asapp.md).

mod backend;
mod directory;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;
use http::header::{self, HeaderValue};

use super::audited::EndpointEvent;
use super::customer_token::{CustomerClaims, CustomerJwt};
use super::form::{self, FORM, Form, MAX_FORM};
use super::json_answer::{json_response, times};
use super::lockout::{Attempt, CountedAttempt, Who};
use super::password_hashing::Stopwatch;
use super::session_cookie::cookie_line;
use crate::config::raw::Issue;
use crate::customer::Identifier;
use crate::gateway::Gateway;
use crate::gateway::authorize::csrf;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::normalization::folded_name;
use crate::policy::Login;
use crate::policy::accounts::{AccountFile, Accounts};
use crate::refusal::Refusal;
use crate::state::Bound;
use crate::state::account_stamp::AccountStamp;
use crate::state::refresh_token::{Family, RefreshToken};
use crate::state::revocation::Issued;
use crate::state::session::{Agent, LoginId, Session};

/// The route name in log and metrics.
pub(crate) const NAME: &str = "login";

/// The parameters of a login.
const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// Most concurrent requests to the login backend. Others wait in a fair queue, so that nobody takes all its places.
pub(crate) const MAX_ASKED: usize = 128;

/// A proved login: the customer, further claims of the JWT, and the account where it is known.
pub(super) type ProvedLogin = (Identifier, CustomerClaims, Option<AccountStamp>);

/// The username and the password of a login, as typed.
#[derive(Clone, Copy)]
pub(super) struct LoginForm<'f> {
    pub(super) username: &'f str,
    pub(super) password: &'f str,
}

/// A proved login, and the common attributes of all that it gives out.
pub(super) struct LoginGrant {
    pub(super) id: LoginId,
    pub(super) customer: Identifier,
    pub(super) account: Option<AccountStamp>,
    pub(super) issued: Issued,
}

impl Gateway {
    /// Answers a login.
    pub(crate) async fn login(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let outcome = self.log_in(call, record).await;
        self.worker_metrics().login(match &outcome {
            Ok(_) => "ok",
            Err(refused) => refused.refusal.as_str(),
        });
        self.note_outcome(EndpointEvent::Login, record, &outcome);
        outcome
    }

    async fn log_in(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        // Before the password is looked at: what is revoked in between is revoked.
        let known = self.shared.state.revocations().seen();
        let login = policy.login.as_ref().ok_or(Refusal::NoRoute)?;
        form::open_query(call.parts.uri.query())?;
        let is_json = match call.type_to_read()?.as_deref() {
            None | Some(FORM) => false,
            Some("application/json") if login.json => true,
            Some(_) if login.json => return Err(Refused::of_types(&[FORM, "application/json"])),
            Some(_) => return Err(Refused::of_types(&[FORM])),
        };
        let body = call.read_body(MAX_FORM, record).await?;
        let form = if is_json { Form::parse_json(&body, &[USERNAME, PASSWORD])? } else { Form::parse(&body)? };
        let typed = LoginForm { username: form.required(USERNAME)?, password: form.required(PASSWORD)? };
        if login.issue != Issue::Jwt && csrf::is_strange(&policy.own_site, &call.head.host, &call.parts.headers) {
            return Err(Refusal::CrossSite.into());
        }
        let proved = self.prove(&call, login, typed, record).await?;
        self.welcome(&call, login, proved, known, record).await
    }

    /// Verifies a username and a password: lockout first, then the accounts or the company's own login. Whoever is proved
    /// stands in the record.
    ///
    /// # Errors
    /// A wrong password, an unknown user, a lockout, or an outage.
    pub(super) async fn prove(
        &self,
        call: &Call<'_>,
        login: &Login,
        typed: LoginForm<'_>,
        record: &mut Record,
    ) -> Result<ProvedLogin, Refused> {
        // As a login of the company's own may have it: no spelling gets a count of its own. But who is right in one may be
        // somebody else than who has another.
        let counted = folded_name(typed.username);
        let spelling = (!login.accounts.folds()).then_some(typed.username);
        let who = Who::new(Attempt::Login, &counted, spelling, call.source.address);
        record.attempt = Some(who.shown(call.policy));
        let mut tried = self.try_as(who, login.attempts).await?;
        let proved = match &login.accounts {
            Accounts::Provider => return Err(Refusal::NoRoute.into()),
            Accounts::File(accounts) => self.by_account(login, accounts, typed, tried).await?,
            Accounts::Backend(backend) => {
                let _permit = tried.turn(&self.shared.asking, &login.limit).await?;
                let admission = Arc::clone(&backend.backend.admission);
                tried.asks(move |since| admission.is_silent_since(since));
                let proved = self.by_backend(call, login, backend, typed, record).await;
                tried.judge(&proved).await;
                proved?
            }
            Accounts::Directory(directory) => {
                let _permit = tried.turn(&self.shared.asking, &login.limit).await?;
                let asked = Arc::clone(directory);
                tried.asks(move |since| asked.is_silent_since(since));
                let proved = Box::pin(self.by_directory(call, login, directory, typed, record)).await;
                tried.judge(&proved).await;
                proved?
            }
        };
        record.known.customer = Some(proved.0.clone());
        Ok(proved)
    }

    /// Verifies the password against the account file. All refusals take as long as the most expensive hash, and
    /// unknown users cost that hash.
    async fn by_account(
        &self,
        login: &Login,
        accounts: &AccountFile,
        LoginForm { username, password }: LoginForm<'_>,
        mut tried: CountedAttempt<'_>,
    ) -> Result<ProvedLogin, Refused> {
        let (account, decoy) = (accounts.find(username), Arc::clone(accounts.decoy()));
        let (shown, known) = (zeroize::Zeroizing::new(password.to_owned()), Arc::clone(&decoy));
        let hashing = &self.shared.hashing;
        let permit = tried.turn(hashing.queue(), &login.limit).await?;
        let job = move |stopwatch: &Stopwatch| {
            let hash = account.as_ref().map_or(&known.hash, |account| &account.password);
            match (stopwatch.verify(hash, shown.as_bytes()), account) {
                (true, Some(account)) => Ok((account.customer.clone(), account.claims.clone(), Some(account.stamp))),
                (_, account) => {
                    stopwatch.measure_all(&known, shown.as_bytes());
                    Err(if account.is_some() { Refusal::LoginWrongPassword } else { Refusal::LoginUnknownUser })
                }
            }
        };
        let hashed = hashing.run(permit, job).await?;
        let _held = tried.judge(&hashed.outcome).await;
        if hashed.outcome.is_err() {
            hashing.wait_as_for(&hashed, &decoy, [password.as_bytes()]).await;
        }
        Ok(hashed.outcome?)
    }

    async fn welcome(
        &self,
        call: &Call<'_>,
        login: &Login,
        (customer, claims, account): ProvedLogin,
        known: u64,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = issued.as_secs();
        // All that is given out here bears one name, and ends by it together.
        let refresh = login.refresh.map(|refresh| (RefreshToken::first(), refresh.lifetime));
        let id = refresh.as_ref().map_or_else(LoginId::random, |(first, _)| LoginId::of(&first.family));
        record.fact("login", &id.to_string());
        let grant = LoginGrant { id, customer, account, issued: Issued { at: now, number: Some(known) } };
        let cookie = match login.issue {
            Issue::Jwt => None,
            Issue::Cookie | Issue::Both => Some(self.begin_session(call, login, &grant).await?),
        };
        let refresh = match refresh {
            Some((first, lifetime)) => {
                let family = Family {
                    customer: grant.customer.clone(),
                    issued_at: now,
                    expires_at: now.saturating_add(lifetime),
                    current: first.digest,
                    predecessor: None,
                    account: grant.account,
                    number: grant.issued.number,
                };
                let bound =
                    Bound { most: login.max_per_customer, until: family.expires_at.saturating_add(login.lifetime) };
                self.shared.state.begin_family(&first, family, bound).await.map_err(|_| Refusal::StateUnavailable)?;
                Some(first)
            }
            None => None,
        };
        let (issued_at, expires_in) = times(issued, login.lifetime, login.number_style);
        let mut answer = format!(r#"{{"issued_at":{issued_at},"#);
        if login.issue != Issue::Cookie {
            let family = refresh.as_ref().map(|first| &first.family);
            let LoginGrant { id, customer, issued, .. } = &grant;
            let (issued, lifetime) = (*issued, login.lifetime);
            let jwt =
                CustomerJwt { customer, claims, issued, lifetime, login: *id, family, binding: None }.sign(call)?;
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

    /// Begins a new session, always, and ends the one whose cookie came with the request (session fixation). Tokens of
    /// that login stay good: they are bound to no browser.
    pub(super) async fn begin_session(
        &self,
        call: &Call<'_>,
        login: &Login,
        grant: &LoginGrant,
    ) -> Result<HeaderValue, Refusal> {
        let Issued { at: now, number } = grant.issued;
        let auth = &call.policy.auth;
        let headers = &call.parts.headers;
        let cookie = auth.cookie.as_ref().ok_or(Refusal::Internal)?;
        let new = cookie.keys.issue(now).ok_or(Refusal::Internal)?;
        let agent = headers.get(header::USER_AGENT).map(|agent| Agent::of(&String::from_utf8_lossy(agent.as_bytes())));
        let expires_at = now.saturating_add(login.lifetime);
        let session = Session {
            customer: grant.customer.clone(),
            login: grant.id,
            issued_at: now,
            last_seen: now,
            expires_at,
            agent: agent.unwrap_or_default(),
            account: grant.account,
            number,
        };
        let state = &self.shared.state;
        let bound = Bound { most: login.max_per_customer, until: expires_at };
        state.begin(new.digest, session, bound).await.map_err(|_| Refusal::StateUnavailable)?;
        for old in auth.named_sessions(headers, now) {
            state.end(&old, expires_at).await.map_err(|_| Refusal::StateUnavailable)?;
        }
        cookie_line(&cookie.name, &new.value, login.lifetime, login.same_site)
    }
}
