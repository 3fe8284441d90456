//! State shared by all operations: connection, names of keys, news from other replicas.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;

use super::background_queue::Chores;
use super::connect::connect;
use super::connect_log::ConnectLog;
use super::connection::RedisConnection;
use super::fields::{ends, session_fields};
use super::replicas::Replicas;
use super::revocation_rules::PAGE;
use super::scripts::Scripts;
use super::sentinels::Sentinels;
use super::settings::RedisSettings;
use crate::customer::Identifier;
use crate::hex::hex;
use crate::secret::random_bytes;
use crate::state::customer_logins::LoginKind;
use crate::state::login_lockout::{AttemptKey, Attempts};
use crate::state::revocation::Revocations;
use crate::state::session::{Session, SessionDigest};

/// State shared by all operations.
pub(super) struct Inner {
    pub(super) settings: RedisSettings,
    pub(super) scripts: Scripts,
    pub(super) revocations: Arc<Revocations>,
    pub(super) attempts: Arc<Attempts>,
    /// Random name that tells our own heartbeats from those of other replicas.
    pub(super) name: String,
    pub(super) link: ArcSwapOption<RedisConnection>,
    pub(super) lost: Notify,
    /// Signals new credentials.
    pub(super) renewed: Notify,
    pub(super) sentinels: Sentinels,
    pub(super) connect_log: ConnectLog,
    pub(super) was_up: AtomicBool,
    pub(super) started: Instant,
    /// Number of the present subscription.
    pub(super) listening: AtomicU32,
    /// Sending time of the last heartbeat that came back during this subscription, in milliseconds since `started`; 0
    /// if none has.
    pub(super) heard: AtomicU64,
    /// Subscription and sending time of the last heartbeat that ever came back.
    pub(super) last_heard: Mutex<(u32, u64)>,
    /// Time when all rules were last known, in milliseconds since `started`; 0 if never.
    pub(super) synced: AtomicU64,
    /// Round trip of the last heartbeat, in microseconds.
    pub(super) propagation: AtomicU64,
    /// Sessions used since the store was last told.
    pub(super) touched: Mutex<HashMap<SessionDigest, Session>>,
    /// Number up to which all rules of the store have been read.
    pub(super) cursor: AtomicU64,
    /// Rules read at once.
    pub(super) page: AtomicUsize,
    /// Background work.
    pub(super) chores: Chores,
    /// Other replicas, by their heartbeats.
    pub(super) replicas: Replicas,
}

impl Inner {
    /// The state before anything is connected.
    pub(super) fn new(
        settings: RedisSettings,
        revocations: Arc<Revocations>,
        attempts: Arc<Attempts>,
        connect_log: ConnectLog,
    ) -> Self {
        Self {
            sentinels: Sentinels::of(&settings),
            settings,
            scripts: Scripts::new(),
            revocations,
            attempts,
            name: hex(&random_bytes::<8>()),
            link: ArcSwapOption::empty(),
            lost: Notify::new(),
            renewed: Notify::new(),
            connect_log,
            was_up: AtomicBool::new(true),
            started: Instant::now(),
            listening: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            last_heard: Mutex::default(),
            synced: AtomicU64::new(0),
            propagation: AtomicU64::new(0),
            touched: Mutex::default(),
            cursor: AtomicU64::new(0),
            page: AtomicUsize::new(PAGE),
            chores: Chores::default(),
            replicas: Replicas::default(),
        }
    }

    /// Connects: a connection for operations, and a subscription.
    pub(super) async fn connect(&self) -> RedisResult<(RedisConnection, PubSub)> {
        connect(&self.settings, &self.sentinels, &self.connect_log).await
    }

    pub(super) fn session_key(&self, digest: &SessionDigest) -> String {
        format!("{}s:{}", self.settings.prefix, hex(digest))
    }

    pub(super) fn family_key(&self, digest: &SessionDigest) -> String {
        format!("{}f:{}", self.settings.prefix, hex(digest))
    }

    /// Key of a customer's logins.
    pub(super) fn customer_key(&self, kind: LoginKind, customer: &Identifier) -> String {
        let letter = match kind {
            LoginKind::Session => 's',
            LoginKind::Family => 'f',
        };
        format!("{}c:{letter}:{customer}", self.settings.prefix)
    }

    pub(super) fn attempt_prefix(&self) -> String {
        format!("{}a:", self.settings.prefix)
    }

    pub(super) fn attempt_key(&self, key: &AttemptKey) -> String {
        format!("{}{}", self.attempt_prefix(), hex(key))
    }

    /// Key of the set of a name's failure counters.
    pub(super) fn name_key(&self, who: &AttemptKey) -> String {
        format!("{}n:{}", self.settings.prefix, hex(who))
    }

    pub(super) fn right_key(&self, key: &AttemptKey) -> String {
        format!("{}k:{}", self.settings.prefix, hex(key))
    }

    pub(super) fn channel(&self) -> String {
        format!("{}events", self.settings.prefix)
    }

    pub(super) fn put(&self, pipeline: &mut Pipeline, digest: &SessionDigest, session: &Session) {
        let key = self.session_key(digest);
        pipeline.cmd("HSET").arg(&key).arg(session_fields(session)).ignore();
        pipeline.cmd("EXPIREAT").arg(key).arg(ends(session)).ignore();
    }

    /// Prefix of the keys of this kind of login.
    pub(super) fn login_prefix(&self, kind: LoginKind) -> String {
        let letter = match kind {
            LoginKind::Session => 's',
            LoginKind::Family => 'f',
        };
        format!("{}{letter}:", self.settings.prefix)
    }

    /// Handles a failed operation: some errors are about the connection, others about the operation.
    pub(super) fn failed(&self, link: &Arc<RedisConnection>, error: &RedisError) {
        if is_away(error) {
            self.lose_link(link, &error.to_string());
        } else {
            tracing::warn!(%error, "the state store refused an operation");
        }
    }

    /// Gives up a broken link. A failure on one that has been replaced since says nothing of the next.
    pub(super) fn lose_link(&self, link: &Arc<RedisConnection>, reason: &str) {
        if self.link.load().as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            self.lose(reason);
            self.lost.notify_one();
        }
    }

    /// Marks the store as unreachable, until `sync` has found it again.
    pub(super) fn lose(&self, reason: &str) {
        self.link.store(None);
        if self.was_up.swap(false, Ordering::AcqRel) {
            tracing::error!(
                reason,
                "the state store is unreachable: requests that need it are refused with 503 until it is back"
            );
        }
    }

    pub(super) fn found(&self) {
        if !self.was_up.swap(true, Ordering::AcqRel) {
            tracing::info!("the state store is reachable again");
        }
    }

    /// Milliseconds since `started`, never 0.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Returns whether the error is about the connection, or the server at its end.
pub(super) fn is_away(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_timeout()
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::AuthenticationFailed
                | ErrorKind::Server(
                    ServerErrorKind::ReadOnly
                        | ServerErrorKind::BusyLoading
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ClusterDown
                )
        )
}
