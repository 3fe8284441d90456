//! Rate limits of routes and quotas of API keys: counts a call, and tells the caller what is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::gcra::{Left, burst, each};
use super::keys::{LimitKey, retry_later};
use crate::auth::Caller;
use crate::config::raw::RateLimit;
use crate::gateway::Gateway;
use crate::gateway::enforcement;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::policy::route::{CallLimit, Route};
use crate::refusal::Refusal;
use crate::state::Quota;
use crate::state::login_lockout::AttemptKey;

/// Lifetime of a lease; unused calls are lost after it.
const LEASE: Duration = Duration::from_secs(1);

/// Most leases; beyond, expired ones are dropped.
const MAX_LEASES: usize = 50_000;

/// Leases: calls that the shared store has granted in advance, so that most calls need not ask it.
#[derive(Debug, Default)]
pub(super) struct Leases(DashMap<AttemptKey, Lease, foldhash::fast::RandomState>);

#[derive(Debug, Clone, Copy)]
struct Lease {
    calls: u64,
    left: Left,
    until: Instant,
    /// No call before then, whatever was leased.
    denied: Option<Instant>,
}

/// The `RateLimit` and `RateLimit-Policy` fields of a response (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Default)]
pub(crate) struct RateLimitHeaders {
    policy: String,
    left: String,
}

impl RateLimitHeaders {
    /// Adds a limit: `most` calls in `window` seconds, of which `left` are left, until all are there again in `reset`
    /// seconds.
    fn add(&mut self, name: &str, most: u64, window: u64, left: u64, reset: u64) {
        let separator = if self.policy.is_empty() { "" } else { ", " };
        self.policy.push_str(&format!("{separator}\"{name}\";q={most};w={window}"));
        self.left.push_str(&format!("{separator}\"{name}\";r={left};t={reset}"));
    }

    /// Writes the fields into a response, in place of the backend's.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        for (name, text) in [("ratelimit-policy", &self.policy), ("ratelimit", &self.left)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

impl Gateway {
    /// Counts a call of a route, against its limit and against the quotas of the API key, and fills the `RateLimit`
    /// fields of the response.
    ///
    /// # Errors
    /// [`Refusal::RateLimited`] or [`Refusal::Quota`], with `Retry-After`.
    pub(crate) async fn within_limits(
        &self,
        route: &Route,
        caller: &Caller,
        call: &Call<'_>,
        record: &mut Record,
        headers: &mut Option<Box<RateLimitHeaders>>,
    ) -> Result<(), Refused> {
        let quotas = caller.api_key.as_ref().and_then(|key| Some((key, call.policy.quotas.get(key)?)));
        if route.rate.is_none() && quotas.is_none() {
            return Ok(());
        }
        let mut told = RateLimitHeaders::default();
        let mut outcome = Ok(());
        if let Some(limit) = &route.rate {
            outcome = self.within_rate(route, limit, caller, call.source.address, &mut told).await;
        }
        for quota in quotas.iter().flat_map(|(_, quotas)| quotas.iter()) {
            if let (Ok(()), Some((key, _))) = (&outcome, quotas) {
                outcome = self.within_quota(key, *quota, record, &mut told).await;
            }
        }
        *headers = Some(Box::new(told));
        match outcome {
            Err(refused) => enforcement::carry_out(refused.refusal, route, record).map_err(|_| refused),
            Ok(()) => Ok(()),
        }
    }

    async fn within_rate(
        &self,
        route: &Route,
        limit: &CallLimit,
        caller: &Caller,
        address: std::net::IpAddr,
        told: &mut RateLimitHeaders,
    ) -> Result<(), Refused> {
        let counted = LimitKey::of(limit.per, caller, address);
        let taken = if limit.shared {
            self.shared_rate(route, &limit.limit, &counted).await
        } else {
            self.shared.limits.call(Arc::clone(&route.name), counted, &limit.limit)
        };
        let most = burst(&limit.limit);
        let window = (u128::from(most) * u128::from(each(&limit.limit))).div_ceil(1_000_000_000);
        let window = u64::try_from(window).unwrap_or(u64::MAX).max(1);
        match taken {
            Ok(left) => {
                told.add("rate", most, window, left.calls, seconds(left.full));
                Ok(())
            }
            Err(wait) => {
                told.add("rate", most, window, 0, seconds(wait));
                Err(retry_later(Refusal::RateLimited, wait))
            }
        }
    }

