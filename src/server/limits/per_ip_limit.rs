//! Connection limit per client address: one caller cannot take all connections.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gateway::rate_limit::keys::network;
use foldhash::HashMap;

/// Open connections of a listener by client address, on all workers. An IPv6 /64 counts as one address.
#[derive(Debug)]
pub(in crate::server) struct PerIpLimit {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: AtomicUsize,
}

/// Counted connection; counted until dropped.
#[derive(Debug)]
pub(in crate::server) struct IpSlot {
    addresses: Arc<PerIpLimit>,
    address: IpAddr,
}

impl PerIpLimit {
    /// At most `most` connections from one address.
    pub(in crate::server) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most: most.into() })
    }

    /// Changes the limit.
    pub(in crate::server) fn bound(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Counts one more connection from this address; `None` above the limit.
    pub(in crate::server) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<IpSlot> {
        let address = network(address);
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        *count += 1;
        Some(IpSlot { addresses: Arc::clone(self), address })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IpSlot {
    fn drop(&mut self) {
        let mut open = self.addresses.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let addresses = PerIpLimit::new(2);
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        assert_eq!(addresses.open().len(), 1, "who has left is forgotten");
    }

    #[test]
    fn an_ipv6_caller_counts_as_its_network() {
        let addresses = PerIpLimit::new(1);
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let _place = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::ffff:2").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
    }
}
