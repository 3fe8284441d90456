//! Redirects and cookies of backends that name the backend's own address: they are rewritten to what the caller sees.
//!
//! A server knows its own name, or builds URLs from the `Host` that it is told and its own port and scheme. What is
//! rewritten only ever points to the authority that the caller has asked; what names any other host passes untouched.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;

use crate::gateway::host::Host;
use crate::policy::route::own_addresses::{OwnAddresses, is_in_domain};
use crate::policy::route::{Placement, Route};
use crate::policy::table::host_name;

/// `Refresh`, which browsers obey, though no RFC has it.
const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// What may stand around a value, and cannot stand in a URL.
const BLANK: [char; 2] = [' ', '\t'];

/// True if a field of this name has an address, or a domain or path.
pub(super) fn has_address(name: &HeaderName) -> bool {
    *name == header::LOCATION || *name == header::CONTENT_LOCATION || *name == header::SET_COOKIE || *name == REFRESH
}

/// Rewrites `Location`, `Content-Location`, `Refresh` and `Set-Cookie` of a response to a call for this host.
pub(super) fn rewrite(headers: &mut HeaderMap, route: &Route, own: &OwnAddresses, host: &Host) {
    for (name, value) in headers.iter_mut() {
        if !has_address(name) {
            continue;
        }
        let is_location = *name == header::LOCATION || *name == header::CONTENT_LOCATION;
        let view = View { route, own, host };
        // Old servers write their own charset: each byte stays what it is.
        let text: String = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
        let rewritten = if is_location {
            view.target(&text)
        } else if *name == REFRESH {
            view.refresh(&text)
        } else {
            view.cookie(&text)
        };
        let bytes = rewritten.map(|text| text.chars().map(|character| character as u8).collect::<Vec<u8>>());
        if let Some(rewritten) = bytes.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
            *value = rewritten;
        }
    }
}

/// The backend as a caller sees it.
struct View<'a> {
    route: &'a Route,
    own: &'a OwnAddresses,
    host: &'a Host,
}

