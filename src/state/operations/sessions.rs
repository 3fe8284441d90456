//! Sessions: begun, looked up, listed, ended.

use std::time::{Duration, Instant};

use super::abandon::Abandon;
use crate::customer::Identifier;
use crate::state::account_stamp::AccountStamps;
use crate::state::customer_logins::LoginKind;
use crate::state::revocation::Rule;
use crate::state::session::{self, Found, LoginId, Session, SessionDigest};
use crate::state::session_cache::{SessionCertainty, SessionCheck};
use crate::state::{Among, Bound, LONGEST_SKEW, State, Store, Unavailable, UnlessLeft, codec};

impl State {
    /// Looks a session up in the cache. `idle` is the longest time without a use, in seconds.
    pub fn session(&self, digest: &SessionDigest, now: u64, idle: u64, accounts: &AccountStamps) -> Found {
        let trust = self.trust();
        let check = SessionCheck { now, idle, trust, revocations: &self.revocations, accounts, is_used: true };
        let (found, touch) = self.sessions.find(digest, check);
        if touch && let Some((session, ..)) = self.sessions.copy(digest) {
            match &self.store {
                Store::Memory => {}
                Store::Embedded(store) => store.write_later(vec![codec::put_session(digest, &session)]),
                Store::Redis(store, _) => store.touch(*digest, session),
            }
        }
        found
    }

    /// The same, and nothing counts as a use of the session.
    pub fn peek_session(&self, digest: &SessionDigest, now: u64, idle: u64, accounts: &AccountStamps) -> Found {
        let trust = self.trust();
        let check = SessionCheck { now, idle, trust, revocations: &self.revocations, accounts, is_used: false };
        self.sessions.find(digest, check).0
    }

    /// Looks a session up in the store, for [`Found::Ask`]. While the store is unreachable, its last answer counts for
    /// a while.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
    pub async fn fetch(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let Store::Redis(store, outage) = &self.store else { return self.find(digest).await };
        // What is heard from here on is about what the store will say.
        let trust = self.trust();
        let begun = Instant::now();
        let found = store.find(digest).await;
        self.note("find", begun.elapsed(), found.is_ok());
        match found {
            Ok(Some(session)) => {
                // What was used here and not told yet is later than what the store has.
                let seen = self.sessions.copy(digest).map_or(0, |(known, ..)| known.last_seen);
                let session = Session { last_seen: session.last_seen.max(seen), ..session };
                self.sessions.insert(*digest, session.clone(), trust, self.millis());
                Ok(Some(session))
            }
            Ok(None) => {
                self.sessions.remove(digest);
                Ok(None)
            }
            Err(Unavailable) => {
                let (session, vouched, listening) = self.sessions.copy(digest).ok_or(Unavailable)?;
                let asked = Duration::from_millis(self.millis().saturating_sub(vouched));
                // For as long as its end would have been heard of it was as good as asked about.
                let age = store.heard_ago(listening).map_or(asked, |heard| heard.min(asked));
                if age > outage.sessions {
                    return Err(Unavailable);
                }
                self.metrics.session_served_stale();
                Ok(Some(session))
            }
        }
    }

    /// Judges a session that the store returned.
    pub fn judge(
        &self,
        digest: &SessionDigest,
        session: Option<&Session>,
        now: u64,
        idle: u64,
        accounts: &AccountStamps,
    ) -> Found {
        let found = self.verdict_on(digest, session, now, idle, accounts);
        if matches!(found, Found::Live(_)) {
            // It is used now: the copy notes that.
            self.session(digest, now, idle, accounts);
        }
        found
    }

    /// The same, and nothing counts as a use of the session.
    pub fn verdict_on(
        &self,
        digest: &SessionDigest,
        session: Option<&Session>,
        now: u64,
        idle: u64,
        accounts: &AccountStamps,
    ) -> Found {
        match session {
            None => Found::Unknown,
            Some(session) if self.is_session_revoked(digest, session) => Found::Unknown,
            Some(session) if !accounts.admit(session.account) => Found::NoAccount,
            Some(session) if session.is_over(now, idle) => Found::Expired,
            Some(session) => Found::Live(session.customer.clone()),
        }
    }

