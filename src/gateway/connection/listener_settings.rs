//! Per-listener settings, swapped on reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::{self, HeaderValue};

use super::client_address::Networks;
use crate::config::raw;

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

    /// The origin to which callers are redirected, on a listener that only redirects.
    pub(crate) fn redirect(&self) -> Option<&str> {
        self.redirect.as_deref()
    }

    /// Adds what every answer of this listener says.
    pub(crate) fn apply_headers(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts {
            headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
        }
    }
}
