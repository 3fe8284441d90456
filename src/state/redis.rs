//! State that several replicas share: Redis or Valkey, alone, behind sentinels, or a cluster.
//!
//! Every operation has an end within its timeout, and none is tried while the store is known to be away. One task
//! (`sync`) keeps the connection, listens to what other replicas do, and polls what it might have missed. Another
//! (`sentinels`) asks where the master is. What grows (`background`) has a connection of its own.

pub mod access;
mod background;
mod backoff;
mod chores;
mod commit;
mod connect;
mod connect_log;
mod connection;
mod customers;
mod dial;
mod failures;
mod families;
mod fields;
mod listing;
mod mutex;
mod reconcile;
mod rule_log;
mod rules;
mod scripts;
mod sentinels;
mod settings;
mod store;
mod sync;
pub mod transfer;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisResult, cmd};
use tokio::runtime::Handle;

use super::login_lockout::{ANY_SPELLING, AttemptKey, AttemptKeys, Attempts, Cost, Costs, Failures, NOBODY, Spelling};
use super::replay::OnceId;
use super::revocation::{Revocations, Rule};
use super::session::{Session, SessionDigest};
use super::{Taken, Unavailable};
use crate::hex::hex;
use access::Access;
use commit::Commits;
use connect_log::ConnectLog;
use connection::Connection;
use fields::{failures_from, session};
pub use listing::Among;
use mutex::locked;
use sentinels::Sentinels;
pub use settings::{Kind, Settings};
use store::Inner;

/// The shared store.
#[derive(Clone)]
pub(super) struct Redis {
    inner: Arc<Inner>,
    control: Handle,
    /// Where writes go that replicas must have.
    commits: Option<Commits>,
}

/// A copy is good for so long after the last proof that nothing was missed, in milliseconds.
const FRESH: u64 = 1_000;

/// No more uses of sessions wait to be told than this many; what is lost is when they were last used.
const MAX_TOUCHED: usize = 100_000;

/// Connects once.
///
/// # Errors
/// Why that failed.
pub(super) async fn try_connect(settings: &Settings) -> Result<(), String> {
    let (sentinels, log) = (Sentinels::of(settings), ConnectLog::silent());
    tokio::select! {
        connected = connect::connect(settings, &sentinels, &log) => {
            connected.map(drop).map_err(|error| error.to_string())
        }
        () = sentinels.keep_asking(settings, &log), if matches!(settings.kind, Kind::Sentinel(..)) => {
            Err("nobody asks the sentinels".to_owned())
        }
    }
}

