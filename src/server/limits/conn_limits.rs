//! What the connections of a listener may cost.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::per_ip_limit::Addresses;
use crate::config::raw::ListenLimits;
use crate::gateway::connection::Limits;

/// Bounds on all connections of a listener, and on each of them.
#[derive(Debug)]
pub(in crate::server) struct Bounds {
    /// Bounds on a connection.
    pub(in crate::server) limits: Arc<Limits>,
    /// Connections open at once.
    pub(in crate::server) connections: usize,
    /// TLS handshakes going on at once.
    pub(in crate::server) handshakes: usize,
    /// The connections of each address, where they are bounded.
    pub(in crate::server) addresses: Option<Arc<Addresses>>,
}

/// The bounds of a listener that are in force.
#[derive(Debug)]
pub struct InForce(ArcSwap<Bounds>);

impl Bounds {
    fn new(raw: &ListenLimits, addresses: Option<Arc<Addresses>>) -> Self {
        let limits = Limits {
            target: raw.target.bytes(),
            head: raw.head.bytes(),
            fields: raw.headers,
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

impl InForce {
    /// Begins with what is configured.
    pub(in crate::server) fn new(raw: &ListenLimits) -> Self {
        Self(ArcSwap::from_pointee(Bounds::new(raw, raw.connections_per_address.map(Addresses::new))))
    }

    /// As they are now.
    pub(in crate::server) fn now(&self) -> Guard<Arc<Bounds>> {
        self.0.load()
    }

    /// Puts others in force, for connections that come. What is open is still counted.
    pub fn replace(&self, raw: &ListenLimits) {
        let addresses = raw.connections_per_address.map(|most| match &self.now().addresses {
            None => Addresses::new(most),
            Some(known) => {
                known.bound(most);
                Arc::clone(known)
            }
        });
        self.0.store(Arc::new(Bounds::new(raw, addresses)));
    }
}
