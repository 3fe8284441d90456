//! Lists of logins, for operators: all keys are scanned, page by page and node by node, on connections made for it. No
//! call waits, and a failure ends nothing but the list.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult, cmd};
use tokio::time::timeout;

use super::Redis;
use super::connect::nodes;
use super::fields::{Fields, family, session};
use super::scan::scan;
use super::store::Inner;
use crate::customer::Identifier;
use crate::hex::unhex;
use crate::state::Unavailable;
use crate::state::customer_logins::LoginKind;
use crate::state::refresh_token::Family;
use crate::state::session::{LoginId, Session, SessionDigest};

/// Logins read at once.
pub(super) const PAGE: usize = 200;

/// Timeout of one step, or one page: only the operator waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// The logins to look at.
#[derive(Debug, Clone, Copy)]
pub enum Among<'a> {
    /// All of the store.
    All,
    /// The login with this name, among refresh tokens; every session.
    Login(LoginId),
    /// The logins noted for these customers.
    Customers(&'a [Identifier]),
}

impl Redis {
    /// At most `most` sessions that are `wanted`.
    pub(in crate::state) async fn sessions(
        &self,
        most: usize,
        among: Among<'_>,
        wanted: impl Fn(&SessionDigest, &Session) -> bool,
    ) -> Result<Vec<(SessionDigest, Session)>, Unavailable> {
        self.list(LoginKind::Session, most, among, |digest, fields| {
            session(digest, fields).map(|session| wanted(digest, &session).then_some(session))
        })
        .await
    }

    /// At most `most` families that are `wanted`.
    pub(in crate::state) async fn families(
        &self,
        most: usize,
        among: Among<'_>,
        wanted: impl Fn(&SessionDigest, &Family) -> bool,
    ) -> Result<Vec<(SessionDigest, Family)>, Unavailable> {
        self.list(LoginKind::Family, most, among, |digest, fields| {
            family(fields).map(|family| wanted(digest, &family).then_some(family))
        })
        .await
    }

    /// Lists the logins that `read` wants. It returns `None` for a login that cannot be read, and `Some(None)` for one
    /// that is not wanted.
    async fn list<T>(
        &self,
        kind: LoginKind,
        most: usize,
        among: Among<'_>,
        read: impl Fn(&SessionDigest, &Fields) -> Option<Option<T>>,
    ) -> Result<Vec<(SessionDigest, T)>, Unavailable> {
        // A key may come more than once, also of two nodes.
        let mut found = HashMap::new();
        let mut take = |logins: Vec<(SessionDigest, Fields)>| {
            for (digest, fields) in logins {
                // It has ended in between.
                if fields.is_empty() {
                    continue;
                }
                if let Some(login) = read(&digest, &fields).ok_or(Unavailable)? {
                    found.insert(digest, login);
                }
            }
            Ok(found.len() < most)
        };
        if let Among::Customers(customers) = among {
            for customer in customers {
                if !take(self.noted(kind, customer).await?)? {
                    break;
                }
            }
        } else {
            let start = match (kind, among) {
                (LoginKind::Family, Among::Login(login)) => login.to_string(),
                _ => String::new(),
            };
            self.walk(&self.inner.login_prefix(kind), &start, take).await?;
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.truncate(most);
        Ok(found)
    }

    /// Scans the keys with the prefix `before` and `start` on all nodes, until `take` returns `false`. A key may come
    /// more than once.
    pub(super) async fn walk<const COUNT: usize>(
        &self,
        before: &str,
        start: &str,
        mut take: impl FnMut(Vec<([u8; COUNT], Fields)>) -> Result<bool, Unavailable>,
    ) -> Result<(), Unavailable> {
        for mut node in self.nodes().await? {
            let mut cursor = 0;
            loop {
                let (next, some) = page(&mut node, before, start, cursor).await?;
                if !take(some)? {
                    return Ok(());
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// A connection to the server, or to each master of a cluster.
    async fn nodes(&self) -> Result<Vec<MultiplexedConnection>, Unavailable> {
        let link = self.inner.link.load_full();
        let link = link.as_deref().ok_or(Unavailable)?;
        nodes(&self.inner.settings, link, &self.inner.connect_log).await.map_err(|error| told(&error))
    }

    /// The noted logins of a customer.
    async fn noted(&self, kind: LoginKind, customer: &Identifier) -> Result<Vec<(SessionDigest, Fields)>, Unavailable> {
        let mut range = cmd("ZRANGE");
        range.arg(self.inner.customer_key(kind, customer)).arg(0).arg(-1);
        let names: Vec<String> = self
            .in_background(move |_, mut connection| async move { range.query_async(&mut connection).await })
            .await?;
        let digests: Vec<SessionDigest> = names.iter().filter_map(|name| unhex(name)).collect();
        let mut logins = Vec::new();
        for some in digests.chunks(self.at_once(PAGE).min(PAGE)) {
            let hashes = all_of(some.iter().map(|digest| self.inner.login_key(kind, digest)));
            let fields: Vec<Fields> = self
                .in_background(move |_, mut connection| async move { hashes.query_async(&mut connection).await })
                .await?;
            logins.extend(some.iter().copied().zip(fields));
        }
        Ok(logins)
    }
}

impl Inner {
    fn login_key(&self, kind: LoginKind, digest: &SessionDigest) -> String {
        match kind {
            LoginKind::Session => self.session_key(digest),
            LoginKind::Family => self.family_key(digest),
        }
    }
}

/// One step of a scan from `cursor`: the hashes of the keys with the prefix `before` and `start`, and the next cursor,
/// which is 0 after the last step.
async fn page<const COUNT: usize>(
    node: &mut MultiplexedConnection,
    before: &str,
    start: &str,
    cursor: u64,
) -> Result<(u64, Vec<([u8; COUNT], Fields)>), Unavailable> {
    let (next, keys): (u64, Vec<String>) = patiently(scan(node, &format!("{before}{start}"), cursor)).await?;
    let name = |key: String| Some((unhex(key.strip_prefix(before)?)?, key));
    let named: Vec<([u8; COUNT], String)> = keys.into_iter().filter_map(name).collect();
    let mut found = Vec::new();
    for some in named.chunks(PAGE) {
        let keys = some.iter().map(|(_, key)| key.clone());
        let fields: Vec<Fields> = patiently(all_of(keys).query_async(node)).await?;
        found.extend(some.iter().map(|(name, _)| *name).zip(fields));
    }
    Ok((next, found))
}

/// The commands that read these keys.
fn all_of(keys: impl Iterator<Item = String>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for key in keys {
        pipeline.cmd("HGETALL").arg(key);
    }
    pipeline
}

async fn patiently<T: FromRedisValue>(exchange: impl Future<Output = RedisResult<T>>) -> Result<T, Unavailable> {
    match timeout(PATIENCE, exchange).await {
        Ok(outcome) => outcome.map_err(|error| told(&error)),
        Err(_) => Err(told(&"no answer in time")),
    }
}

fn told(reason: &dyn std::fmt::Display) -> Unavailable {
    let reason = reason.to_string();
    tracing::warn!(reason, "the state store cannot be listed");
    Unavailable
}
