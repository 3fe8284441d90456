//! The task that keeps the connection, listens to other replicas, and polls what it might have missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::aio::PubSub;
use redis::{Pipeline, RedisResult, cmd};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::connect::{Connection, connect};
use super::inner::{Inner, ends, locked};
use crate::state::revocation::Rule;
use crate::state::session::unhex;

/// How often the store is asked, and how soon after a failure it is tried again.
const BEAT: Duration = Duration::from_millis(250);

/// Without a heartbeat that came back for so long, in milliseconds, nothing is heard any more: listen anew.
const DEAF: u64 = 2_000;

/// How many rules are read at once.
const PAGE: usize = 1_000;

/// Connects and serves, for ever.
pub(super) async fn keep(inner: Arc<Inner>) {
    loop {
        let patience = inner.settings.connect_timeout * 3;
        match timeout(patience, connect(&inner.settings)).await {
            Ok(Ok((connection, events))) => {
                let reason = serve(&inner, connection, events).await;
                inner.lose(&reason);
            }
            Ok(Err(error)) => inner.lose(&error.to_string()),
            Err(_) => inner.lose("cannot connect in time"),
        }
        sleep(BEAT).await;
    }
}

/// Serves until something is wrong; says what.
async fn serve(inner: &Inner, mut connection: Connection, mut events: PubSub) -> String {
    if let Err(error) = events.subscribe(inner.channel()).await {
        return error.to_string();
    }
    inner.listening.fetch_add(1, Ordering::AcqRel);
    inner.heard.store(0, Ordering::Release);
    let begun = inner.millis();
    let mut cursor = 0.0;
    let (_sink, mut news) = events.split();
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = next(&mut news) => match message {
                Some(text) => hear(inner, &text),
                None => return "the subscription ended".to_owned(),
            },
            _ = beat.tick() => {
                let begin = inner.millis();
                match timeout(inner.settings.timeout, ask(inner, &mut connection, &mut cursor)).await {
                    Ok(Ok(())) => {
                        inner.synced.store(begin, Ordering::Release);
                        inner.link.store(Some(Arc::new(connection.clone())));
                        inner.found();
                    }
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "it does not answer in time".to_owned(),
                }
                let heard = inner.heard.load(Ordering::Acquire).max(begun);
                if inner.millis().saturating_sub(heard) > DEAF {
                    return "nothing is heard on the subscription".to_owned();
                }
            }
            () = inner.lost.notified() => {
                if inner.link.load().is_none() && inner.synced.load(Ordering::Acquire) >= begun {
                    return "an operation failed".to_owned();
                }
            }
        }
    }
}

async fn next(news: &mut redis::aio::PubSubStream) -> Option<String> {
    use futures_core::Stream as _;
    let message = std::future::poll_fn(|context| std::pin::Pin::new(&mut *news).poll_next(context)).await?;
    Some(String::from_utf8_lossy(message.get_payload_bytes()).into_owned())
}

/// What another replica, or this one, has said.
fn hear(inner: &Inner, text: &str) {
    match text.split_once(' ') {
        Some(("rule", rule)) => {
            if let Some(rule) = Rule::parse(rule) {
                inner.revocations.apply(rule);
            }
        }
        Some(("attempts", who)) => {
            if let Some(who) = unhex(who) {
                inner.attempts.clear(&who);
            }
        }
        Some(("beat", beat)) => {
            let sent =
                beat.split_once(' ').filter(|(name, _)| *name == inner.name).and_then(|(_, sent)| sent.parse().ok());
            if let Some(sent) = sent {
                let now = u64::try_from(inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
                inner.propagation.store(now.saturating_sub(sent), Ordering::Relaxed);
                inner.heard.store(sent / 1_000 + 1, Ordering::Release);
            }
        }
        _ => {}
    }
}

/// Reads the rules that are new, notes which sessions were used, and sends a heartbeat.
async fn ask(inner: &Inner, connection: &mut Connection, cursor: &mut f64) -> RedisResult<()> {
    let first = *cursor == 0.0;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut news = new_rules(inner, connection, *cursor).await?;
    // The counter went back, or rules are missing: the store was emptied, or a replica took over that lacked writes.
    let known = inner.revocations.all();
    if (first && !known.is_empty()) || news.count < *cursor || news.total < known.len() {
        let texts: Vec<String> = known.iter().map(Rule::to_string).collect();
        for some in texts.chunks(PAGE) {
            inner.add_rules(connection, some).await?;
        }
        *cursor = 0.0;
        news = new_rules(inner, connection, 0.0).await?;
    }
    while !news.rules.is_empty() {
        let mut over = cmd("ZREM");
        over.arg(inner.rules_key());
        let mut any = false;
        for (text, number) in &news.rules {
            *cursor = cursor.max(*number);
            match Rule::parse(text) {
                Some(rule) if rule.until > now => drop(inner.revocations.apply(rule)),
                Some(_) => {
                    over.arg(text);
                    any = true;
                }
                // Of a later version: that one obeys it.
                None => {}
            }
        }
        if any {
            over.query_async::<i64>(connection).await?;
        }
        if news.rules.len() < PAGE {
            break;
        }
        news = new_rules(inner, connection, *cursor).await?;
    }
    tell_touched(inner, connection).await?;
    let sent = u64::try_from(inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    cmd("PUBLISH").arg(inner.channel()).arg(format!("beat {} {sent}", inner.name)).query_async(connection).await
}

struct News {
    rules: Vec<(String, f64)>,
    total: usize,
    count: f64,
}

async fn new_rules(inner: &Inner, connection: &mut Connection, cursor: f64) -> RedisResult<News> {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("ZRANGEBYSCORE")
        .arg(inner.rules_key())
        .arg(format!("({cursor}"))
        .arg("+inf")
        .arg("WITHSCORES")
        .arg("LIMIT")
        .arg(0)
        .arg(PAGE);
    pipeline.cmd("ZCARD").arg(inner.rules_key());
    pipeline.cmd("GET").arg(inner.count_key());
    let (rules, total, count): (Vec<(String, f64)>, usize, Option<f64>) = pipeline.query_async(connection).await?;
    Ok(News { rules, total, count: count.unwrap_or_default() })
}

async fn tell_touched(inner: &Inner, connection: &mut Connection) -> RedisResult<()> {
    let touched = std::mem::take(&mut *locked(&inner.touched));
    for (digest, session) in touched {
        let mut invocation = inner.scripts.touch.key(inner.session_key(&digest));
        invocation.arg(session.last_seen).arg(ends(&session)).invoke_async::<i64>(connection).await?;
    }
    Ok(())
}
