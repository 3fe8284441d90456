//! Who may do what how often: logins and token requests by name, calls of a route by caller.

use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;

use super::Gateway;
use super::caller_share::CallerShares;
use super::error::Refused;
use super::limiter::Left;
use super::limiter::Limiter;
use super::rates::Leases;
use crate::auth::Caller;
use crate::config::raw::{Per, RateLimit};
use crate::customer::Identifier;
use crate::policy::AttemptCosts;
use crate::refusal::{Refusal, TokenFault};
use crate::state::attempts::AttemptKey;

/// The counts of all limits; all workers share them.
#[derive(Debug, Default)]
pub(super) struct Limits {
    attempts: Limiter<(Attempt, u64)>,
    calls: Limiter<(Arc<str>, Counted)>,
    /// What a shared store has granted in advance.
    pub(super) leases: Leases,
    /// Who holds how many WebSockets.
    pub(super) websockets: Arc<CallerShares>,
    /// Whose uploads, and how many, are still coming.
    pub(super) uploads: Arc<CallerShares>,
    /// Turns names into numbers, so that no name is kept.
    seed: foldhash::fast::RandomState,
}

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    Login,
    AccessToken,
}

/// Who is counted by a route's limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Client(Arc<str>),
    ApiKey(Arc<str>),
    Customer(Identifier),
    Address(IpAddr),
}

impl Limits {
    /// Counts an attempt under a name; one too many is the refusal.
    pub(super) fn attempt(
        &self,
        what: Attempt,
        name: &str,
        limit: &RateLimit,
        refusal: Refusal,
    ) -> Result<(), Refused> {
        let key = (what, self.seed.hash_one(name));
        self.attempts.take(key, limit, Instant::now()).map(drop).map_err(|wait| retry_later(refusal, wait))
    }

    /// Counts a call of a route; what is left.
    ///
    /// # Errors
    /// How long to wait, where that is one too many.
    pub(super) fn call(&self, route: Arc<str>, counted: Counted, limit: &RateLimit) -> Result<Left, Duration> {
        self.calls.take((route, counted), limit, Instant::now())
    }
}

impl Counted {
    /// Whom a limit counts here.
    pub(super) fn of(per: Option<Per>, caller: &Caller, address: IpAddr) -> Self {
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
    pub(super) fn digest(&self, route: &str) -> AttemptKey {
        match self {
            Self::Client(client) => key(&["client", route, client]),
            Self::ApiKey(id) => key(&["api_key", route, id]),
            Self::Customer(customer) => key(&["customer", route, customer.as_str()]),
            Self::Address(address) => key(&["address", route, &address.to_string()]),
        }
    }
}

/// What is tried now, under which names failures are counted, and what they cost.
pub(super) struct Tried {
    name: AttemptKey,
    address: AttemptKey,
    costs: AttemptCosts,
}

impl Gateway {
    /// Something is about to be tried under a name and from an address; too many failures before are the refusal,
    /// whatever is shown now.
    pub(super) async fn try_as(
        &self,
        what: Attempt,
        name: &str,
        address: IpAddr,
        costs: AttemptCosts,
    ) -> Result<Tried, Refused> {
        let address = network(address).to_string();
        let tried = Tried { name: key(&[what.word(), &address, name]), address: key(&[what.word(), &address]), costs };
        match self.shared.state.wait(&[tried.name, tried.address], unix_millis()).await {
            0 => Ok(tried),
            wait => Err(retry_later(what.locked(), Duration::from_millis(wait))),
        }
    }

    /// Counts what came of it. Only a clear no is a failure.
    pub(super) async fn judge<T>(&self, tried: &Tried, outcome: &Result<T, Refusal>) {
        use Refusal as R;
        let (state, now) = (&self.shared.state, unix_millis());
        match outcome {
            Ok(_) => {
                state.forgive(&tried.name, true).await;
                state.forgive(&tried.address, false).await;
            }
            Err(R::ClientAssertion(TokenFault::NoKeys)) => {}
            Err(
                R::LoginUnknownUser
                | R::LoginWrongPassword
                | R::UnknownClient
                | R::WrongClientSecret
                | R::ClientAssertion(_),
            ) => {
                state.fail(tried.name, tried.costs.name, now).await;
                state.fail(tried.address, tried.costs.address, now).await;
            }
            Err(_) => {}
        }
    }
}

impl Attempt {
    fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::AccessToken => "access_token",
        }
    }

    fn locked(self) -> Refusal {
        match self {
            Self::Login => Refusal::LoginLocked,
            Self::AccessToken => Refusal::TokenLocked,
        }
    }
}

/// Names in a digest: none is kept as it is.
fn key(parts: &[&str]) -> AttemptKey {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&context.finish().as_ref()[..16]);
    key
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn retry_later(refusal: Refusal, wait: Duration) -> Refused {
    Refused { retry_after: Some(wait.as_secs() + 1), ..refusal.into() }
}

/// An IPv6 caller owns a /64; it counts as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
    }
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
