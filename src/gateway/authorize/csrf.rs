//! CSRF protection for calls authenticated by a cookie alone. A browser sends cookies along with whatever a strange
//! page makes it call; such a page can neither forge `Origin` and `Sec-Fetch-Site` nor add a header of its own (OWASP
//! ASVS 3.5.1).

use http::header::{ORIGIN, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderName, Method};

use crate::gateway::host::Host;
use crate::policy::OwnSite;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True if the method is not safe (RFC 9110 section 9.2.1).
pub(super) fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// True if a browser opens a WebSocket with this call (RFC 6455 section 4.1). Proxies that ask by forward-auth keep
/// `Upgrade` to themselves, but not this field.
pub(crate) fn opens_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_WEBSOCKET_VERSION)
}

/// True if a header proves that the call comes from the company's own site.
pub(crate) fn is_own(site: &OwnSite, host: &Host, headers: &HeaderMap) -> bool {
    if site.header.as_ref().is_some_and(|name| headers.get(name).is_some_and(|value| !value.is_empty())) {
        return true;
    }
    match (fetch_site(headers), origin(headers)) {
        (_, Some(origin)) if site.origins.iter().any(|own| own.eq_ignore_ascii_case(origin)) => true,
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => is_of(origin, host),
        (None, None) => false,
    }
}

/// True if a header proves that the call comes from a strange site.
pub(crate) fn is_strange(site: &OwnSite, host: &Host, headers: &HeaderMap) -> bool {
    (fetch_site(headers).is_some() || origin(headers).is_some()) && !is_own(site, host, headers)
}

fn fetch_site(headers: &HeaderMap) -> Option<&str> {
    only(headers, &SEC_FETCH_SITE)
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    only(headers, &ORIGIN)
}

/// The single value of a field; an empty string, which matches nothing, where it is unreadable or repeated.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_none() { first.to_str().unwrap_or("") } else { "" })
}

/// True if an origin has scheme, host and port of the request itself (RFC 6454 section 5).
fn is_of(origin: &str, host: &Host) -> bool {
    let (scheme, default_port) = if host.secure { ("https://", ":443") } else { ("http://", ":80") };
    let without_default =
        |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    let asked = host.authority.to_str().unwrap_or_default();
    origin.strip_prefix(scheme).is_some_and(|authority| without_default(authority) == without_default(asked))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |origin, host, secure| is_of(origin, &Host::parse(host, [127, 0, 0, 1].into(), secure).unwrap());
        assert!(of("https://api.example.com", "api.example.com", true));
        assert!(of("https://api.example.com", "API.example.com:443", true));
        assert!(of("http://localhost:8080", "localhost:8080", false));
        for strange in [
            "http://api.example.com",
            "https://api.example.com:8443",
            "https://evil.example",
            "https://api.example.com.evil.example",
            "null",
            "",
        ] {
            assert!(!of(strange, "api.example.com", true), "{strange}");
        }
    }
}
