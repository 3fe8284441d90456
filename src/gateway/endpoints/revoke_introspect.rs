//! `POST /oauth/revoke` (RFC 7009) and `POST /oauth/introspect` (RFC 7662), for clients that prove themselves; public
//! ones may revoke too (RFC 7009 section 2.1): whoever has a customer's token may end it.

use std::time::SystemTime;

use http::Response;
use serde_json::{Value, json};

use super::audited::EndpointEvent;
use super::client_authentication::read_forms;
use super::form::MAX_FORM_WITH_TOKEN;
use super::json_answer::json_response;
use super::logout::{end_family, end_of};
use crate::auth::introspection::{Inspected, Purpose};
use crate::auth::jwt::confirmation::Binding;
use crate::auth::verdict::{Identity, VerifiedToken};
use crate::auth::{Client, jwt};
use crate::config::raw::TokenReach;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Gateway, unix_seconds};
use crate::refusal::{Refusal, TokenFault};
use crate::state::refresh_token::RefreshToken;
use crate::state::session::{LoginId, SessionDigest};

/// The route name of revocation in log and metrics.
pub(crate) const REVOKE: &str = "revoke";
/// The route name of introspection in log and metrics.
pub(crate) const INTROSPECT: &str = "introspect";

/// A token that a client hands in, as far as the client may see it.
enum Token {
    /// A JWT that is good, and is the client's own or a customer's.
    Good(Box<Inspected>),
    /// A refresh token.
    Refresh(RefreshToken),
    /// An expired or revoked JWT, with the refresh tokens of its login.
    Over(SessionDigest),
    /// An unknown token, or one of somebody else.
    Nothing,
}

impl Gateway {
    /// Revokes a token. Answers 200 also for an unknown token (RFC 7009 section 2.2).
    pub(crate) async fn revoke(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let outcome = self.end_handed_in(call, record).await;
        match &outcome {
            Ok(true) => self.note(EndpointEvent::Revocation, record, "ok"),
            Ok(false) => self.note(EndpointEvent::Revocation, record, "nothing_to_revoke"),
            Err(refused) => self.note(EndpointEvent::Revocation, record, refused.refusal.as_str()),
        }
        outcome.map(|_| json_response("{}".to_owned()))
    }

    /// Ends the token that a client hands in. Returns whether there was anything to end.
    async fn end_handed_in(&self, call: Box<Call<'_>>, record: &mut Record) -> Result<bool, Refused> {
        let policy = call.policy;
        let token = self.handed_in(call, Purpose::End, revocable, record).await?;
        let state = &self.shared.state;
        let now = unix_seconds(SystemTime::now());
        let login = policy.login.as_ref();
        match token {
            Token::Good(token) => {
                // A customer's token takes its login along, and with it the refresh tokens (section 2.1).
                let rule = end_of(&token, login, state, now).await?;
                record.fact("kind", rule.subject.kind());
                record.fact("revoked", rule.subject.name());
                state.revoke(vec![rule]).await.map_err(|_| Refusal::StateUnavailable)?;
                Ok(true)
            }
            Token::Refresh(RefreshToken { family, .. }) | Token::Over(family) => {
                let login_id = LoginId::of(&family).subject();
                record.fact("kind", login_id.kind());
                record.fact("revoked", login_id.name());
                let ended = end_family(&family, login, state, now).await.map_err(|_| Refusal::StateUnavailable)?;
                record.known.customer = ended.as_ref().map(|family| family.customer.clone());
                Ok(ended.is_some())
            }
            Token::Nothing => Ok(false),
        }
    }

    /// Describes an active token, or says only that it is not active (RFC 7662 section 2.2).
    pub(crate) async fn introspect(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let auth = &call.policy.auth;
        let state = &self.shared.state;
        let token = self.handed_in(call, Purpose::Use, |client| client.introspect, record).await?;
        // As on a route: a revocation may have been missed.
        if state.is_stale() {
            return Err(Refusal::StateUnavailable.into());
        }
        let now = unix_seconds(SystemTime::now());
        let known = match token {
            Token::Good(token) => described(&token),
            Token::Refresh(token) => {
                let family = state.family(&token, now).await.map_err(|_| Refusal::StateUnavailable)?;
                let family = family.filter(|family| auth.accounts.admit(family.account));
                family.map_or(Value::Null, |family| {
                    json!({
                        "active": true, "token_type": "refresh_token", "sub": family.customer.as_str(),
                        "iat": family.issued_at, "exp": family.expires_at,
                    })
                })
            }
            Token::Over(_) | Token::Nothing => Value::Null,
        };
        let answer = if known.is_null() { json!({ "active": false }) } else { known };
        Ok(json_response(answer.to_string()))
    }

