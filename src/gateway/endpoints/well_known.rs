//! The public documents of the issuer below `/.well-known`: JWKS, certificates, metadata (RFC 7517, RFC 8414).

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};

use crate::gateway::Answer;
use crate::gateway::response::body::ResponseBody;
use crate::policy::{Issuer, Policy};

/// The route's name in log and metrics.
pub(crate) const NAME: &str = "keys";

/// One of the documents, to be cached for five minutes.
pub(crate) fn published(policy: &Policy, kind: &'static str, of: fn(&Issuer) -> &Bytes) -> Answer {
    let mut response = Response::new(ResponseBody::full(policy.issuer.as_ref().map(of).cloned().unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
