//! Counters: calls of rate limits and quotas, and single-use ids.

use super::Redis;
use super::connection::RedisConnection;
use crate::hex::hex;
use crate::state::login_lockout::AttemptKey;
use crate::state::replay::OnceId;
use crate::state::{Taken, Unavailable};
use redis::cmd;

impl Redis {
    /// Takes up to `wanted` calls of a rate limit, by the clock of the store.
    pub(in crate::state) async fn take(
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

    /// Counts up to `wanted` calls towards `most`; returns those granted, and all calls counted.
    pub(in crate::state) async fn count(
        &self,
        name: &str,
        wanted: u64,
        most: u64,
        ends: u64,
    ) -> Result<(u64, u64), Unavailable> {
        let key = format!("{}q:{name}", self.inner.settings.prefix);
        self.run(move |inner, mut connection| async move {
            let mut invocation = inner.scripts.count.key(key);
            invocation.arg(wanted).arg(most).arg(ends).invoke_async(&mut connection).await
        })
        .await
    }

    /// Marks an id as used for so many seconds; returns whether it was unused.
    pub(in crate::state) async fn use_once(&self, id: &OnceId, seconds: u64) -> Result<bool, Unavailable> {
        let mut set = cmd("SET");
        set.arg(format!("{}u:{}", self.inner.settings.prefix, hex(id))).arg(1).arg("NX").arg("EX").arg(seconds);
        self.acknowledged(move |_, mut connection: RedisConnection| async move {
            let first: Option<String> = set.query_async(&mut connection).await?;
            Ok(first.is_some())
        })
        .await
    }
}
