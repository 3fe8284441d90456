//! Sessions, and the rules that end them.

use std::sync::Arc;

use super::Redis;
use super::connection::RedisConnection;
use super::fields::session;
use super::store::Inner;
use crate::state::Unavailable;
use crate::state::revocation::Rule;
use crate::state::session::{Session, SessionDigest};
use redis::{Pipeline, cmd};

impl Redis {
    /// Stores new sessions, each until its expiry.
    pub(in crate::state) async fn begin(&self, sessions: &[(SessionDigest, Session)]) -> Result<(), Unavailable> {
        for some in sessions.chunks(self.at_once(sessions.len())) {
            let mut pipeline = Pipeline::new();
            for (digest, session) in some {
                self.inner.put(&mut pipeline, digest, session);
            }
            self.write(pipeline).await?;
        }
        Ok(())
    }

    /// The session of this digest.
    pub(in crate::state) async fn find(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let mut get = cmd("HGETALL");
        get.arg(self.inner.session_key(digest));
        let fields: Vec<(String, String)> = self.one(get).await?;
        if fields.is_empty() { Ok(None) } else { session(digest, &fields).map(Some).ok_or(Unavailable) }
    }

    /// Notes the use of a session; the store hears of it soon.
    pub(in crate::state) fn touch(&self, digest: SessionDigest, session: Session) {
        self.inner.touch(digest, session);
    }

    /// Ends a session. The rule comes first: it ends the copies of other replicas, and the session even if the rest is
    /// lost.
    pub(in crate::state) async fn end(&self, digest: &SessionDigest, rule: &Rule) -> Result<(), Unavailable> {
        self.revoke(std::slice::from_ref(rule)).await?;
        let mut pipeline = Pipeline::new();
        pipeline.cmd("DEL").arg(self.inner.session_key(digest)).ignore();
        self.write(pipeline).await
    }

    /// Puts rules in force on every replica.
    pub(in crate::state) async fn revoke(&self, rules: &[Rule]) -> Result<(), Unavailable> {
        let rules = rules.to_vec();
        self.acknowledged(move |inner: Arc<Inner>, mut connection: RedisConnection| async move {
            inner.send_rules(&mut connection, &rules, true).await
        })
        .await
    }
}
