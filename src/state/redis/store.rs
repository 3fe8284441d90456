//! What the operations and the link share: names of keys, what stands in them, and whether the store is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use redis::aio::PubSub;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;

use super::chores::Chores;
use super::connect::connect;
use super::connect_log::ConnectLog;
use super::connection::Connection;
use super::fields::{ends, session_fields};
use super::rules::PAGE;
use super::scripts::Scripts;
use super::sentinels::Sentinels;
use super::settings::Settings;
use crate::customer::Identifier;
use crate::hex::hex;
use crate::secret::random_bytes;
use crate::state::customer_logins::LoginKind;
use crate::state::login_lockout::{AttemptKey, Attempts};
use crate::state::revocation::Revocations;
use crate::state::session::{Session, SessionDigest};

/// What all operations share.
pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) scripts: Scripts,
    pub(super) revocations: Arc<Revocations>,
    pub(super) attempts: Arc<Attempts>,
    /// Tells our own heartbeats from those of other replicas.
    pub(super) name: String,
    pub(super) link: ArcSwapOption<Connection>,
    pub(super) lost: Notify,
    /// There are other credentials.
    pub(super) renewed: Notify,
    pub(super) sentinels: Sentinels,
    pub(super) connect_log: ConnectLog,
    pub(super) was_up: AtomicBool,
    pub(super) started: Instant,
    /// How often listening has begun.
    pub(super) listening: AtomicU32,
    /// When the last heartbeat that came back was sent, in milliseconds since `started`; 0: none has.
    pub(super) heard: AtomicU64,
    /// In which time of listening a heartbeat last came back at all, and when that was sent, likewise.
    pub(super) last_heard: Mutex<(u32, u64)>,
    /// When all rules were last known, likewise.
    pub(super) synced: AtomicU64,
    /// How long that heartbeat took, in microseconds.
    pub(super) propagation: AtomicU64,
    /// Sessions that were used since the store was last told, and when.
    pub(super) touched: Mutex<HashMap<SessionDigest, Session>>,
    /// All rules of the store up to this number have been read.
    pub(super) cursor: AtomicU64,
    /// How many rules are read at once.
    pub(super) page: AtomicUsize,
    /// What is done beside the calls.
    pub(super) chores: Chores,
}

impl Inner {
    /// Before anything is connected.
    pub(super) fn new(
        settings: Settings,
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
        }
    }

    /// A connection for operations, and one that listens.
    pub(super) async fn connect(&self) -> RedisResult<(Connection, PubSub)> {
        connect(&self.settings, &self.sentinels, &self.connect_log).await
    }

    pub(super) fn session_key(&self, digest: &SessionDigest) -> String {
        format!("{}s:{}", self.settings.prefix, hex(digest))
    }

    pub(super) fn family_key(&self, digest: &SessionDigest) -> String {
        format!("{}f:{}", self.settings.prefix, hex(digest))
    }

    /// Which logins a customer has.
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

    /// Under which keys a name has failed.
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

    /// What stands before the digest of a login of this kind.
    pub(super) fn login_prefix(&self, kind: LoginKind) -> String {
        let letter = match kind {
            LoginKind::Session => 's',
            LoginKind::Family => 'f',
        };
        format!("{}{letter}:", self.settings.prefix)
    }

    /// An operation on this link failed. Some errors are about the connection, others about the operation.
    pub(super) fn failed(&self, link: &Arc<Connection>, error: &RedisError) {
        if is_away(error) {
            self.lose_link(link, &error.to_string());
        } else {
            tracing::warn!(%error, "the state store refused an operation");
        }
    }

    /// This link does not work. What failed on one that has been replaced since says nothing of the next.
    pub(super) fn lose_link(&self, link: &Arc<Connection>, reason: &str) {
        if self.link.load().as_ref().is_some_and(|present| Arc::ptr_eq(present, link)) {
            self.lose(reason);
            self.lost.notify_one();
        }
    }

    /// The store is away, until `link` has found it again.
    pub(super) fn lose(&self, reason: &str) {
        self.link.store(None);
        if self.was_up.swap(false, Ordering::AcqRel) {
            tracing::error!(reason, "the state store is away: what needs it is refused with 503 until it is back");
        }
    }

    pub(super) fn found(&self) {
        if !self.was_up.swap(true, Ordering::AcqRel) {
            tracing::info!("the state store is there again");
        }
    }

    /// Milliseconds since this began, never 0.
    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Whether this is about the connection, or the server at its end.
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

/// A prefix in which nothing is a pattern.
pub(super) fn escaped(prefix: &str) -> String {
    prefix
        .chars()
        .flat_map(|c| ['*', '?', '[', ']', '\\'].contains(&c).then_some('\\').into_iter().chain([c]))
        .collect()
}
