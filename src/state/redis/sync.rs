//! Synchronization: the task that keeps the connection, listens to other replicas, and reads what it might have missed.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use redis::aio::PubSub;
use redis::{RedisResult, cmd};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::backoff::{BEAT, pause};
use super::connection::{HostPort, RedisConnection, address};
use super::mutex::locked;
use super::revocation_rules::{MARGIN, PAGE, RuleStatus};
use super::settings::RedisTopology;
use super::store::Inner;
use crate::hex::unhex;
use crate::state::revocation::Rule;

/// Interval at which refused new credentials are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Longest time without a returning heartbeat, in milliseconds, before a new subscription.
const DEAF: u64 = 2_000;

/// Fewest rules read at once, where the network is slow.
const SMALLEST_PAGE: usize = 100;

/// Rules after which other tasks may run.
const YIELD: usize = 500;

/// Age at which a link resets the back-off.
const GOOD: Duration = Duration::from_secs(2);

/// Connects and serves, for ever.
pub(super) async fn keep(inner: Arc<Inner>) {
    let (mut failures, mut ready) = (0, None);
    loop {
        let begun = Instant::now();
        let ways = match ready.take() {
            Some(ways) => Ok(ways),
            None => inner.connect().await,
        };
        let reason = match ways {
            Ok((connection, events)) => {
                let (reason, has_served) = tokio::select! {
                    ended = serve(&inner, connection, events) => ended,
                    // What goes on over the old connection ends there.
                    ways = renewed(&inner) => {
                        ready = Some(ways);
                        continue;
                    }
                };
                if has_served && begun.elapsed() >= GOOD {
                    failures = 0;
                }
                reason
            }
            Err(error) => error.to_string(),
        };
        inner.lose(&reason);
        tokio::select! {
            () = sleep(pause(failures)) => {}
            () = inner.sentinels.news() => {}
        }
        failures += 1;
    }
}

/// Waits for new credentials; returns a connection made with them. While they are refused, the present one stays.
async fn renewed(inner: &Inner) -> (RedisConnection, PubSub) {
    inner.renewed.notified().await;
    loop {
        match inner.connect().await {
            Ok(ways) => {
                tracing::info!("the state store has accepted the new credentials");
                return ways;
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::error!(reason, "the state store rejects the new credentials: keeping the present connection");
            }
        }
        let _ = timeout(RETRY, inner.renewed.notified()).await;
    }
}

/// Serves until something fails; returns the reason, and whether there was a link.
async fn serve(inner: &Inner, connection: RedisConnection, mut events: PubSub) -> (String, bool) {
    match timeout(inner.settings.timeout, events.subscribe(inner.channel())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return (error.to_string(), false),
        Err(_) => return ("the subscription is not confirmed in time".to_owned(), false),
    }
    inner.listening.fetch_add(1, Ordering::AcqRel);
    inner.heard.store(0, Ordering::Release);
    let serves = AtomicBool::new(false);
    let at = if let RedisConnection::Single(_, at) = &connection { Some(Arc::clone(at)) } else { None };
    let reason = tokio::select! {
        reason = has_moved(inner, at) => reason,
        reason = hear_all(inner, events) => reason,
        reason = ask_all(inner, connection, &serves) => reason,
        reason = is_lost(inner, &serves) => reason,
    };
    (reason, serves.into_inner())
}

/// Waits until the sentinels name another master than the one at this address. Writes that it still accepts would be
/// lost: it is left at once, also by background connections.
async fn has_moved(inner: &Inner, at: Option<Arc<HostPort>>) -> String {
    let (Some(at), RedisTopology::Sentinel(..)) = (at, &inner.settings.kind) else { return pending().await };
    let (host, port) = inner.sentinels.moved_from(&at).await;
    inner.listening.fetch_add(1, Ordering::AcqRel);
    format!("the sentinels name another master: {}", address(&host, port))
}

/// Waits for an operation that finds the link broken.
async fn is_lost(inner: &Inner, serves: &AtomicBool) -> String {
    loop {
        inner.lost.notified().await;
        if serves.load(Ordering::Acquire) && inner.link.load().is_none() {
            return "an operation failed".to_owned();
        }
    }
}

async fn hear_all(inner: &Inner, events: PubSub) -> String {
    let (_sink, mut news) = events.split();
    while let Some(message) = poll_fn(|context| Pin::new(&mut news).poll_next(context)).await {
        hear(inner, &String::from_utf8_lossy(message.get_payload_bytes()));
    }
    "the subscription ended".to_owned()
}