impl Redis {
    /// Connects, and connects again, for as long as the process lives.
    pub(super) fn start(
        settings: Settings,
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

    /// Takes other credentials: for every connection from now on, and the present one is replaced once another is open.
    pub(super) fn renew(&self, access: Arc<Access>) {
        if self.inner.settings.access.load().as_ref() != access.as_ref() {
            self.inner.settings.access.store(access);
            self.inner.renewed.notify_one();
        }
    }

    /// Whether the store answers.
    pub(super) fn is_up(&self) -> bool {
        self.inner.link.load().is_some()
    }

    /// Which time of listening this is, where nothing can have been missed.
    pub(super) fn listening(&self) -> Option<u32> {
        let heard = self.inner.heard.load(Ordering::Acquire);
        let fresh = heard > 0 && self.inner.millis().saturating_sub(heard) <= FRESH;
        fresh.then(|| self.inner.listening.load(Ordering::Acquire))
    }

    /// How long ago it was that nothing could have been missed in this time of listening.
    pub(super) fn heard_ago(&self, listening: u32) -> Option<Duration> {
        let (then, heard) = *locked(&self.inner.last_heard);
        (then == listening && heard > 0).then(|| Duration::from_millis(self.inner.millis().saturating_sub(heard)))
    }

    /// Since when there may be rules that this process does not know.
    pub(super) fn staleness(&self) -> Duration {
        Duration::from_millis(self.inner.millis().saturating_sub(self.inner.synced.load(Ordering::Acquire)))
    }

    /// Whether all rules have been known at any time.
    pub(super) fn has_synced(&self) -> bool {
        self.inner.synced.load(Ordering::Acquire) > 0
    }

    /// How long news take from one replica to another, as last measured.
    pub(super) fn propagation(&self) -> Duration {
        Duration::from_micros(self.inner.propagation.load(Ordering::Relaxed))
    }

    /// Keeps new sessions, each for as long as it can be live.
    pub(super) async fn begin(&self, sessions: &[(SessionDigest, Session)]) -> Result<(), Unavailable> {
        for some in sessions.chunks(self.at_once(sessions.len())) {
            let mut pipeline = Pipeline::new();
            for (digest, session) in some {
                self.inner.put(&mut pipeline, digest, session);
            }
            self.write(pipeline).await?;
        }
        Ok(())
    }

    /// The session of this digest.
    pub(super) async fn find(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let mut get = cmd("HGETALL");
        get.arg(self.inner.session_key(digest));
        let fields: Vec<(String, String)> = self.one(get).await?;
        if fields.is_empty() { Ok(None) } else { session(digest, &fields).map(Some).ok_or(Unavailable) }
    }

    /// Notes that a session was used; the store hears of it soon.
    pub(super) fn touch(&self, digest: SessionDigest, session: Session) {
        self.inner.touch(digest, session);
    }

    /// Ends a session. The rule comes first: it ends the copies of other replicas, and should the rest be lost, it is
    /// over all the same.
    pub(super) async fn end(&self, digest: &SessionDigest, rule: &Rule) -> Result<(), Unavailable> {
        self.revoke(std::slice::from_ref(rule)).await?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(self.inner.session_key(digest)).ignore();
        self.write(pipeline).await
    }

    /// Puts rules in force everywhere.
    pub(super) async fn revoke(&self, rules: &[Rule]) -> Result<(), Unavailable> {
        let rules = rules.to_vec();
        self.acknowledged(move |inner: Arc<Inner>, mut connection: Connection| async move {
            inner.send_rules(&mut connection, &rules, true).await
        })
        .await
    }

    /// How many commands go in one pipeline: in a cluster a pipeline is for one slot.
    fn at_once(&self, all: usize) -> usize {
        if matches!(self.inner.settings.kind, Kind::Cluster(_)) { 1 } else { all.max(1) }
    }

    /// What is known of these keys, in their order.
    pub(super) async fn failures(&self, keys: [AttemptKey; 2]) -> Result<[Failures; 2], Unavailable> {
        // At once, and not in one command: in a cluster they are in different slots.
        let (one, other) = tokio::join!(self.failures_of(&keys[0]), self.failures_of(&keys[1]));
        Ok([one?, other?])
    }

    async fn failures_of(&self, key: &AttemptKey) -> Result<Failures, Unavailable> {
        let mut get = cmd("HMGET");
        get.arg(self.inner.attempt_key(key)).arg("n").arg("f").arg("l").arg("s").arg("w");
        let (count, forgotten_at, locked_until, spelling, who): FailuresValue = self.one(get).await?;
        Ok(failures_from((count, forgotten_at, locked_until, spelling), who.as_deref()))
    }

    /// Counts a failure at `now`, in milliseconds since 1970: of the network, and where it counts there, of the name.
    pub(super) async fn fail(&self, keys: AttemptKeys, costs: Costs, now: u64) -> Result<(), Unavailable> {
        self.run(move |inner: Arc<Inner>, mut connection: Connection| async move {
            let counts =
                fail_one(&inner, &mut connection, &keys.network, &NOBODY, ANY_SPELLING, costs.network, now).await?;
            if counts {
                fail_one(&inner, &mut connection, &keys.name, &keys.who, keys.spelling, costs.name, now).await?;
                let ends = costs.name.longest.saturating_mul(2).saturating_add(costs.name.delay);
                let (index, mut pipeline) = (inner.name_key(&keys.who), Pipeline::new());
                pipeline.cmd("SADD").arg(&index).arg(hex(&keys.name)).ignore();
                pipeline.cmd("PEXPIRE").arg(&index).arg(ends).ignore();
                pipeline.query_async::<()>(&mut connection).await?;
            }
            Ok(())
        })
        .await
    }

    /// The same where nobody waits for it.
    pub(super) fn fail_later(&self, keys: AttemptKeys, costs: Costs, now: u64) {
        let store = self.clone();
        self.control.spawn(async move { store.fail(keys, costs, now).await });
    }

    /// Forgets what failed under a name, where that was spelled alike, and takes it from what its network failed.
    pub(super) async fn forgive(&self, keys: AttemptKeys, now: u64) -> Result<(), Unavailable> {
        self.run(move |inner: Arc<Inner>, mut connection: Connection| async move {
            let mut forgive = inner.scripts.forgive.key(inner.attempt_key(&keys.name));
            let forgiven: u64 = forgive.arg(now).arg(keys.spelling).invoke_async(&mut connection).await?;
            if forgiven > 0 {
                let mut excuse = inner.scripts.excuse.key(inner.attempt_key(&keys.network));
                excuse.arg(forgiven).invoke_async::<i64>(&mut connection).await?;
            }
            Ok(())
        })
        .await
    }

    /// Whether it is noted that somebody was right.
    pub(super) async fn was_right(&self, key: &AttemptKey) -> Result<bool, Unavailable> {
        let mut exists = cmd("EXISTS");
        exists.arg(self.inner.right_key(key));
        self.one(exists).await
    }

    /// Notes for so many milliseconds that somebody was right; nobody waits for it.
    pub(super) fn note_right(&self, key: AttemptKey, millis: u64) {
        let mut set = cmd("SET");
        set.arg(self.inner.right_key(&key)).arg(1).arg("PX").arg(millis);
        let store = self.clone();
        self.control.spawn(async move { store.one::<()>(set).await });
    }

    /// Takes up to `wanted` calls of a rate limit, by the clock of the store.
    pub(super) async fn take(
        &self,
        key: &AttemptKey,
        each: u64,
        burst: u64,
        wanted: u64,
    ) -> Result<Taken, Unavailable> {
        let key = format!("{}l:{}", self.inner.settings.prefix, hex(key));
        let (granted, left, wait, full): (u64, u64, u64, u64) = self
            .run(move |inner, mut connection| async move {
                let mut invocation = inner.scripts.take.key(key);
                invocation.arg(each).arg(burst).arg(wanted).invoke_async(&mut connection).await
            })
            .await?;
        Ok(Taken { granted, left, wait, full })
    }

    /// Counts up to `wanted` calls towards `most`; how many were granted, and how many there were in all.
    pub(super) async fn count(&self, name: &str, wanted: u64, most: u64, ends: u64) -> Result<(u64, u64), Unavailable> {
        let key = format!("{}q:{name}", self.inner.settings.prefix);
        self.run(move |inner, mut connection| async move {
            let mut invocation = inner.scripts.count.key(key);
            invocation.arg(wanted).arg(most).arg(ends).invoke_async(&mut connection).await
        })
        .await
    }

    /// Uses an id that is then known for so many seconds; whether this is the first time.
    pub(super) async fn use_once(&self, id: &OnceId, seconds: u64) -> Result<bool, Unavailable> {
        let mut set = cmd("SET");
        set.arg(format!("{}u:{}", self.inner.settings.prefix, hex(id))).arg(1).arg("NX").arg("EX").arg(seconds);
        self.acknowledged(move |_, mut connection: Connection| async move {
            let first: Option<String> = set.query_async(&mut connection).await?;
            Ok(first.is_some())
        })
        .await
    }

    async fn one<T: redis::FromRedisValue + Send + 'static>(&self, command: Cmd) -> Result<T, Unavailable> {
        self.run(move |_, mut connection| async move { command.query_async(&mut connection).await }).await
    }

