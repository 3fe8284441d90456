//! Cache of verified tokens and session cookies, one per worker: the same one is not verified again with each request.
//!
//! A verdict is as good as a fresh one: it ends with the token, it is held against every revocation that came after
//! it, and all verdicts end with the policy under which they were reached. Of a cookie only its signature is remembered;
//! its session is looked up each time. Failures are not kept.

use std::cell::Cell;

use super::credentials::cookie::SignedCookie;
use super::jwt::TokenKind;
use super::verdict::{Marks, VerifiedToken};
use crate::state::revocation::Revocations;
use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Weighter};

/// Capacity of a worker's cache, in places; as many cookies have room beside them.
const CAPACITY: usize = 8_192;

/// Length of a place, in bytes. A longer token takes several, so that what callers send does not fill the memory: with all
/// their groups, 512 tokens of 64 KiB have room. Longer cookies are verified each time.
const PLACE: usize = 4 * 1024;

/// Weighs a token by the places that it takes.
#[derive(Clone)]
struct Places;

impl Weighter<Key, CachedVerdict> for Places {
    fn weight(&self, key: &Key, _: &CachedVerdict) -> u64 {
        key.token.len().div_ceil(PLACE).max(1) as u64
    }
}

/// Tokens and cookies that were verified under the present policy.
pub struct VerifiedTokens {
    tokens: Cache<Key, CachedVerdict, Places>,
    cookies: Cache<Box<str>, SignedCookie>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    kind: TokenKind,
    token: Box<[u8]>,
}

#[derive(Hash)]
struct Borrowed<'a> {
    kind: TokenKind,
    token: &'a [u8],
}

/// A verdict as it is kept.
#[derive(Clone)]
pub(super) struct CachedVerdict {
    /// The first second in which the token is no longer good, clock skew included.
    ends: u64,
    verdict: VerifiedToken,
    marks: Marks,
    /// The generation of the revocations that it was last held against.
    generation: Cell<u64>,
}

impl CachedVerdict {
    /// Good until the second `ends`. `generation` is that of the revocations before the token was held against them.
    pub(super) fn new(ends: u64, verdict: VerifiedToken, marks: Marks, generation: u64) -> Self {
        Self { ends, verdict, marks, generation: Cell::new(generation) }
    }
}

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && *self.token == *key.token
    }
}

impl VerifiedTokens {
    /// The verdict on this token as this kind of token, where there is one that still holds. The token may be anything:
    /// what was not verified byte for byte is not found.
    pub fn find(&self, kind: TokenKind, token: &[u8], now: u64, revocations: &Revocations) -> Option<&VerifiedToken> {
        let known = self.tokens.get(&Borrowed { kind, token }).filter(|known| now < known.ends)?;
        let generation = revocations.generation();
        if known.generation.get() != generation {
            if known.marks.are_revoked(&known.verdict, revocations) {
                return None;
            }
            known.generation.set(generation);
        }
        Some(&known.verdict)
    }

    /// Remembers a verdict on this token.
    pub(super) fn keep(&mut self, kind: TokenKind, token: &str, verdict: CachedVerdict) {
        self.tokens.insert(Key { kind, token: token.as_bytes().into() }, verdict);
    }

    /// The cookie of this value, where its signature was verified before.
    pub(super) fn find_cookie(&self, value: &str) -> Option<SignedCookie> {
        self.cookies.get(value).copied()
    }

    /// Remembers that the signature of a cookie is right, unless the value is too long.
    pub(super) fn keep_cookie(&mut self, value: &str, cookie: SignedCookie) {
        if value.len() <= PLACE {
            self.cookies.insert(value.into(), cookie);
        }
    }

    /// One that keeps next to nothing.
    pub fn none() -> Self {
        Self { tokens: Cache::with_weighter(1, 1, Places), cookies: Cache::new(1) }
    }

