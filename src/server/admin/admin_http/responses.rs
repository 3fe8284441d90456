//! Responses of the operators' listener: each says what browsers may do with it.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};

use crate::server::admin::status::StatusEvents;

/// A response: a text, or events.
pub(super) type AdminResponse = Response<Either<Full<Bytes>, StatusEvents>>;

/// What pages may load, run and send: only what is of this listener itself, nothing inline, and no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What browsers may do with every response.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// A response with a text.
pub(super) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> AdminResponse {
    of(status, kind, Either::Left(Full::new(body.into())))
}

/// A response with events.
pub(super) fn events(stream: StatusEvents) -> AdminResponse {
    of(StatusCode::OK, "text/event-stream", Either::Right(stream))
}

fn of(status: StatusCode, kind: &'static str, body: Either<Full<Bytes>, StatusEvents>) -> AdminResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(FIELDS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}
