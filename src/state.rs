//! What outlives a request: customers' logins, what has been revoked, refresh tokens, failed attempts.
//!
//! The request path reads memory. Everything that must not be lost is in a store before anybody is told that it
//! happened: one file of this process, or a Redis that several replicas share.

pub mod attempts;
mod embedded;
pub mod family;
mod record;
pub mod revocation;
pub mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use crate::customer::Identifier;
use crate::metrics::StateMetrics;
use attempts::{AttemptKey, Attempts, Cost};
pub use embedded::OpenFault;
use embedded::{Change, Embedded};
use family::{Family, RefreshToken, Rotated};
use record::Kept;
use revocation::{Revocations, Rule, Subject};
use session::{Found, Session, SessionDigest, Sessions, Trust, handle};

/// How long a rule about a customer or client is kept: no token lives longer (RFC 6265bis caps cookies at 400 days).
pub const LONGEST: u64 = 400 * 24 * 3600;

/// The store could not be asked, or could not write. Never taken for a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state store is not available")]
pub struct Unavailable;

/// Where state is kept.
#[derive(Debug)]
pub enum Settings {
    /// In a file in this directory, with at most so many sessions.
    Embedded(PathBuf, usize),
    /// In memory only. For tests and measurements: it ends with the process.
    Memory,
}

/// All state of the process.
pub struct State {
    sessions: Sessions,
    revocations: Revocations,
    families: DashMap<SessionDigest, Family, foldhash::fast::RandomState>,
    attempts: Attempts,
    store: Store,
    max_sessions: usize,
    metrics: Arc<StateMetrics>,
    started: Instant,
}

enum Store {
    Memory,
    Embedded(Embedded),
}

impl State {
    /// Opens the store and reads what it holds. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why the store cannot be used.
    pub fn open(settings: Settings, metrics: Arc<StateMetrics>, now: u64) -> Result<Self, OpenFault> {
        let (store, records, max_sessions) = match settings {
            Settings::Memory => (Store::Memory, Vec::new(), usize::MAX),
            Settings::Embedded(directory, max_sessions) => {
                let (embedded, records) = Embedded::open(&directory)?;
                (Store::Embedded(embedded), records, max_sessions)
            }
        };
        let state = Self {
            sessions: Sessions::default(),
            revocations: Revocations::default(),
            families: DashMap::default(),
            attempts: Attempts::default(),
            store,
            max_sessions,
            metrics,
            started: Instant::now(),
        };
        for record in &records {
            match record::read(record) {
                Some(Kept::Session(digest, session)) if now < session.expires_at => {
                    state.sessions.insert(digest, session, Trust::Complete, 0);
                }
                Some(Kept::Rule(rule)) => drop(state.revocations.apply(rule)),
                Some(Kept::Family(digest, family)) if now < family.expires_at => {
                    drop(state.families.insert(digest, family));
                }
                Some(Kept::Failures(key, failures)) => state.attempts.set(key, failures),
                Some(Kept::Session(..) | Kept::Family(..)) => {}
                None => return Err(OpenFault::Damaged("the state".to_owned(), "a record is not readable".to_owned())),
            }
        }
        Ok(state)
    }

