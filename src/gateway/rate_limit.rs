//! Rate limits, quotas and shares per caller: a caller and a route come in; permission or a 429 with `RateLimit` fields
//! goes out.

pub(crate) mod apply;
pub(crate) mod caller_share;
pub(crate) mod gcra;
pub(crate) mod keys;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::raw::RateLimit;
use crate::config::scalar::Rate;
use crate::state::login_lockout::AttemptKey;
use apply::Leases;
use caller_share::CallerShares;
use gcra::{Left, Limiter, Spent, each};
use keys::LimitKey;

/// The counts of all limits, shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct RateLimits {
    names: Arc<Limiter<AttemptKey>>,
    looks: Limiter<AttemptKey>,
    calls: Limiter<(Arc<str>, LimitKey)>,
    /// Calls granted in advance by the shared store.
    leases: Leases,
    /// Open WebSockets by caller.
    websockets: Arc<CallerShares>,
    /// Uploads in flight by caller.
    uploads: Arc<CallerShares>,
    /// Temporary files of request bodies by caller.
    buffers: Arc<CallerShares>,
}

/// The outcome of a lookup of a remembered secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Found,
    /// Counts as a miss, until the secret is verified and that counts.
    NotFound,
    /// Too many lookups have missed before.
    NotAllowed,
}

impl RateLimits {
    /// The delay before another attempt under this name, where there were too many.
    pub(super) fn name_wait(&self, name: &AttemptKey, limit: &RateLimit) -> Option<Duration> {
        self.names.wait(name, limit, Instant::now())
    }

    /// Counts an attempt under a name, unless it is given back.
    ///
    /// # Errors
    /// The delay, where that is one too many.
    pub(super) fn spend_name(&self, name: AttemptKey, limit: &RateLimit) -> Result<Spent<'_, AttemptKey>, Duration> {
        self.names.spend(name, limit, Instant::now())
    }

    /// A function that forgets the attempts under a name.
    pub(super) fn forget_name(&self) -> impl Fn(&AttemptKey) + Send + Sync + 'static {
        let names = Arc::clone(&self.names);
        move |name| names.forget(name)
    }

    /// Looks up a remembered secret. Only misses count against the limit of a name from a network.
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

    /// Refunds a miss whose secret was verified, and counted as that.
    pub(super) fn has_verified(&self, who: AttemptKey, look: Look) {
        if look == Look::NotFound {
            self.looks.give_back(&who, each(&looks()));
        }
    }

    /// Forgets idle keys, and with them names that are gone.
    pub(super) fn forget_idle(&self) {
        let now = Instant::now();
        self.names.forget_idle(now);
        self.looks.forget_idle(now);
        self.calls.forget_idle(now);
        self.leases.forget_idle(now);
    }

    /// The delay before the next call of a route, where nothing is left now.
    pub(crate) fn call_wait(&self, route: Arc<str>, counted: LimitKey, limit: &RateLimit) -> Option<Duration> {
        self.calls.wait(&(route, counted), limit, Instant::now())
    }

    /// Counts a call of a route; returns what is left of the limit.
    ///
    /// # Errors
    /// The delay, where that is one too many.
    pub(crate) fn call(&self, route: Arc<str>, counted: LimitKey, limit: &RateLimit) -> Result<Left, Duration> {
        self.calls.take((route, counted), limit, Instant::now())
    }
}

/// The limit of lookups that miss, for one client from one network. A lookup costs no hash and is possible where too
/// much has failed before, so it must not be an oracle.
fn looks() -> RateLimit {
    RateLimit { rate: Rate::per_minute(1), burst: Some(5) }
}

/// Number of lookups that can miss in so many seconds.
#[cfg(test)]
pub(super) fn looks_in(seconds: u64) -> u64 {
    gcra::burst(&looks()) + seconds * 1_000_000_000 / each(&looks())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_are_not_remembered_are_looked_for_a_few_times_and_what_is_verified_does_not_count() {
        let limits = RateLimits::default();
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
}
