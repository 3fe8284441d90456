//! Families of refresh tokens.

use std::sync::Arc;
use std::time::Duration;

use super::Redis;
use super::connection::RedisConnection;
use super::fields::{family, family_fields};
use super::store::Inner;
use crate::hex::hex;
use crate::secret::random_bytes;
use crate::state::Unavailable;
use crate::state::refresh_token::{Family, RefreshToken, Rotated};
use crate::state::revocation::Rule;
use crate::state::session::SessionDigest;
use redis::{Pipeline, cmd};

impl Redis {
    /// Begins a family of refresh tokens.
    pub(in crate::state) async fn begin_family(
        &self,
        digest: &SessionDigest,
        family: &Family,
    ) -> Result<(), Unavailable> {
        let key = self.inner.family_key(digest);
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HSET").arg(&key).arg(family_fields(family)).ignore();
        pipeline.cmd("EXPIREAT").arg(&key).arg(family.expires_at).ignore();
        self.write(pipeline).await
    }

    /// The family of this digest.
    pub(in crate::state) async fn family(&self, digest: &SessionDigest) -> Result<Option<Family>, Unavailable> {
        let mut get = cmd("HGETALL");
        get.arg(self.inner.family_key(digest));
        let fields: Vec<(String, String)> = self.one(get).await?;
        if fields.is_empty() { Ok(None) } else { family(&fields).map(Some).ok_or(Unavailable) }
    }

    /// Rotates a refresh token: hands it in for one of its successors, of which the first is the one to give. A login
    /// that `admits` refuses gets no answer: the token is valid for as long as its successor is unused.
    pub(in crate::state) async fn rotate(
        &self,
        presented: &RefreshToken,
        successors: &[RefreshToken],
        grace: Duration,
        admits: impl Fn(&Family) -> bool,
    ) -> Result<Rotated, Unavailable> {
        let key = self.inner.family_key(&presented.family);
        let (old, call) = (hex(&presented.digest), hex(&random_bytes::<8>()));
        let new: Vec<String> = successors.iter().map(|token| hex(&token.digest)).collect();
        let (asked, named) = (key.clone(), call.clone());
        let (word, fields): (String, Vec<(String, String)>) = self
            .acknowledged(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
                let mut invocation = inner.scripts.rotate.key(asked);
                invocation.arg(old).arg(named).arg(new).invoke_async(&mut connection).await
            })
            .await?;
        match word.as_str() {
            "good" => {
                let family = family(&fields).ok_or(Unavailable)?;
                if !admits(&family) {
                    return Ok(Rotated::Barred(family));
                }
                self.answered(key, call, grace).await;
                Ok(Rotated::Good(family))
            }
            "reused" => family(&fields).map(Rotated::Reused).ok_or(Unavailable),
            "replaced" => Ok(Rotated::Replaced),
            _ => Ok(Rotated::Unknown),
        }
    }

    /// Begins the grace of a refresh token: its holder gets the successor. If this is lost, the token is valid for
    /// longer.
    async fn answered(&self, key: String, call: String, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let told = self.run(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
            let mut invocation = inner.scripts.answered.key(key);
            invocation.arg(call).arg(grace).invoke_async::<i64>(&mut connection).await
        });
        let _ = told.await;
    }

    /// Ends a family.
    pub(in crate::state) async fn end_family(&self, digest: &SessionDigest, rule: &Rule) -> Result<(), Unavailable> {
        self.revoke(std::slice::from_ref(rule)).await?;
        let mut delete = cmd("DEL");
        delete.arg(self.inner.family_key(digest));
        self.one::<i64>(delete).await.map(drop)
    }
}
