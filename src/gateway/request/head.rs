//! Strict reading of a request head: heads that the parser accepts and a backend could read differently are refused
//! here.

use std::borrow::Cow;
use std::rc::Rc;

use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri, Version, request};

use crate::fields::{is_padded, is_token};
use crate::gateway::connection::Connection;
use crate::gateway::connection::client_address::ClientAddress;
use crate::gateway::connection::framing::BodyFraming;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::host::Host;
use crate::policy::path::{self, NonCanonical, Normal};
use crate::refusal::Refusal;

/// Host, framing and path of a request, in normal form.
#[derive(Debug)]
pub(crate) struct Head {
    /// The requested host.
    pub(crate) host: Rc<Host>,
    /// The framing of the body.
    pub(crate) body: BodyFraming,
    /// Parts of the path that some servers read differently.
    pub(crate) non_canonical: NonCanonical,
}

impl Head {
    /// Reads the head, and normalizes target and `Host` for matching and forwarding.
    ///
    /// # Errors
    /// The reason for which they have no normal form.
    pub(crate) fn read(
        taken: &TakenHead,
        parts: &mut request::Parts,
        has_body: bool,
        connection: &Connection,
        source: &ClientAddress,
    ) -> Result<Self, Refusal> {
        let is_http2 = parts.version == Version::HTTP_2;
        if !taken.is_clear() {
            return Err(Refusal::MalformedRequest);
        }
        // The library takes an empty `:scheme`, and any other (RFC 9113 section 8.3.1).
        let has_scheme = parts.method == Method::CONNECT
            || parts.uri.authority().is_none()
            || matches!(parts.uri.scheme_str(), Some("http" | "https"));
        let body = match taken.body_framing()? {
            // HTTP/2 bodies need not announce anything.
            BodyFraming::Length(0) if is_http2 && has_body => BodyFraming::Chunked,
            body => body,
        };
        if parts.headers.len() > connection.limits.fields {
            return Err(Refusal::HeadTooLarge);
        }
        if !taken.is_simple() {
            expectation(&parts.headers)?;
        }
        let host = host(parts, connection, source)?;
        if !connection.is_for(&host.name) {
            return Err(Refusal::Misdirected);
        }
        if !connection.settings().serves(&host.name) {
            return Err(Refusal::HostNotServed);
        }
        // No value begins or ends with a blank either (RFC 9113 section 8.2.1).
        if is_http2 && (!has_scheme || !parts.headers.keys().all(is_token) || parts.headers.values().any(is_padded)) {
            return Err(Refusal::MalformedRequest);
        }
        let is_about_us = parts.method == Method::OPTIONS && parts.uri.path() == "*";
        let non_canonical =
            if is_about_us { NonCanonical::default() } else { target(&mut parts.uri, connection.limits.target)? };
        if is_http2 {
            join_cookies(&mut parts.headers);
        }
        Ok(Self { host, body, non_canonical })
    }

    /// The head of a request that another proxy asks about; the length of its body is unknown here.
    ///
    /// # Errors
    /// The reason for which its target or its host has no normal form.
    pub(crate) fn of(
        parts: &mut request::Parts,
        host: &[u8],
        has_body: bool,
        limit: usize,
        source: &ClientAddress,
    ) -> Result<Self, Refusal> {
        let host = source.host(host).ok_or(Refusal::Host)?;
        let non_canonical = target(&mut parts.uri, limit)?;
        Ok(Self { host, non_canonical, body: if has_body { BodyFraming::Chunked } else { BodyFraming::Length(0) } })
    }

    /// The announced length of the body, in bytes.
    pub(crate) fn body_length(&self) -> Option<u64> {
        match self.body {
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked => None,
        }
    }
}

fn expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(header::EXPECT).iter().all(known) { Ok(()) } else { Err(Refusal::Expectation) }
}

/// The host: exactly one, and valid (RFC 9112 section 3.2, RFC 9113 section 8.3.1).
fn host(parts: &request::Parts, connection: &Connection, source: &ClientAddress) -> Result<Rc<Host>, Refusal> {
    let is_http2 = parts.version == Version::HTTP_2;
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err(Refusal::Host),
        (field, None) => field.map(HeaderValue::as_bytes),
    };
    let target = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let named = match (target, field) {
        // HTTP/1.0 knows no such field; whom it means then, only the operator can say.
        (None, None) if parts.version == Version::HTTP_10 => {
            let settings = connection.settings();
            let host = settings.default_host().and_then(|host| source.host(host.as_bytes()));
            return host.ok_or(Refusal::Host);
        }
        (None, None) => return Err(Refusal::Host),
        // HTTP/1.1 wants the field even where the target names the host.
        (Some(_), None) if parts.version == Version::HTTP_11 => return Err(Refusal::Host),
        (Some(target), Some(field)) => {
            let is_other = is_http2 && !target.eq_ignore_ascii_case(field);
            if is_other || source.host(field).is_none() {
                return Err(Refusal::Host);
            }
            target
        }
        (Some(named), None) | (None, Some(named)) => named,
    };
    source.host(named).ok_or(Refusal::Host)
}

/// Brings the target into origin-form, with a normalized path.
fn target(uri: &mut Uri, limit: usize) -> Result<NonCanonical, Refusal> {
    let given = uri.path_and_query().ok_or(Refusal::AmbiguousPath)?;
    if given.as_str().len() > limit {
        return Err(Refusal::TargetTooLong);
    }
    if given.query().is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(Refusal::MalformedRequest);
    }
    let Normal { text, non_canonical } =
        path::normal(given.path()).map_err(|path::Ambiguous| Refusal::AmbiguousPath)?;
    let is_origin_form = uri.authority().is_none() && uri.scheme().is_none();
    let rewritten = match text {
        Cow::Borrowed(_) if is_origin_form => return Ok(non_canonical),
        Cow::Borrowed(_) => given.clone(),
        Cow::Owned(path) => {
            let text = match given.query() {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            PathAndQuery::try_from(text).map_err(|_| Refusal::AmbiguousPath)?
        }
    };
    *uri = Uri::from(rewritten);
    Ok(non_canonical)
}

/// Joins cookies, which HTTP/2 may split into many fields; HTTP/1.1 has one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) {
        let mut joined = first.as_bytes().to_vec();
        for crumb in std::iter::once(second).chain(crumbs) {
            joined.extend_from_slice(b"; ");
            joined.extend_from_slice(crumb.as_bytes());
        }
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(header::COOKIE, joined);
        }
    }
}
