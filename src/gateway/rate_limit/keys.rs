//! Who may do what how often: names that are tried, calls of a route by caller.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::apply::Leases;
use super::caller_share::CallerShares;
use super::gcra::{Left, Limiter, Spent, each};
use crate::auth::Caller;
use crate::config::raw::{Per, RateLimit};
use crate::config::scalar::Rate;
use crate::customer::Identifier;
use crate::gateway::error::Refused;
use crate::refusal::Refusal;
use crate::state::login_lockout::AttemptKey;
use aws_lc_rs::digest;

/// The counts of all limits; all workers share them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    names: Arc<Limiter<AttemptKey>>,
    looks: Limiter<AttemptKey>,
    calls: Limiter<(Arc<str>, Counted)>,
    /// What a shared store has granted in advance.
    pub(crate) leases: Leases,
    /// Who holds how many WebSockets.
    pub(crate) websockets: Arc<CallerShares>,
    /// Whose uploads, and how many, are still coming.
    pub(crate) uploads: Arc<CallerShares>,
}

/// What comes of a look for a secret that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Found,
    /// That counts, until the secret is verified and that counts.
    NotFound,
    /// Too many others were looked for in vain.
    NotAllowed,
}

/// Who is counted by a route's limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Client(Arc<str>),
    ApiKey(Arc<str>),
    Customer(Identifier),
    Address(IpAddr),
}

impl Limits {
    /// How long to wait before another attempt under a name that this digest stands for, where there were too many.
    pub(crate) fn name_wait(&self, name: &AttemptKey, limit: &RateLimit) -> Option<Duration> {
        self.names.wait(name, limit, Instant::now())
    }

    /// Counts an attempt under a name, unless it is given back.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
    pub(crate) fn spend_name(&self, name: AttemptKey, limit: &RateLimit) -> Result<Spent<'_, AttemptKey>, Duration> {
        self.names.spend(name, limit, Instant::now())
    }

    /// What forgets how often a name was tried.
    pub(crate) fn forget_name(&self) -> impl Fn(&AttemptKey) + Send + Sync + 'static {
        let names = Arc::clone(&self.names);
        move |name| names.forget(name)
    }

    /// Looks whether a secret is remembered, as often as a name from a network may. Only looks that find nothing count.
    pub(crate) fn look(&self, who: AttemptKey, is_remembered: impl FnOnce() -> bool) -> Look {
        let now = Instant::now();
        if self.looks.wait(&who, &looks(), now).is_some() {
            return Look::NotAllowed;
        }
        if is_remembered() {
            return Look::Found;
        }
        self.looks.take(who, &looks(), now).map_or(Look::NotAllowed, |_| Look::NotFound)
    }

    /// What was looked for in vain has been verified, and counted as that.
    pub(crate) fn has_verified(&self, who: AttemptKey, look: Look) {
        if look == Look::NotFound {
            self.looks.give_back(&who, each(&looks()));
        }
    }

    /// Forgets whoever is not held back any more, and with that names that are gone.
    pub(crate) fn forget_idle(&self) {
        let now = Instant::now();
        self.names.forget_idle(now);
        self.looks.forget_idle(now);
        self.calls.forget_idle(now);
        self.leases.forget_idle(now);
    }

    /// Counts a call of a route; what is left.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
    pub(crate) fn call(&self, route: Arc<str>, counted: Counted, limit: &RateLimit) -> Result<Left, Duration> {
        self.calls.take((route, counted), limit, Instant::now())
    }
}

impl Counted {
    /// Whom a limit counts here.
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

    /// What stands for it, on this route, in a store that others share.
    pub(crate) fn digest(&self, route: &str) -> AttemptKey {
        match self {
            Self::Client(client) => key(&["client", route, client]),
            Self::ApiKey(id) => key(&["api_key", route, id]),
            Self::Customer(customer) => key(&["customer", route, customer.as_str()]),
            Self::Address(address) => key(&["address", route, &address.to_string()]),
        }
    }
}

/// How often a secret that is not remembered may be looked for, for one client from one network. A look costs no hash and
/// is possible where too much has failed before, so it must not be an oracle.
fn looks() -> RateLimit {
    RateLimit { rate: Rate::per_minute(1), burst: Some(5) }
}

/// Names in a digest: none is kept as it is.
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

/// An IPv6 caller owns a /64; it counts as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
    }
}

/// How many secrets can be looked for in vain in so many seconds.
#[cfg(test)]
pub(crate) fn looks_in(seconds: u64) -> u64 {
    super::gcra::burst(&looks()) + seconds * 1_000_000_000 / each(&looks())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_not_remembered_are_looked_for_a_few_times_and_what_is_verified_does_not_count() {
        let limits = Limits::default();
        for _ in 0..50 {
            assert_eq!(limits.look([1; 16], || true), Look::Found);
            assert_eq!(limits.look([1; 16], || false), Look::NotFound);
            limits.has_verified([1; 16], Look::NotFound);
        }
        for _ in 0..5 {
            assert_eq!(limits.look([1; 16], || false), Look::NotFound);
        }
        assert_eq!(limits.look([1; 16], || true), Look::NotAllowed);
        limits.has_verified([1; 16], Look::NotAllowed);
        assert_eq!(limits.look([1; 16], || true), Look::NotAllowed);
        assert_eq!(limits.look([2; 16], || true), Look::Found, "from another network");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_as_one() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }
}
