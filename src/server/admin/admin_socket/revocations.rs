//! Revocations: list the rules in force, and revoke a token, a login, a customer, a client or an API key.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api_error::{Fault, SECRET};
use super::clock::now;
use super::customer_rules::rules_of;
use super::logins::{end_here, logins};
use crate::auth::ApiKeyVersion;
use crate::auth::credentials::api_key;
use crate::auth::introspection::Purpose;
use crate::gateway::{Shared, end_family, end_of, last_end};
use crate::hex::hex;
use crate::policy::Policy;
use crate::refusal::TokenFault;
use crate::secret::has_secret_shape;
use crate::state::refresh_token::RefreshToken;
use crate::state::revocation::{Rule, Subject};
use crate::state::session::LoginId;
use crate::state::{LONGEST, Unavailable};

/// Logins that have only JWTs leave no record.
const NO_SESSION: &str =
    "no live session is of this login, nor a refresh token: if it has JWTs, they are refused from now on";

/// The token is invalid, so nothing can be ended by it.
const NOT_GOOD: &str = "this token is not good anyway, or none of this gateway's: there is nothing to end by it";

/// Request body of a revocation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// `token`, `login`, `customer`, `client` or `api_key`.
    pub kind: String,
    /// JWT or its `jti`; id of a login, client or API key; identifier of a customer.
    pub name: String,
    /// Issuer of the `jti`; `None`: this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// The rules in force.
pub(super) fn list(shared: &Shared) -> Value {
    let rule = |rule: &Rule| {
        let since = (rule.since != u64::MAX).then_some(rule.since);
        let until = (rule.until != u64::MAX).then_some(rule.until);
        // An earlier version kept whatever it was given.
        let name = Some(rule.subject.name()).filter(|name| !has_secret_shape(name)).unwrap_or("(a secret)");
        json!({ "kind": rule.subject.kind(), "name": name, "since": since, "until": until })
    };
    shared.state.revocations().all().iter().map(rule).collect()
}

/// Revokes; returns the names of what is revoked.
pub(in crate::server::admin) async fn revoke(shared: &Shared, asked: Revocation) -> Result<Value, Fault> {
    if let Some(login) = end_shown(shared, &asked).await? {
        tracing::info!(kind = login.kind(), revoked = login.name(), "an operator revoked");
        return Ok(json!({ "kind": login.kind(), "revoked": [login.name()], "note": null }));
    }
    let (rules, note) = rules(shared, &asked).await?;
    let shown: Vec<String> = rules.iter().map(|rule| rule.subject.name().to_owned()).collect();
    shared.state.revoke(rules).await.map_err(Fault::here_only)?;
    tracing::info!(kind = asked.kind, revoked = shown.join(", "), "an operator revoked");
    Ok(json!({ "kind": asked.kind, "revoked": shown, "note": note }))
}

/// Ends the login behind a refresh token, a session cookie, or a JWT that is invalid though its login is not. `None`
/// for anything else.
async fn end_shown(shared: &Shared, asked: &Revocation) -> Result<Option<Subject>, Fault> {
    if asked.kind != "token" || asked.issuer.is_some() {
        return Ok(None);
    }
    let (policy, state, now, text) = (shared.policy(), &shared.state, now(), asked.name.as_str());
    let (auth, login) = (&policy.auth, policy.login.as_ref());
    let until = last_end(login, now);
    let nothing = || Fault(StatusCode::NOT_FOUND, NOT_GOOD.to_owned());
    // As the value alone, and with the name before it.
    let cookie = text.rsplit('=').next().unwrap_or_default();
    if let Some(Ok(digest)) = auth.cookie.as_ref().map(|known| known.keys.open(cookie, now)) {
        let Ok(found) = state.find(&digest).await else {
            return end_here(shared, LoginId::of(&digest).subject(), until).await.map(Some);
        };
        let session = found.filter(|session| !state.is_session_revoked(&digest, session)).ok_or_else(nothing)?;
        state.end_login(&digest, &session, until).await.map_err(Fault::here_only)?;
        return Ok(Some(session.login.subject()));
    }
    let family = match RefreshToken::parse(text) {
        Some(token) => token.family,
        None => match auth.inspect(text, now, state, Purpose::Use).await {
            Err(TokenFault::Account) => {
                let token = auth.inspect(text, now, state, Purpose::End).await.map_err(|_| nothing())?;
                let rule = end_of(&token, login, state, now).await;
                let subject = token.login().unwrap_or_else(|| token.subject());
                let until = rule.map_or(until, |rule| rule.until);
                return end_here(shared, subject, until).await.map(Some);
            }
            Err(TokenFault::Expired | TokenFault::Revoked) => {
                auth.family_of_ended(text, now, |_| true).ok_or_else(nothing)?
            }
            Ok(_) | Err(_) => return Ok(None),
        },
    };
    match end_family(&family, login, state, now).await {
        Ok(ended) => ended.map(|_| Some(LoginId::of(&family).subject())).ok_or_else(nothing),
        Err(Unavailable) => end_here(shared, LoginId::of(&family).subject(), until).await.map(Some),
    }
}

/// What the revocation of a client does not do.
const CLIENT_STAYS: &str = "its present access tokens are refused, and for 400 days its secrets on routes whose `client_from` \
     takes them. It can still get new access tokens: to shut it out, remove it or its secrets from the configuration";

