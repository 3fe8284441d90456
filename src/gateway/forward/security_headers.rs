//! The security headers that browsers obey on responses of an API.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// What tells browsers to do nothing with an answer but to hand it to the page that asked for it.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Adds what the backend itself does not say.
pub(super) fn add(headers: &mut HeaderMap) {
    for (name, value) in &SECURITY {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}
