//! Header fields of requests and responses: remove first, then insert. No caller's claim of an identity, an address or
//! another target reaches a backend, and our fields are written last.

use std::cell::Cell;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};
use memchr::memchr;

use super::{redirects, security_headers};
use crate::auth::{CUSTOMER_AUTH, Caller};
use crate::backend::SentHost;
use crate::config::raw::Requirement;
use crate::fields;
use crate::gateway::connection::client_address::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::gateway::exchange::Exchange;
use crate::gateway::host::Host;
use crate::gateway::request::call::Call;
use crate::gateway::request::request_id::REQUEST_ID;
use crate::gateway::response::trailers::{is_about_origins, may_pass};
use crate::policy::field_rules::Proved;
use crate::policy::route::Route;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The attributes of a call that its header fields depend on.
pub struct Passage<'a> {
    /// The route.
    pub route: &'a Route,
    /// The requested host.
    pub host: &'a Host,
    /// The client address, as in `X-Forwarded-For`.
    pub forwarded_for: &'a HeaderValue,
    /// True if the call came by TLS.
    pub secure: bool,
    /// The HTTP version of the caller.
    pub version: Version,
    /// True if the body has no announced length.
    pub is_chunked: bool,
    /// The request id.
    pub request_id: &'a HeaderValue,
    /// What is proved, where somebody is.
    pub caller: Option<&'a Caller>,
}

/// Turns the head of a call into that of the request to the backend.
pub(super) fn prepare(call: &mut Call<'_>, route: &Route, caller: &Caller, exchange: &mut Exchange) {
    let passage = Passage {
        route,
        host: &call.head.host,
        forwarded_for: &call.source.forwarded_for,
        secure: call.source.secure,
        version: call.parts.version,
        is_chunked: call.head.body_length().is_none(),
        request_id: &exchange.record.request_id,
        caller: Some(caller),
    };
    prepare_request(&mut call.parts.headers, &passage);
    exchange.record.trace.write(&mut call.parts.headers);
    if let Some(handshake) = &exchange.handshake {
        handshake.ask(&mut call.parts.headers);
    }
}

/// Turns a caller's fields into those of the request to the backend.
pub fn prepare_request(headers: &mut HeaderMap, passage: &Passage<'_>) {
    let Passage { route, host, .. } = *passage;
    let stripped = &*route.stripped;
    let may_pass = |name: &HeaderName| stripped.lets_trailer_pass(name);
    let trailers = if passage.is_chunked { announced_trailers(headers, may_pass) } else { None };
    let kept_credential =
        |name: &HeaderName| route.forward.iter().any(|credential| fields_of(route, *credential).any(|it| it == name));
    // The announced length holds for the body that is sent on, and is written anew where it can be written otherwise.
    let is_malformed = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes().starts_with(b"0"));
    fields::remove_hop_by_hop(headers, kept_credential, |name| {
        (is_malformed && *name == header::CONTENT_LENGTH) || stripped.contains(name)
    });
    if !route.forward.contains(&Requirement::Customer) {
        remove_cookies(headers, &route.own_cookies);
    }
    if let Some(trailers) = trailers {
        headers.insert(header::TRAILER, trailers);
    }
    if let Some(rules) = &route.request_fields {
        let request_id = passage.request_id;
        rules.apply(headers, passage.caller.map(|caller| Proved { caller, request_id }));
    }
    if route.response.is_some() {
        ask_plainly(headers);
    }
    let sent_host = match &route.backend.host {
        SentHost::Name(name) => name,
        // The pool writes that of the server that is asked.
        SentHost::Caller | SentHost::Server => &host.authority,
    };
    headers.insert(header::HOST, sent_host.clone());
    headers.insert(X_FORWARDED_FOR, passage.forwarded_for.clone());
    let scheme = if passage.secure { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(X_FORWARDED_HOST, host.authority.clone());
    headers.insert(header::FORWARDED, host.forwarded.clone());
    via(headers, passage.version);
    headers.insert(REQUEST_ID, passage.request_id.clone());
}

/// Asks the backend for a response that can be filtered here: whole and not encoded.
fn ask_plainly(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for name in [header::RANGE, header::IF_RANGE] {
        headers.remove(name);
    }
}

