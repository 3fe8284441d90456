//! What is done beside the calls, on a connection of its own: whatever becomes of it, no call waits or fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::{ErrorKind, Pipeline, RedisResult};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::connect::Connection;
use super::reconcile::compare;
use super::rules::{Numbered, Put, Status};
use super::store::{Inner, ends, is_away, locked};
use super::sync::pause;
use super::{Kind, MAX_TOUCHED};
use crate::state::revocation::Rule;
use crate::state::session::{Session, SessionDigest};

/// Not more rules wait to be looked at than this; what is left out is seen when all are.
const MAX_ADOPTED: usize = 20_000;

/// How many rules, or uses of sessions, are sent at once.
const CHUNK: usize = 500;

/// How soon the rules are compared again.
const COMPARE: Duration = Duration::from_secs(1);

/// What there is to do, and the connection for it.
#[derive(Default)]
pub(super) struct Chores {
    wanted: Notify,
    /// With the time of listening in which it was made: after a failover it may lead elsewhere than the link does.
    connection: tokio::sync::Mutex<Option<(u32, Connection)>>,
    /// The rules are to be compared with those of the store.
    compares: AtomicBool,
    /// By how many rules more the store was ahead when nothing was found missing: it has some that cannot be read here.
    ahead: AtomicI64,
    /// The highest number of a rule when the store was last asked.
    highest: AtomicU64,
    /// All rules of the store are to be looked at: an older version has put some.
    adopts_all: AtomicBool,
    adopted: Mutex<Vec<Numbered>>,
}

impl Chores {
    /// Notes what there is to do, as it stands after all news have been read.
    pub(super) fn look(&self, inner: &Inner, status: Status, is_new_link: bool) {
        // Numbers go back where the store was emptied.
        let highest = self.highest.swap(inner.revocations.highest(), Ordering::AcqRel);
        let is_back = status.number < highest;
        if is_new_link || is_back || ahead(inner, status) != self.ahead.load(Ordering::Acquire) {
            self.compares.store(true, Ordering::Release);
        }
        if is_new_link && !status.has_all_ends {
            self.adopts_all.store(true, Ordering::Release);
        }
        self.wanted.notify_one();
    }

    /// Rules that were read: those of an older version get what a later one notes beside them.
    pub(super) fn adopt(&self, rules: Vec<Numbered>) {
        let mut adopted = locked(&self.adopted);
        if adopted.len() + rules.len() <= MAX_ADOPTED {
            adopted.extend(rules);
        }
    }
}

/// By how many rules the store is ahead of what is known here.
fn ahead(inner: &Inner, status: Status) -> i64 {
    let here = i64::try_from(inner.revocations.count_until(status.number)).unwrap_or(i64::MAX);
    i64::try_from(status.live).unwrap_or(i64::MAX).saturating_sub(here)
}

/// Does them whenever there are some, while the store is there.
pub(super) async fn keep(inner: Arc<Inner>) {
    let (mut failures, mut compared) = (0, None::<Instant>);
    loop {
        inner.chores.wanted.notified().await;
        if inner.link.load().is_none() {
            continue;
        }
        let may_compare = compared.is_none_or(|then| then.elapsed() >= COMPARE);
        let compares = may_compare && inner.chores.compares.swap(false, Ordering::AcqRel);
        if compares {
            compared = Some(Instant::now());
        }
        match all(&inner, compares).await {
            Ok(()) => failures = 0,
            Err(error) => {
                inner.chores.compares.fetch_or(compares, Ordering::AcqRel);
                if failures == 0 {
                    tracing::warn!(%error, "the state store does not take what is done beside the calls: tried again");
                }
                failures += 1;
                sleep(pause(failures)).await;
            }
        }
    }
}

async fn all(inner: &Inner, compares: bool) -> RedisResult<()> {
    send_pending(inner).await?;
    if compares {
        let status = inner.beside(async |mut connection| inner.look(&mut connection).await).await?;
        if compare(inner, status).await? {
            tracing::info!("the state store and this process had other revocations: both have all again");
            // Until nothing more is found.
            inner.chores.compares.store(true, Ordering::Release);
        } else {
            inner.chores.ahead.store(ahead(inner, status), Ordering::Release);
        }
    }
    adopt(inner).await?;
    tell_touched(inner).await
}

