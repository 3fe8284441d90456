//! State that several replicas share: Redis or Valkey, standalone, behind sentinels, or as a cluster.
//!
//! Every operation ends within its timeout, and none is tried while the store is known to be unreachable. The task
//! `sync` keeps the connection, listens to other replicas, and polls for what it might have missed; `sentinels` asks
//! where the master is; `background` does what no call waits for, on a connection of its own.

pub mod access;
mod background;
mod background_queue;
mod backoff;
mod commit;
mod connect;
mod connect_log;
mod connection;
mod counters;
mod customers;
mod dial;
mod failures;
mod fields;
mod listing;
mod mutex;
mod reconcile;
mod refresh_families;
mod replicas;
mod revocation_rules;
mod rule_log;
mod scan;
mod scripts;
mod sentinels;
mod sessions;
mod settings;
mod store;
mod sync;
pub mod transfer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisResult};
use tokio::runtime::Handle;

use super::Unavailable;
use super::login_lockout::Attempts;
use super::revocation::Revocations;
use access::RedisCredentials;
use commit::Commits;
use connect_log::ConnectLog;
use connection::RedisConnection;
pub use listing::Among;
use mutex::locked;
pub use replicas::Replica;
use sentinels::Sentinels;
pub use settings::{RedisSettings, RedisTopology};
use store::Inner;

/// A handle to the shared store.
#[derive(Clone)]
pub(super) struct Redis {
    inner: Arc<Inner>,
    control: Handle,
    /// Queue of writes that replicas must have; `None` if none must.
    commits: Option<Commits>,
}

/// Longest time since the last heartbeat for which cached sessions are current, in milliseconds.
const FRESH: u64 = 1_000;

/// Most uses of sessions that wait to be sent; of more, the time of last use is lost.
const MAX_TOUCHED: usize = 100_000;

/// Connects once, to try it.
///
/// # Errors
/// The reason that it failed.
pub(super) async fn try_connect(settings: &RedisSettings) -> Result<(), String> {
    let (sentinels, log) = (Sentinels::of(settings), ConnectLog::silent());
    tokio::select! {
        connected = connect::connect(settings, &sentinels, &log) => {
            connected.map(drop).map_err(|error| error.to_string())
        }
        () = sentinels.keep_asking(settings, &log), if matches!(settings.kind, RedisTopology::Sentinel(..)) => {
            Err("nobody asks the sentinels".to_owned())
        }
    }
}

impl Redis {
    /// Starts the tasks that connect, and reconnect for as long as the process lives.
    pub(super) fn start(
        settings: RedisSettings,
        revocations: Arc<Revocations>,
        attempts: Arc<Attempts>,
        control: Handle,
    ) -> Self {
        let inner = Arc::new(Inner::new(settings, revocations, attempts, ConnectLog::default()));
        control.spawn(sync::keep(Arc::clone(&inner)));
        control.spawn(background::keep(Arc::clone(&inner)));
        let asking = Arc::clone(&inner);
        control.spawn(async move { asking.sentinels.keep_asking(&asking.settings, &asking.connect_log).await });
        let commits = (inner.settings.replicas > 0).then(|| {
            let (commits, queue) = Commits::new();
            control.spawn(queue.keep(Arc::clone(&inner)));
            commits
        });
        Self { inner, control, commits }
    }

    /// Replaces the credentials: every new connection uses them, and the present one is replaced once another is open.
    pub(super) fn renew(&self, access: Arc<RedisCredentials>) {
        if self.inner.settings.access.load().as_ref() != access.as_ref() {
            self.inner.settings.access.store(access);
            self.inner.renewed.notify_one();
        }
    }

    /// Returns whether the store is reachable.
    pub(super) fn is_up(&self) -> bool {
        self.inner.link.load().is_some()
    }

    /// Number of the present subscription; `None` if news may have been missed.
    pub(super) fn listening(&self) -> Option<u32> {
        let heard = self.inner.heard.load(Ordering::Acquire);
        let fresh = heard > 0 && self.inner.millis().saturating_sub(heard) <= FRESH;
        fresh.then(|| self.inner.listening.load(Ordering::Acquire))
    }

