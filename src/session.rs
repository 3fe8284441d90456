//! A customer's login that a cookie names. Kept in memory: it ends with the process.

use dashmap::DashMap;

use crate::customer::Identifier;

/// The digest of a session id: the id itself is known to the cookie's holder only.
pub type SessionDigest = [u8; 32];

/// A customer's login.
#[derive(Debug, Clone)]
pub struct Session {
    /// The customer.
    pub customer: Identifier,
    /// When it began, in seconds since 1970.
    pub issued_at: u64,
    /// When it was last used, in seconds since 1970.
    pub last_seen: u64,
    /// When it ends whatever happens, in seconds since 1970.
    pub expires_at: u64,
}

/// All logins.
#[derive(Debug, Default)]
pub struct SessionStore {
    live: DashMap<SessionDigest, Session, foldhash::fast::RandomState>,
}

/// What a session id is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is this customer's.
    Live(Identifier),
    /// It was idle for too long, or is too old; it is gone now.
    Expired,
    /// There is none.
    Unknown,
}

impl SessionStore {
    /// Keeps a new session.
    pub fn insert(&self, digest: SessionDigest, session: Session) {
        self.live.insert(digest, session);
    }

    /// Finds a session and notes its use. `idle` is how many seconds it may go unused.
    pub fn find(&self, digest: &SessionDigest, now: u64, idle: u64) -> Found {
        let Some(mut session) = self.live.get_mut(digest) else {
            return Found::Unknown;
        };
        if now >= session.expires_at || now >= session.last_seen.saturating_add(idle) {
            drop(session);
            self.live.remove(digest);
            return Found::Expired;
        }
        session.last_seen = session.last_seen.max(now);
        Found::Live(session.customer.clone())
    }

    /// Forgets the sessions that have ended.
    pub fn sweep(&self, now: u64, idle: u64) {
        self.live.retain(|_, session| now < session.expires_at && now < session.last_seen.saturating_add(idle));
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}
