//! State that outlives a request: sessions, revocations, refresh tokens, failed logins, quotas, single-use ids.
//!
//! A file names only files of lower rows:
//!
//! | row | files | what they are |
//! |--:|---|---|
//! | 6 | `operations` | the methods of [`State`], one file per noun |
//! | 5 | [`redis`] | the store that several replicas share |
//! | 4 | [`archive`] | backups |
//! | 3 | `embedded`, `codec` | the file of this process, and its records as bytes |
//! | 2 | `session_cache`, `customer_logins`, `unwritten_rules`, [`refresh_token`], [`login_lockout`], [`quota`], [`replay`] | the contents of memory |
//! | 1 | [`session`] | one session, and the names of logins |
//! | 0 | [`revocation`], [`account_stamp`], `change`, `sharded_map` | revocations, and small things that know nothing else |
//!
//! The request path reads memory. Everything that must not be lost is in a store before anybody is told that it
//! happened: one file of this process, or a Redis that several replicas share.

pub mod account_stamp;
pub mod archive;
mod change;
mod codec;
mod customer_logins;
mod embedded;
pub mod login_lockout;
mod operations;
pub mod quota;
pub mod redis;
pub mod refresh_token;
pub mod replay;
pub mod revocation;
pub mod session;
mod session_cache;
mod sharded_map;
mod unwritten_revocations;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::metrics::StateMetrics;
use change::{Change, Fate};
use codec::StoredRecord;
use customer_logins::CustomerLogins;
use embedded::Embedded;
pub use embedded::OpenFault;
use login_lockout::Attempts;
use quota::Quotas;
pub use quota::{Quota, Taken};
use redis::Redis;
pub use redis::{Among, Replica};
use refresh_token::{Answered, Family};
use replay::UsedIds;
use revocation::Revocations;
use session::{LoginId, SessionDigest};
use session_cache::{SessionCertainty, Sessions};
use sharded_map::Shards;
use unwritten_revocations::Owed;

/// Longest life of a token, in seconds, and so of a rule about a customer or client (RFC 6265bis caps cookies at 400
/// days).
pub const LONGEST: u64 = 400 * 24 * 3600;

/// Longest clock skew, in seconds, and the upper bound of `trusted_issuers[].clock_skew`: a token may be good for so long
/// after its end, and a rule about it must not be forgotten before.
pub const LONGEST_SKEW: u64 = 300;

/// The store cannot be read or written. Never taken for a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state store is not available")]
pub struct Unavailable;

/// The place of the state.
#[derive(Debug)]
pub enum StateSettings {
    /// In a file in this directory, with these limits.
    Embedded(PathBuf, Most),
    /// In Redis, which several replicas share, with these limits while it is unreachable.
    Redis(Box<redis::RedisSettings>, Outage),
    /// In memory only, for tests and measurements: it ends with the process.
    Memory,
}

impl StateSettings {
    /// The directory of the file that only one process can have.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Embedded(directory, _) => Some(directory),
            Self::Redis(..) | Self::Memory => None,
        }
    }
}

/// Limits of the state that one process holds.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Sessions and families of refresh tokens together.
    pub sessions: usize,
    /// Used single-use ids.
    pub replay_ids: usize,
}

/// Limits while the shared store is unreachable.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Longest time that a cached session is accepted, counted from the last moment at which its end would certainly
    /// have been heard of.
    pub sessions: Duration,
    /// Longest time that credentials are accepted although a revocation of them may have been missed.
    pub revocations: Duration,
}

/// All state of the process.
pub struct State {
    sessions: Sessions,
    revocations: Arc<Revocations>,
    families: Shards<SessionDigest, Family>,
    answered: Answered,
    /// The sessions of each customer in order; empty with a shared store, which keeps its own.
    session_registry: CustomerLogins,
    family_registry: CustomerLogins,
    attempts: Arc<Attempts>,
    quotas: Quotas,
    used: UsedIds,
    owed: Owed,
    store: Store,
    max_sessions: usize,
    metrics: Arc<StateMetrics>,
    started: Instant,
}

/// Limit of a customer's logins of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Number of logins that stay: the newest.
    pub most: usize,
    /// Expiry of the last token of the logins that end, in seconds since 1970.
    pub until: u64,
}

/// The fate of a change whose caller left, or was told that the outcome is unknown, before it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnlessLeft {
    /// It is written all the same: it makes something stricter, or is in force here already.
    Write,
    /// Nothing is written: what nobody was told of is not.
    Drop,
}

enum Store {
    Memory,
    Embedded(Embedded),
    Redis(Redis, Outage),
}

impl State {
    /// Checks that the file can be opened; changes nothing.
    ///
    /// # Errors
    /// The reason that it cannot.
    pub fn examine(settings: &StateSettings) -> Result<(), OpenFault> {
        settings.directory().map_or(Ok(()), embedded::examine)
    }

