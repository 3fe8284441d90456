//! Sessions known to this process: the request path finds them without asking the store.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::account_stamp::{AccountStamp, AccountStamps};
use super::revocation::{Issued, Revocations};
use super::session::{Agent, Found, LoginId, Session, SessionDigest, is_revoked};
use super::sharded_map::Shards;
use crate::customer::Identifier;

/// Freshness of the cache.
#[derive(Debug, Clone, Copy)]
pub(super) enum SessionCertainty {
    /// Complete: there is no other store of sessions.
    Complete,
    /// Every change would have been heard of since this subscription began; they are numbered.
    Listening(u32),
    /// Changes may have been missed.
    Deaf,
}

/// The time, rules and accounts that a session is checked against.
#[derive(Clone, Copy)]
pub(super) struct SessionCheck<'a> {
    /// In seconds since 1970.
    pub(super) now: u64,
    /// Longest time without a use, in seconds.
    pub(super) idle: u64,
    pub(super) trust: SessionCertainty,
    pub(super) revocations: &'a Revocations,
    pub(super) accounts: &'a AccountStamps,
    /// It counts as a use of the session.
    pub(super) is_used: bool,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Sessions {
    known: Shards<SessionDigest, KnownSession>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { known: Shards::in_order() }
    }
}

/// A cached session.
#[derive(Debug)]
pub(super) struct KnownSession {
    customer: Identifier,
    login: LoginId,
    issued_at: u64,
    expires_at: u64,
    agent: Agent,
    account: Option<AccountStamp>,
    number: Option<u64>,
    last_seen: AtomicU64,
    /// `last_seen` as last sent to the store.
    stored: AtomicU64,
    /// Generation of the revocations that it was last checked against.
    ruled: AtomicU64,
    /// Generation of the accounts among which its own was last found.
    admitted: AtomicU64,
    /// The subscription during which it was read; nothing contrary was heard since.
    listening: AtomicU32,
    /// Time of the store's last answer about it, in milliseconds of this process.
    vouched: AtomicU64,
}

impl KnownSession {
    /// The outcome, and whether the store should be told of the use.
    fn find(&self, digest: &SessionDigest, check: SessionCheck<'_>) -> (Found, bool) {
        let SessionCheck { now, idle, trust, revocations, accounts, is_used } = check;
        match trust {
            SessionCertainty::Complete => {}
            SessionCertainty::Listening(since) if self.listening.load(Ordering::Relaxed) == since => {}
            SessionCertainty::Listening(_) | SessionCertainty::Deaf => return (Found::Ask, false),
        }
        let generation = revocations.generation();
        if self.ruled.load(Ordering::Relaxed) != generation {
            if is_revoked(revocations, digest, self.login, &self.customer, self.issued()) {
                return (Found::Unknown, false);
            }
            self.ruled.store(generation, Ordering::Relaxed);
        }
        if self.admitted.load(Ordering::Relaxed) != accounts.generation {
            if !accounts.admit(self.account) {
                return (Found::NoAccount, false);
            }
            self.admitted.store(accounts.generation, Ordering::Relaxed);
        }
        if now >= self.expires_at {
            return (Found::Expired, false);
        }
        if now >= self.last_seen.load(Ordering::Relaxed).saturating_add(idle) {
            // Another replica may have seen it since.
            let found = if matches!(trust, SessionCertainty::Complete) { Found::Expired } else { Found::Ask };
            return (found, false);
        }
        if !is_used {
            return (Found::Live(self.customer.clone()), false);
        }
        if self.last_seen.load(Ordering::Relaxed) < now {
            self.last_seen.store(now, Ordering::Relaxed);
        }
        // The store hears of a use now and then only: an eighth of the idle time is what a crash may take from it.
        let stored = self.stored.load(Ordering::Relaxed);
        let touch = now.saturating_sub(stored) >= (idle / 8).max(1)
            && self.stored.compare_exchange(stored, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        (Found::Live(self.customer.clone()), touch)
    }

    /// Returns whether it has expired, was unused for `idle` seconds, or was ended by a rule.
    pub(super) fn is_over(&self, digest: &SessionDigest, now: u64, idle: u64, revocations: &Revocations) -> bool {
        if now >= self.expires_at || now >= self.last_seen.load(Ordering::Relaxed).saturating_add(idle) {
            return true;
        }
        // Most were held against the same rules before.
        let generation = revocations.generation();
        if self.ruled.load(Ordering::Relaxed) == generation {
            return false;
        }
        let is_revoked = is_revoked(revocations, digest, self.login, &self.customer, self.issued());
        if !is_revoked {
            self.ruled.store(generation, Ordering::Relaxed);
        }
        is_revoked
    }

    pub(super) fn session(&self) -> Session {
        Session {
            customer: self.customer.clone(),
            login: self.login,
            issued_at: self.issued_at,
            last_seen: self.last_seen.load(Ordering::Relaxed),
            expires_at: self.expires_at,
            agent: self.agent,
            account: self.account,
            number: self.number,
        }
    }

    fn issued(&self) -> Issued {
        Issued { at: self.issued_at, number: self.number }
    }
}

impl Sessions {
    /// Caches a session of the store. `vouched` is the time of the store's answer, in milliseconds of this process.
    pub(super) fn insert(&self, digest: SessionDigest, session: Session, trust: SessionCertainty, vouched: u64) {
        let listening = match trust {
            SessionCertainty::Listening(since) => since,
            SessionCertainty::Complete | SessionCertainty::Deaf => 0,
        };
        let known = KnownSession {
            customer: session.customer,
            login: session.login,
            issued_at: session.issued_at,
            expires_at: session.expires_at,
            agent: session.agent,
            account: session.account,
            number: session.number,
            last_seen: session.last_seen.into(),
            stored: session.last_seen.into(),
            ruled: u64::MAX.into(),
            admitted: u64::MAX.into(),
            listening: listening.into(),
            vouched: vouched.into(),
        };
        self.known.insert(digest, known);
    }

