//! The request that another proxy asks about, as its header fields describe it: those of nginx, or those of Traefik and
//! Caddy. Each must be there once and all of them together, so that none of them can be a caller's own.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, request};

use crate::gateway::connection::client_address::{X_FORWARDED_FOR, X_FORWARDED_PROTO, hop_address};
use crate::refusal::Refusal;

/// Target, method and host, by the names that nginx is configured with.
const NGINX: [HeaderName; 3] = [
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-original-host"),
];
/// The same by the names of Traefik and Caddy.
const FORWARDED: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-method"),
    HeaderName::from_static("x-forwarded-host"),
];

/// A request that another proxy asks about.
#[derive(Debug)]
pub(crate) struct ForwardedRequest {
    /// Its head. The target has not been checked.
    pub(crate) parts: request::Parts,
    /// The requested host.
    pub(crate) host: Vec<u8>,
    /// True if it came by TLS.
    pub(crate) secure: bool,
    /// The client address.
    pub(crate) address: IpAddr,
}

/// The request line, host, scheme and address of a request, as the other proxy writes them.
pub(crate) struct Described<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) scheme: &'a [u8],
    pub(crate) address: &'a str,
}

impl ForwardedRequest {
    /// The request as described.
    ///
    /// # Errors
    /// [`Refusal::BadForwardedRequest`] where a part of it is none.
    pub(crate) fn new(described: Described<'_>, headers: HeaderMap) -> Result<Self, Refusal> {
        let Described { method, target, host, scheme, address } = described;
        // What stands behind a `#` would be dropped without a word.
        if target.first() != Some(&b'/') || !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
            return Err(Refusal::BadForwardedRequest);
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = Method::from_bytes(method).map_err(|_| Refusal::BadForwardedRequest)?;
        parts.uri = Uri::try_from(target).map_err(|_| Refusal::BadForwardedRequest)?;
        parts.headers = headers;
        let secure = match scheme {
            b"https" => true,
            b"http" => false,
            _ => return Err(Refusal::BadForwardedRequest),
        };
        let address = hop_address(address.trim().as_bytes()).ok_or(Refusal::BadForwardedRequest)?;
        Ok(Self { parts, host: host.to_owned(), secure, address })
    }

    /// The request that these fields describe, and true if nginx describes it.
    ///
    /// # Errors
    /// [`Refusal::BadForwardedRequest`] where a field is missing, repeated or contradictory.
    pub(crate) fn read(mut headers: HeaderMap) -> Result<(Self, bool), Refusal> {
        let (nginx, forwarded) = (all_or_none(&headers, &NGINX)?, all_or_none(&headers, &FORWARDED)?);
        let [target, method, host] = match (&nginx, &forwarded) {
            (Some(one), Some(other)) if one != other => return Err(Refusal::BadForwardedRequest),
            (Some(named), _) | (None, Some(named)) => named.clone(),
            (None, None) => return Err(Refusal::BadForwardedRequest),
        };
        let scheme = once(&headers, &X_FORWARDED_PROTO)?.ok_or(Refusal::BadForwardedRequest)?;
        let addresses = once(&headers, &X_FORWARDED_FOR)?.ok_or(Refusal::BadForwardedRequest)?;
        // The last one is whom the proxy itself has seen; those before it are hearsay.
        let address = addresses
            .to_str()
            .ok()
            .and_then(|all| all.rsplit(',').next())
            .ok_or(Refusal::BadForwardedRequest)?
            .to_owned();
        // Those of the question, not of the request.
        headers.remove(header::HOST);
        let described = Described {
            method: method.as_bytes(),
            target: target.as_bytes(),
            host: host.as_bytes(),
            scheme: scheme.as_bytes(),
            address: &address,
        };
        let original = Self::new(described, headers)?;
        Ok((original, nginx.is_some()))
    }
}

fn all_or_none(headers: &HeaderMap, names: &[HeaderName; 3]) -> Result<Option<[HeaderValue; 3]>, Refusal> {
    let [target, method, host] = names;
    match (once(headers, target)?, once(headers, method)?, once(headers, host)?) {
        (None, None, None) => Ok(None),
        (Some(target), Some(method), Some(host)) => Ok(Some([target, method, host])),
        _ => Err(Refusal::BadForwardedRequest),
    }
}

fn once(headers: &HeaderMap, name: &HeaderName) -> Result<Option<HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.cloned()),
        (_, Some(_)) => Err(Refusal::BadForwardedRequest),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const OF_NGINX: [(&str, &str); 5] = [
        ("x-original-uri", "/a?b"),
        ("x-original-method", "POST"),
        ("x-original-host", "api.test:443"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.9, 198.51.100.7"),
    ];

    fn read(fields: &[(&'static str, &str)]) -> Result<(ForwardedRequest, bool), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        ForwardedRequest::read(headers)
    }

    #[test]
    fn the_words_of_nginx_are_read() {
        let (original, by_nginx) = read(&OF_NGINX).unwrap();
        assert!(by_nginx && original.secure);
        assert_eq!((original.parts.method.as_str(), original.parts.uri.to_string().as_str()), ("POST", "/a?b"));
        assert_eq!((&original.host[..], original.address.to_string().as_str()), (&b"api.test:443"[..], "198.51.100.7"));
    }

    #[test]
    fn an_address_may_have_its_port_and_its_brackets() {
        for (said, address) in [
            ("198.51.100.7:51234", "198.51.100.7"),
            ("203.0.113.9,[2001:db8::7]:443", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            let mut fields = OF_NGINX.to_vec();
            fields[4].1 = said;
            assert_eq!(read(&fields).unwrap().0.address.to_string(), address, "{said}");
        }
    }

    #[test]
    fn what_is_missing_repeated_or_contradictory_is_refused() {
        for (missing, field) in OF_NGINX.iter().enumerate() {
            let mut fields = OF_NGINX.to_vec();
            fields.remove(missing);
            assert_eq!(read(&fields).unwrap_err(), Refusal::BadForwardedRequest, "without {field:?}");
            let repeated = [&OF_NGINX[..], &[*field]].concat();
            assert_eq!(read(&repeated).unwrap_err(), Refusal::BadForwardedRequest, "twice {field:?}");
        }
        let other = |uri, method, host| {
            let more = [("x-forwarded-uri", uri), ("x-forwarded-method", method), ("x-forwarded-host", host)];
            read(&[&OF_NGINX[..], &more].concat())
        };
        assert!(other("/a?b", "POST", "api.test:443").is_ok());
        assert_eq!(other("/public", "POST", "api.test:443").unwrap_err(), Refusal::BadForwardedRequest);
        assert_eq!(other("/a?b", "GET", "api.test:443").unwrap_err(), Refusal::BadForwardedRequest);
        assert_eq!(other("/a?b", "POST", "public.test").unwrap_err(), Refusal::BadForwardedRequest);
        let partly = [&OF_NGINX[..], &[("x-forwarded-uri", "/a?b")]].concat();
        assert_eq!(read(&partly).unwrap_err(), Refusal::BadForwardedRequest);
    }

    #[test]
    fn what_is_no_target_scheme_or_address_is_refused() {
        for (at, value) in [
            (0, "a"),
            (0, "/a#b"),
            (0, "http://a/"),
            (0, "/a b"),
            (0, ""),
            (1, "G T"),
            (3, "ws"),
            (4, "unix:"),
            (4, "1.2.3.4,"),
        ] {
            let mut fields = OF_NGINX.to_vec();
            fields[at].1 = value;
            assert_eq!(read(&fields).unwrap_err(), Refusal::BadForwardedRequest, "{value:?}");
        }
    }
}
