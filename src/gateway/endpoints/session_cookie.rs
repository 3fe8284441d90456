//! The `Set-Cookie` line of a session (RFC 6265).

use http::header::HeaderValue;

use crate::refusal::Refusal;

/// The `Set-Cookie` of a session; with an empty value and lifetime 0 it removes the cookie. `lifetime` is in seconds.
pub(super) fn cookie_line(name: &str, value: &str, lifetime: u64, same_site: &str) -> Result<HeaderValue, Refusal> {
    let line = format!("{name}={value}; Path=/; Max-Age={lifetime}; Secure; HttpOnly; SameSite={same_site}");
    HeaderValue::from_str(&line).map_err(|_| Refusal::Internal)
}
