//! Tokens that a worker has verified before, so that the same token is not verified again with each request.
//!
//! A verdict is as good as a fresh one: it ends with the token, it is held against every revocation that came after
//! it, and all verdicts end with the policy under which they were reached. Failures are not kept.

use std::cell::Cell;
use std::sync::Arc;

use super::credentials::api_key;
use super::jwt::{Claims, Kind};
use super::tls::certificate::CertificateName;
use super::token_binding::Binding;
use crate::customer::Identifier;
use crate::hex::hex;
use crate::state::revocation::{Issued, Revocations, Subject};
use quick_cache::Equivalent;
use quick_cache::unsync::Cache;

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
    Customer(Identity),
}

impl Verdict {
    /// Whose token it is, where that is a customer.
    pub fn customer(&self) -> Option<&Identifier> {
        match self {
            Self::Customer(Identity { customer, .. }) => Some(customer),
            Self::Access(_) => None,
        }
    }
}

/// A verified access token.
#[derive(Debug, Clone)]
pub struct Access {
    /// The client.
    pub client: Arc<str>,
    /// Whom it is for.
    pub audience: Arc<str>,
    /// What it may do.
    pub scopes: Arc<[String]>,
    /// The client's certificate, which must be that of the connection. Each request is held against it.
    pub certificate: Option<Arc<CertificateName>>,
    /// What it is bound to. Each request is held against it.
    pub binding: Option<Binding>,
}

/// A verified customer's token.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The customer.
    pub customer: Identifier,
    /// Whom it is for, where that is an audience set apart.
    pub apart: Option<Arc<str>>,
    /// What it is bound to. Each request is held against it.
    pub binding: Option<Binding>,
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
    marks: Marks,
    /// The generation of the revocations that it was last held against.
    generation: Cell<u64>,
}

/// By what a token can be revoked, beside whose it is.
#[derive(Debug, Clone)]
pub struct Marks {
    /// Its id: see [`Subject::Token`].
    pub id: Box<str>,
    /// Another id, under which a version before has revoked it: the digest of the whole token.
    pub earlier_id: Option<Box<str>>,
    /// The login that it is of.
    pub login: Option<Box<str>>,
    /// When it was issued, where it says.
    pub issued: Option<Issued>,
    /// Another name of the customer, which a revocation may bear.
    pub also: Option<Identifier>,
    /// Whom it is for, where a customer's logins are ended for one audience only.
    pub audience: Box<str>,
}

impl Marks {
    /// Those of a token. `own`: this gateway issued it.
    ///
    /// One without `jti` goes by the digest of what is signed. The signature is not part of it: of ECDSA there are always two
    /// that are right, and whoever has one has the other.
    pub fn of(claims: &Claims, issuer: &str, own: bool, token: &str) -> Self {
        let digest = |text: &str| format!("sha256 {}", hex(&api_key::digest(text.as_bytes()))).into();
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let (id, earlier_id) = match &claims.token_id {
            Some(id) if own => (id.as_str().into(), None),
            Some(id) => (Subject::token_of(issuer, id), None),
            None => (digest(signed), Some(digest(token))),
        };
        let login = if own { claims.login.as_deref().map(Into::into) } else { None };
        Self {
            id,
            earlier_id,
            login,
            issued: claims.issued_at.map(|at| Issued { at, number: claims.rules.filter(|_| own) }),
            also: None,
            audience: claims.audience.as_str().into(),
        }
    }

    /// It counts as one for this audience.
    pub fn counted_for(self, audience: &str) -> Self {
        Self { audience: audience.into(), ..self }
    }

    /// The customer has another name too.
    pub fn also_known_as(self, also: Option<Identifier>) -> Self {
        Self { also, ..self }
    }

