//! The state that all workers share: the policy in force, counters, limits, logins, and the drain of the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::connection::listener_view::ListenerView;
use super::endpoints::client_authentication::VerifiedSecrets;
use super::endpoints::fair_queue::FairQueue;
use super::endpoints::password_hashing::PasswordHashing;
use super::memory::Memory;
use super::observe::observed_refusals::ObservedRefusals;
use super::observe::recent_refusals::RecentRefusals;
use super::observe::reload_history::ReloadHistory;
use super::observe::request_shapes::RequestShapes;
use super::rate_limit::RateLimits;
use super::{endpoints, forward_auth};
use crate::audit::Audit;
use crate::metrics::Metrics;
use crate::otlp::Recording;
use crate::policy::{Lasting, Policy};
use crate::state::State;

/// The state that all workers share, and that outlives a policy.
pub struct Shared {
    policy: ArcSwap<Policy>,
    /// Earlier policies that somebody still holds.
    earlier: Mutex<Vec<Weak<Policy>>>,
    /// All counters.
    pub metrics: Arc<Metrics>,
    /// Logins, revocations and failed attempts.
    pub state: State,
    /// The audit log.
    pub audit: Audit,
    /// The most recent refusals.
    pub refusals: Arc<RecentRefusals>,
    /// Counts of the last hour's requests, by shape.
    pub shapes: RequestShapes,
    /// The latest reloads.
    pub reloads: ReloadHistory,
    /// Who would be refused on routes that observe.
    pub observed: Arc<ObservedRefusals>,
    /// The listeners, once they are bound.
    pub listeners: OnceLock<Vec<ListenerView>>,
    /// The threads that hash passwords, and their queue.
    pub hashing: PasswordHashing,
    /// Pools, keys and accounts that outlive a policy.
    pub lasting: Lasting,
    /// The memory limit.
    pub memory: Memory,
    /// The place for spans, where traces are exported.
    pub recording: Option<Recording>,
    pub(super) limits: RateLimits,
    /// The queue for the company's own login.
    pub(super) asking: FairQueue,
    /// Client secrets that were verified before.
    pub(super) remembered: Arc<VerifiedSecrets>,
    /// Requests of the gateway's own endpoints in flight.
    own: AtomicUsize,
    /// While the process drains: when connections that are never quiet are announced to end, and when they end also in
    /// the middle of a response.
    pub(super) insists_from: OnceLock<[Instant; 2]>,
    /// The grace time, while the process drains.
    pub(super) grace: OnceLock<Duration>,
}

/// A request of one of the gateway's own endpoints, counted while it lives.
pub(super) struct InFlightGuard<'a>(&'a AtomicUsize);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Begins with this policy in force.
    pub fn new(
        policy: Policy,
        lasting: Lasting,
        metrics: Arc<Metrics>,
        hashing: PasswordHashing,
        state: State,
        audit: Audit,
    ) -> Self {
        name(&metrics, &policy);
        let observed = Arc::<ObservedRefusals>::default();
        watch(&observed, &metrics, &policy);
        let limits = RateLimits::default();
        state.on_clear(limits.forget_name());
        Self {
            policy: ArcSwap::from_pointee(policy),
            earlier: Mutex::default(),
            metrics,
            state,
            audit,
            refusals: Arc::default(),
            shapes: RequestShapes::default(),
            reloads: ReloadHistory::default(),
            observed,
            listeners: OnceLock::new(),
            hashing,
            lasting,
            memory: Memory::default(),
            recording: None,
            limits,
            asking: FairQueue::new(endpoints::login::MAX_ASKED),
            remembered: Arc::default(),
            own: AtomicUsize::new(0),
            insists_from: OnceLock::new(),
            grace: OnceLock::new(),
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// Waits until no request that may write to the state is in flight, at most for `longest`.
    pub async fn is_quiet(&self, longest: Duration) {
        let until = Instant::now() + longest;
        while self.own.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Begins the drain: everything is cut off after `grace`, and requests are decided for at most `decides`.
    pub fn drains(&self, grace: Duration, decides: Duration) {
        let served = decides.min(grace);
        let _ = self.insists_from.set([0.5, 0.75].map(|part| Instant::now() + served.mul_f32(part)));
        let _ = self.grace.set(grace);
    }

    /// Counts a request of the gateway's own endpoints for as long as the guard lives.
    pub(super) fn answers_itself(&self) -> InFlightGuard<'_> {
        self.own.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(&self.own)
    }

    /// Puts another policy in force, for each request that begins from now on. Returns the previous one, to be kept
    /// until nobody else holds it: dropping a large policy takes long, and no worker may have to.
    #[must_use]
    pub fn replace_policy(&self, policy: Arc<Policy>) -> Arc<Policy> {
        name(&self.metrics, &policy);
        watch(&self.observed, &self.metrics, &policy);
        let before = self.policy.swap(Arc::clone(&policy));
        self.lasting.generation.fetch_add(1, Ordering::Release);
        let mut earlier = self.earlier();
        // One that is put back is no earlier one any more.
        earlier.retain(|known| known.as_ptr() != Arc::as_ptr(&policy));
        earlier.push(Arc::downgrade(&before));
        before
    }

    /// Number of earlier policies that are still held.
    pub fn earlier_policies(&self) -> usize {
        self.earlier().len()
    }

    fn earlier(&self) -> MutexGuard<'_, Vec<Weak<Policy>>> {
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.retain(|policy| policy.strong_count() > 0);
        earlier
    }

    /// Forgets idle keys of all limits.
    pub fn forget_idle_limits(&self) {
        self.limits.forget_idle();
    }
}

/// Begins to count on routes that observe now, and forgets those that no longer do.
fn watch(observed: &ObservedRefusals, metrics: &Metrics, policy: &Policy) {
    let routes = policy.routes.iter().filter(|route| !route.enforcement.is_always());
    let now = super::unix_seconds(SystemTime::now());
    observed.watch(routes.map(|route| (&route.name, metrics.requests_of(&route.name))), now);
}

/// Tells the metrics the names of routes and backends. Route names that also stand for an endpoint are not theirs to
/// forget.
fn name(metrics: &Metrics, policy: &Policy) {
    const OTHERS: [&str; 11] = [
        "none",
        endpoints::well_known::NAME,
        endpoints::login::NAME,
        endpoints::authorization_endpoint::NAME,
        endpoints::authorization_endpoint::provider::NAME,
        endpoints::token::NAME,
        endpoints::logout::NAME,
        endpoints::revoke_introspect::REVOKE,
        endpoints::revoke_introspect::INTROSPECT,
        forward_auth::NAME,
        forward_auth::ext_authz::NAME,
    ];
    let is_its_own = |name: &&Arc<str>| !OTHERS.contains(&&***name);
    let routes = policy.routes.iter().map(|route| &route.name).filter(is_its_own);
    metrics.names(routes, policy.backends.iter().map(|backend| &backend.name), Instant::now());
}
