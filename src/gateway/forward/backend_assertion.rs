//! The backend assertion: a signed header that binds the customer to the one request that it came with.

use std::time::SystemTime;

use aws_lc_rs::digest::{self, SHA256};
use http::header::HeaderValue;
use hyper::body::Body as _;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::gateway::endpoints::login::token_id;
use crate::gateway::request::call::{Call, Upload};
use crate::gateway::unix_seconds;
use crate::policy::route::Route;
use crate::refusal::Refusal;
use crate::state::session::hex;

/// Its `typ`: whoever takes access tokens or customers' tokens does not take this (RFC 8725 section 3.11).
const TYPE: &str = "proof+jwt";

/// Adds the assertion where the backend wants one. All else of the request must be as it will be sent; `named` is what it
/// tells of the customer.
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

/// In lowercase hex; null where the body has still to come.
fn body_digest(body: &Upload) -> Value {
    let bytes = match body {
        Upload::Read(bytes) => &bytes[..],
        Upload::Coming(body) if body.is_end_stream() => &[],
        Upload::Coming(_) => return Value::Null,
    };
    hex(digest::digest(&SHA256, bytes).as_ref()).into()
}
