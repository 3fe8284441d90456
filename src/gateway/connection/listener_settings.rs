//! Per-listener settings of requests, swapped on reload.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::{self, HeaderValue};

use super::client_address::Networks;
use crate::config::raw;
use crate::policy::table::host_name;

/// The settings of a listener that matter to its requests.
#[derive(Debug, Default)]
pub struct ListenerSettings {
    /// Its index in the configuration.
    pub(crate) number: usize,
    /// Address rules.
    pub(crate) networks: Networks,
    /// The audience of tokens issued here, where the listener has its own.
    pub(crate) audience: Option<Arc<str>>,
    /// True if it answers forward-auth questions only.
    pub(crate) only_decides: bool,
    /// The hosts that are served here, as [`host_name`] makes them; `None`: all.
    hosts: Option<HashSet<Box<str>>>,
    /// The host that HTTP/1.0 requests without `Host` are for.
    default_host: Option<Box<str>>,
    /// The origin to redirect to, on a listener that only redirects.
    redirect: Option<String>,
    /// The value of `Strict-Transport-Security` (RFC 6797).
    hsts: Option<HeaderValue>,
    /// True once a reload has replaced these settings.
    is_over: AtomicBool,
}

/// The settings of a listener that are in force.
#[derive(Debug)]
pub struct CurrentSettings(ArcSwap<ListenerSettings>);

impl CurrentSettings {
    /// Begins with these settings.
    pub(crate) fn new(settings: ListenerSettings) -> Self {
        Self(ArcSwap::from_pointee(settings))
    }

    /// The current settings.
    pub(crate) fn now(&self) -> Arc<ListenerSettings> {
        self.0.load_full()
    }

    /// Swaps the settings, for each request that begins from now on, also on open connections.
    pub fn replace(&self, settings: ListenerSettings) {
        let before = self.0.swap(Arc::new(settings));
        before.is_over.store(true, Ordering::Release);
    }
}

impl ListenerSettings {
    /// The settings as configured.
    pub fn new(number: usize, raw: &raw::Listen) -> Self {
        let hsts = raw.tls.as_ref().and_then(|tls| tls.hsts);
        Self {
            number,
            networks: Networks::new(raw),
            audience: raw.audience.as_deref().map(Arc::from),
            only_decides: raw.forward_auth,
            hosts: (!raw.hosts.is_empty()).then(|| raw.hosts.iter().map(|host| host_name(host).into()).collect()),
            default_host: raw.default_host.as_deref().map(Box::from),
            redirect: raw.redirect.clone(),
            hsts: hsts.and_then(|time| HeaderValue::from_str(&format!("max-age={}", time.as_secs())).ok()),
            is_over: AtomicBool::new(false),
        }
    }

    /// True once a reload has replaced these settings.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// True if requests for this host, in its one spelling, are served here.
    pub(crate) fn serves(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    /// The host that an HTTP/1.0 request without `Host` is for; `None`: such requests are refused.
    pub(crate) fn default_host(&self) -> Option<&str> {
        self.default_host.as_deref()
    }

    /// The origin to which callers are redirected, on a listener that only redirects.
    pub(crate) fn redirect(&self) -> Option<&str> {
        self.redirect.as_deref()
    }

    /// Adds the header fields that every response of this listener has.
    pub(crate) fn apply_headers(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts {
            headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
        }
    }
}