    /// The token that a client hands in. `reach` says which tokens the client may ask about.
    async fn handed_in(
        &self,
        mut call: Box<Call<'_>>,
        purpose: Purpose,
        reach: fn(&Client) -> TokenReach,
        record: &mut Record,
    ) -> Result<Token, Refused> {
        let policy = call.policy;
        let endpoint = policy.access_token.as_ref().ok_or(Refusal::NoRoute)?;
        let (query, form) = read_forms(&mut call, MAX_FORM_WITH_TOKEN, record).await?;
        let client = match purpose {
            Purpose::End => self.identify(&call, &query, &form, endpoint, record).await?,
            Purpose::Use => self.authenticate(&call, &query, &form, endpoint, record).await?,
        };
        let reach = reach(client);
        if reach == TokenReach::None {
            return Err(Refusal::UnauthorizedClient.into());
        }
        let token = form.required("token")?;
        if let Some(token) = RefreshToken::parse(token) {
            return Ok(if reach == TokenReach::All { Token::Refresh(token) } else { Token::Nothing });
        }
        let now = unix_seconds(SystemTime::now());
        let isolated_audience = call.audience_apart();
        let is_meant = |claims: &jwt::Claims| policy.auth.is_for(claims, isolated_audience.as_deref());
        match policy.auth.inspect(token, now, &self.shared.state, purpose).await {
            Ok(token) if !is_meant(&token.claims) => Ok(Token::Nothing),
            Ok(token) if !is_within(&token, reach, client) => Ok(Token::Nothing),
            Ok(token) => Ok(Token::Good(Box::new(token))),
            Err(fault @ (TokenFault::NoKeys | TokenFault::Introspection)) => Err(Refusal::CustomerToken(fault).into()),
            Err(TokenFault::Expired | TokenFault::Revoked) if purpose == Purpose::End && reach == TokenReach::All => {
                Ok(policy.auth.family_of_ended(token, now, is_meant).map_or(Token::Nothing, Token::Over))
            }
            Err(_) => Ok(Token::Nothing),
        }
    }
}

/// The tokens that a client may revoke: a public one those that its customers had from it, which name no client.
fn revocable(client: &Client) -> TokenReach {
    if client.is_public { TokenReach::All } else { client.revoke }
}

/// True if a client may see a token: never another client's, whatever it may.
fn is_within(token: &Inspected, reach: TokenReach, client: &Client) -> bool {
    match &token.verdict {
        VerifiedToken::Access(access) => *access.client == *client.id,
        VerifiedToken::Customer(Identity { delegate: Some(delegate), .. }) => *delegate.client == *client.id,
        VerifiedToken::Customer(..) => reach == TokenReach::All,
    }
}

/// The introspection response, as a route would read the token.
fn described(token: &Inspected) -> Value {
    let claims = &token.claims;
    let (kind, subject, scopes) = match &token.verdict {
        VerifiedToken::Access(access) => {
            (Binding::token_type(access.binding.as_ref()), &*access.client, access.scopes.join(" "))
        }
        VerifiedToken::Customer(Identity { customer, delegate: Some(delegate), binding, .. }) => {
            (Binding::token_type(binding.as_ref()), customer.as_str(), delegate.scopes.join(" "))
        }
        VerifiedToken::Customer(Identity { customer, binding, .. }) => {
            let kind = binding.as_ref().map_or("JWT", |binding| Binding::token_type(Some(binding)));
            (kind, customer.as_str(), String::new())
        }
    };
    let mut answer = json!({
        "active": true, "token_type": kind, "sub": subject, "exp": claims.expires_at, "iss": token.issuer,
    });
    let more = [
        ("aud", Some(&*claims.audience).filter(|audience| !audience.is_empty()).map(Value::from)),
        ("iat", claims.issued_at.map(Value::from)),
        ("jti", claims.token_id.as_deref().map(Value::from)),
        ("client_id", claims.client_id.as_deref().map(Value::from)),
        ("scope", Some(scopes).filter(|scopes| !scopes.is_empty()).map(Value::from)),
        ("cnf", claims.binding.as_ref().map(Binding::confirmation)),
        ("act", token.delegate().map(|delegate| json!({ "sub": &*delegate.client }))),
    ];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        answer[name] = value;
    }
    answer
}