/// Tells the store which sessions were used. What it was not told of waits for the next time.
async fn tell_touched(inner: &Inner) -> RedisResult<()> {
    loop {
        let some: HashMap<SessionDigest, Session> = {
            let mut touched = locked(&inner.touched);
            let digests: Vec<SessionDigest> = touched.keys().take(CHUNK).copied().collect();
            digests.iter().filter_map(|digest| touched.remove_entry(digest)).collect()
        };
        if some.is_empty() {
            return Ok(());
        }
        let at_once = if matches!(inner.settings.kind, Kind::Cluster(_)) { 1 } else { CHUNK };
        let all: Vec<_> = some.iter().collect();
        for touched in all.chunks(at_once) {
            let told = inner.beside(async |mut connection| told(inner, &mut connection, touched).await).await;
            if let Err(error) = told {
                for (digest, session) in some {
                    inner.touch(digest, session);
                }
                return Err(error);
            }
        }
    }
}

async fn told(inner: &Inner, connection: &mut Connection, touched: &[(&SessionDigest, &Session)]) -> RedisResult<()> {
    let script = &inner.scripts.touch;
    if let [(digest, session)] = touched {
        let mut invocation = script.key(inner.session_key(digest));
        return invocation.arg(session.last_seen).arg(ends(session)).invoke_async::<i64>(connection).await.map(drop);
    }
    let mut pipeline = Pipeline::new();
    pipeline.load_script(script).ignore();
    for (digest, session) in touched {
        let mut invocation = script.key(inner.session_key(digest));
        pipeline.invoke_script(invocation.arg(session.last_seen).arg(ends(session))).ignore();
    }
    pipeline.query_async(connection).await
}

/// Sends the rules that are in force here and that the store has given no number: it was away.
async fn send_pending(inner: &Inner) -> RedisResult<()> {
    let pending = inner.revocations.between(0, 0, CHUNK);
    if pending.is_empty() {
        return Ok(());
    }
    inner.beside(async |mut connection| inner.send_rules(&mut connection, &pending, true).await).await
}

/// Has the store note subject and end of rules that an older version has put.
async fn adopt(inner: &Inner) -> RedisResult<()> {
    let adopted = std::mem::take(&mut *locked(&inner.chores.adopted));
    for some in adopted.chunks(CHUNK) {
        adopt_some(inner, some.to_vec()).await?;
    }
    if inner.chores.adopts_all.load(Ordering::Acquire) {
        let mut after = 0;
        loop {
            let page = inner.beside(async |mut c| inner.page(&mut c, after, u64::MAX, CHUNK).await).await?;
            let Some((_, last)) = page.last() else { break };
            after = *last;
            adopt_some(inner, page).await?;
        }
        inner.chores.adopts_all.store(false, Ordering::Release);
    }
    Ok(())
}

async fn adopt_some(inner: &Inner, rules: Vec<Numbered>) -> RedisResult<()> {
    let mut missing = inner.beside(async |mut c| inner.without_end(&mut c, rules).await).await?;
    missing.retain(|(text, _)| Rule::parse(text).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    inner.beside(async |mut c| inner.put_rules(&mut c, &missing, Put::Standing).await.map(drop)).await
}

impl Inner {
    /// Runs something on the connection that no call needs. It has as long as any operation, and its failure is its own.
    pub(super) async fn beside<T>(&self, operation: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> RedisResult<T> {
        let connection = self.connection_beside().await?;
        let outcome = match timeout(self.settings.timeout, operation(connection)).await {
            Ok(outcome) => outcome,
            Err(_) => Err((ErrorKind::Io, "it does not answer in time").into()),
        };
        if outcome.as_ref().is_err_and(is_away) {
            *self.chores.connection.lock().await = None;
        }
        outcome
    }

    async fn connection_beside(&self) -> RedisResult<Connection> {
        let mut connection = self.chores.connection.lock().await;
        let listening = self.listening.load(Ordering::Acquire);
        if let Some((then, connection)) = &*connection
            && *then == listening
        {
            return Ok(connection.clone());
        }
        let Ok(connected) = timeout(self.settings.connect_timeout * 3, self.connect()).await else {
            return Err((ErrorKind::Io, "cannot connect in time").into());
        };
        Ok(connection.insert((listening, connected?.0)).1.clone())
    }

    /// Notes that a session was used. There is a bound: what may be lost is when it was last used.
    pub(super) fn touch(&self, digest: SessionDigest, session: Session) {
        let mut touched = locked(&self.touched);
        if let Some(known) = touched.get_mut(&digest) {
            known.last_seen = known.last_seen.max(session.last_seen);
        } else if touched.len() < MAX_TOUCHED {
            touched.insert(digest, session);
        }
    }
}