    /// Looks a session up: the outcome, and whether the store should be told of the use.
    pub(super) fn find(&self, digest: &SessionDigest, check: SessionCheck<'_>) -> (Found, bool) {
        let nothing = if matches!(check.trust, SessionCertainty::Complete) { Found::Unknown } else { Found::Ask };
        let found = self.known.with(digest, |known| known.find(digest, check));
        found.unwrap_or((nothing, false))
    }

    /// A copy of a session, with the time of the store's last answer about it and its subscription.
    pub(super) fn copy(&self, digest: &SessionDigest) -> Option<(Session, u64, u32)> {
        self.known.with(digest, |known| {
            (known.session(), known.vouched.load(Ordering::Relaxed), known.listening.load(Ordering::Relaxed))
        })
    }

    /// Removes a session.
    pub(super) fn remove(&self, digest: &SessionDigest) -> Option<Session> {
        self.known.remove(digest).map(|known| known.session())
    }

    /// Expires a session that nobody was told of: the next sweep removes it, here and from the file.
    pub(super) fn abandon(&self, digest: &SessionDigest) {
        self.known.change(digest, |known| known.expires_at = 0);
    }

    /// All sessions, for the sweep.
    pub(super) fn known(&self) -> &Shards<SessionDigest, KnownSession> {
        &self.known
    }

    /// Sessions used since the store was last told.
    pub(super) fn unstored(&self) -> Vec<(SessionDigest, Session)> {
        self.known.collect(|digest, known| {
            let seen = known.last_seen.load(Ordering::Relaxed);
            (known.stored.swap(seen, Ordering::Relaxed) < seen).then(|| (*digest, known.session()))
        })
    }

