//! Per-listener settings, swapped on reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::client_address::Networks;
use crate::config::raw;
use crate::fields::FieldSet;
use crate::gateway::endpoints::form;
use crate::gateway::response::body::ResponseBody;
use crate::refusal::Refusal;

/// A listener, as its requests see it.
#[derive(Debug, Default)]
pub struct Entrance {
    /// Its place in the configuration.
    pub(crate) number: usize,
    /// Whose callers may call, and whose word about them counts.
    pub(crate) networks: Networks,
    /// Whom tokens are for that are issued here, where that is an audience set apart.
    pub(crate) audience: Option<Arc<str>>,
    /// Whether it answers only proxies that ask about requests.
    pub(crate) only_decides: bool,
    /// Where callers are sent, where that is all that it does.
    redirect: Option<String>,
    /// What browsers are told about https (RFC 6797).
    hsts: Option<HeaderValue>,
    /// Whether another one has replaced it.
    is_over: AtomicBool,
}

/// The entrance of a listener that is in force.
#[derive(Debug)]
pub struct InForce(ArcSwap<Entrance>);

impl InForce {
    /// Begins with this one.
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self(ArcSwap::from_pointee(entrance))
    }

    /// As it is now.
    pub(crate) fn now(&self) -> Arc<Entrance> {
        self.0.load_full()
    }

    /// Puts another one in force: for each request that begins from now on, also on connections that are open.
    pub fn replace(&self, entrance: Entrance) {
        let before = self.0.swap(Arc::new(entrance));
        before.is_over.store(true, Ordering::Release);
    }
}

impl Entrance {
    /// As configured.
    pub fn new(number: usize, raw: &raw::Listen) -> Self {
        let hsts = raw.tls.as_ref().and_then(|tls| tls.hsts);
        Self {
            number,
            networks: Networks::new(raw),
            audience: raw.audience.as_deref().map(Arc::from),
            only_decides: raw.forward_auth,
            redirect: raw.redirect.clone(),
            hsts: hsts.and_then(|time| HeaderValue::from_str(&format!("max-age={}", time.as_secs())).ok()),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether another one has replaced it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The answer, where this listener only redirects: the same target by https. `credentials` are the fields in which
    /// some route takes one.
    ///
    /// # Errors
    /// [`Refusal::PlainHttp`] for whoever shows a credential or sends something: it has been readable on the way, and
    /// must not seem to work.
    pub(crate) fn redirect(
        &self,
        method: &Method,
        target: &Uri,
        headers: &HeaderMap,
        credentials: &FieldSet,
    ) -> Option<Result<Response<ResponseBody>, Refusal>> {
        let base = self.redirect.as_ref()?;
        let sends_body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
        let is_harmless = matches!(*method, Method::GET | Method::HEAD)
            && !sends_body
            && !headers.keys().any(|name| credentials.contains(name))
            && !form::has_credential(target.query());
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        let location =
            HeaderValue::from_str(&format!("{base}{path}")).ok().filter(|_| is_harmless && path.starts_with('/'));
        Some(location.ok_or(Refusal::PlainHttp).map(|location| {
            let mut response = Response::new(ResponseBody::full(""));
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, location);
            response
        }))
    }

    /// Adds what every answer of this listener says.
    pub(crate) fn sign(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts {
            headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
        }
    }
}
