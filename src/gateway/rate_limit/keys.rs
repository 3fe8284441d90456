//! The keys by which limits count: client, API key, customer or network address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Caller;
use crate::backend::balance;
use crate::config::raw::Per;
use crate::customer::Identifier;
pub(crate) use crate::gateway::connection::client_address::network;
use crate::gateway::error::Refused;
use crate::refusal::Refusal;
use crate::state::login_lockout::AttemptKey;
use aws_lc_rs::digest;

/// The key by which a caller is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    Client(Arc<str>),
    ApiKey(Arc<str>),
    Customer(Identifier),
    Address(IpAddr),
}

impl LimitKey {
    /// The key of a caller under a limit of this kind.
    pub(crate) fn of(per: Option<Per>, caller: &Caller, address: IpAddr) -> Self {
        let client = || caller.client.clone().map(Self::Client);
        let api_key = || caller.api_key.clone().map(Self::ApiKey);
        let customer = || caller.customer.clone().map(Self::Customer);
        let counted = match per {
            Some(Per::Client) => client(),
            Some(Per::ApiKey) => api_key(),
            Some(Per::Customer) => customer(),
            Some(Per::Address) => None,
            None => client().or_else(api_key).or_else(customer),
        };
        counted.unwrap_or(Self::Address(network(address)))
    }

    /// Number of the caller: the same in every process and version, as replicas must agree.
    pub(crate) fn seed(&self) -> u64 {
        balance::seed(&match self {
            Self::Client(client) => format!("client {client}"),
            Self::ApiKey(id) => format!("api_key {id}"),
            Self::Customer(customer) => format!("customer {}", customer.as_str()),
            Self::Address(address) => format!("address {address}"),
        })
    }

    /// The digest of the key on this route, for a shared store.
    pub(crate) fn digest(&self, route: &str) -> AttemptKey {
        match self {
            Self::Client(client) => key(&["client", route, client]),
            Self::ApiKey(id) => key(&["api_key", route, id]),
            Self::Customer(customer) => key(&["customer", route, customer.as_str()]),
            Self::Address(address) => key(&["address", route, &address.to_string()]),
        }
    }
}

/// A digest of names, so that none is kept in clear text.
pub(crate) fn key(parts: &[&str]) -> AttemptKey {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&context.finish().as_ref()[..16]);
    key
}

pub(crate) fn retry_later(refusal: Refusal, wait: Duration) -> Refused {
    Refused { retry_after: Some(wait.as_secs() + 1), ..refusal.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }
}
