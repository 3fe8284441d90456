//! Writes acknowledged only once replicas have them. Waiting writes are sent together, with one WAIT for all, on a
//! connection of their own: a WAIT holds up whatever comes after it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::{RedisError, RedisResult, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::RedisConnection;
use super::store::{Inner, is_away};
use crate::state::Unavailable;

/// Longest queue of writes, and most writes sent at once.
const MOST_WAITING: usize = 10_000;
const MOST_AT_ONCE: usize = 500;

/// Interval of the log line about missing replicas.
const SAY: Duration = Duration::from_secs(10);

type Writing = Pin<Box<dyn Future<Output = RedisResult<()>> + Send>>;

/// A write, and the caller that waits for it.
struct Write {
    run: Box<dyn FnOnce(RedisConnection) -> Writing + Send>,
    done: oneshot::Sender<bool>,
}

/// The sending end of the queue.
#[derive(Clone)]
pub(super) struct Commits(mpsc::Sender<Write>);

impl Commits {
    /// Both ends of the queue.
    pub(super) fn new() -> (Self, CommitQueue) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), CommitQueue(receiver))
    }

    /// Writes; returns once enough replicas have it.
    ///
    /// # Errors
    /// [`Unavailable`]: they do not, or that is unknown.
    pub(super) async fn write<T, F>(
        &self,
        inner: &Inner,
        write: impl FnOnce(RedisConnection) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = RedisResult<T>> + Send + 'static,
    {
        let (done, is_done) = oneshot::channel();
        let (told, answer) = oneshot::channel();
        let run = move |connection| {
            let writing = write(connection);
            Box::pin(async move {
                let value = writing.await?;
                let _ = told.send(value);
                Ok(())
            }) as Writing
        };
        self.0.try_send(Write { run: Box::new(run), done }).map_err(|_| Unavailable)?;
        // Those before, and these: each is written and waited for.
        match timeout(inner.settings.timeout * 4, is_done).await {
            Ok(Ok(true)) => answer.await.map_err(|_| Unavailable),
            Ok(_) | Err(_) => Err(Unavailable),
        }
    }
}

/// The receiving end of the queue.
pub(super) struct CommitQueue(mpsc::Receiver<Write>);

impl CommitQueue {
    /// Sends queued writes, for ever.
    pub(super) async fn keep(mut self, inner: Arc<Inner>) {
        let (mut connection, mut said) = (None::<(u32, RedisConnection)>, None::<Instant>);
        let mut writes = Vec::new();
        while self.0.recv_many(&mut writes, MOST_AT_ONCE).await > 0 {
            // Whoever has gone on wants nothing written any more.
            writes.retain(|write| !write.done.is_closed());
            let (runs, waiting): (Vec<_>, Vec<_>) = writes.drain(..).map(|write| (write.run, write.done)).unzip();
            let outcome = match connected(&inner, &mut connection).await {
                Ok(connection) => commit(&inner, connection, runs).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok((worked, have)) => {
                    let enough = have >= inner.settings.replicas;
                    if enough && said.take().is_some() {
                        tracing::info!(have, "enough replicas acknowledge writes again");
                    }
                    if !enough && said.is_none_or(|then| then.elapsed() >= SAY) {
                        said = Some(Instant::now());
                        let wanted = inner.settings.replicas;
                        tracing::error!(
                            have,
                            wanted,
                            "too few replicas acknowledged a write: logins, logouts and revocations are refused with 503, \
                             everything else goes on"
                        );
                    }
                    for (done, worked) in waiting.into_iter().zip(worked) {
                        let _ = done.send(worked && enough);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "writes were lost: their callers are refused with 503");
                    connection = None;
                }
            }
        }
    }
}

/// The connection for writes. A new link brings a new one: after a failover the old one may lead elsewhere.
async fn connected<'a>(
    inner: &Inner,
    connection: &'a mut Option<(u32, RedisConnection)>,
) -> RedisResult<&'a RedisConnection> {
    let listening = inner.listening.load(Ordering::Acquire);
    if connection.as_ref().is_none_or(|(then, _)| *then != listening) {
        let connected = timeout(inner.settings.connect_timeout, inner.connect()).await;
        *connection = Some((listening, connected.map_err(|_| late())??.0));
    }
    connection.as_ref().map(|(_, connection)| connection).ok_or_else(late)
}

/// Runs all writes at once; returns which succeeded, and the number of replicas that have them.
async fn commit(
    inner: &Arc<Inner>,
    connection: &RedisConnection,
    runs: Vec<Box<dyn FnOnce(RedisConnection) -> Writing + Send>>,
) -> RedisResult<(Vec<bool>, u32)> {
    let mut worked = vec![false; runs.len()];
    let mut running = JoinSet::new();
    for (at, run) in runs.into_iter().enumerate() {
        let (writing, patience) = (run(connection.clone()), inner.settings.timeout);
        running.spawn(async move { (at, timeout(patience, writing).await.unwrap_or_else(|_| Err(late()))) });
    }
    while let Some(done) = running.join_next().await {
        match done {
            Ok((at, Ok(()))) => worked[at] = true,
            Ok((_, Err(error))) if is_away(&error) => return Err(error),
            Ok((_, Err(error))) => tracing::warn!(%error, "the state store refused an operation"),
            Err(_) => {}
        }
    }
    // Before the connection gives up on the answer.
    let patience = u64::try_from((inner.settings.timeout / 2).as_millis()).unwrap_or(u64::MAX).max(1);
    let mut wait = cmd("WAIT");
    wait.arg(inner.settings.replicas).arg(patience);
    let have =
        timeout(inner.settings.timeout, wait.query_async(&mut connection.clone())).await.map_err(|_| late())??;
    Ok((worked, have))
}

fn late() -> RedisError {
    (redis::ErrorKind::Io, "no answer in time").into()
}
