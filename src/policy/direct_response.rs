//! Responses of routes without a backend (Envoy: direct response, redirect).

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{StatusCode, Uri};

use super::path::{Ambiguous, NonCanonical};
use super::rewrite::Rewrite;
use crate::config::raw;

/// The response of a route that the gateway answers itself.
#[derive(Debug)]
pub enum DirectResponse {
    /// The same to all callers.
    Fixed(FixedResponse),
    /// A redirect.
    Redirect(Redirect),
}

/// A response that is the same to all callers.
#[derive(Debug)]
pub struct FixedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A redirect to an address of the configuration, with the rest of the caller's path or without.
#[derive(Debug)]
pub struct Redirect {
    /// Its status.
    pub status: StatusCode,
    /// Scheme and host, or nothing: the address is a path on the same host.
    origin: Box<str>,
    /// Path, query and fragment.
    target: Box<str>,
    /// Puts the path of the address in the place of the route's.
    rest: Option<Rewrite>,
}

impl DirectResponse {
    /// The response of a route; `None` where a backend answers. What is no status or no field has been reported by the
    /// checks.
    pub(super) fn read(route: &raw::Route) -> Option<Box<Self>> {
        let direct = match (&route.respond, &route.redirect) {
            (Some(respond), _) => Self::Fixed(FixedResponse::read(respond)?),
            (None, Some(redirect)) => Self::Redirect(Redirect::read(route.path.as_str(), redirect)?),
            (None, None) => return None,
        };
        Some(Box::new(direct))
    }
}

impl FixedResponse {
    fn read(raw: &raw::Respond) -> Option<Self> {
        let fields = raw.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
        let mut headers: HeaderMap = fields.collect();
        if !raw.body.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            headers.entry(header::CONTENT_TYPE).or_insert(text);
        }
        Some(Self { status: StatusCode::from_u16(raw.status).ok()?, headers, body: raw.body.clone().into() })
    }
}

impl Redirect {
    fn read(path: &str, raw: &raw::RouteRedirect) -> Option<Self> {
        let begin = raw.to.find("://").map_or(0, |at| at + 3);
        let end = raw.to[begin..].find(['/', '?', '#']).map_or(raw.to.len(), |at| begin + at);
        let (origin, target) = raw.to.split_at(end);
        let prefix = |path: &str| Some(path.trim_end_matches('/').to_owned());
        let rest = raw::Rewrite { strip_prefix: prefix(path), add_prefix: prefix(target), from: None, target: None };
        Some(Self {
            status: StatusCode::from_u16(raw.status).ok()?,
            origin: origin.into(),
            target: target.into(),
            rest: raw.keep_path.then(|| Rewrite::new(&rest, false)),
        })
    }

    /// The address for a request of this target, whose path is in normal form with the deviations that are `allowed`.
    ///
    /// # Errors
    /// [`Ambiguous`] where the rest of the path could be read as something else than a path below the configured one,
    /// such as the name of a host.
    pub fn location(&self, uri: &Uri, allowed: NonCanonical) -> Result<HeaderValue, Ambiguous> {
        let Some(rest) = &self.rest else {
            return HeaderValue::from_str(&format!("{}{}", self.origin, self.target)).map_err(|_| Ambiguous);
        };
        let path = rest.apply(uri.path(), allowed)?;
        let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
        HeaderValue::from_str(&format!("{}{path}{query}", self.origin)).map_err(|_| Ambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(path: &str, to: &str, keep_path: bool, request: &'static str) -> Result<String, Ambiguous> {
        let raw = raw::RouteRedirect { to: to.to_owned(), status: 308, keep_path };
        let redirect = Redirect::read(path, &raw).unwrap();
        let value = redirect.location(&Uri::from_static(request), NonCanonical::DOUBLE_SLASH)?;
        Ok(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_redirect_puts_its_address_in_the_place_of_the_route() {
        for (path, to, keeps, request, expected) in [
            ("/old/", "https://new.test", true, "/old/a/b?x=1", "https://new.test/a/b?x=1"),
            ("/old/", "https://new.test/", true, "/old/", "https://new.test/"),
            ("/old", "https://new.test:8443/v2/", true, "/old", "https://new.test:8443/v2"),
            ("/old", "https://new.test/v2", true, "/old/a%20b", "https://new.test/v2/a%20b"),
            ("/old/", "/new", true, "/old/a?b", "/new/a?b"),
            ("/", "https://new.test", true, "/a", "https://new.test/a"),
            ("/old/", "https://new.test/x?y=1#z", false, "/old/a?b", "https://new.test/x?y=1#z"),
            ("/old/", "/", true, "/old/a", "/a"),
        ] {
            assert_eq!(location(path, to, keeps, request).as_deref(), Ok(expected), "{path} {to} {request}");
        }
    }

    #[test]
    fn no_path_of_a_caller_becomes_the_name_of_a_host() {
        for request in ["/old//evil.test", "/old//evil.test/x"] {
            assert_eq!(location("/old/", "/", true, request), Err(Ambiguous), "{request}");
        }
        let below = location("/old/", "https://new.test", true, "/old//evil.test");
        assert!(below.is_err() || below.unwrap().starts_with("https://new.test/"));
    }
}
