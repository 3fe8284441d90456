//! The trailers of a response that may pass to the caller (RFC 9110 section 6.5.1).

use std::sync::LazyLock;

use http::HeaderName;

use crate::fields::FieldSet;

/// Fields that must not stand in trailers of a response, beside those that must not stand in any (RFC 9110 section
/// 6.5.1): they decide who may read and cache the response, or the gateway alone writes them.
static NOT_IN_ANSWER_TRAILERS: LazyLock<FieldSet> = LazyLock::new(|| {
    let mut set = FieldSet::default();
    for name in [
        "age",
        "allow",
        "alt-svc",
        "clear-site-data",
        "content-language",
        "content-location",
        "content-security-policy",
        "date",
        "expires",
        "location",
        "ratelimit",
        "ratelimit-policy",
        "referrer-policy",
        "refresh",
        "retry-after",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-content-type-options",
        "x-frame-options",
        "x-request-id",
    ] {
        set.insert(name);
    }
    set
});

/// True if a trailer of this name may pass to the caller; `ruled` are the names that rules of the route are about.
pub(crate) fn may_pass(name: &HeaderName, ruled: Option<&FieldSet>) -> bool {
    NOT_IN_ANSWER_TRAILERS.lets_trailer_pass(name)
        && !is_about_origins(name)
        && !ruled.is_some_and(|set| set.contains(name))
}

/// True for a field of the CORS protocol.
pub(crate) fn is_about_origins(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}
