//! Logins with a live session or refresh token: list, show and end them.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::api_error::{Fault, SECRET};
use super::clock::now;
use super::customer_rules::names_of;
use crate::customer::Identifier;
use crate::gateway::{Shared, last_end};
use crate::secret::has_secret_shape;
use crate::state::Among;
use crate::state::refresh_token::Family;
use crate::state::revocation::{Rule, Subject};
use crate::state::session::{LoginId, Session, SessionDigest};

/// Most logins or attempts in one response.
pub const MAX_SHOWN: usize = 10_000;

/// Live logins, most recently used first: of one customer, or all.
pub(super) async fn list(shared: &Shared, customer: Option<&str>) -> Result<Value, Fault> {
    let names = customer.map(|customer| names_of(shared, customer)).transpose()?;
    let mut live = live(shared, names.as_deref()).await?;
    live.sort_by_key(|login| std::cmp::Reverse(login.last_seen()));
    live.truncate(MAX_SHOWN);
    Ok(live.iter().map(LiveLogin::shown).collect())
}

/// The live login of this id.
pub(super) async fn show(shared: &Shared, id: &str) -> Result<Value, Fault> {
    let login = live(shared, None).await?.into_iter().find(|login| login.id().to_string() == id);
    Ok(login.ok_or_else(|| no_login(id))?.shown())
}

/// Ends the login of this id; returns its last state.
pub(in crate::server::admin) async fn end(shared: &Shared, id: &str) -> Result<Value, Fault> {
    let login = end_login(shared, LoginId::parse(id).ok_or_else(|| no_login(id))?).await?;
    tracing::info!(login = id, customer = login.customer().as_str(), "an operator ended this login");
    Ok(login.shown())
}

/// Login with a session or refresh tokens.
pub(super) enum LiveLogin {
    /// Session, and whether it has refresh tokens too.
    Session(SessionDigest, Session, bool),
    /// Refresh tokens only.
    Family(SessionDigest, Family),
}

impl LiveLogin {
    fn id(&self) -> LoginId {
        match self {
            Self::Session(_, session, _) => session.login,
            Self::Family(digest, _) => LoginId::of(digest),
        }
    }

    fn customer(&self) -> &Identifier {
        match self {
            Self::Session(_, session, _) => &session.customer,
            Self::Family(_, family) => &family.customer,
        }
    }

    /// Last use in seconds since 1970; for refresh tokens, whose use is not recorded, the time of the login.
    fn last_seen(&self) -> u64 {
        match self {
            Self::Session(_, session, _) => session.last_seen,
            Self::Family(_, family) => family.issued_at,
        }
    }

    fn shown(&self) -> Value {
        let (kind, agent, seen, issued_at, expires_at) = match self {
            Self::Session(_, session, has_family) => {
                let kind = if *has_family { "session+refresh" } else { "session" };
                (kind, session.agent.as_str(), Some(session.last_seen), session.issued_at, session.expires_at)
            }
            Self::Family(_, family) => ("refresh", "", None, family.issued_at, family.expires_at),
        };
        json!({
            "id": self.id().to_string(), "kind": kind, "customer": self.customer().as_str(), "agent": agent,
            "issued_at": issued_at, "last_seen": seen, "expires_at": expires_at,
        })
    }
}

/// Live logins; with `names` only those of these customers.
async fn live(shared: &Shared, names: Option<&[Identifier]>) -> Result<Vec<LiveLogin>, Fault> {
    let policy = shared.policy();
    let idle = policy.auth.cookie.as_ref().map_or(u64::MAX, |cookie| cookie.idle);
    let among = names.map_or(Among::All, Among::Customers);
    let is_good = |customer: &Identifier, account| {
        policy.auth.accounts.admit(account) && names.is_none_or(|names| names.contains(customer))
    };
    let state = &shared.state;
    let sessions = state.sessions(now(), idle, among, |session| is_good(&session.customer, session.account)).await?;
    let families = state.live_families(now(), among, |family| is_good(&family.customer, family.account)).await?;
    Ok(together(sessions, families))
}

/// Sessions and refresh tokens of a login, valid now or not: that may change.
pub(super) async fn logins(shared: &Shared, id: Option<LoginId>) -> Result<Vec<LiveLogin>, Fault> {
    let is_asked = |session: &Session| id.is_none_or(|id| session.login == id);
    let among = id.map_or(Among::All, Among::Login);
    let sessions = shared.state.sessions(now(), u64::MAX, among, is_asked).await?;
    Ok(together(sessions, shared.state.live_families(now(), among, |_| true).await?))
}

fn together(sessions: Vec<(SessionDigest, Session)>, families: Vec<(SessionDigest, Family)>) -> Vec<LiveLogin> {
    let mut families: HashMap<String, _> =
        families.into_iter().map(|found| (LoginId::of(&found.0).to_string(), found)).collect();
    let mut all: Vec<LiveLogin> = sessions
        .into_iter()
        .map(|(digest, session)| {
            let has_family = families.remove(&session.login.to_string()).is_some();
            LiveLogin::Session(digest, session, has_family)
        })
        .collect();
    all.extend(families.into_values().map(|(digest, family)| LiveLogin::Family(digest, family)));
    all
}

fn no_login(id: &str) -> Fault {
    let message = if has_secret_shape(id) {
        SECRET.to_owned()
    } else {
        format!("there is no live session `{id}`, nor a refresh token of this login")
    };
    Fault(StatusCode::NOT_FOUND, message)
}

/// Ends a login with a session or refresh tokens.
async fn end_login(shared: &Shared, id: LoginId) -> Result<LiveLogin, Fault> {
    let state = &shared.state;
    let until = last_end(shared.policy().login.as_ref(), now());
    let found = match logins(shared, Some(id)).await {
        Ok(found) => found,
        Err(fault) => {
            // Whether there is such a login or not, it is over here.
            end_here(shared, id.subject(), until).await?;
            return Err(fault);
        }
    };
    let login = found.into_iter().next().ok_or_else(|| no_login(&id.to_string()))?;
    match &login {
        LiveLogin::Session(digest, session, _) => state.end_login(digest, session, until).await,
        LiveLogin::Family(digest, family) => state.end_family(digest, until.max(family.expires_at)).await,
    }
    .map_err(Fault::here_only)?;
    Ok(login)
}

/// Revokes by a rule alone: in this process at once, whatever the store answers.
pub(super) async fn end_here(shared: &Shared, subject: Subject, until: u64) -> Result<Subject, Fault> {
    shared.state.revoke(vec![Rule::forever(subject.clone(), until)]).await.map_err(Fault::here_only)?;
    Ok(subject)
}