    /// Runs commands, and waits until as many replicas as wanted have them.
    async fn write(&self, pipeline: Pipeline) -> Result<(), Unavailable> {
        self.acknowledged(
            move |_, mut connection: Connection| async move { pipeline.query_async(&mut connection).await },
        )
        .await
    }

    /// Runs an operation that writes, and waits until as many replicas as wanted have it.
    async fn acknowledged<T, F>(
        &self,
        operation: impl FnOnce(Arc<Inner>, Connection) -> F + Send + 'static,
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

    /// Runs an operation that reads a lot, and that no call waits for, on a connection of its own.
    async fn beside<T, F>(
        &self,
        operation: impl FnOnce(Arc<Inner>, Connection) -> F + Send + 'static,
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
            let outcome = inner.beside(async |connection| operation(Arc::clone(&inner), connection).await).await;
            outcome.inspect_err(|error| tracing::warn!(%error, "the state store did not answer an operator's question"))
        });
        task.await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)
    }

    /// Runs an operation where the connections live, within its time.
    async fn run<T, F>(&self, operation: impl FnOnce(Arc<Inner>, Connection) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let link = self.inner.link.load_full().ok_or(Unavailable)?;
        let inner = Arc::clone(&self.inner);
        let operation = operation(Arc::clone(&inner), Connection::clone(&link));
        let task = self.control.spawn(async move {
            match tokio::time::timeout(inner.settings.timeout, operation).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => {
                    inner.failed(&link, &error);
                    Err(Unavailable)
                }
                Err(_) => {
                    inner.lose_link(&link, "it does not answer in time");
                    Err(Unavailable)
                }
            }
        });
        task.await.map_err(|_| Unavailable)?
    }
}

/// What stands under a key of failures: how many, when they are forgotten, until when it is locked, how the name was
/// spelled, whose they are.
type FailuresValue = (Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);

/// Whether the failure counts.
async fn fail_one(
    inner: &Inner,
    connection: &mut Connection,
    key: &AttemptKey,
    who: &AttemptKey,
    spelling: Spelling,
    cost: Cost,
    now: u64,
) -> RedisResult<bool> {
    let mut invocation = inner.scripts.fail.key(inner.attempt_key(key));
    let who = if *who == NOBODY { String::new() } else { hex(who) };
    invocation.arg(cost.free).arg(cost.delay).arg(cost.longest).arg(now).arg(spelling).arg(who);
    invocation.invoke_async(connection).await
}
