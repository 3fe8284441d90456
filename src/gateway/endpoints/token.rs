//! `POST /oauth/access_token`: the client credentials grant (RFC 6749 section 4.4, RFC 9068; docs/asapp.md).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::client_authentication::{is_shown, one_of, read_forms};
use super::form::{Form, MAX_FORM};
use super::json_answer::{json_response, times};
use super::lockout::{Attempt, Who};
use crate::auth::Client;
use crate::auth::jwt::confirmation::Binding;
use crate::gateway::error::{self, Detail, Refused};
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::token_id::token_id;
use crate::gateway::{Gateway, unix_seconds};
use crate::hex::hex;
use crate::policy::{AccessToken, Issuer};
use crate::refusal::Refusal;
use crate::state::refresh_token::RefreshToken;

/// The route name in log and metrics.
pub(crate) const NAME: &str = "access_token";

/// Longest part of an unavailable scope in the log.
const LONGEST_SCOPE: usize = 64;

impl Gateway {
    /// Answers a token request.
    pub(crate) async fn access_token(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let basic = call.parts.headers.contains_key(header::AUTHORIZATION);
        let outcome = self.grant(call, record).await.map_err(|refused| Refused { basic, ..refused });
        self.worker_metrics().token(match &outcome {
            Ok(_) => "ok",
            Err(refused) => refused.refusal.as_str(),
        });
        outcome
    }

    async fn grant(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        // Before the secret is looked at: what is revoked in between is revoked.
        let known = self.shared.state.revocations().seen();
        let endpoint = policy.access_token.as_ref().ok_or(Refusal::NoRoute)?;
        let issuer = policy.issuer.as_ref().ok_or(Refusal::Internal)?;
        let (query, form) = read_forms(&mut call, MAX_FORM, record).await?;
        let missing = Refused::of_parameter(Refusal::ParameterMissing, "grant_type");
        match one_of(&query, &form, "grant_type")?.ok_or(missing)? {
            "client_credentials" => {}
            "refresh_token" if policy.login.as_ref().is_some_and(|login| login.refresh.is_some()) => {
                let is_client = is_shown(&call.parts.headers, &form)?;
                let outcome = self.refresh(&call, &query, &form, endpoint, record).await;
                return match outcome {
                    Err(refused) if !is_client => Err(self.refused_refresh(&call, &form, endpoint, refused).await),
                    outcome => outcome,
                };
            }
            _ => {
                let refreshes = policy.login.as_ref().is_some_and(|login| login.refresh.is_some());
                let grants = if refreshes { "client_credentials, refresh_token" } else { "client_credentials" };
                return Err(Refused::with(Detail::Grants(grants), Refusal::GrantType));
            }
        }
        let client = self.authenticate(&call, &query, &form, endpoint, record).await?;
        let audience = audience(&call, issuer, client, &query, &form)?;
        let requested = one_of(&query, &form, "scope")?;
        let scope = granted(client, requested, record)?;
        let binding = self.binding(&call, client, unix_seconds(record.time)).await?;
        Ok(issue(issuer, endpoint, &TokenGrant { client, audience, scope, binding, known })?)
    }

    /// Counts an invalid refresh token of somebody who presents nothing else. A valid one has passed before: nobody can
    /// guess one, so it need not wait for the failures of others.
    async fn refused_refresh(&self, call: &Call<'_>, form: &Form, endpoint: &AccessToken, refused: Refused) -> Refused {
        if !matches!(refused.refusal, Refusal::RefreshToken | Refusal::RefreshTokenReused) {
            return refused;
        }
        let shown = form.one("refresh_token").ok().flatten().and_then(RefreshToken::parse);
        let family = shown.map(|token| hex(&token.family)).unwrap_or_default();
        let who = Who::new(Attempt::Refresh, &family, None, call.source.address);
        if let Some(locked) = self.refusal_here(&who) {
            return locked;
        }
        let outcome = self.judged(who, endpoint.attempts, async { Err::<(), _>(refused.refusal) }).await;
        outcome.err().unwrap_or(refused)
    }
}

/// The audience of the token: the one named resource (RFC 8707 section 2), or the usual audience.
fn audience(call: &Call<'_>, issuer: &Issuer, client: &Client, query: &Form, form: &Form) -> Result<Arc<str>, Refusal> {
    let usual = call.audience(issuer);
    // It may stand there twice, and a token is for one all the same.
    let Some(named) = one_of(query, form, "resource").map_err(|_| Refusal::ResourceNotAllowed)? else {
        return Ok(usual);
    };
    // Where an audience is set apart, nothing is issued for others.
    let others = if call.audience_apart().is_some() { &[][..] } else { &client.audiences };
    let is_allowed = *usual == *named || others.iter().any(|known| known == named);
    if is_allowed { Ok(named.into()) } else { Err(Refusal::ResourceNotAllowed) }
}

