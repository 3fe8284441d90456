//! Expiry: forgets expired records in slices, never more than [`SLICE`] in one commit, no part of a map locked for
//! longer than it takes to look through it, with a pause after each part.
//!
//! A record is deleted from the file first and from memory then: memory never lacks what the file holds, and a failed
//! deletion is tried again.

use std::hash::Hash;

use crate::state::embedded::SLICE;
use crate::state::login_lockout::Failures;
use crate::state::refresh_token::Family;
use crate::state::session_cache::KnownSession;
use crate::state::sharded_map::{PARTS, Shards};
use crate::state::{State, Store, Unavailable, UnlessLeft, codec};

impl State {
    /// Forgets what has expired. Times are in seconds. A session that was idle for too long still names the login that
    /// a logout ends: it is kept until its expiry, unless room is needed or another store has it.
    pub async fn sweep(&self, now: u64, idle: u64) {
        let is_crowded = self.sessions.len() + self.families.len() >= self.max_sessions / 2;
        let idle = if is_crowded || matches!(self.store, Store::Redis(..)) { idle } else { u64::MAX };
        for part in 0..PARTS {
            if self.sweep_part(part, now, idle).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // Those of a shared store end by its clock.
        if !matches!(self.store, Store::Redis(..)) {
            self.sweep_rules(now).await;
        }
        if matches!(self.store, Store::Embedded(_)) && !self.owed.is_empty() {
            let _ = self.keep("revoke", UnlessLeft::Write, Vec::new, async |_| Ok(())).await;
        }
    }

    async fn sweep_rules(&self, now: u64) {
        loop {
            let (over, deleted) = self.revocations.over(SLICE, now, |over| {
                let deleted = self.delete(over.iter().map(|subject| codec::rule_key(subject)).collect());
                (over, deleted)
            });
            if over.is_empty() || deleted.await.is_err() {
                return;
            }
            over.iter().for_each(|subject| self.revocations.forget(subject, now));
            tokio::task::yield_now().await;
        }
    }

    /// Forgets what has expired of one part of every map, without the rules.
    async fn sweep_part(&self, part: usize, now: u64, idle: u64) -> Result<(), Unavailable> {
        let millis = now.saturating_mul(1_000);
        let sessions = self.sessions.known();
        let is_over = |digest: &_, known: &KnownSession| known.is_over(digest, now, idle, &self.revocations);
        self.forget(sessions, part, codec::session_key, is_over, |digest, known| {
            let session = known.session();
            self.session_registry.remove(&session.customer, session.issued_at, digest);
        })
        .await?;
        let is_over = |digest: &_, family: &Family| now >= family.expires_at || self.is_family_revoked(digest, family);
        self.forget(&self.families, part, codec::family_key, is_over, |digest, family| {
            self.family_registry.remove(&family.customer, family.issued_at, digest);
        })
        .await?;
        let is_over = |_: &_, failures: &Failures| millis >= failures.forgotten_at;
        self.forget(self.attempts.failures(), part, codec::attempt_key, is_over, |_, _| ()).await?;
        let is_over = |_: &_, until: &u64| millis >= *until;
        self.forget(self.attempts.right(), part, codec::attempt_key, is_over, |_, _| ()).await?;
        let is_over = |_: &_, until: &u64| now >= *until;
        self.forget(self.used.known(), part, codec::used_key, is_over, |id, _| self.used.forgotten(id)).await
    }

    /// Forgets what has expired in one part of a map.
    async fn forget<K: Clone + Eq + Hash, V>(
        &self,
        map: &Shards<K, V>,
        part: usize,
        record: impl Fn(&K) -> Vec<u8>,
        is_over: impl Fn(&K, &V) -> bool,
        forgotten: impl Fn(&K, V),
    ) -> Result<(), Unavailable> {
        loop {
            // Nothing of this part changes before its records are in the queue: what is written of it later comes after them.
            let (over, deleted) = map.select(part, SLICE, &is_over, |over| {
                let deleted = self.delete(over.iter().map(&record).collect());
                (over, deleted)
            });
            if over.is_empty() {
                return Ok(());
            }
            deleted.await?;
            for key in &over {
                if let Some(value) = map.remove_if(key, &is_over) {
                    forgotten(key, value);
                }
            }
            map.shrink(part);
        }
    }

    /// Deletes these records from the file; resolves once they are deleted.
    fn delete(&self, records: Vec<Vec<u8>>) -> impl Future<Output = Result<(), Unavailable>> + use<> {
        let deleted = match &self.store {
            Store::Embedded(store) if !records.is_empty() => Some(store.delete(records)),
            Store::Memory | Store::Embedded(_) | Store::Redis(..) => None,
        };
        async move {
            match deleted {
                Some(deleted) => deleted.await.unwrap_or_default().then_some(()).ok_or(Unavailable),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
