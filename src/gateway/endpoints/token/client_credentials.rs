//! `grant_type=client_credentials` (RFC 6749 section 4.4): an access token of the client's own (RFC 9068).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::json_answer::{json_response, times};
use super::{TokenRequest, granted};
use crate::auth::Client;
use crate::auth::jwt::confirmation::Binding;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::token_id::token_id;
use crate::gateway::unix_seconds;
use crate::policy::{AccessToken, Issuer};
use crate::refusal::Refusal;

impl Gateway {
    /// The answer to a client that asks for a token of its own.
    pub(super) async fn client_credentials(
        &self,
        request: &TokenRequest<'_>,
        client: &Client,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let audience = request.audience(client, &["resource"])?;
        let scope = granted(client, request.parameter("scope")?, record)?;
        let binding = self.binding(request.call, client, unix_seconds(record.time)).await?;
        let id = token_id();
        record.fact("jti", &id);
        let grant = TokenGrant { client, id: &id, audience, scope, binding, known: request.known };
        Ok(issue(request.issuer, request.endpoint, &grant)?)
    }
}

/// The contents of an access token.
struct TokenGrant<'a> {
    client: &'a Client,
    /// Its `jti`.
    id: &'a str,
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
    /// Those of `clients[].claims`.
    #[serde(flatten)]
    more: &'a BTreeMap<String, Value>,
    /// [`crate::auth::jwt::RULES`].
    #[serde(rename = "wg_rules")]
    rules: u64,
}

fn issue(issuer: &Issuer, endpoint: &AccessToken, grant: &TokenGrant<'_>) -> Result<Response<ResponseBody>, Refusal> {
    let TokenGrant { client, id: token_id, audience, scope, binding, known } = grant;
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
        jti: token_id,
        scope,
        cnf: binding.as_ref().map(Binding::confirmation),
        more: &client.claims,
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
            more: &BTreeMap::from([("tier".to_owned(), json!("gold"))]),
            rules: 7,
        };
        let claims = serde_json::to_value(&plain).unwrap();
        assert_eq!(
            claims,
            json!({ "iss": "us", "aud": "api", "sub": "asapp", "client_id": "asapp", "iat": 1, "nbf": 1, "exp": 2,
                "jti": "id", "tier": "gold", RULES: 7 })
        );
        let bound = AccessClaims { scope: "a b", cnf: Some(json!({ "jkt": "x" })), ..plain };
        let claims = serde_json::to_value(&bound).unwrap();
        assert_eq!((&claims["scope"], &claims["cnf"]["jkt"]), (&json!("a b"), &json!("x")));
    }
}
