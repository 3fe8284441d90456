//! Header fields on their way: remove first, then insert. Nothing of a caller's that claims an identity, an address
//! or another target reaches a backend, and ours is written last.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

use super::call::Call;
use super::connection::Connection;
use super::head::Head;
use super::request_id::REQUEST_ID;
use crate::auth::{API_KEY, CUSTOMER_AUTH};
use crate::config::raw::Requirement;
use crate::fields::{self, FieldSet};
use crate::policy::route::Route;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Turns a caller's fields into those of the request to the backend.
pub(super) fn prepare_request(call: &mut Call<'_>, route: &Route, request_id: &HeaderValue) {
    let Call { policy, connection, head, parts, .. } = call;
    let (headers, stripped) = (&mut parts.headers, &*policy.stripped);
    let kept = kept_credentials(headers, route);
    let trailers = if head.body_length().is_none() { announced_trailers(headers, stripped) } else { None };
    fields::remove_hop_by_hop(headers);
    let claims: Vec<HeaderName> = headers.keys().filter(|name| stripped.contains(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    if !route.forward.contains(&Requirement::Customer) {
        remove_cookies(headers, &route.own_cookies);
    }
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in kept {
        headers.insert(name, value);
    }
    if let Some(trailers) = trailers {
        headers.insert(header::TRAILER, trailers);
    }
    headers.insert(header::HOST, head.authority.clone());
    forwarded(headers, connection, head);
    via(headers, parts.version);
    headers.insert(REQUEST_ID, request_id.clone());
    if let Some((name, value)) = &route.backend.authorization {
        headers.insert(name, value.clone());
    }
}

/// Credentials of the caller's that the route lets pass.
fn kept_credentials(headers: &HeaderMap, route: &Route) -> Vec<(HeaderName, HeaderValue)> {
    let names = route.forward.iter().map(|credential| match credential {
        Requirement::Client => header::AUTHORIZATION,
        Requirement::Customer => CUSTOMER_AUTH,
        Requirement::ApiKey => API_KEY,
    });
    names.filter_map(|name| headers.get(&name).cloned().map(|value| (name, value))).collect()
}

/// The trailer fields that are announced and may pass; without the announcement none are sent on.
fn announced_trailers(headers: &HeaderMap, stripped: &FieldSet) -> Option<HeaderValue> {
    let lines = headers.get_all(header::TRAILER).iter();
    let names = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let names: Vec<HeaderName> =
        names.filter_map(|name| name.trim().parse().ok()).filter(|name| stripped.lets_trailer_pass(name)).collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
}

/// Takes our own cookies out of `Cookie`; the others stay as they are.
fn remove_cookies(headers: &mut HeaderMap, own: &[String]) {
    if own.is_empty() || !headers.contains_key(header::COOKIE) {
        return;
    }
    let is_own = |pair: &&[u8]| {
        let name = pair.trim_ascii().split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        own.iter().any(|own| own.as_bytes() == name)
    };
    let pairs: Vec<&[u8]> =
        headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).collect();
    if !pairs.iter().any(is_own) {
        return;
    }
    let others: Vec<&[u8]> = pairs.into_iter().filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii).collect();
    match HeaderValue::from_bytes(&others.join(&b"; "[..])) {
        Ok(line) if !others.is_empty() => headers.insert(header::COOKIE, line),
        _ => headers.remove(header::COOKIE),
    };
}

/// Who called and how, in our words only (RFC 7239).
fn forwarded(headers: &mut HeaderMap, connection: &Connection, head: &Head) {
    let scheme = if connection.secure { "https" } else { "http" };
    let mut text = String::with_capacity(96);
    let _ = write!(text, "{}", connection.address);
    if let Ok(address) = HeaderValue::from_str(&text) {
        headers.insert(X_FORWARDED_FOR, address);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(X_FORWARDED_HOST, head.authority.clone());
    text.clear();
    let host = head.authority.to_str().unwrap_or_default();
    let _ = match connection.address {
        IpAddr::V4(address) => write!(text, "for={address};proto={scheme};host=\"{host}\""),
        IpAddr::V6(address) => write!(text, "for=\"[{address}]\";proto={scheme};host=\"{host}\""),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::FORWARDED, value);
    }
}

/// RFC 9110 section 7.6.3.
fn via(headers: &mut HeaderMap, version: Version) {
    let ours = match version {
        Version::HTTP_2 => "2.0 wicketgate",
        Version::HTTP_10 => "1.0 wicketgate",
        _ => "1.1 wicketgate",
    };
    let earlier: Vec<&[u8]> = headers.get_all(header::VIA).iter().map(HeaderValue::as_bytes).collect();
    let value = if earlier.is_empty() {
        HeaderValue::from_static(ours)
    } else {
        let all = [&earlier.join(&b", "[..])[..], b", ", ours.as_bytes()].concat();
        HeaderValue::from_bytes(&all).unwrap_or(HeaderValue::from_static(ours))
    };
    headers.insert(header::VIA, value);
}

/// Fields that speak about the bytes of the body, which are no longer those.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The body has been changed on its way.
pub(super) fn body_changed(headers: &mut HeaderMap) {
    for name in &DIGESTS {
        headers.remove(name);
    }
}

/// Turns a backend's fields into those of the response to the caller.
pub(crate) fn prepare_response(headers: &mut HeaderMap, route: &Route) {
    let trailers = announced_trailers(headers, &FieldSet::default());
    fields::remove_hop_by_hop(headers);
    if let Some(trailers) = trailers {
        headers.insert(header::TRAILER, trailers);
    }
    headers.remove(REQUEST_ID);
    if route.demand.customer {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
