//! CORS rules of a route or an own endpoint, compiled (the CORS protocol of the Fetch standard).

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::config::raw;

/// CORS rules of a route or an own endpoint.
#[derive(Debug)]
pub struct Cors {
    /// Allowed origins; `None`: all.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    /// As configured. What is no header has been reported by the checks.
    pub(super) fn read(raw: &raw::Cors, methods: &[Method]) -> Self {
        let list = |names: &[String]| HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty());
        let methods: Vec<String> = methods.iter().map(ToString::to_string).collect();
        let is_open = raw.origins.iter().any(|origin| origin == "*");
        Self {
            origins: (!is_open).then(|| raw.origins.iter().filter_map(|origin| origin.parse().ok()).collect()),
            methods: list(&methods).unwrap_or(HeaderValue::from_static("")),
            headers: list(&raw.headers),
            expose: list(&raw.expose),
            credentials: raw.credentials && !is_open,
            max_age: HeaderValue::from(raw.max_age.as_secs()),
        }
    }

    /// For documents that everyone may read, and any page: without cookies, with whatever header fields.
    pub(super) fn public() -> Self {
        Self {
            origins: None,
            methods: HeaderValue::from_static("GET, HEAD"),
            headers: Some(HeaderValue::from_static("*")),
            expose: None,
            credentials: false,
            max_age: HeaderValue::from_static("86400"),
        }
    }

    /// Writes into an answer who may read it, in place of what a backend says about that.
    pub fn apply_headers(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let is_theirs = |name: &&HeaderName| name.as_str().starts_with("access-control-");
        let theirs: Vec<HeaderName> = headers.keys().filter(is_theirs).cloned().collect();
        theirs.iter().for_each(|name| drop(headers.remove(name)));
        if self.allow(origin, headers)
            && let Some(names) = &self.expose
        {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    /// Writes the answer to a preflight.
    pub fn answer_preflight(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if !self.allow(origin, headers) {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if let Some(names) = &self.headers {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
    }

    /// Returns whether pages of this origin may call, and writes `Access-Control-Allow-Origin` and `Vary`.
    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let Some(origins) = &self.origins else {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return true;
        };
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin.filter(|origin| origins.contains(origin)) else { return false };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }
}