fn granted(client: &Client, requested: Option<&str>, record: &mut Record) -> Result<String, Refused> {
    let Some(requested) = requested else { return Ok(client.scopes.join(" ")) };
    let mut scopes: Vec<&str> = requested.split(' ').filter(|scope| !scope.is_empty()).collect();
    let is_had = |scope: &&str| client.scopes.iter().any(|known| known == *scope);
    if let Some(lacking) = scopes.iter().find(|scope| !is_had(scope)) {
        // As it comes from the client, in the log only, and not all of it.
        record.known.lacks = Some(lacking.chars().filter(char::is_ascii_graphic).take(LONGEST_SCOPE).collect());
        return Err(Refused::with(Detail::Available(client.scopes.join(" ").into()), Refusal::ScopeNotAllowed));
    }
    scopes.dedup();
    Ok(scopes.join(" "))
}

/// The contents of an access token.
struct TokenGrant<'a> {
    client: &'a Client,
    audience: Arc<str>,
    /// Its scopes, separated by spaces.
    scope: String,
    /// The key or certificate that it is bound to.
    binding: Option<Binding>,
    /// The number of the last revocation rule before its client was proved.
    known: u64,
}

/// The claims of an access token (RFC 9068 section 2.2).
#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    client_id: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    /// RFC 7800.
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Value>,
    /// [`crate::auth::jwt::RULES`].
    #[serde(rename = "wg_rules")]
    rules: u64,
}

fn issue(issuer: &Issuer, endpoint: &AccessToken, grant: &TokenGrant<'_>) -> Result<Response<ResponseBody>, Refusal> {
    let TokenGrant { client, audience, scope, binding, known } = grant;
    let lifetime = client.lifetime.unwrap_or(endpoint.lifetime);
    let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = issued.as_secs();
    let claims = AccessClaims {
        iss: &issuer.url,
        aud: audience,
        sub: &client.id,
        client_id: &client.id,
        iat: now,
        nbf: now,
        exp: now.saturating_add(lifetime),
        jti: &token_id(),
        scope,
        cnf: binding.as_ref().map(Binding::confirmation),
        rules: *known,
    };
    let kind = Binding::token_type(binding.as_ref());
    let token = issuer.keys.sign("at+jwt", &claims, now).map_err(|_| Refusal::Internal)?;
    let (issued_at, expires_in) = times(issued, lifetime, endpoint.number_style);
    let shown = json!(if scope.is_empty() { "client_credentials" } else { scope.as_str() });
    let id = json!(&*client.id);
    Ok(json_response(format!(
        r#"{{"token_type":"{kind}","issued_at":{issued_at},"client_id":{id},"access_token":"{token}","scope":{shown},"expires_in":{expires_in}}}"#
    )))
}

/// A refusal in the form of RFC 6749 section 5.2.
pub(crate) fn error_response(refused: &Refused) -> Response<ResponseBody> {
    let row = refused.row();
    let (status, word) = match refused.refusal {
        Refusal::OtherCertificate | Refusal::ClientCertificate => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Refusal::Dpop(_) => (StatusCode::BAD_REQUEST, "invalid_dpop_proof"),
        _ if row.status.is_server_error() || row.status == StatusCode::TOO_MANY_REQUESTS => {
            (row.status, "temporarily_unavailable")
        }
        Refusal::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Refusal::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        Refusal::ScopeNotAllowed => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Refusal::ResourceNotAllowed => (StatusCode::BAD_REQUEST, "invalid_target"),
        Refusal::RefreshToken | Refusal::RefreshTokenReused => (StatusCode::BAD_REQUEST, "invalid_grant"),
        Refusal::ContentType => (StatusCode::BAD_REQUEST, "invalid_request"),
        _ if row.status == StatusCode::UNAUTHORIZED => (row.status, "invalid_client"),
        _ => (row.status, "invalid_request"),
    };
    let message = match refused.refusal {
        // Why a client is not the one that it says must not tell which clients there are.
        Refusal::OtherCertificate | Refusal::ClientCertificate => error::row(Refusal::UnknownClient).message,
        _ => row.message,
    };
    let mut response = json_response(format!(r#"{{"error":"{word}","error_description":"{message}"}}"#));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // RFC 6749 section 5.2: only who has tried to authenticate itself by this field is asked for it again.
    if status == StatusCode::UNAUTHORIZED && refused.basic {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="access_token""#));
    }
    error::advise(headers, refused, status);
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::auth::jwt::RULES;

    #[test]
    fn what_a_token_does_not_have_it_does_not_name() {
        let plain = AccessClaims {
            iss: "us",
            aud: "api",
            sub: "asapp",
            client_id: "asapp",
            iat: 1,
            nbf: 1,
            exp: 2,
            jti: "id",
            scope: "",
            cnf: None,
            rules: 7,
        };
        let claims = serde_json::to_value(&plain).unwrap();
        assert_eq!(
            claims,
            json!({ "iss": "us", "aud": "api", "sub": "asapp", "client_id": "asapp", "iat": 1, "nbf": 1, "exp": 2,
                "jti": "id", RULES: 7 })
        );
        let bound = AccessClaims { scope: "a b", cnf: Some(json!({ "jkt": "x" })), ..plain };
        let claims = serde_json::to_value(&bound).unwrap();
        assert_eq!((&claims["scope"], &claims["cnf"]["jkt"]), (&json!("a b"), &json!("x")));
    }
}