    /// Whether a rule covers the token, its login, or whose it is.
    pub fn are_revoked(&self, verdict: &Verdict, revocations: &Revocations) -> bool {
        if revocations.is_empty() {
            return false;
        }
        let covered = |subject: &Subject| revocations.covers(subject, self.issued);
        let of_owner = match verdict {
            Verdict::Access(access) => covered(&Subject::Client((*access.client).into())),
            Verdict::Customer(Identity { customer, .. }) => {
                [Some(customer), self.also.as_ref()].into_iter().flatten().any(|name| {
                    covered(&Subject::Customer(name.as_str().into()))
                        || covered(&Subject::customer_for(name.as_str(), &self.audience))
                })
            }
        };
        of_owner
            || [Some(&self.id), self.earlier_id.as_ref()]
                .into_iter()
                .flatten()
                .any(|id| covered(&Subject::Token(id.clone())))
            || self.login.as_ref().is_some_and(|login| covered(&Subject::Login(login.clone())))
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
    pub fn find(&self, kind: Kind, token: &[u8], now: u64, revocations: &Revocations) -> Option<&Verdict> {
        let known = self.0.get(&Borrowed { kind, token }).filter(|known| now < known.ends)?;
        let generation = revocations.generation();
        if known.generation.get() != generation {
            if known.marks.are_revoked(&known.verdict, revocations) {
                return None;
            }
            known.generation.set(generation);
        }
        Some(&known.verdict)
    }

    /// Remembers a verdict until `ends`. `generation` is that of the revocations before the token was held against them.
    pub fn keep(&mut self, kind: Kind, token: &str, ends: u64, verdict: Verdict, marks: Marks, generation: u64) {
        if token.len() <= MAX_LENGTH {
            let known = Known { ends, verdict, marks, generation: Cell::new(generation) };
            self.0.insert(Key { kind, token: token.as_bytes().into() }, known);
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
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::state::revocation::Rule;

    fn keep(verified: &mut VerifiedTokens, token: &str, ends: u64) {
        let customer = Identifier::from_store("t1-x");
        let verdict = Verdict::Customer(Identity { customer, apart: None, binding: None });
        let marks = Marks {
            id: "id".into(),
            earlier_id: Some("earlier".into()),
            login: Some("login".into()),
            issued: Some(Issued { at: 100, number: None }),
            also: None,
            audience: "api".into(),
        };
        verified.keep(Kind::Customer, token, ends, verdict, marks, 0);
    }

    fn none() -> Revocations {
        Revocations::default()
    }

    #[test]
    fn d25_a_verdict_is_held_against_every_rule_that_comes_after_it() {
        for (kind, name) in
            [("token", "id"), ("token", "earlier"), ("login", "login"), ("customer", "t1-x"), ("customer", "t1-x api")]
        {
            let (mut verified, rules) = (VerifiedTokens::default(), Revocations::default());
            keep(&mut verified, "a.b.c", 1_000);
            let found = || verified.find(Kind::Customer, b"a.b.c", 1, &rules).is_some();
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
    fn d26_a_verdict_ends_in_the_second_in_which_a_fresh_check_would_refuse() {
        let mut verified = VerifiedTokens::default();
        keep(&mut verified, "a.b.c", 1_030);
        assert!(verified.find(Kind::Customer, b"a.b.c", 1_029, &none()).is_some());
        assert!(verified.find(Kind::Customer, b"a.b.c", 1_030, &none()).is_none());
    }

    #[test]
    fn t40_a_verdict_is_for_this_token_and_this_kind_only() {
        let mut verified = VerifiedTokens::default();
        keep(&mut verified, "a.b.c", 1_000);
        assert!(verified.find(Kind::Access, b"a.b.c", 1, &none()).is_none());
        assert!(verified.find(Kind::Customer, b"a.b.d", 1, &none()).is_none());
        assert!(verified.find(Kind::Customer, b"a.b.", 1, &none()).is_none());
        verified.clear();
        assert!(verified.find(Kind::Customer, b"a.b.c", 1, &none()).is_none());
    }

    #[test]
    fn long_tokens_and_more_than_the_capacity_are_not_kept() {
        let mut verified = VerifiedTokens::default();
        let long = "x".repeat(MAX_LENGTH + 1);
        keep(&mut verified, &long, 1_000);
        assert!(verified.find(Kind::Customer, long.as_bytes(), 1, &none()).is_none());
        for number in 0..2 * CAPACITY {
            keep(&mut verified, &number.to_string(), 1_000);
        }
        assert!(verified.0.len() <= CAPACITY);
    }
}