    fn trust(&self) -> SessionCertainty {
        match &self.store {
            Store::Memory | Store::Embedded(_) => SessionCertainty::Complete,
            Store::Redis(store, _) => store.listening().map_or(SessionCertainty::Deaf, SessionCertainty::Listening),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Begins a session; returns once the store has it. The customer's oldest sessions end if there are too many.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody may be told of it.
    pub async fn begin(&self, digest: SessionDigest, session: Session, bound: Bound) -> Result<(), Unavailable> {
        self.has_room()?;
        let (customer, ends) = (session.customer.clone(), session.expires_at);
        self.begin_all(vec![(digest, session)]).await?;
        self.bound_sessions(&customer, &digest, bound, ends).await
    }

    /// Begins many sessions, without a limit per customer.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn begin_all(&self, sessions: Vec<(SessionDigest, Session)>) -> Result<(), Unavailable> {
        let trust = self.trust();
        let is_here = matches!(trust, SessionCertainty::Complete);
        // Nobody knows their ids yet. Where nobody ever will, the sweep finds them.
        let mut begun = Abandon::new(|| sessions.iter().for_each(|(digest, _)| self.sessions.abandon(digest)));
        if is_here {
            sessions.iter().for_each(|(digest, session)| self.sessions.insert(*digest, session.clone(), trust, 0));
        }
        let changes = || sessions.iter().map(|(digest, session)| codec::put_session(digest, session)).collect();
        self.keep("begin", UnlessLeft::Drop, changes, async |store| store.begin(&sessions).await).await?;
        begun.disarm();
        drop(begun);
        let now = self.millis();
        for (digest, session) in sessions {
            if is_here {
                self.session_registry.add(&session.customer, session.issued_at, digest);
            } else {
                self.sessions.insert(digest, session, trust, now);
            }
        }
        Ok(())
    }

    /// Fails if no further session or family of refresh tokens may begin.
    pub(super) fn has_room(&self) -> Result<(), Unavailable> {
        if self.sessions.len() + self.families.len() < self.max_sessions {
            return Ok(());
        }
        tracing::warn!(sessions = self.max_sessions, "no room for another login: raise `max_sessions`");
        self.metrics.failed("begin");
        Err(Unavailable)
    }

    /// Ends the oldest sessions of a customer if there are too many, each with its whole login.
    async fn bound_sessions(
        &self,
        customer: &Identifier,
        new: &SessionDigest,
        bound: Bound,
        ends: u64,
    ) -> Result<(), Unavailable> {
        if let Store::Redis(store, _) = &self.store {
            for digest in store.join(LoginKind::Session, customer, new, bound.most, ends).await? {
                match store.find(&digest).await? {
                    Some(session) => self.end_login(&digest, &session, bound.until).await?,
                    None => self.end(&digest, bound.until).await?,
                }
            }
            return Ok(());
        }
        for digest in self.session_registry.beyond(customer, bound.most) {
            let known = self.sessions.copy(&digest).map(|(session, ..)| session);
            if let Some(session) = known.filter(|session| session.customer == *customer) {
                self.end_login(&digest, &session, bound.until).await?;
            }
        }
        Ok(())
    }

    /// Ends a session, and nothing else of its login; returns once the store has it. The rule is for copies elsewhere.
    ///
    /// # Errors
    /// [`Unavailable`]: it has ended here, but may be live elsewhere or after a restart.
    pub async fn end(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        self.end_by(LoginId::of(digest), digest, until).await
    }

    /// Ends the login of a session, with its session, JWTs and refresh tokens; returns once the store has it. `until`:
    /// expiry of the last of them, in seconds since 1970.
    ///
    /// # Errors
    /// [`Unavailable`]: it has ended here, but may be live elsewhere or after a restart.
    pub async fn end_login(&self, digest: &SessionDigest, session: &Session, until: u64) -> Result<(), Unavailable> {
        self.end_by(session.login, digest, until).await
    }

    async fn end_by(&self, id: LoginId, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        let known = self.sessions.copy(digest);
        let its_end = known.map_or(0, |(session, ..)| session.expires_at.saturating_add(LONGEST_SKEW));
        let until = its_end.max(until);
        let rule = Rule::forever(id.subject(), until);
        self.revocations.apply(rule.clone());
        // As it is in force: with its number, and not looser than before.
        let rule = self.revocations.rule(&rule.subject).unwrap_or(rule);
        let changes = || vec![codec::delete_session(digest), codec::put_rule(&rule)];
        let kept = self.keep("end", UnlessLeft::Write, changes, async |store| store.end(digest, &rule).await).await;
        kept.inspect_err(|_| self.owed.add(&rule.subject))?;
        // Not before: whoever was told that it failed tries again, and must find it.
        if let Some(session) = self.sessions.remove(digest) {
            self.session_registry.remove(&session.customer, session.issued_at, digest);
        }
        Ok(())
    }

    /// The session of this digest, expired or not.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
    pub async fn find(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        match &self.store {
            Store::Redis(store, _) => store.find(digest).await,
            Store::Memory | Store::Embedded(_) => Ok(self.sessions.copy(digest).map(|(session, ..)| session)),
        }
    }

    /// [`Self::find`], or the cached session if the store has lost it: it is valid here until it is ended.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
    pub async fn find_or_copy(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let found = self.find(digest).await?;
        Ok(found.or_else(|| self.sessions.copy(digest).map(|(session, ..)| session)))
    }

    /// The customer of a cached session.
    pub fn customer_of(&self, digest: &SessionDigest) -> Option<Identifier> {
        self.sessions.copy(digest).map(|(session, ..)| session.customer)
    }

    /// Returns whether a rule has ended a session.
    pub fn is_session_revoked(&self, digest: &SessionDigest, session: &Session) -> bool {
        session::is_revoked(&self.revocations, digest, session.login, &session.customer, session.issued())
    }

    /// The live sessions that are `wanted`; of a shared store at most 10,000, and only `among` these.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn sessions(
        &self,
        now: u64,
        idle: u64,
        among: Among<'_>,
        wanted: impl Fn(&Session) -> bool,
    ) -> Result<Vec<(SessionDigest, Session)>, Unavailable> {
        let is_live = |digest: &SessionDigest, session: &Session| {
            !session.is_over(now, idle) && wanted(session) && !self.is_session_revoked(digest, session)
        };
        match &self.store {
            Store::Redis(store, _) => store.sessions(10_000, among, is_live).await,
            Store::Memory | Store::Embedded(_) => {
                let mut all = self.sessions.all();
                all.retain(|(digest, session)| is_live(digest, session));
                Ok(all)
            }
        }
    }