/// Rules for a revocation, and a note for the operator.
async fn rules(shared: &Shared, asked: &Revocation) -> Result<(Vec<Rule>, Option<String>), Fault> {
    let missing = |what: &str| Fault(StatusCode::NOT_FOUND, format!("there is no {what} `{}`", asked.name));
    let policy = shared.policy();
    let now = now();
    let until = now.saturating_add(LONGEST);
    let name: Box<str> = asked.name.as_str().into();
    if name.is_empty() {
        return Err(Fault(StatusCode::BAD_REQUEST, "nothing is named".to_owned()));
    }
    if asked.issuer.is_some() && asked.kind != "token" {
        let message = "an issuer goes with the `jti` of a token only";
        return Err(Fault(StatusCode::BAD_REQUEST, message.to_owned()));
    }
    match asked.kind.as_str() {
        "token" => token_rules(shared, &policy, asked, now).await,
        _ if has_secret_shape(&name) => Err(Fault(StatusCode::BAD_REQUEST, SECRET.to_owned())),
        "login" => {
            let id = LoginId::parse(&name).ok_or_else(|| missing("login"))?;
            let known = logins(shared, Some(id)).await.map(|found| !found.is_empty());
            // While nobody can tell, the rule is in force here all the same.
            let note = matches!(known, Ok(false)).then(|| NO_SESSION.to_owned());
            Ok((vec![Rule::forever(id.subject(), until)], note))
        }
        "customer" => rules_of(shared, &name),
        "client" => {
            if !policy.auth.clients.contains_key(&*name) && !policy.auth.trusted.could_name_client(&name) {
                return Err(missing("client"));
            }
            let rule = shared.state.revocations().until_now(Subject::Client(name), now, until);
            Ok((vec![rule], Some(CLIENT_STAYS.to_owned())))
        }
        "api_key" => {
            let of = |(digest, version): (&api_key::Digest, &ApiKeyVersion)| {
                (*version.key.id == *name).then(|| Rule::forever(Subject::ApiKey(hex(digest).into()), u64::MAX))
            };
            let rules: Vec<Rule> = policy.auth.api_keys.iter().filter_map(of).collect();
            if rules.is_empty() { Err(missing("API key")) } else { Ok((rules, None)) }
        }
        _ => {
            let message = "kinds are token, login, customer, client and api_key".to_owned();
            Err(Fault(StatusCode::BAD_REQUEST, message))
        }
    }
}

/// The rule that revokes one token, given whole or by its `jti`.
async fn token_rules(
    shared: &Shared,
    policy: &Policy,
    asked: &Revocation,
    now: u64,
) -> Result<(Vec<Rule>, Option<String>), Fault> {
    let name = asked.name.as_str();
    // A JWT begins with the base64url of `{"`.
    if name.contains(char::is_whitespace) || (name.starts_with("eyJ") && name.matches('.').count() != 2) {
        let message = "this is neither a whole JWT, without what stands before it in its header, nor a `jti`";
        return Err(Fault(StatusCode::BAD_REQUEST, message.to_owned()));
    }
    if name.matches('.').count() == 2 && asked.issuer.is_none() {
        let token = policy.auth.inspect(name, now, &shared.state, Purpose::Use).await;
        let token = token.map_err(|_| Fault(StatusCode::NOT_FOUND, NOT_GOOD.to_owned()))?;
        return Ok((vec![Rule::forever(token.subject(), token.claims.over)], None));
    }
    if policy.auth.trusted.introspects()
        && asked.issuer.is_none()
        && let Ok(token) = policy.auth.inspect(name, now, &shared.state, Purpose::Use).await
    {
        return Ok((vec![Rule::forever(token.subject(), token.claims.over)], None));
    }
    if has_secret_shape(name) || asked.issuer.as_deref().is_some_and(has_secret_shape) {
        return Err(Fault(StatusCode::BAD_REQUEST, SECRET.to_owned()));
    }
    let issuer = issuer_of(policy, asked.issuer.as_deref())?;
    let is_own = policy.issuer.as_ref().is_some_and(|own| own.url == issuer);
    let id = if is_own { name.into() } else { Subject::token_of(&issuer, name) };
    let note = format!(
        "a token of {issuer} with this `jti` is refused from now on, for 400 days. Nobody here can tell whether there is \
         one: `revoke token -` with the token itself can. One of another issuer needs --issuer"
    );
    Ok((vec![Rule::forever(Subject::Token(id), now.saturating_add(LONGEST))], Some(note)))
}

/// The known issuer of this name; without a name, this gateway.
fn issuer_of(policy: &Policy, named: Option<&str>) -> Result<String, Fault> {
    let own = policy.issuer.as_ref().map(|issuer| issuer.url.as_str());
    let found = match named {
        None => own,
        Some(named) if own == Some(named) => own,
        // In any of its spellings.
        Some(named) => policy.auth.trusted.find(named).map(|issuer| issuer.verifier.issuer()),
    };
    found.map(str::to_owned).ok_or_else(|| {
        let message = match named {
            None => "this gateway issues no tokens: name the issuer with --issuer".to_owned(),
            Some(named) => {
                format!("there is no issuer `{named}`: write it as in `trusted_issuers`, or as `issuer.url`")
            }
        };
        Fault(StatusCode::NOT_FOUND, message)
    })
}
