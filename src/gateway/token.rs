//! `POST /oauth/access_token`: the client credentials grant (RFC 6749 section 4.4, RFC 9068; contract 1.2).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;
use zeroize::Zeroizing;

use super::Gateway;
use super::body::ResponseBody;
use super::call::Call;
use super::error::{self, Refused};
use super::form::{self, Form};
use super::limits::Attempt;
use super::login::{MAX_FORM, json_response, times, token_id};
use super::record::Record;
use crate::auth::{Client, password};
use crate::policy::{AccessToken, Policy};
use crate::refusal::Refusal;

/// What stands in the place of a route's name.
pub(super) const NAME: &str = "access_token";

/// How many hashes a refused client costs, whether it exists or not.
const HASHES: usize = 2;

/// What a client shows of itself.
struct Shown {
    /// Its id, in the readings that are possible.
    ids: Vec<Zeroizing<String>>,
    /// Its secret, in the readings that are possible.
    secrets: Vec<Zeroizing<String>>,
}

impl Gateway {
    /// Answers a token request.
    pub(super) async fn access_token(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let basic = call.parts.headers.contains_key(header::AUTHORIZATION);
        let outcome = self.grant(call, record).await.map_err(|refused| Refused { basic, ..refused });
        self.cells().token(match &outcome {
            Ok(_) => "ok",
            Err(refused) => refused.refusal.word(),
        });
        outcome
    }

    async fn grant(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let endpoint = policy.access_token.as_ref().ok_or(Refusal::NoRoute)?;
        let query = form::open_query(call.parts.uri.query())?;
        if !matches!(call.media_type().as_deref(), None | Some("application/x-www-form-urlencoded")) {
            return Err(Refusal::ContentType.into());
        }
        let body = call.read_body(MAX_FORM, record).await?;
        let form = Form::parse(&body)?;
        match one_of(&query, &form, "grant_type")?.ok_or(Refusal::ParameterMissing)? {
            "client_credentials" => {}
            _ => return Err(Refusal::GrantType.into()),
        }
        let shown = shown(&call.parts.headers, &query, &form)?;
        let client = shown.ids.iter().find_map(|id| policy.auth.clients.get(id.as_str()));
        let name = client.map_or_else(|| shown.ids.first().map(|id| id.as_str()), |client| Some(&*client.id));
        self.shared.limits.attempt(
            Attempt::AccessToken,
            name.unwrap_or_default(),
            &endpoint.limit,
            Refusal::TokenRate,
        )?;
        let known = client.map(|client| Arc::clone(&client.id));
        let owned = Arc::clone(policy);
        let secrets = shown.secrets;
        self.shared.hashing.run(move || prove(known.and_then(|id| owned.auth.clients.get(&id)), &secrets)).await??;
        let client = client.ok_or(Refusal::UnknownClient)?;
        record.client = Some(Arc::clone(&client.id));
        let requested = one_of(&query, &form, "scope")?;
        Ok(issue(policy, endpoint, client, &granted(client, requested)?)?)
    }
}

/// Whether one of the secrets is one of the client's. A refusal takes the same time whatever its cause.
fn prove(client: Option<&Client>, secrets: &[Zeroizing<String>]) -> Result<(), Refusal> {
    let hashes = client.map_or(&[][..], |client| &client.secrets);
    for secret in secrets {
        let mut left = HASHES;
        for hash in hashes {
            if password::verify(hash, secret.as_bytes()) {
                return Ok(());
            }
            left = left.saturating_sub(1);
        }
        for _ in 0..left {
            password::verify(&password::dummy(), secret.as_bytes());
        }
    }
    Err(if client.is_some() { Refusal::WrongClientSecret } else { Refusal::UnknownClient })
}

/// Credentials by exactly one method (RFC 6749 section 2.3).
fn shown(headers: &HeaderMap, query: &Form, form: &Form) -> Result<Shown, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let posted = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(Refusal::ClientAuthentication),
        (Some(basic), None) => {
            let shown = from_basic(basic).ok_or(Refusal::ClientAuthentication)?;
            // Its own id beside Basic is allowed where it says the same.
            let agrees = posted.is_none_or(|id| shown.ids.iter().any(|known| known.as_str() == id));
            if secret.is_some() || !agrees { Err(Refusal::ClientAuthentication) } else { Ok(shown) }
        }
        (None, None) => {
            let id = one_of(query, form, "client_id")?.ok_or(Refusal::ParameterMissing)?;
            let secret = secret.ok_or(Refusal::ParameterMissing)?;
            Ok(Shown { ids: vec![Zeroizing::new(id.to_owned())], secrets: vec![Zeroizing::new(secret.to_owned())] })
        }
    }
}

