//! The logins of each customer: a sorted set per kind, in the order in which they began, which expires with the last.

use std::sync::Arc;

use super::Redis;
use super::connection::RedisConnection;
use super::store::Inner;
use crate::customer::Identifier;
use crate::hex::{hex, unhex};
use crate::state::Unavailable;
use crate::state::customer_logins::{LoginKind, MOST_ENDED};
use crate::state::session::SessionDigest;
use redis::{Pipeline, cmd};

impl Redis {
    /// Adds a login that expires at `ends` at the latest; returns the customer's oldest logins if more than `most` are
    /// live.
    pub(in crate::state) async fn join(
        &self,
        kind: LoginKind,
        customer: &Identifier,
        new: &SessionDigest,
        most: usize,
        ends: u64,
    ) -> Result<Vec<SessionDigest>, Unavailable> {
        let (key, new) = (self.inner.customer_key(kind, customer), hex(new));
        let asked = key.clone();
        let all: Vec<String> = self
            .run(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
                let mut invocation = inner.scripts.join.key(asked);
                invocation
                    .arg(new)
                    .arg(most)
                    .arg(ends.min(u64::MAX / 4_000))
                    .arg(MOST_ENDED)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        if all.is_empty() {
            return Ok(Vec::new());
        }
        // Those that have ended by themselves, or by a logout, stand there still.
        let digests: Vec<SessionDigest> = all.iter().filter_map(|text| unhex(text)).collect();
        let exist = self.exist(kind, &digests).await?;
        let (mut live, mut gone) = (Vec::new(), Vec::new());
        for (digest, exists) in digests.iter().zip(exist) {
            if exists { live.push(*digest) } else { gone.push(hex(digest)) }
        }
        if !gone.is_empty() {
            let mut remove = cmd("ZREM");
            remove.arg(key).arg(gone);
            self.one::<i64>(remove).await?;
        }
        // Once they have ended they are among those the next time.
        live.truncate(live.len().saturating_sub(most).min(MOST_ENDED));
        Ok(live)
    }

    /// Returns which of these logins exist, in their order.
    async fn exist(&self, kind: LoginKind, digests: &[SessionDigest]) -> Result<Vec<bool>, Unavailable> {
        let key = |digest| match kind {
            LoginKind::Session => self.inner.session_key(digest),
            LoginKind::Family => self.inner.family_key(digest),
        };
        let mut found = Vec::new();
        for some in digests.chunks(self.at_once(digests.len())) {
            let mut pipeline = Pipeline::new();
            for digest in some {
                pipeline.cmd("EXISTS").arg(key(digest));
            }
            let exist: Vec<bool> = self.all(pipeline).await?;
            found.extend(exist);
        }
        Ok(found)
    }
}