impl View<'_> {
    /// A URL reference as the caller must have it; `None` where it stays.
    fn target(&self, text: &str) -> Option<String> {
        let text = text.trim_matches(BLANK);
        // Browsers take a backslash for a slash, and leave out control characters. Blanks and tabs are encoded below,
        // behind the host.
        if text.bytes().any(|byte| byte == b'\\' || (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return None;
        }
        let Some((secure, rest)) = behind_scheme(text) else {
            let path = text.starts_with('/').then(|| self.path(&encoded(text)))??;
            // That would be another host.
            return (!path.starts_with("//")).then_some(path);
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !self.names_us(authority, secure) {
            return None;
        }
        let path = encoded(path);
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let path = self.path(&path).unwrap_or(path);
        let scheme = if self.host.secure { "https" } else { "http" };
        Some(format!("{scheme}://{}{path}", self.host.authority.to_str().ok()?))
    }

    /// True for an authority of the backend, or for one that its server has made of the requested host.
    fn names_us(&self, authority: &str, secure: Option<bool>) -> bool {
        let Some((name, port)) = name_and_port(authority) else { return false };
        // The port that the scheme means is as good as none.
        let port = port.filter(|port| secure.is_none_or(|secure| *port != if secure { 443 } else { 80 }));
        if name != *self.host.name {
            return self.own.has(&name, port);
        }
        let asked = self.host.authority.to_str().ok().and_then(name_and_port).and_then(|(_, port)| port);
        match (port, secure) {
            (Some(port), _) => Some(port) == asked || self.own.has_port(port),
            (None, Some(false)) => self.host.secure || asked.is_none(),
            // From http to https: that is meant.
            (None, Some(true)) if !self.host.secure => false,
            (None, _) => asked.is_none(),
        }
    }

    /// A path with query and fragment as the caller names it; `None` where it stays.
    fn path(&self, text: &str) -> Option<String> {
        let (path, behind) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        let reversed = match (&self.route.rewrite, &self.route.placement) {
            (Some(rewrite), _) => rewrite.reversed(path),
            (None, Some(Placement::Path(placement))) => placement.reversed(path),
            (None, _) => None,
        };
        Some(format!("{}{behind}", reversed?))
    }

    /// `5; url=https://…`, also in quotes, and with the address alone (HTML, "shared declarative refresh steps").
    fn refresh(&self, text: &str) -> Option<String> {
        let behind_delay =
            text.trim_start_matches(BLANK).trim_start_matches(|sign: char| sign.is_ascii_digit() || sign == '.');
        let delay = &text[..text.len() - behind_delay.len()];
        let rest = behind_delay.trim_start_matches(BLANK);
        let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(BLANK);
        if rest.len() == behind_delay.len() {
            return None;
        }
        let rest = behind_url(rest).unwrap_or(rest);
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let (target, behind) = match quote {
            Some(quote) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
            None => (rest, ""),
        };
        let target = self.target(target)?;
        let quote = quote.map(String::from).unwrap_or_default();
        Some(format!("{delay}; url={quote}{target}{quote}{behind}"))
    }

    /// A cookie without a domain of the backend, and with a path that the caller knows; `None` where it stays. Without a
    /// domain it comes back to the host that was asked alone.
    fn cookie(&self, line: &str) -> Option<String> {
        let mut parts = line.split(';');
        let pair = parts.next()?;
        // A browser refuses such a cookie with another path (RFC 6265bis section 4.1.3.2).
        let is_for_host = pair.trim_start().get(..7).is_some_and(|name| name.eq_ignore_ascii_case("__Host-"));
        let mut rewritten = pair.to_owned();
        let mut is_changed = false;
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("domain") && self.is_of_backend(value) {
                is_changed = true;
                continue;
            }
            rewritten.push(';');
            if name.eq_ignore_ascii_case("path")
                && !is_for_host
                && let Some(path) = self.path(value)
            {
                is_changed = true;
                // A cookie for the directory alone would not come back with a call of the directory itself.
                let path = if value == "/" { path.trim_end_matches('/') } else { &path };
                rewritten.push_str(&format!(" Path={}", if path.is_empty() { "/" } else { path }));
                continue;
            }
            rewritten.push_str(part);
        }
        is_changed.then_some(rewritten)
    }

    /// True for the domain of a cookie that fits a server and not the requested host, whose browser would drop it.
    fn is_of_backend(&self, domain: &str) -> bool {
        let Some((domain, _)) = name_and_port(domain.trim_start_matches('.')) else { return false };
        !is_in_domain(&self.host.name, &domain) && self.own.are_in_domain(&domain)
    }
}

/// What follows `url=` in `Refresh`.
fn behind_url(text: &str) -> Option<&str> {
    let (word, rest) = text.split_at_checked(3)?;
    let rest = rest.trim_start_matches(BLANK).strip_prefix('=').filter(|_| word.eq_ignore_ascii_case("url"))?;
    Some(rest.trim_start_matches(BLANK))
}

/// A path with query and fragment whose blanks are encoded; none can stand in a URL.
fn encoded(text: &str) -> String {
    text.replace(' ', "%20").replace('\t', "%09")
}

/// True for https, false for http, `None` for the scheme of the page; and what follows it and two slashes. `None` for any
/// other reference.
fn behind_scheme(text: &str) -> Option<(Option<bool>, &str)> {
    let (scheme, rest) = text.split_once("//")?;
    match scheme {
        "" => Some((None, rest)),
        _ if scheme.eq_ignore_ascii_case("http:") => Some((Some(false), rest)),
        _ if scheme.eq_ignore_ascii_case("https:") => Some((Some(true), rest)),
        _ => None,
    }
}

/// The host in its one spelling, and the port; `None` for what is no plain host.
fn name_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok().filter(|_| !text.contains('@'))?;
    Some((host_name(authority.host()), authority.port_u16()))
}
