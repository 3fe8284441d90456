//! The security headers that browsers obey on responses of an API.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Fields that keep browsers from doing anything with a response but handing it to the page that asked for it.
const SECURITY: [(HeaderName, HeaderValue); 4] = [
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Adds those that the backend does not send itself.
pub(in crate::gateway) fn add(headers: &mut HeaderMap) {
    for (name, value) in &SECURITY {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}
