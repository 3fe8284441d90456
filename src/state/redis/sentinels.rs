//! Sentinels: each is polled on a connection of its own for the address of the master, so that a failover is seen when
//! they have decided it, and not when the old master hears of it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, cmd};
use tokio::sync::watch;
use tokio::time::sleep;

use super::backoff::{BEAT, pause};
use super::connect_log::ConnectLog;
use super::connection::{HostPort, address};
use super::dial::{noted, open};
use super::settings::{RedisSettings, RedisTopology};

/// The answers of the configured sentinels, in their order; none without sentinels.
pub(super) struct Sentinels(watch::Sender<Words>);

/// The last answer of each.
#[derive(Debug, Clone)]
struct Words(Vec<Word>);

/// The last answer of a sentinel.
#[derive(Debug, Clone)]
enum Word {
    /// It has not been asked yet.
    Unasked,
    /// Address of the master, and the number of the failover that made it so (`config-epoch`); 0 if it is not told.
    Master(HostPort, u64),
    /// It did not answer.
    Failed(RedisError),
}

impl Sentinels {
    pub(super) fn of(settings: &RedisSettings) -> Self {
        let count = if let RedisTopology::Sentinel(sentinels, _) = &settings.kind { sentinels.len() } else { 0 };
        Self(watch::Sender::new(Words(vec![Word::Unasked; count])))
    }

    /// Polls all of them, for ever.
    pub(super) async fn keep_asking(&self, settings: &RedisSettings, log: &ConnectLog) {
        let RedisTopology::Sentinel(sentinels, master) = &settings.kind else { return };
        let mut all: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        for (number, sentinel) in sentinels.iter().enumerate() {
            all.push(Box::pin(self.keep_asking_one(number, settings, sentinel, master, log)));
        }
        poll_fn(|context| {
            for one in &mut all {
                // It never ends.
                let _ = one.as_mut().poll(context);
            }
            Poll::Pending
        })
        .await
    }

    async fn keep_asking_one(
        &self,
        number: usize,
        settings: &RedisSettings,
        (host, port): &HostPort,
        master: &str,
        log: &ConnectLog,
    ) {
        let mut failures = 0;
        loop {
            // It is entered anew where there are other credentials.
            let access = settings.access.load_full();
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(settings.timeout));
            let outcome = match open(settings, &access.sentinels, 0, (host, *port), config).await {
                Ok(mut connection) => loop {
                    match ask(&mut connection, master).await {
                        Ok(word) => self.said(number, word),
                        Err(error) => break Err(error),
                    }
                    failures = 0;
                    log.succeeded(&address(host, *port));
                    sleep(BEAT).await;
                    if !Arc::ptr_eq(&access, &settings.access.load()) {
                        break Ok(());
                    }
                },
                Err(error) => Err(error),
            };
            if let Err(error) = noted(log, host, *port, outcome) {
                self.said(number, Word::Failed(error));
                sleep(pause(failures)).await;
                failures += 1;
            }
        }
    }

    fn said(&self, number: usize, word: Word) {
        self.0.send_if_modified(|words| {
            let Some(last) = words.0.get_mut(number) else { return false };
            let is_news = match (&*last, &word) {
                (Word::Master(one, since), Word::Master(other, then)) => (one, since) != (other, then),
                (Word::Failed(_), Word::Failed(_)) => false,
                _ => true,
            };
            *last = word;
            is_news
        });
    }

    /// Addresses of the master, as soon as enough sentinels have answered. There is more than one if they disagree, or
    /// spell it differently: the first is the most frequent.
    ///
    /// # Errors
    /// None of them names a master: the reason of the last.
    pub(super) async fn masters(&self) -> RedisResult<Vec<HostPort>> {
        let mut words = self.0.subscribe();
        // The sender is here: this cannot end without.
        let words = words.wait_for(Words::are_enough).await.map(|words| words.clone());
        words.unwrap_or(Words(Vec::new())).masters()
    }

    /// Waits until the master is no longer at `present`; returns its address.
    pub(super) async fn moved_from(&self, present: &HostPort) -> HostPort {
        loop {
            let mut words = self.0.subscribe();
            let is_elsewhere = |words: &Words| words.masters().is_ok_and(|masters| !masters.contains(present));
            if let Ok(words) = words.wait_for(is_elsewhere).await
                && let Some(master) = words.masters().ok().and_then(|masters| masters.into_iter().next())
            {
                return master;
            }
        }
    }

    /// Waits until the answer of one of them changes.
    pub(super) async fn news(&self) {
        let _ = self.0.subscribe().changed().await;
    }
}