    /// Number of cached sessions.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::state::session::Agent;

    fn session(seen: u64) -> Session {
        Session {
            customer: Identifier::from_store("t1-x"),
            login: LoginId::of(&[7; 32]),
            issued_at: 1_000,
            last_seen: seen,
            expires_at: 9_000,
            agent: Agent::Other,
            account: None,
            number: None,
        }
    }

    #[tokio::test]
    async fn a_login_that_was_ended_stays_so_until_no_clock_takes_its_tokens_any_more() {
        let state = State::in_memory();
        state.begin([1; 32], session(1_000), Bound { most: 20, until: 9_000 }).await.unwrap();
        state.end_login(&[1; 32], &session(1_000), 0).await.unwrap();
        // The session ends at 9,000, and so does its JWT, by clocks that are right.
        state.sweep(9_299, 1_000).await;
        let ended = || state.revocations().covers(&LoginId::of(&[7; 32]).subject(), Some(session(1_000).issued()));
        assert!(ended());
        state.sweep(9_300, 1_000).await;
        assert!(!ended());
    }

    #[tokio::test]
    async fn a_session_that_was_idle_for_too_long_is_kept_for_a_logout_until_its_end_unless_room_is_needed() {
        let bound = Bound { most: 20, until: 9_000 };
        let mut state = State::in_memory();
        state.begin([1; 32], session(1_000), bound).await.unwrap();
        let kept = async |state: &State| state.find(&[1; 32]).await.unwrap().is_some();
        state.sweep(8_999, 1_000).await;
        assert!(kept(&state).await);
        assert_eq!(state.session(&[1; 32], 8_999, 1_000, &AccountStamps::default()), Found::Expired);
        assert!(state.sessions(8_999, 1_000, Among::All, |_| true).await.unwrap().is_empty());
        state.sweep(9_000, 1_000).await;
        assert!(!kept(&state).await);
        state.max_sessions = 2;
        state.begin([1; 32], session(1_000), bound).await.unwrap();
        state.sweep(8_999, 1_000).await;
        assert!(!kept(&state).await);
    }
}