    /// Tries to connect to the shared store once.
    ///
    /// # Errors
    /// The reason that it failed.
    pub async fn try_connect(settings: &StateSettings) -> Result<(), String> {
        match settings {
            StateSettings::Redis(settings, _) => redis::try_connect(settings).await,
            StateSettings::Embedded(..) | StateSettings::Memory => Ok(()),
        }
    }

    /// Opens the store and reads what it holds. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The reason that the store cannot be used.
    pub fn open(
        settings: StateSettings,
        metrics: Arc<StateMetrics>,
        control: &Handle,
        now: u64,
    ) -> Result<Self, OpenFault> {
        let mut state = Self { metrics, ..Self::in_memory() };
        match settings {
            StateSettings::Memory => {}
            StateSettings::Embedded(directory, most) => {
                state.max_sessions = most.sessions;
                state.used = UsedIds::of(most.replay_ids);
                let (mut sessions, mut families) = (Vec::new(), Vec::new());
                let embedded = Embedded::open(&directory, |key, value| {
                    let kept = codec::read(key, value)?;
                    // Also of what is over: what bears a lower number may not be.
                    state.revocations.see(kept.number());
                    if kept.is_over(now) {
                        return Ok(Fate::Dead);
                    }
                    match kept {
                        StoredRecord::Session(digest, session) => {
                            sessions.push((session.customer.clone(), session.issued_at, session.login, digest));
                            state.sessions.insert(digest, session, SessionCertainty::Complete, 0);
                        }
                        StoredRecord::Rule(rule) => state.revocations.restore(rule),
                        StoredRecord::Family(digest, family) => {
                            families.push((family.customer.clone(), family.issued_at, LoginId::of(&digest), digest));
                            state.families.insert(digest, family);
                        }
                        StoredRecord::Failures(key, failures) => state.attempts.set(key, failures),
                        StoredRecord::Right(key, until) => state.attempts.set_right(key, until),
                        StoredRecord::Count(key, period, count) => state.quotas.set(&key, period, count),
                        StoredRecord::Used(id, until) => state.used.set(id, until),
                        StoredRecord::Highest(_) => {}
                    }
                    Ok(Fate::Live)
                })?;
                state.session_registry.fill(sessions);
                state.family_registry.fill(families);
                state.store = Store::Embedded(embedded);
            }
            StateSettings::Redis(settings, outage) => {
                state.revocations = Arc::new(Revocations::shared());
                let redis = Redis::start(
                    *settings,
                    Arc::clone(&state.revocations),
                    Arc::clone(&state.attempts),
                    control.clone(),
                );
                state.store = Store::Redis(redis, outage);
            }
        }
        Ok(state)
    }

    /// State that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            sessions: Sessions::default(),
            revocations: Arc::default(),
            families: Shards::in_order(),
            answered: Answered::default(),
            session_registry: CustomerLogins::default(),
            family_registry: CustomerLogins::default(),
            attempts: Arc::default(),
            quotas: Quotas::default(),
            used: UsedIds::default(),
            owed: Owed::default(),
            store: Store::Memory,
            max_sessions: usize::MAX,
            metrics: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Applies the settings that can change while the process runs: the credentials of the shared store.
    pub fn renew(&self, settings: &StateSettings) {
        if let (Store::Redis(store, _), StateSettings::Redis(settings, _)) = (&self.store, settings) {
            store.renew(settings.access.load_full());
        }
    }

    /// Writes to the store: as changes of the file, or by an operation of the shared store.
    async fn keep(
        &self,
        operation: &'static str,
        unless_left: UnlessLeft,
        changes: impl FnOnce() -> Vec<Change>,
        shared: impl AsyncFnOnce(&Redis) -> Result<(), Unavailable>,
    ) -> Result<(), Unavailable> {
        let begun = Instant::now();
        let outcome = match &self.store {
            Store::Memory => Ok(()),
            Store::Embedded(store) => {
                let owed = self.owed.rules(&self.revocations);
                let mut changes = changes();
                changes.extend(owed.iter().map(codec::put_rule));
                if changes.iter().any(codec::is_rule) {
                    changes.push(codec::put_highest(self.revocations.seen()));
                }
                let written = store.write(changes, unless_left == UnlessLeft::Drop).await;
                written.inspect(|()| self.owed.settle(&owed))
            }
            // It gets all that it lacks once it is there.
            Store::Redis(store, _) => shared(store).await,
        };
        self.note(operation, begun.elapsed(), outcome.is_ok());
        outcome
    }

    fn note(&self, operation: &'static str, took: Duration, worked: bool) {
        self.metrics.took(operation, took);
        if !worked {
            self.metrics.failed(operation);
        }
    }
}