/// RFC 6749 section 2.3.1 wants both halves form-urlencoded first; many clients do not do it. Both readings count.
fn from_basic(value: &HeaderValue) -> Option<Shown> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64.decode(encoded.trim_matches(' ')).ok()?);
    // RFC 7617 leaves the character set open: what is not UTF-8 is Latin-1.
    let latin1 = || pair.iter().map(|byte| char::from(*byte)).collect();
    let pair = Zeroizing::new(std::str::from_utf8(&pair).map_or_else(|_| latin1(), str::to_owned));
    let (id, secret) = pair.split_once(':')?;
    let readings = |text: &str| {
        let mut readings = vec![Zeroizing::new(text.to_owned())];
        readings.extend(form::decoded(text.as_bytes()).filter(|decoded| decoded.as_str() != text));
        readings
    };
    let empty = id.is_empty() || secret.is_empty();
    (!empty).then(|| Shown { ids: readings(id), secrets: readings(secret) })
}

/// A parameter that may stand in the query or in the body, but not say two things.
fn one_of<'a>(query: &'a Form, form: &'a Form, name: &str) -> Result<Option<&'a str>, Refusal> {
    match (query.one(name)?, form.one(name)?) {
        (Some(one), Some(other)) if one != other => Err(Refusal::ParameterRepeated),
        (one, other) => Ok(one.or(other)),
    }
}

fn granted(client: &Client, requested: Option<&str>) -> Result<String, Refusal> {
    let Some(requested) = requested else { return Ok(client.scopes.join(" ")) };
    let mut scopes: Vec<&str> = requested.split(' ').filter(|scope| !scope.is_empty()).collect();
    if !scopes.iter().all(|scope| client.scopes.iter().any(|known| known == scope)) {
        return Err(Refusal::ScopeNotAllowed);
    }
    scopes.dedup();
    Ok(scopes.join(" "))
}

fn issue(
    policy: &Policy,
    endpoint: &AccessToken,
    client: &Client,
    scope: &str,
) -> Result<Response<ResponseBody>, Refusal> {
    let issuer = policy.issuer.as_ref().ok_or(Refusal::Internal)?;
    let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = issued.as_secs();
    let mut claims = json!({
        "iss": issuer.url, "aud": issuer.audience, "sub": &*client.id, "client_id": &*client.id,
        "iat": now, "nbf": now, "exp": now.saturating_add(endpoint.lifetime), "jti": token_id(),
    });
    if !scope.is_empty() {
        claims["scope"] = scope.into();
    }
    let token = issuer.keys.sign("at+jwt", &claims).map_err(|_| Refusal::Internal)?;
    let (issued_at, expires_in) = times(issued, endpoint.lifetime, endpoint.number_style);
    let shown = json!(if scope.is_empty() { "client_credentials" } else { scope });
    let id = json!(&*client.id);
    Ok(json_response(format!(
        r#"{{"token_type":"Bearer","issued_at":{issued_at},"client_id":{id},"access_token":"{token}","scope":{shown},"expires_in":{expires_in}}}"#
    )))
}

/// A refusal in the form of RFC 6749 section 5.2.
pub(super) fn error_response(refused: &Refused) -> Response<ResponseBody> {
    let row = error::row(refused.refusal);
    let (status, word) = match refused.refusal {
        Refusal::UnknownClient | Refusal::WrongClientSecret => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Refusal::GrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        Refusal::ScopeNotAllowed => (StatusCode::BAD_REQUEST, "invalid_scope"),
        Refusal::ContentType => (StatusCode::BAD_REQUEST, "invalid_request"),
        _ if row.status.is_server_error() || row.status == StatusCode::TOO_MANY_REQUESTS => {
            (row.status, "temporarily_unavailable")
        }
        _ => (row.status, "invalid_request"),
    };
    let mut response = json_response(format!(r#"{{"error":"{word}","error_description":"{}"}}"#, row.message));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        let challenge =
            if refused.basic { r#"Basic realm="access_token""# } else { r#"ClientSecretPost realm="access_token""# };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    error::advise(headers, refused, status);
    response
}