/// Handles a message of another replica, or of this one.
fn hear(inner: &Inner, text: &str) {
    match text.split_once(' ') {
        // Of an older version.
        Some(("rule", rule)) => {
            if let Some(rule) = Rule::parse(rule) {
                inner.revocations.apply(rule);
            }
        }
        Some(("numbered", numbered)) => {
            let rule = numbered
                .split_once(' ')
                .and_then(|(number, rule)| Some(Rule { number: Some(number.parse().ok()?), ..Rule::parse(rule)? }));
            if let Some(rule) = rule {
                inner.revocations.apply(rule);
            }
        }
        Some(("attempts", who)) => {
            if let Some(who) = unhex(who) {
                inner.attempts.clear(&who, |_| ());
            }
        }
        Some(("beat", beat)) => {
            let mut words = beat.splitn(3, ' ');
            let (name, sent, host) = (words.next().unwrap_or_default(), words.next(), words.next());
            if name != inner.name {
                inner.replicas.heard(name, host.unwrap_or_default(), inner.millis());
            } else if let Some(sent) = sent.and_then(|sent| sent.parse::<u64>().ok()) {
                let now = u64::try_from(inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
                inner.propagation.store(now.saturating_sub(sent), Ordering::Relaxed);
                let heard = sent / 1_000 + 1;
                inner.heard.store(heard, Ordering::Release);
                *locked(&inner.last_heard) = (inner.listening.load(Ordering::Acquire), heard);
            }
        }
        _ => {}
    }
}

/// Polls for news. The link opens once nothing is missing.
async fn ask_all(inner: &Inner, mut connection: RedisConnection, serves: &AtomicBool) -> String {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut begun = None;
    loop {
        beat.tick().await;
        let asked = inner.millis();
        let status = match catch_up(inner, &mut connection).await {
            Ok(status) => status,
            Err(reason) => return reason,
        };
        inner.synced.store(asked, Ordering::Release);
        if !serves.swap(true, Ordering::AcqRel) {
            inner.link.store(Some(Arc::new(connection.clone())));
            inner.found();
        }
        if inner.link.load().is_none() {
            // `is_lost` is about to say so.
            pending::<()>().await;
        }
        inner.chores.look(&inner.revocations, status, begun.is_none());
        if let Err(reason) = within(inner, heartbeat(inner, &mut connection)).await {
            return reason;
        }
        let heard = inner.heard.load(Ordering::Acquire).max(*begun.get_or_insert(inner.millis()));
        if inner.millis().saturating_sub(heard) > DEAF {
            return "no heartbeat on the subscription".to_owned();
        }
    }
}

/// Reads new rules, page by page. Each page has its own timeout, and none is read twice.
async fn catch_up(inner: &Inner, connection: &mut RedisConnection) -> Result<RuleStatus, String> {
    let status = within(inner, inner.look(connection)).await?;
    inner.revocations.sweep(status.time.saturating_sub(MARGIN));
    // The counter went back: the store was emptied, or a replica took over that lacked writes.
    let mut cursor = inner.cursor.load(Ordering::Acquire).min(status.number);
    while cursor < status.number {
        let most = inner.page.load(Ordering::Relaxed);
        let page = match within(inner, inner.page(connection, cursor, u64::MAX, most)).await {
            Ok(page) => page,
            Err(reason) => {
                inner.page.store((most / 2).max(SMALLEST_PAGE), Ordering::Relaxed);
                return Err(reason);
            }
        };
        inner.page.store((most * 2).min(PAGE), Ordering::Relaxed);
        for (at, (text, number)) in page.iter().enumerate() {
            // One that cannot be read is of a later version: that one obeys it.
            if let Some(rule) = Rule::parse(text) {
                inner.revocations.apply(Rule { number: Some(*number), ..rule });
            }
            cursor = cursor.max(*number);
            // Others of this runtime have something to do too.
            if at % YIELD == 0 {
                yield_now().await;
            }
        }
        let is_last = page.len() < most;
        // On a new link all are looked at where any lacks its end.
        if inner.link.load().is_some() {
            inner.chores.adopt(page);
        }
        if is_last {
            cursor = cursor.max(status.number);
        }
        inner.cursor.store(cursor, Ordering::Release);
    }
    inner.cursor.store(cursor, Ordering::Release);
    inner.revocations.know(cursor);
    Ok(status)
}

async fn heartbeat(inner: &Inner, connection: &mut RedisConnection) -> RedisResult<()> {
    let sent = u64::try_from(inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    cmd("PUBLISH")
        .arg(inner.channel())
        .arg(format!("beat {} {sent} {}", inner.name, inner.replicas.host))
        .query_async(connection)
        .await
}

/// One exchange, within its timeout.
async fn within<T>(inner: &Inner, exchange: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(inner.settings.timeout, exchange).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
