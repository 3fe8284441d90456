//! The public documents below `/.well-known`: JWKS, certificates, metadata of the issuer and of protected resources (RFC
//! 7517, RFC 8414, RFC 9728).

use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};

use crate::gateway::Answer;
use crate::gateway::response::body::ResponseBody;

/// The route's name in log and metrics.
pub(crate) const NAME: &str = "keys";

/// One of the documents, to be cached for five minutes.
pub(crate) fn published(kind: &'static str, document: Option<&Bytes>) -> Answer {
    let mut response = Response::new(ResponseBody::full(document.cloned().unwrap_or_default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