    /// Counts by leases of the shared store. While that is away, each replica counts for itself.
    async fn shared_rate(&self, route: &Route, limit: &RateLimit, counted: &LimitKey) -> Result<Left, Duration> {
        let key = counted.digest(&route.name);
        let leases = &self.shared.limits.leases;
        let now = Instant::now();
        if let Some(decided) = leases.spend(&key, now) {
            return decided;
        }
        let each = each(limit);
        // A tenth of a second's worth, and not so much that other replicas get none.
        let wanted = (100_000_000 / each.max(1)).clamp(1, (burst(limit) / 4).max(1));
        match self.shared.state.take(key, each.div_ceil(1_000), burst(limit), wanted).await {
            Ok(taken) => leases.keep(key, taken, now),
            Err(_) => {
                self.worker_metrics().rate_limit_fell_back();
                self.shared.limits.call(Arc::clone(&route.name), counted.clone(), limit)
            }
        }
    }

    async fn within_quota(
        &self,
        key: &str,
        quota: Quota,
        record: &Record,
        told: &mut RateLimitHeaders,
    ) -> Result<(), Refused> {
        let now = crate::gateway::unix_seconds(record.time);
        let (begun, ends) = quota.period.bounds(now);
        let left = match self.shared.state.count(key, quota, begun).await {
            Ok(left) => left,
            // Quotas are for invoices and not for safety: nobody is turned away because of a store.
            Err(_) => {
                self.worker_metrics().rate_limit_fell_back();
                return Ok(());
            }
        };
        let reset = ends.saturating_sub(now).max(1);
        told.add(quota.period.as_str(), quota.most, ends - begun, left.unwrap_or_default(), reset);
        match left {
            Some(_) => Ok(()),
            None => Err(retry_later(Refusal::Quota, Duration::from_secs(reset))),
        }
    }
}

impl Leases {
    /// Drops expired leases.
    pub(crate) fn forget_idle(&self, now: Instant) {
        self.0.retain(|_, lease| lease.until > now || lease.denied.is_some_and(|denied| denied > now));
    }

    /// Spends a leased call; `None` where the store must be asked.
    fn spend(&self, key: &AttemptKey, now: Instant) -> Option<Result<Left, Duration>> {
        let mut lease = self.0.get_mut(key)?;
        if let Some(denied) = lease.denied.filter(|denied| *denied > now) {
            return Some(Err(denied - now));
        }
        if lease.calls == 0 || lease.until <= now {
            return None;
        }
        lease.calls -= 1;
        Some(Ok(Left { calls: lease.left.calls + lease.calls, full: lease.left.full }))
    }

    /// Stores a new lease, and spends one of its calls.
    fn keep(&self, key: AttemptKey, taken: crate::state::Taken, now: Instant) -> Result<Left, Duration> {
        if self.0.len() >= MAX_LEASES {
            self.forget_idle(now);
        }
        let wait = Duration::from_micros(taken.wait);
        let left = Left { calls: taken.left, full: Duration::from_micros(taken.full) };
        let granted = taken.granted > 0;
        let mut lease = self.0.entry(key).or_insert(Lease { calls: 0, left, until: now, denied: None });
        if lease.until <= now {
            lease.calls = 0;
        }
        lease.left = left;
        lease.until = now + LEASE;
        lease.denied = (!granted).then(|| now + wait);
        if !granted {
            return Err(wait);
        }
        lease.calls += taken.granted - 1;
        Ok(Left { calls: left.calls + lease.calls, full: left.full })
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
