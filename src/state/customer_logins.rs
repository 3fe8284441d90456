//! The logins of each customer, in the order in which they began: the oldest end when there are too many.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::session::{LoginId, SessionDigest};
use crate::customer::Identifier;

/// Most logins that one new login ends; the rest end with the next one.
pub(super) const MOST_ENDED: usize = 32;

/// Logins within one second whose order is kept, as a power of two.
const ORDER: u32 = 20;

/// Offset of logins that began in this process: they come after those found at its start.
const AFTER_START: u64 = 1 << (ORDER - 1);

/// The kind of a login.
#[derive(Debug, Clone, Copy)]
pub(super) enum LoginKind {
    /// Sessions, by cookie.
    Session,
    /// Families of refresh tokens.
    Family,
}

/// The logins of all customers, of one kind.
#[derive(Debug, Default)]
pub(super) struct CustomerLogins {
    hasher: foldhash::fast::RandomState,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The customer's hash, the second in which it began with a number within it, and the login.
    logins: BTreeSet<(u64, u64, SessionDigest)>,
    begun: u64,
}

impl CustomerLogins {
    /// Adds a login that began in this second since 1970.
    pub(super) fn add(&self, customer: &Identifier, issued_at: u64, digest: SessionDigest) {
        let customer = self.hasher.hash_one(customer);
        let mut inner = self.locked();
        inner.begun = (inner.begun + 1) % AFTER_START;
        let begun = (issued_at << ORDER) | AFTER_START | inner.begun;
        inner.logins.insert((customer, begun, digest));
    }

    /// Fills the registry with customer, second of issue, login and digest: much faster than adding one by one. The
    /// order of those of one second is lost, the same way for both kinds.
    pub(super) fn fill(&self, logins: Vec<(Identifier, u64, LoginId, SessionDigest)>) {
        let entry = |(customer, issued_at, login, digest): (Identifier, u64, LoginId, SessionDigest)| {
            (self.hasher.hash_one(&customer), (issued_at << ORDER) | login.low_bits(ORDER - 1), digest)
        };
        self.locked().logins = logins.into_iter().map(entry).collect();
    }

    /// Removes a login.
    pub(super) fn remove(&self, customer: &Identifier, issued_at: u64, digest: &SessionDigest) {
        let customer = self.hasher.hash_one(customer);
        let first = issued_at << ORDER;
        let last = first.saturating_add(1 << ORDER);
        let mut inner = self.locked();
        let within = inner.logins.range((customer, first, [0; 32])..(customer, last, [0; 32]));
        if let Some(found) = within.into_iter().find(|(_, _, known)| known == digest).copied() {
            inner.logins.remove(&found);
        }
    }

    /// The logins of a customer beyond the newest `most`, but not more than [`MOST_ENDED`]. Another customer may share
    /// the hash: ask whose they are.
    pub(super) fn beyond(&self, customer: &Identifier, most: usize) -> Vec<SessionDigest> {
        let customer = self.hasher.hash_one(customer);
        let inner = self.locked();
        let all = inner.logins.range((customer, 0, [0; 32])..=(customer, u64::MAX, [u8::MAX; 32]));
        all.rev().skip(most).take(MOST_ENDED).map(|(_, _, digest)| *digest).collect()
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_beyond_those_that_may_be_also_within_one_second() {
        let (alice, bob) = (Identifier::from_store("t1-alice"), Identifier::from_store("t1-bob"));
        let registry = CustomerLogins::default();
        let of = |byte| (LoginId::of(&[byte; 32]), [byte; 32]);
        let ((nine, nines), (five, fives)) = (of(9), of(5));
        registry.fill(vec![(alice.clone(), 100, nine, nines), (bob.clone(), 50, five, fives)]);
        registry.add(&alice, 200, [1; 32]);
        registry.add(&alice, 200, [0; 32]);
        assert_eq!(registry.beyond(&alice, 3), Vec::<SessionDigest>::new());
        assert_eq!(registry.beyond(&alice, 2), [[9; 32]]);
        assert_eq!(registry.beyond(&alice, 1), [[1; 32], [9; 32]]);
        registry.remove(&alice, 200, &[1; 32]);
        registry.remove(&alice, 200, &[7; 32]);
        assert_eq!(registry.beyond(&alice, 1), [[9; 32]]);
        assert_eq!(registry.beyond(&bob, 0), [[5; 32]]);
    }

    #[test]
    fn one_login_ends_a_bounded_number_of_others_however_many_there_are() {
        let alice = Identifier::from_store("t1-alice");
        let registry = CustomerLogins::default();
        for number in 0..1_000_u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            registry.add(&alice, 100, digest);
        }
        assert_eq!(registry.beyond(&alice, 20).len(), MOST_ENDED);
    }
}
