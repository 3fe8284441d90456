//! `POST /oauth/revoke` (RFC 7009) and `POST /oauth/introspect` (RFC 7662), for clients that prove themselves.

use std::time::SystemTime;

use http::Response;
use serde_json::{Value, json};

use super::body::ResponseBody;
use super::call::Call;
use super::client::read_forms;
use super::error::Refused;
use super::login::json_response;
use super::record::Record;
use super::{Gateway, unix_seconds};
use crate::auth::binding::Binding;
use crate::auth::inspected::Inspected;
use crate::auth::verified::Verdict;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::state::family::RefreshToken;
use crate::state::revocation::{Rule, Subject};
use crate::state::{LONGEST, State};

/// What stands in the place of a route's name.
pub(super) const REVOKE: &str = "revoke";
/// What stands in the place of a route's name.
pub(super) const INTROSPECT: &str = "introspect";

/// What a client hands in, in what it may see of it.
enum Token {
    /// A JWT that is good, and is the client's own or a customer's.
    Good(Box<Inspected>),
    /// A refresh token.
    Refresh(RefreshToken),
    /// Anything else.
    Nothing,
}

impl Gateway {
    /// Answers 200 also for what is no token, or no longer one (RFC 7009 section 2.2).
    pub(super) async fn revoke(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let token = self.handed_in(call, record).await?;
        let state = &self.shared.state;
        let now = unix_seconds(SystemTime::now());
        match token {
            Token::Good(token) => {
                let mut rules = vec![Rule::forever(token.subject, token.ends)];
                // A customer's token takes its login along, and with it the refresh tokens (section 2.1).
                rules.extend(token.login.map(|login| Rule::forever(Subject::Login(login), now + LONGEST)));
                state.revoke(rules).await.map_err(|_| Refusal::State)?;
            }
            Token::Refresh(token) => {
                let family = state.family(&token, now).await.map_err(|_| Refusal::State)?;
                if let Some(family) = family {
                    let lifetime = policy.login.as_ref().map_or(LONGEST, |login| login.lifetime);
                    let ends = family.expires_at.saturating_add(lifetime);
                    state.end_family(&token.family, ends).await.map_err(|_| Refusal::State)?;
                }
            }
            Token::Nothing => {}
        }
        Ok(json_response("{}".to_owned()))
    }

    /// Says what a token is, or only that it is not good (RFC 7662 section 2.2).
    pub(super) async fn introspect(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let token = self.handed_in(call, record).await?;
        let now = unix_seconds(SystemTime::now());
        let known = match token {
            Token::Good(token) => described(policy, &token),
            Token::Refresh(token) => {
                let family = self.shared.state.family(&token, now).await.map_err(|_| Refusal::State)?;
                let family = family.filter(|family| policy.auth.accounts.admit(family.account));
                family.map_or(Value::Null, |family| {
                    json!({
                        "active": true, "token_type": "refresh_token", "sub": family.customer.as_str(),
                        "iat": family.issued_at, "exp": family.expires_at,
                    })
                })
            }
            Token::Nothing => Value::Null,
        };
        let answer = if known.is_null() { json!({ "active": false }) } else { known };
        Ok(json_response(answer.to_string()))
    }

    async fn handed_in(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Token, Refused> {
        let policy = call.policy;
        let endpoint = policy.access_token.as_ref().ok_or(Refusal::NoRoute)?;
        let (query, form) = read_forms(&mut call, record).await?;
        let client = self.authenticate(&call, &query, &form, endpoint, record).await?;
        let token = form.one("token")?.ok_or(Refusal::ParameterMissing)?;
        Ok(read(policy, &client.id, token, &self.shared.state))
    }
}

fn read(policy: &Policy, client: &str, token: &str, state: &State) -> Token {
    if let Some(token) = RefreshToken::parse(token) {
        return Token::Refresh(token);
    }
    match policy.auth.inspect(token, unix_seconds(SystemTime::now()), state) {
        // Another client's token is none of its business.
        Ok(token) if matches!(&token.verdict, Verdict::Access(access) if *access.client != *client) => Token::Nothing,
        Ok(token) => Token::Good(Box::new(token)),
        Err(_) => Token::Nothing,
    }
}

fn described(policy: &Policy, token: &Inspected) -> Value {
    let claims = &token.claims;
    let (kind, subject) = match &token.verdict {
        Verdict::Access(access) => (Binding::token_type(claims.binding.as_ref()), &*access.client),
        Verdict::Customer(customer, _) => ("JWT", customer.as_str()),
    };
    let mut answer = json!({ "active": true, "token_type": kind, "sub": subject, "exp": claims.expires_at });
    answer["aud"] = claims.audience.as_str().into();
    if let Some(issuer) = &policy.issuer {
        answer["iss"] = issuer.url.as_str().into();
    }
    let more = [
        ("iat", claims.issued_at.map(Value::from)),
        ("jti", claims.token_id.as_deref().map(Value::from)),
        ("client_id", claims.client_id.as_deref().map(Value::from)),
        ("scope", claims.scope.as_deref().map(Value::from)),
        ("cnf", claims.binding.as_ref().map(Binding::confirmation)),
    ];
    for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        answer[name] = value;
    }
    answer
}
