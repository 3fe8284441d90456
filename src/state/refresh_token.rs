//! Refresh tokens (RFC 6749 section 6): one login is a family, of which only the newest token is valid. One that comes
//! back after its use has been copied, and ends the family (RFC 9700 section 4.14.2).
//!
//! Honest callers use one twice too: two tabs at once, or after a lost answer. Each token has one successor, which
//! whoever hands it in again gets again: for a grace after the answer, and, if the store has not confirmed that the
//! successor was written, for as long as the successor is unused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::account_stamp::AccountStamp;
use super::revocation::Issued;
use super::session::{SessionDigest, digest_of};
use crate::customer::{Deriver, Identifier};
use crate::secret::random_bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

const PREFIX: &str = "wgr_";
const FAMILY: usize = 16;
/// The id of a family; its digest names it.
pub type FamilyId = [u8; FAMILY];
const SECRET: usize = 32;

/// All refresh tokens of one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The customer.
    pub customer: Identifier,
    /// Time of the login, in seconds since 1970.
    pub issued_at: u64,
    /// Expiry of its last token, in seconds since 1970.
    pub expires_at: u64,
    /// Digest of the valid token.
    pub current: SessionDigest,
    /// The token before it.
    pub predecessor: Option<Predecessor>,
    /// The account, if known.
    pub account: Option<AccountStamp>,
    /// Revocation number of [`Issued`], also of all JWTs that its tokens give.
    pub number: Option<u64>,
}

/// A used token, which still gives the same successor for a grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Its digest.
    pub digest: SessionDigest,
    /// End of its grace, in milliseconds since 1970; [`UNANSWERED`] if nobody may have got the successor.
    pub until: u64,
}

/// Grace without end: the store has not confirmed the successor, and whoever handed the token in may have got a 503.
pub(super) const UNANSWERED: u64 = u64::MAX;

/// Time and grace of a rotation.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Time since 1970. A shared store goes by its own clock.
    pub now: Duration,
    /// Grace: how long a used token gives its successor again.
    pub grace: Duration,
}

/// A refresh token as its holder presents it.
pub struct RefreshToken {
    /// Digest that names the family.
    pub family: SessionDigest,
    /// The digest of the token.
    pub digest: SessionDigest,
    id: [u8; FAMILY],
    text: Zeroizing<String>,
}

/// The outcome of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// It is the valid one, or the one before within its grace. The family's token is one of the successors.
    Good(Family),
    /// It was used before: it has been copied, and the family must end.
    Reused(Family),
    /// It is valid, but its login is not admitted now: both stay valid.
    Barred(Family),
    /// It is within its grace, but its successor cannot be derived here.
    Replaced,
    /// There is no such family, or it has ended.
    Unknown,
}

impl RefreshToken {
    /// The first token of a new family.
    pub fn first() -> Self {
        Self::first_of(random_bytes())
    }

    /// The first token of the new family of this id.
    pub fn first_of(family: FamilyId) -> Self {
        Self::of(family, &random_bytes::<SECRET>())
    }

    /// The possible successors, the one to give first: one by each identifier key.
    pub fn successors(&self, deriver: &Deriver) -> Vec<Self> {
        deriver.successors(self.text.as_bytes()).map(|secret| Self::of(self.id, &secret[..])).collect()
    }

    /// Parses a token; it is not checked.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(text.strip_prefix(PREFIX)?).ok()?);
        let (id, secret) = bytes.split_first_chunk::<FAMILY>()?;
        (secret.len() == SECRET).then(|| Self::of(*id, secret))
    }

    /// The token as it is sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn of(id: [u8; FAMILY], secret: &[u8]) -> Self {
        let bytes = Zeroizing::new([&id[..], secret].concat());
        let text = Zeroizing::new(format!("{PREFIX}{}", BASE64.encode(&bytes[..])));
        Self { family: digest_of(&id), digest: digest_of(&bytes), id, text }
    }
}

impl Family {
    /// Time of the login, for revocations.
    pub fn issued(&self) -> Issued {
        Issued { at: self.issued_at, number: self.number }
    }

    /// Returns whether this token is valid at `now`, in milliseconds since 1970: the present one, or the one before
    /// within its grace.
    pub fn takes(&self, token: &SessionDigest, now: u64) -> bool {
        let before = self.predecessor.filter(|before| now < before.until);
        self.current == *token || before.is_some_and(|before| before.digest == *token)
    }

    /// Rotates: replaces `presented` by the first of `successors`, if it is valid at `now`, in milliseconds since 1970.
    pub(super) fn hand_in(&mut self, presented: &SessionDigest, successors: &[RefreshToken], now: u64) -> Handed {
        if self.current == *presented {
            let Some(next) = successors.first() else { return Handed::Replaced };
            self.current = next.digest;
            self.predecessor = Some(Predecessor { digest: *presented, until: UNANSWERED });
            return Handed::Good;
        }
        if !self.takes(presented, now) {
            return Handed::Reused;
        }
        let is_known = successors.iter().any(|token| token.digest == self.current);
        if is_known { Handed::Good } else { Handed::Replaced }
    }

