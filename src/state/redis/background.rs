//! Background work, on a connection of its own: no call waits for it or fails with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::{ErrorKind, Pipeline, RedisResult};
use tokio::time::{sleep, timeout};

use super::MAX_TOUCHED;
use super::background_queue::ahead;
use super::backoff::pause;
use super::connection::RedisConnection;
use super::fields::ends;
use super::mutex::locked;
use super::reconcile::compare;
use super::revocation_rules::{Numbered, PutRule};
use super::settings::RedisTopology;
use super::store::{Inner, is_away};
use crate::state::revocation::Rule;
use crate::state::session::{Session, SessionDigest};

/// Rules, or uses of sessions, sent at once.
const CHUNK: usize = 500;

/// Shortest interval between two comparisons of the rules.
const COMPARE: Duration = Duration::from_secs(1);

/// Does the background work whenever there is some and the store is reachable.
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
                    tracing::warn!(%error, "background work on the state store failed: retrying");
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
        let status = inner.in_background(async |mut connection| inner.look(&mut connection).await).await?;
        if compare(inner, status).await? {
            tracing::info!("the state store and this process had different revocations: both have all again");
            // Until nothing more is found.
            inner.chores.compares.store(true, Ordering::Release);
        } else {
            inner.chores.ahead.store(ahead(&inner.revocations, status), Ordering::Release);
        }
    }
    adopt(inner).await?;
    tell_touched(inner).await
}

/// Sends the uses of sessions. Those not sent wait for the next time.
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
        let at_once = if matches!(inner.settings.kind, RedisTopology::Cluster(_)) { 1 } else { CHUNK };
        let all: Vec<_> = some.iter().collect();
        for touched in all.chunks(at_once) {
            let told = inner.in_background(async |mut connection| told(inner, &mut connection, touched).await).await;
            if let Err(error) = told {
                for (digest, session) in some {
                    inner.touch(digest, session);
                }
                return Err(error);
            }
        }
    }
}

async fn told(
    inner: &Inner,
    connection: &mut RedisConnection,
    touched: &[(&SessionDigest, &Session)],
) -> RedisResult<()> {
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

/// Sends the rules in force here that the store has not numbered: it was unreachable.
async fn send_pending(inner: &Inner) -> RedisResult<()> {
    let pending = inner.revocations.between(0, 0, CHUNK);
    if pending.is_empty() {
        return Ok(());
    }
    inner.in_background(async |mut connection| inner.send_rules(&mut connection, &pending, true).await).await
}

/// Makes the store note subject and end of rules that an earlier version has put.
async fn adopt(inner: &Inner) -> RedisResult<()> {
    let adopted = std::mem::take(&mut *locked(&inner.chores.adopted));
    for some in adopted.chunks(CHUNK) {
        adopt_some(inner, some.to_vec()).await?;
    }
    if inner.chores.adopts_all.load(Ordering::Acquire) {
        let mut after = 0;
        loop {
            let page = inner.in_background(async |mut c| inner.page(&mut c, after, u64::MAX, CHUNK).await).await?;
            let Some((_, last)) = page.last() else { break };
            after = *last;
            adopt_some(inner, page).await?;
        }
        inner.chores.adopts_all.store(false, Ordering::Release);
    }
    Ok(())
}

async fn adopt_some(inner: &Inner, rules: Vec<Numbered>) -> RedisResult<()> {
    let mut missing = inner.in_background(async |mut c| inner.without_end(&mut c, rules).await).await?;
    missing.retain(|(text, _)| Rule::parse(text).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    inner.in_background(async |mut c| inner.put_rules(&mut c, &missing, PutRule::Standing).await.map(drop)).await
}

impl Inner {
    /// Runs an operation on the background connection, within the timeout of any operation. Its failure does not affect
    /// the link.
    pub(super) async fn in_background<T>(
        &self,
        operation: impl AsyncFnOnce(RedisConnection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let connection = self.background_connection().await?;
        let outcome = match timeout(self.settings.timeout, operation(connection)).await {
            Ok(outcome) => outcome,
            Err(_) => Err((ErrorKind::Io, "no answer in time").into()),
        };
        if outcome.as_ref().is_err_and(is_away) {
            *self.chores.connection.lock().await = None;
        }
        outcome
    }

    async fn background_connection(&self) -> RedisResult<RedisConnection> {
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

    /// Notes the use of a session. Beyond the limit the time of last use is lost.
    pub(super) fn touch(&self, digest: SessionDigest, session: Session) {
        let mut touched = locked(&self.touched);
        if let Some(known) = touched.get_mut(&digest) {
            known.last_seen = known.last_seen.max(session.last_seen);
        } else if touched.len() < MAX_TOUCHED {
            touched.insert(digest, session);
        }
    }
}