static AUTHORIZATION_FIELD: HeaderName = header::AUTHORIZATION;
static CUSTOMER_FIELD: HeaderName = CUSTOMER_AUTH;

/// The header fields of a credential.
pub(crate) fn fields_of(route: &Route, credential: Requirement) -> impl Iterator<Item = &HeaderName> {
    let (field, others): (&HeaderName, &[HeaderName]) = match credential {
        Requirement::Client => {
            (&AUTHORIZATION_FIELD, route.requirements.client_sources.as_ref().map_or(&[], |it| &it.headers))
        }
        Requirement::Customer => (&CUSTOMER_FIELD, &[]),
        Requirement::ApiKey => (&route.requirements.api_key_header.name, &[]),
    };
    std::iter::once(field).chain(others)
}

/// The announced trailers that may pass; without the announcement none are sent on.
fn announced_trailers(headers: &HeaderMap, may_pass: impl Fn(&HeaderName) -> bool) -> Option<HeaderValue> {
    let lines = headers.get_all(header::TRAILER).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
    let names: Vec<HeaderName> = names.filter(may_pass).collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
}

/// Removes the gateway's own cookies from `Cookie`.
pub(crate) fn remove_cookies(headers: &mut HeaderMap, own: &[String]) {
    if !own.is_empty() {
        fields::remove_cookies(headers, |pair| {
            let name = pair[..memchr(b'=', pair).unwrap_or(pair.len())].trim_ascii();
            own.iter().any(|own| own.as_bytes() == name)
        });
    }
}

/// Removes the `Set-Cookie` lines that a browser would send back as this cookie: also one without a name, which comes
/// back as its value alone (RFC 6265bis section 5.6).
fn remove_set_cookies(headers: &mut HeaderMap, cookie: &str) {
    let is_it = |line: &HeaderValue| {
        let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_start();
        let pair = pair.strip_prefix(b"=").unwrap_or(pair);
        pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii() == cookie.as_bytes()
    };
    if !headers.get_all(header::SET_COOKIE).iter().any(is_it) {
        return;
    }
    let others: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(|line| !is_it(line)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for line in others {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Adds this gateway to `Via` (RFC 9110 section 7.6.3).
fn via(headers: &mut HeaderMap, version: Version) {
    let ours = match version {
        Version::HTTP_2 => "2.0 wicketgate",
        Version::HTTP_10 => "1.0 wicketgate",
        _ => "1.1 wicketgate",
    };
    let ours = HeaderValue::from_static(ours);
    let earlier: Vec<&[u8]> = headers.get_all(header::VIA).iter().map(HeaderValue::as_bytes).collect();
    let value = if earlier.is_empty() {
        ours
    } else {
        let all = [&earlier.join(&b", "[..])[..], b", ", ours.as_bytes()].concat();
        HeaderValue::from_bytes(&all).unwrap_or(ours)
    };
    headers.insert(header::VIA, value);
}

/// Turns the header fields of a backend's response into those of the response to the caller. `received` is the
/// backend's HTTP version.
pub(super) fn prepare_response(headers: &mut HeaderMap, route: &Route, received: Version, host: Option<&Host>) {
    let ruled = route.response_fields.as_ref().map(|rules| &**rules.about());
    let trailers = announced_trailers(headers, |name| may_pass(name, ruled));
    // Who may read answers, `cors` says, and where else the gateway can be reached, only the gateway.
    let has_addresses = Cell::new(false);
    let is_not_theirs = |name: &HeaderName| {
        if redirects::has_address(name) {
            has_addresses.set(true);
        }
        *name == REQUEST_ID || *name == header::ALT_SVC || (route.cors.is_none() && is_about_origins(name))
    };
    fields::remove_hop_by_hop(headers, |_| false, is_not_theirs);
    if has_addresses.get()
        && let (Some(own), Some(host)) = (&route.own_addresses, host)
    {
        redirects::rewrite(headers, route, own, host);
    }
    if let Some(trailers) = trailers {
        headers.insert(header::TRAILER, trailers);
    }
    if let Some(cookie) = &route.session_cookie {
        remove_set_cookies(headers, cookie);
    }
    if let Some(rules) = &route.response_fields {
        rules.apply(headers, None);
    }
    if route.security_headers {
        security_headers::add(headers);
    }
    via(headers, received);
    if route.requirements.customer {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