    /// Time since the last heartbeat of this subscription; `None` if there was none.
    pub(super) fn heard_ago(&self, listening: u32) -> Option<Duration> {
        let (then, heard) = *locked(&self.inner.last_heard);
        (then == listening && heard > 0).then(|| Duration::from_millis(self.inner.millis().saturating_sub(heard)))
    }

    /// Time since all rules were last known.
    pub(super) fn staleness(&self) -> Duration {
        Duration::from_millis(self.inner.millis().saturating_sub(self.inner.synced.load(Ordering::Acquire)))
    }

    /// Returns whether all rules have been known at any time.
    pub(super) fn has_synced(&self) -> bool {
        self.inner.synced.load(Ordering::Acquire) > 0
    }

    /// Last measured delay of news from one replica to another.
    pub(super) fn propagation(&self) -> Duration {
        Duration::from_micros(self.inner.propagation.load(Ordering::Relaxed))
    }

    /// Other replicas that have been heard of in the last ten minutes.
    pub(super) fn replicas(&self) -> Vec<Replica> {
        self.inner.replicas.all(self.inner.millis())
    }

    /// Commands per pipeline: one in a cluster, where a pipeline is for one slot.
    fn at_once(&self, all: usize) -> usize {
        if matches!(self.inner.settings.kind, RedisTopology::Cluster(_)) { 1 } else { all.max(1) }
    }

    /// Runs one command.
    async fn one<T: redis::FromRedisValue + Send + 'static>(&self, command: Cmd) -> Result<T, Unavailable> {
        self.run(move |_, mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Runs commands, each of which has an answer.
    async fn all<T: redis::FromRedisValue + Send + 'static>(&self, pipeline: Pipeline) -> Result<T, Unavailable> {
        self.run(move |_, mut connection| async move { pipeline.query_async(&mut connection).await }).await
    }

    /// Runs commands; returns once as many replicas as configured have them.
    async fn write(&self, pipeline: Pipeline) -> Result<(), Unavailable> {
        self.acknowledged(move |_, mut connection: RedisConnection| async move {
            pipeline.query_async(&mut connection).await
        })
        .await
    }

    /// Runs an operation that writes; returns once as many replicas as configured have it.
    async fn acknowledged<T, F>(
        &self,
        operation: impl FnOnce(Arc<Inner>, RedisConnection) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let Some(commits) = &self.commits else { return self.run(operation).await };
        if !self.is_up() {
            return Err(Unavailable);
        }
        let inner = Arc::clone(&self.inner);
        commits.write(&self.inner, move |connection| operation(inner, connection)).await
    }

    /// Runs an operation that reads a lot, and that no call waits for, on the background connection.
    async fn in_background<T, F>(
        &self,
        operation: impl FnOnce(Arc<Inner>, RedisConnection) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        if !self.is_up() {
            return Err(Unavailable);
        }
        let inner = Arc::clone(&self.inner);
        let task = self.control.spawn(async move {
            let outcome = inner.in_background(async |connection| operation(Arc::clone(&inner), connection).await).await;
            outcome.inspect_err(|error| tracing::warn!(%error, "an operator's query of the state store failed"))
        });
        task.await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
    }

    /// Runs an operation on the control runtime, within its timeout.
    async fn run<T, F>(&self, operation: impl FnOnce(Arc<Inner>, RedisConnection) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let link = self.inner.link.load_full().ok_or(Unavailable)?;
        let inner = Arc::clone(&self.inner);
        let operation = operation(Arc::clone(&inner), RedisConnection::clone(&link));
        let task = self.control.spawn(async move {
            match tokio::time::timeout(inner.settings.timeout, operation).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => {
                    inner.failed(&link, &error);
                    Err(Unavailable)
                }
                Err(_) => {
                    inner.lose_link(&link, "no answer in time");
                    Err(Unavailable)
                }
            }
        });
        task.await.map_err(|_| Unavailable)?
    }
}