    /// Forgets everything: the policy has changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        let tokens = Cache::with_weighter(CAPACITY, CAPACITY as u64, Places);
        Self { tokens, cookies: Cache::new(CAPACITY) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::auth::requirements::IssuerNumber;
    use crate::auth::verdict::Identity;
    use crate::customer::Identifier;
    use crate::state::revocation::{Issued, Rule, Subject};

    fn keep(verified: &mut VerifiedTokens, token: &str, ends: u64) {
        let customer = Identifier::from_store("t1-x");
        let verdict = VerifiedToken::Customer(Identity {
            customer,
            issuer: IssuerNumber::OWN,
            isolated_audience: None,
            binding: None,
            claims: None,
            delegate: None,
        });
        let marks = Marks {
            id: "id".into(),
            earlier_id: Some("earlier".into()),
            login: Some("login".into()),
            issued: Some(Issued { at: 100, number: None }),
            also: None,
            audience: "api".into(),
            ends_with: [Subject::Client("asapp".into()), Subject::Token("given for".into())].into(),
        };
        verified.keep(TokenKind::Customer, token, CachedVerdict::new(ends, verdict, marks, 0));
    }

    fn none() -> Revocations {
        Revocations::default()
    }

    #[test]
    fn a_verdict_is_held_against_every_rule_that_comes_after_it() {
        for (kind, name) in [
            ("token", "id"),
            ("token", "earlier"),
            ("login", "login"),
            ("customer", "t1-x"),
            ("customer", "t1-x api"),
            ("client", "asapp"),
            ("token", "given for"),
        ] {
            let (mut verified, rules) = (VerifiedTokens::default(), Revocations::default());
            keep(&mut verified, "a.b.c", 1_000);
            let found = || verified.find(TokenKind::Customer, b"a.b.c", 1, &rules).is_some();
            assert!(found());
            let rule = |name: &str, since| Rule::new(Subject::new(kind, name).unwrap(), since, 1_000);
            rules.apply(rule("another", u64::MAX));
            rules.apply(rule(name, 99));
            assert!(found());
            rules.apply(rule(name, 100));
            assert!(!found(), "{kind}");
        }
    }

    #[test]
    fn a_verdict_ends_in_the_second_in_which_a_fresh_check_would_refuse() {
        let mut verified = VerifiedTokens::default();
        keep(&mut verified, "a.b.c", 1_030);
        assert!(verified.find(TokenKind::Customer, b"a.b.c", 1_029, &none()).is_some());
        assert!(verified.find(TokenKind::Customer, b"a.b.c", 1_030, &none()).is_none());
    }

    #[test]
    fn a_verdict_is_for_this_token_and_this_kind_only() {
        let mut verified = VerifiedTokens::default();
        keep(&mut verified, "a.b.c", 1_000);
        assert!(verified.find(TokenKind::Access, b"a.b.c", 1, &none()).is_none());
        assert!(verified.find(TokenKind::Customer, b"a.b.d", 1, &none()).is_none());
        assert!(verified.find(TokenKind::Customer, b"a.b.", 1, &none()).is_none());
        verified.clear();
        assert!(verified.find(TokenKind::Customer, b"a.b.c", 1, &none()).is_none());
    }

    #[test]
    fn a_long_token_is_kept_in_the_place_of_several() {
        let mut verified = VerifiedTokens::default();
        let long = |number: usize| format!("{number:064}").repeat(1024);
        keep(&mut verified, &long(1), 1_000);
        assert!(verified.find(TokenKind::Customer, long(1).as_bytes(), 1, &none()).is_some());
        for number in 0..2 * CAPACITY / 16 {
            keep(&mut verified, &long(number), 1_000);
        }
        assert!(verified.tokens.len() <= CAPACITY / 16 && verified.tokens.len() > CAPACITY / 32);
    }

    #[test]
    fn more_tokens_than_the_capacity_are_not_kept() {
        let mut verified = VerifiedTokens::default();
        for number in 0..2 * CAPACITY {
            keep(&mut verified, &number.to_string(), 1_000);
        }
        assert!(verified.tokens.len() <= CAPACITY);
    }
}