    /// All sessions.
    pub(super) fn all(&self) -> Vec<(SessionDigest, Session)> {
        self.known.collect(|digest, known| Some((*digest, known.session())))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::revocation::{Rule, Subject};

    fn all() -> AccountStamps {
        AccountStamps::default()
    }

    fn find(
        sessions: &Sessions,
        digest: &SessionDigest,
        (now, idle): (u64, u64),
        trust: SessionCertainty,
        (revocations, accounts): (&Revocations, &AccountStamps),
    ) -> (Found, bool) {
        sessions.find(digest, SessionCheck { now, idle, trust, revocations, accounts, is_used: true })
    }

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

    #[test]
    fn a_session_slides_with_its_use_and_ends_at_its_absolute_time() {
        let (sessions, none) = (Sessions::default(), Revocations::default());
        sessions.insert([1; 32], session(1_000), SessionCertainty::Complete, 0);
        let found = |now| find(&sessions, &[1; 32], (now, 1_000), SessionCertainty::Complete, (&none, &all())).0;
        assert!(matches!(found(1_999), Found::Live(_)));
        assert!(matches!(found(2_998), Found::Live(_)));
        assert_eq!(found(3_998), Found::Expired);
        sessions.insert([1; 32], session(8_999), SessionCertainty::Complete, 0);
        assert!(matches!(found(8_999), Found::Live(_)));
        assert_eq!(found(9_000), Found::Expired);
        assert_eq!(
            find(&sessions, &[2; 32], (1_000, 1), SessionCertainty::Complete, (&none, &all())).0,
            Found::Unknown
        );
    }

    #[test]
    fn the_store_hears_of_a_use_only_now_and_then() {
        let (sessions, none) = (Sessions::default(), Revocations::default());
        sessions.insert([1; 32], session(1_000), SessionCertainty::Complete, 0);
        let told = (1_000..1_800)
            .filter(|now| find(&sessions, &[1; 32], (*now, 800), SessionCertainty::Complete, (&none, &all())).1)
            .count();
        assert_eq!(told, 7);
    }

    #[test]
    fn a_copy_is_good_only_while_nothing_can_have_been_missed() {
        let (sessions, none) = (Sessions::default(), Revocations::default());
        sessions.insert([1; 32], session(1_000), SessionCertainty::Listening(3), 0);
        let found = |trust| find(&sessions, &[1; 32], (1_001, 1_000), trust, (&none, &all())).0;
        assert!(matches!(found(SessionCertainty::Listening(3)), Found::Live(_)));
        assert_eq!(found(SessionCertainty::Listening(4)), Found::Ask);
        assert_eq!(found(SessionCertainty::Deaf), Found::Ask);
        assert_eq!(find(&sessions, &[2; 32], (1, 1), SessionCertainty::Listening(3), (&none, &all())).0, Found::Ask);
        // Idle here may be in use elsewhere.
        assert_eq!(
            find(&sessions, &[1; 32], (2_500, 1_000), SessionCertainty::Listening(3), (&none, &all())).0,
            Found::Ask
        );
    }

    #[test]
    fn a_rule_for_the_customer_ends_what_began_before_it_and_nothing_later() {
        let (sessions, rules) = (Sessions::default(), Revocations::default());
        sessions.insert([1; 32], session(1_000), SessionCertainty::Complete, 0);
        let found = || find(&sessions, &[1; 32], (1_001, 1_000), SessionCertainty::Complete, (&rules, &all())).0;
        assert!(matches!(found(), Found::Live(_)));
        rules.apply(Rule::new(Subject::Customer("t1-x".into()), 999, 10_000));
        assert!(matches!(found(), Found::Live(_)));
        rules.apply(Rule::new(Subject::Customer("t1-x".into()), 1_000, 10_000));
        assert_eq!(found(), Found::Unknown);
        let is_over = sessions.known.with(&[1; 32], |known| known.is_over(&[1; 32], 1_001, 1_000, &rules));
        assert_eq!(is_over, Some(true));
    }

    #[test]
    fn a_session_ends_with_its_account_and_is_held_against_each_set_of_accounts_once() {
        let (sessions, none) = (Sessions::default(), Revocations::default());
        let [alice, bob] = ["alice", "bob"].map(|name| AccountStamp::of(name, "1", "hash"));
        sessions.insert([1; 32], Session { account: Some(alice), ..session(1_000) }, SessionCertainty::Complete, 0);
        sessions.insert([2; 32], session(1_000), SessionCertainty::Complete, 0);
        let found = |digest, accounts| {
            find(&sessions, &digest, (1_001, 1_000), SessionCertainty::Complete, (&none, accounts)).0
        };
        let (both, without) = (AccountStamps::new([alice, bob]), AccountStamps::new([bob]));
        for _ in 0..2 {
            assert!(matches!(found([1; 32], &both), Found::Live(_)));
            assert_eq!(found([1; 32], &without), Found::NoAccount);
            // Nobody knows of which account it is.
            assert!(matches!(found([2; 32], &without), Found::Live(_)));
        }
    }

    #[test]
    fn a_session_ends_with_its_login_and_by_itself_and_not_with_another_of_the_customer() {
        let found = |rule: Subject| {
            let (sessions, rules) = (Sessions::default(), Revocations::default());
            sessions.insert([1; 32], session(1_000), SessionCertainty::Complete, 0);
            rules.apply(Rule::forever(rule, 10_000));
            find(&sessions, &[1; 32], (1_001, 1_000), SessionCertainty::Complete, (&rules, &AccountStamps::default())).0
        };
        assert_eq!(found(LoginId::of(&[7; 32]).subject()), Found::Unknown);
        assert_eq!(found(LoginId::of(&[1; 32]).subject()), Found::Unknown);
        assert!(matches!(found(LoginId::of(&[2; 32]).subject()), Found::Live(_)));
    }
}