    /// State that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            sessions: Sessions::default(),
            revocations: Revocations::default(),
            families: DashMap::default(),
            attempts: Attempts::default(),
            store: Store::Memory,
            max_sessions: usize::MAX,
            metrics: Arc::default(),
            started: Instant::now(),
        }
    }

    /// What has been revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// What a session id is worth, as far as this process can tell. `idle` is how many seconds it may go unused.
    pub fn session(&self, digest: &SessionDigest, now: u64, idle: u64) -> Found {
        let (found, touch) = self.sessions.find(digest, now, idle, self.trust(), &self.revocations);
        if touch && let Some((session, ..)) = self.sessions.copy(digest) {
            match &self.store {
                Store::Memory => {}
                Store::Embedded(store) => store.write_later(vec![record::put_session(digest, &session)]),
            }
        }
        found
    }

    /// Keeps a new session; returns once the store has it.
    ///
    /// # Errors
    /// [`Unavailable`]: then nobody may be told of it.
    pub async fn begin(&self, digest: SessionDigest, session: Session, _idle: u64) -> Result<(), Unavailable> {
        if self.sessions.len() >= self.max_sessions {
            tracing::warn!(sessions = self.max_sessions, "no room for another session: raise `max_sessions`");
            self.metrics.failed("begin");
            return Err(Unavailable);
        }
        self.write("begin", || vec![record::put_session(&digest, &session)]).await?;
        self.sessions.insert(digest, session, self.trust(), self.millis());
        Ok(())
    }

    /// Keeps many new sessions. For measurements.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn begin_all(&self, sessions: Vec<(SessionDigest, Session)>, _idle: u64) -> Result<(), Unavailable> {
        let changes = || sessions.iter().map(|(digest, session)| record::put_session(digest, session)).collect();
        self.write("begin", changes).await?;
        let (trust, now) = (self.trust(), self.millis());
        sessions.into_iter().for_each(|(digest, session)| self.sessions.insert(digest, session, trust, now));
        Ok(())
    }

    /// Ends a session and all tokens of the same login; returns once the store knows.
    ///
    /// # Errors
    /// [`Unavailable`]: it is over here, and may not be elsewhere or after a restart.
    pub async fn end(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        let known = self.sessions.remove(digest);
        let until = known.map_or(until, |session| session.expires_at.max(until));
        let rule = Rule::forever(Subject::Login(handle(digest).into()), until);
        self.revocations.apply(rule.clone());
        self.write("end", || vec![record::delete_session(digest), record::put_rule(&rule)]).await
    }

    /// Puts rules in force; returns once the store has them. Here they are in force at once.
    ///
    /// # Errors
    /// [`Unavailable`]: they are in force here only, and only until the process ends.
    pub async fn revoke(&self, rules: Vec<Rule>) -> Result<(), Unavailable> {
        for rule in &rules {
            self.revocations.apply(rule.clone());
        }
        // What has become stricter before must not become looser in the store.
        let stored: Vec<Rule> = rules.iter().filter_map(|rule| self.revocations.rule(&rule.subject)).collect();
        self.write("revoke", || stored.iter().map(record::put_rule).collect()).await
    }

    /// Begins a family of refresh tokens.
    ///
    /// # Errors
    /// [`Unavailable`]: then nobody may be told of it.
    pub async fn begin_family(&self, first: &RefreshToken, family: Family) -> Result<(), Unavailable> {
        self.write("begin_family", || vec![record::put_family(&first.family, &family)]).await?;
        self.families.insert(first.family, family);
        Ok(())
    }

    /// Hands in a refresh token for the next one. One that was used before ends its family.
    ///
    /// # Errors
    /// [`Unavailable`]: the token handed in may still be good.
    pub async fn rotate(
        &self,
        presented: &RefreshToken,
        next: &RefreshToken,
        now: u64,
    ) -> Result<Rotated, Unavailable> {
        // The lock of the entry decides between two that come at once; it is not held while the disk is written.
        let rotated = match self.families.get_mut(&presented.family) {
            Some(mut family) if now < family.expires_at => {
                if family.current == presented.digest {
                    family.current = next.digest;
                    Rotated::Good(family.clone())
                } else {
                    Rotated::Reused(family.clone())
                }
            }
            _ => Rotated::Unknown,
        };
        match &rotated {
            Rotated::Unknown => {}
            Rotated::Good(family) => {
                let written = self.write("rotate", || vec![record::put_family(&presented.family, family)]).await;
                if written.is_err() {
                    if let Some(mut family) = self.families.get_mut(&presented.family)
                        && family.current == next.digest
                    {
                        family.current = presented.digest;
                    }
                    return Err(Unavailable);
                }
            }
            Rotated::Reused(family) => self.end_family(&presented.family, family.expires_at).await?,
        }
        Ok(rotated)
    }

    /// The login of a refresh token that is good.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn family(&self, presented: &RefreshToken, now: u64) -> Result<Option<Family>, Unavailable> {
        let family = self.families.get(&presented.family).map(|family| family.clone());
        let is_good = |family: &Family| {
            now < family.expires_at
                && family.current == presented.digest
                && !self.is_family_revoked(&presented.family, family)
        };
        Ok(family.filter(is_good))
    }

    /// The session of this digest, over or not.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn find(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        Ok(self.sessions.copy(digest).map(|(session, ..)| session))
    }

    /// Whether a rule has ended this login.
    pub fn is_family_revoked(&self, digest: &SessionDigest, family: &Family) -> bool {
        session::is_revoked(&self.revocations, digest, &family.customer, family.issued_at)
    }

    /// Ends a family and all tokens of the same login.
    ///
    /// # Errors
    /// [`Unavailable`]: it is over here, and may not be after a restart.
    pub async fn end_family(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        self.families.remove(digest);
        let rule = Rule::forever(Subject::Login(handle(digest).into()), until);
        self.revocations.apply(rule.clone());
        self.write("end_family", || vec![record::delete_family(digest), record::put_rule(&rule)]).await
    }

    /// How many milliseconds must pass before something is tried under one of these keys again. `now` is in
    /// milliseconds since 1970.
    pub fn wait(&self, keys: &[AttemptKey], now: u64) -> u64 {
        keys.iter().map(|key| self.attempts.of(key).wait(now)).max().unwrap_or_default()
    }

    /// Counts a failed attempt. `now` is in milliseconds since 1970.
    pub fn fail(&self, key: AttemptKey, cost: Cost, now: u64) {
        let failures = self.attempts.fail(key, cost, now);
        if let Store::Embedded(store) = &self.store {
            store.write_later(vec![record::put_failures(&key, failures)]);
        }
    }

    /// An attempt succeeded: forgets what failed under this key before, or half of it.
    pub fn forgive(&self, key: &AttemptKey, all: bool) {
        self.attempts.forgive(key, all);
        if all && let Store::Embedded(store) = &self.store {
            store.write_later(vec![record::delete_failures(key)]);
        }
    }

    /// Forgets what is over. Times are in seconds.
    pub fn sweep(&self, now: u64, idle: u64) {
        let mut changes: Vec<Change> = Vec::new();
        let ended = self.sessions.sweep(now, idle, &self.revocations);
        changes.extend(ended.iter().map(record::delete_session));
        changes.extend(self.revocations.sweep(now).iter().map(|rule| record::delete_rule(&rule.subject)));
        changes.extend(self.attempts.sweep(now.saturating_mul(1_000)).iter().map(record::delete_failures));
        self.families.retain(|digest, family| {
            let keep = now < family.expires_at && !self.is_family_revoked(digest, family);
            if !keep {
                changes.push(record::delete_family(digest));
            }
            keep
        });
        if let Store::Embedded(store) = &self.store {
            store.write_later(changes);
        }
    }

    /// Writes what has not been written yet, and closes the store.
    pub fn close(&self) {
        if let Store::Embedded(store) = &self.store {
            let used = self.sessions.unstored();
            store.write_later(used.iter().map(|(digest, session)| record::put_session(digest, session)).collect());
            store.close();
        }
    }

    /// All sessions that are live.
    pub fn sessions(&self, now: u64, idle: u64) -> Vec<(SessionDigest, Session)> {
        let mut all = self.sessions.all();
        all.retain(|(digest, session)| {
            !session.is_over(now, idle)
                && !session::is_revoked(&self.revocations, digest, &session.customer, session.issued_at)
        });
        all
    }

    /// How many sessions are known.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many writes wait.
    pub fn waiting(&self) -> usize {
        match &self.store {
            Store::Memory => 0,
            Store::Embedded(store) => store.waiting(),
        }
    }

    /// Whether the last exchange with the store worked.
    pub fn is_up(&self) -> bool {
        match &self.store {
            Store::Memory => true,
            Store::Embedded(store) => store.works(),
        }
    }

    /// The first second in which something new for this customer is good.
    pub fn earliest(&self, customer: &Identifier) -> u64 {
        self.revocations.earliest(&Subject::Customer(customer.as_str().into()))
    }

    fn trust(&self) -> Trust {
        match &self.store {
            Store::Memory | Store::Embedded(_) => Trust::Complete,
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn write(&self, operation: &'static str, changes: impl FnOnce() -> Vec<Change>) -> Result<(), Unavailable> {
        let begun = Instant::now();
        let outcome = match &self.store {
            Store::Memory => Ok(()),
            Store::Embedded(store) => store.write(changes()).await,
        };
        self.note(operation, begun.elapsed(), outcome.is_ok());
        outcome
    }

    fn note(&self, operation: &'static str, took: Duration, worked: bool) {
        self.metrics.took(operation, took);
        if !worked {
            self.metrics.failed(operation);
        }
    }
}
