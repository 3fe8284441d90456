//! Connection limits of a listener.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::per_ip_limit::PerIpLimit;
use crate::config::raw::ListenLimits;
use crate::gateway::connection::ConnectionLimits;

/// Limits on all connections of a listener, and on each of them.
#[derive(Debug)]
pub(in crate::server) struct ConnLimits {
    /// Limits of one connection.
    pub(in crate::server) limits: Arc<ConnectionLimits>,
    /// Most open connections.
    pub(in crate::server) connections: usize,
    /// Most TLS handshakes at once.
    pub(in crate::server) handshakes: usize,
    /// Connections per client address, where they are limited.
    pub(in crate::server) addresses: Option<Arc<PerIpLimit>>,
}

/// Connection limits of a listener in force.
#[derive(Debug)]
pub struct CurrentLimits(ArcSwap<ConnLimits>);

impl ConnLimits {
    fn new(raw: &ListenLimits, addresses: Option<Arc<PerIpLimit>>) -> Self {
        let limits = ConnectionLimits {
            target: raw.target.bytes(),
            head: raw.head.bytes(),
            fields: raw.headers,
            token: raw.token.bytes(),
            body: raw.body.bytes() as u64,
            handshake_timeout: raw.handshake_timeout.get(),
            head_timeout: raw.head_timeout.get(),
            body_idle_timeout: raw.body_idle_timeout.get(),
            request_timeout: raw.request_timeout.get(),
            idle_timeout: raw.idle_timeout.get(),
            streams: raw.streams,
        };
        Self { limits: Arc::new(limits), connections: raw.connections, handshakes: raw.handshakes, addresses }
    }
}

impl CurrentLimits {
    /// The configured limits.
    pub(in crate::server) fn new(raw: &ListenLimits) -> Self {
        Self(ArcSwap::from_pointee(ConnLimits::new(raw, raw.connections_per_address.map(PerIpLimit::new))))
    }

    /// Present limits.
    pub(in crate::server) fn now(&self) -> Guard<Arc<ConnLimits>> {
        self.0.load()
    }

    /// Replaces the limits, for new connections. Open ones are still counted.
    pub fn replace(&self, raw: &ListenLimits) {
        let addresses = raw.connections_per_address.map(|most| match &self.now().addresses {
            None => PerIpLimit::new(most),
            Some(known) => {
                known.bound(most);
                Arc::clone(known)
            }
        });
        self.0.store(Arc::new(ConnLimits::new(raw, addresses)));
    }
}
