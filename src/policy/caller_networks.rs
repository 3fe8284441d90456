//! Networks that may call a route, and networks that may not.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::raw;

/// The networks of a route's callers.
#[derive(Debug)]
pub struct CallerNetworks {
    /// Those that may call; empty: all.
    allow: Vec<IpNet>,
    /// Those that may not, whatever the others say.
    deny: Vec<IpNet>,
}

impl CallerNetworks {
    /// As configured; `None` where the route takes callers from everywhere.
    pub(super) fn read(route: &raw::Route) -> Option<Box<Self>> {
        let is_bounded = !route.allow.is_empty() || !route.deny.is_empty();
        is_bounded.then(|| Box::new(Self { allow: route.allow.clone(), deny: route.deny.clone() }))
    }

    /// Returns whether a caller from this address may call.
    pub fn admit(&self, address: IpAddr) -> bool {
        let has = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        (self.allow.is_empty() || has(&self.allow)) && !has(&self.deny)
    }
}
