//! Tokens that a worker has verified before, so that the same token is not verified again with each request.
//!
//! A verdict is as good as a fresh one: it ends with the token, and all verdicts end with the policy under which
//! they were reached. Failures are not kept.

use std::sync::Arc;

use quick_cache::Equivalent;
use quick_cache::unsync::Cache;

use super::jwt::Kind;
use crate::customer::Identifier;

/// How many tokens a worker remembers.
const CAPACITY: usize = 8_192;

/// Longer tokens are verified each time: what callers send must not fill the memory.
const MAX_LENGTH: usize = 4 * 1024;

/// Tokens that were verified under the present policy.
pub struct VerifiedTokens(Cache<Key, Known>);

/// What a token was found to be worth.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// A client's access token.
    Access(Access),
    /// A customer's token.
    Customer(Identifier),
}

/// A verified access token.
#[derive(Debug, Clone)]
pub struct Access {
    /// The client.
    pub client: Arc<str>,
    /// What it may do.
    pub scopes: Arc<[String]>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    token: Box<[u8]>,
}

#[derive(Hash)]
struct Borrowed<'a> {
    kind: Kind,
    token: &'a [u8],
}

#[derive(Clone)]
struct Known {
    /// The first second in which the token is no longer good, clock skew included.
    ends: u64,
    verdict: Verdict,
}

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && *self.token == *key.token
    }
}

impl VerifiedTokens {
    /// The verdict on this token as this kind of token, where there is one that still holds. The token may be anything:
    /// what was not verified byte for byte is not found.
    pub fn find(&self, kind: Kind, token: &[u8], now: u64) -> Option<&Verdict> {
        self.0.get(&Borrowed { kind, token }).filter(|known| now < known.ends).map(|known| &known.verdict)
    }

    /// Remembers a verdict until `expires_at` plus `skew`.
    pub fn keep(&mut self, kind: Kind, token: &str, expires_at: u64, skew: u64, verdict: Verdict) {
        if token.len() <= MAX_LENGTH {
            self.0.insert(
                Key { kind, token: token.as_bytes().into() },
                Known { ends: expires_at.saturating_add(skew), verdict },
            );
        }
    }

    /// Forgets everything: the policy has changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer::{Deriver, IdentifierKey, Mode};
    use crate::secret::Secret;

    fn customer() -> Verdict {
        let key = IdentifierKey::parse(&Secret::new(IdentifierKey::generate().as_str())).unwrap();
        Verdict::Customer(Deriver::new(key, Mode::OneWay).derive("issuer", "subject").unwrap())
    }

    #[test]
    fn d26_a_verdict_ends_in_the_second_in_which_a_fresh_check_would_refuse() {
        let mut verified = VerifiedTokens::default();
        verified.keep(Kind::Customer, "a.b.c", 1_000, 30, customer());
        assert!(verified.find(Kind::Customer, b"a.b.c", 1_029).is_some());
        assert!(verified.find(Kind::Customer, b"a.b.c", 1_030).is_none());
    }

    #[test]
    fn t40_a_verdict_is_for_this_token_and_this_kind_only() {
        let mut verified = VerifiedTokens::default();
        verified.keep(Kind::Customer, "a.b.c", 1_000, 0, customer());
        assert!(verified.find(Kind::Access, b"a.b.c", 1).is_none());
        assert!(verified.find(Kind::Customer, b"a.b.d", 1).is_none());
        assert!(verified.find(Kind::Customer, b"a.b.", 1).is_none());
        verified.clear();
        assert!(verified.find(Kind::Customer, b"a.b.c", 1).is_none());
    }

    #[test]
    fn long_tokens_and_more_than_the_capacity_are_not_kept() {
        let mut verified = VerifiedTokens::default();
        let long = "x".repeat(MAX_LENGTH + 1);
        verified.keep(Kind::Customer, &long, 1_000, 0, customer());
        assert!(verified.find(Kind::Customer, long.as_bytes(), 1).is_none());
        let verdict = customer();
        for number in 0..2 * CAPACITY {
            verified.keep(Kind::Customer, &number.to_string(), 1_000, 0, verdict.clone());
        }
        assert!(verified.0.len() <= CAPACITY);
    }
}