impl Words {
    /// Returns whether more than half name one server, or all have been asked.
    fn are_enough(&self) -> bool {
        let all_asked = !self.0.iter().any(|word| matches!(word, Word::Unasked));
        all_asked || self.counted().first().is_some_and(|(_, count)| 2 * count > self.0.len())
    }

    fn masters(&self) -> RedisResult<Vec<HostPort>> {
        let masters: Vec<HostPort> = self.counted().into_iter().map(|(address, _)| address.clone()).collect();
        if !masters.is_empty() {
            return Ok(masters);
        }
        let failed = self.0.iter().rev().find_map(|word| match word {
            Word::Failed(error) => Some(error.clone()),
            _ => None,
        });
        Err(failed.unwrap_or_else(|| (ErrorKind::Io, "no sentinel answers").into()))
    }

    /// The masters since the last failover, with the number of sentinels that name each. A sentinel that was cut off,
    /// or has just been set up, knows only of earlier ones.
    fn counted(&self) -> Vec<(&HostPort, usize)> {
        let said = || {
            self.0.iter().filter_map(|word| if let Word::Master(at, since) = word { Some((at, *since)) } else { None })
        };
        let last = said().map(|(_, since)| since).max();
        let mut counted: Vec<(&HostPort, usize)> = Vec::new();
        for (address, _) in said().filter(|(_, since)| Some(*since) == last) {
            match counted.iter_mut().find(|(known, _)| *known == address) {
                Some((_, count)) => *count += 1,
                None => counted.push((address, 1)),
            }
        }
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counted
    }
}

/// Asks for the epoch first: a failover between the two questions then makes the answer look older than it is, and is
/// seen next time.
async fn ask(sentinel: &mut MultiplexedConnection, master: &str) -> RedisResult<Word> {
    let about = cmd("SENTINEL").arg("MASTER").arg(master).query_async::<HashMap<String, String>>(sentinel).await;
    let since = match about {
        Ok(about) => about.get("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default(),
        Err(error) if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => return Err(error),
        // Withheld from us, or it knows no such master: then that is said below.
        Err(_) => 0,
    };
    let found: Option<HostPort> =
        cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query_async(sentinel).await?;
    let none = || (ErrorKind::MasterNameNotFoundBySentinel, "the sentinel knows no master of this name").into();
    found.map(|address| Word::Master(address, since)).ok_or_else(none)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    fn words(all: &[Option<(&str, u64)>]) -> Words {
        let word = |one: &Option<(&str, u64)>| {
            one.map_or(Word::Unasked, |(host, since)| Word::Master((host.to_owned(), 1), since))
        };
        Words(all.iter().map(word).collect())
    }

    fn masters(all: &[Option<(&str, u64)>]) -> Vec<String> {
        words(all).masters().unwrap().into_iter().map(|(host, _)| host).collect()
    }

    #[test]
    fn the_last_failover_counts_and_then_what_most_say() {
        assert_eq!(masters(&[Some(("old", 3)), Some(("old", 3)), Some(("new", 4))]), ["new"]);
        assert_eq!(masters(&[Some(("reset", 0)), Some(("new", 4)), Some(("new", 4))]), ["new"]);
        assert_eq!(masters(&[Some(("ip", 4)), Some(("name", 4)), Some(("name", 4))]), ["name", "ip"]);
        assert_eq!(masters(&[None, Some(("old", 0)), Some(("new", 0))]), ["old", "new"]);
        assert!(words(&[None, None]).masters().is_err());
    }

    #[test]
    fn nobody_trusts_one_sentinel_while_others_have_not_been_asked() {
        assert!(!words(&[Some(("old", 3)), None, None]).are_enough());
        assert!(!words(&[Some(("old", 3)), Some(("new", 4)), None]).are_enough());
        assert!(words(&[Some(("new", 4)), Some(("new", 4)), None]).are_enough());
        assert!(words(&[Some(("one", 1))]).are_enough());
        let mut all = words(&[Some(("old", 3)), None]);
        all.0[1] = Word::Failed((ErrorKind::Io, "closed").into());
        assert!(all.are_enough());
        assert_eq!(all.masters().unwrap(), [("old".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn whoever_is_at_a_master_that_any_still_names_stays_there() {
        let sentinels = Sentinels(watch::Sender::new(words(&[Some(("ip", 4)), Some(("name", 4)), Some(("name", 4))])));
        let at = ("ip".to_owned(), 1);
        let mut moved = Box::pin(sentinels.moved_from(&at));
        assert!(poll_fn(|context| Poll::Ready(moved.as_mut().poll(context).is_pending())).await);
        sentinels.said(2, Word::Master(("new".to_owned(), 2), 5));
        assert_eq!(moved.await, ("new".to_owned(), 2));
    }
}
