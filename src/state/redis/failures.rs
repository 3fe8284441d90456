//! Failed attempts: counted, forgiven, listed for operators and cleared by them.

use std::collections::HashMap;
use std::sync::Arc;

use super::Redis;
use super::connection::RedisConnection;
use super::fields::{Fields, failures_from, failures_in};
use super::listing::PAGE;
use super::store::Inner;
use crate::hex::{hex, unhex};
use crate::state::Unavailable;
use crate::state::login_lockout::{AttemptKey, AttemptKeys, Costs, FailedAttempt, Failures, NOBODY};
use redis::{Pipeline, RedisResult, cmd};

impl Redis {
    /// The failure counters of these keys, in their order.
    pub(in crate::state) async fn failures(&self, keys: [AttemptKey; 2]) -> Result<[Failures; 2], Unavailable> {
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

    /// Counts a failure at `now`, in milliseconds since 1970: of the network and, if it counts there, of the name.
    pub(in crate::state) async fn fail(&self, keys: AttemptKeys, costs: Costs, now: u64) -> Result<(), Unavailable> {
        self.run(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
            let counts = fail_one(&inner, &mut connection, keys.of_network(costs), now).await?;
            if counts {
                fail_one(&inner, &mut connection, keys.of_name(costs), now).await?;
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

    /// [`Self::fail`] without waiting for the store.
    pub(in crate::state) fn fail_later(&self, keys: AttemptKeys, costs: Costs, now: u64) {
        let store = self.clone();
        self.control.spawn(async move { store.fail(keys, costs, now).await });
    }

    /// Forgets the failures of a name, if spelled alike, and subtracts them from its network's.
    pub(in crate::state) async fn forgive(&self, keys: AttemptKeys, now: u64) -> Result<(), Unavailable> {
        self.run(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
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

    /// Returns whether a successful login is noted under this key.
    pub(in crate::state) async fn was_right(&self, key: &AttemptKey) -> Result<bool, Unavailable> {
        let mut exists = cmd("EXISTS");
        exists.arg(self.inner.right_key(key));
        self.one(exists).await
    }

    /// Notes a successful login for so many milliseconds, without waiting for the store.
    pub(in crate::state) fn note_right(&self, key: AttemptKey, millis: u64) {
        let mut set = cmd("SET");
        set.arg(self.inner.right_key(&key)).arg(1).arg("PX").arg(millis);
        let store = self.clone();
        self.control.spawn(async move { store.one::<()>(set).await });
    }

    /// The failure counters that are `wanted`, at most `most`, of all nodes.
    pub(in crate::state) async fn attempts(
        &self,
        most: usize,
        wanted: impl Fn(&Failures) -> bool,
    ) -> Result<Vec<(AttemptKey, Failures)>, Unavailable> {
        // A key may come more than once, also of two nodes.
        let mut found = HashMap::new();
        let take = |some: Vec<(AttemptKey, Fields)>| {
            let some = some.into_iter().map(|(key, fields)| (key, failures_in(&fields)));
            found.extend(some.filter(|(_, failures)| wanted(failures)));
            Ok(found.len() < most)
        };
        self.walk(&self.inner.attempt_prefix(), "", take).await?;
        let mut found: Vec<_> = found.into_iter().collect();
        found.truncate(most);
        Ok(found)
    }

    /// Forgets all failures of a name, and those of a network if one is named; returns the number of keys. All replicas
    /// hear of it.
    pub(in crate::state) async fn clear_attempts(
        &self,
        who: &AttemptKey,
        network: Option<&AttemptKey>,
    ) -> Result<usize, Unavailable> {
        let mut members = cmd("SMEMBERS");
        members.arg(self.inner.name_key(who));
        let names: Vec<String> = self.one(members).await?;
        let keys: Vec<AttemptKey> = names.iter().filter_map(|name| unhex(name)).chain(network.copied()).collect();
        let mut count = 0;
        for some in keys.chunks(self.at_once(PAGE).min(PAGE)) {
            let mut pipeline = Pipeline::new();
            for key in some {
                pipeline.cmd("DEL").arg(self.inner.attempt_key(key));
            }
            let gone: Vec<usize> = self.all(pipeline).await?;
            count += gone.iter().sum::<usize>();
        }
        let mut delete = cmd("DEL");
        delete.arg(self.inner.name_key(who));
        self.one::<usize>(delete).await?;
        let mut publish = cmd("PUBLISH");
        publish.arg(self.inner.channel()).arg(format!("attempts {}", hex(who)));
        self.one::<i64>(publish).await?;
        Ok(count)
    }
}

/// The fields of a failure counter: number of failures, time at which they are forgotten, end of the lock, spelling,
/// name.
type FailuresValue = (Option<u64>, Option<u64>, Option<u64>, Option<u64>, Option<String>);

/// Counts a failed attempt; `true` if it counts.
async fn fail_one(
    inner: &Inner,
    connection: &mut RedisConnection,
    attempt: FailedAttempt,
    now: u64,
) -> RedisResult<bool> {
    let FailedAttempt { key, who, spelling, cost } = attempt;
    let mut invocation = inner.scripts.fail.key(inner.attempt_key(&key));
    let who = if who == NOBODY { String::new() } else { hex(&who) };
    invocation.arg(cost.free).arg(cost.delay).arg(cost.longest).arg(now).arg(spelling).arg(who);
    invocation.invoke_async(connection).await
}