    /// Notes that the caller got no answer: the same token again is no theft, however late.
    pub(super) fn unanswered(&mut self, presented: &SessionDigest) {
        if let Some(before) = self.predecessor.as_mut().filter(|before| before.digest == *presented) {
            before.until = UNANSWERED;
        }
    }

    /// Begins the grace of `presented`: its successor is stored, and its holder gets it. Returns whether the family
    /// changed.
    pub(super) fn answered(&mut self, presented: &SessionDigest, until: u64) -> bool {
        match &mut self.predecessor {
            Some(before) if before.digest == *presented && before.until == UNANSWERED => {
                before.until = until;
                true
            }
            _ => false,
        }
    }
}

/// Families whose last rotation was answered, not written yet.
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<Vec<SessionDigest>>);

impl Answered {
    /// Most families that wait, and that are written at once: the queue of the store is for others too.
    const MOST: usize = 1_000;

    pub(super) fn push(&self, family: SessionDigest) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < Self::MOST {
            waiting.push(family);
        }
    }

    pub(super) fn take(&self) -> Vec<SessionDigest> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The verdict of a family on a token.
pub(super) enum Handed {
    Good,
    Reused,
    Replaced,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::customer::{IdentifierKey, Mode};
    use crate::secret::Secret;

    fn deriver() -> Deriver {
        let key = IdentifierKey::parse(&Secret::new(IdentifierKey::generate().as_bytes())).unwrap();
        Deriver::new(key, Mode::OneWay)
    }

    fn family(first: &RefreshToken) -> Family {
        let customer = Identifier::from_store("t1-x");
        let current = first.digest;
        Family { customer, issued_at: 1, expires_at: 1_000, current, predecessor: None, account: None, number: None }
    }

    #[test]
    fn the_same_token_has_the_same_successor_and_without_the_key_nobody_knows_it() {
        let (ours, others) = (deriver(), deriver());
        let first = RefreshToken::first();
        let by = |deriver: &Deriver| first.successors(deriver)[0].as_str().to_owned();
        assert_eq!(by(&ours), by(&ours));
        assert_ne!(by(&ours), by(&others));
        assert_ne!(by(&ours), RefreshToken::first().successors(&ours)[0].as_str());
    }

    #[test]
    fn after_a_rotation_of_the_key_a_successor_by_the_key_before_is_found_and_another_one_ends_nothing() {
        let [old, new] = [1, 2].map(|number: u8| {
            let text = IdentifierKey::generate().replacen("v1", &format!("v{number}"), 1);
            move || IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap()
        });
        let before = Deriver::new(old(), Mode::OneWay);
        let after = Deriver::new(new(), Mode::OneWay).after(old(), u64::MAX);
        let first = RefreshToken::first();
        let mut rotated = family(&first);
        assert!(matches!(rotated.hand_in(&first.digest, &first.successors(&before), 1), Handed::Good));
        assert!(matches!(rotated.hand_in(&first.digest, &first.successors(&after), 1), Handed::Good));
        let stranger = first.successors(&deriver());
        assert!(matches!(rotated.hand_in(&first.digest, &stranger, 1), Handed::Replaced));
    }

    #[test]
    fn a_predecessor_is_good_until_its_grace_is_over_and_where_nobody_was_answered_until_its_successor_is_used() {
        let deriver = deriver();
        let first = RefreshToken::first();
        let second = &first.successors(&deriver)[0];
        let is_good = |family: &mut Family, token: &RefreshToken, now| {
            matches!(family.hand_in(&token.digest, &token.successors(&deriver), now), Handed::Good)
        };
        let mut family = family(&first);
        assert!(is_good(&mut family, &first, 100) && is_good(&mut family, &first, u64::MAX - 1));
        assert!(family.answered(&first.digest, 200) && !family.answered(&first.digest, 300));
        assert!(is_good(&mut family, &first, 199) && !is_good(&mut family, &first, 200));
        assert!(is_good(&mut family, second, 250) && !is_good(&mut family, &first, 100));
    }

    #[test]
    fn tokens_of_one_family_share_it_and_nothing_else() {
        let first = RefreshToken::first();
        let next = first.successors(&deriver()).remove(0);
        assert_eq!(first.family, next.family);
        assert_ne!(first.digest, next.digest);
        assert_ne!(first.family, RefreshToken::first().family);
        let read = RefreshToken::parse(next.as_str()).unwrap();
        assert_eq!((read.family, read.digest), (next.family, next.digest));
        for wrong in ["", "wgr_", "wgr_AAAA", &next.as_str()[..20], &format!("{}A", next.as_str())] {
            assert!(RefreshToken::parse(wrong).is_none(), "{wrong}");
        }
    }
}
