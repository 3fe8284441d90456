//! The backend assertion: a signed JWT in a header field, which binds the customer to the one request that it came
//! with.

use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use http::header::HeaderValue;
use hyper::body::Body as _;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::gateway::request::call::{Call, Upload};
use crate::gateway::token_id::token_id;
use crate::gateway::unix_seconds;
use crate::hex::hex;
use crate::policy::route::Route;
use crate::refusal::Refusal;

/// Its `typ`, which no reader of access tokens or customer tokens accepts (RFC 8725 section 3.11).
const TYPE: &str = "proof+jwt";

/// Adds the assertion for backends that want one. All else of the request must be as it will be sent; `named` is the
/// identifier that the backend is told.
pub(crate) fn add(route: &Route, caller: &Caller, named: Option<String>, call: &mut Call<'_>) -> Result<(), Refusal> {
    let Some(assertion) = &route.backend.backend_assertion else { return Ok(()) };
    let issuer = call.policy.issuer.as_ref().ok_or(Refusal::Internal)?;
    // A body may have been long in coming.
    let now = unix_seconds(SystemTime::now());
    let target = call.parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let host = call.head.host.authority.to_str().map_err(|_| Refusal::Internal)?;
    let mut claims = json!({
        "iss": issuer.url, "aud": assertion.audience, "iat": now, "exp": now.saturating_add(assertion.lifetime),
        "jti": token_id(), "htm": call.parts.method.as_str(), "host": host,
        "target": target, "body_sha256": body_digest(&call.body),
    });
    if let Some(named) = named {
        claims["sub"] = named.into();
    }
    if let Some(client) = &caller.client {
        claims["client_id"] = (**client).into();
    }
    let signed = issuer.keys.sign(TYPE, &claims, now).map_err(|_| Refusal::Internal)?;
    let value = HeaderValue::try_from(signed).map_err(|_| Refusal::Internal)?;
    call.parts.headers.insert(assertion.header.clone(), value);
    Ok(())
}

/// SHA-256 in lowercase hex; null where the body has still to come.
fn body_digest(body: &Upload) -> Value {
    let bytes = match body {
        Upload::Read(bytes) => &bytes[..],
        Upload::Coming(body) if body.is_end_stream() => &[],
        Upload::Coming(_) | Upload::Filed(_) => return Value::Null,
    };
    hex(digest::digest(&SHA256, bytes).as_ref()).into()
}
