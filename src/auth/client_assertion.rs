//! Client assertions (`private_key_jwt`, RFC 7523 section 3, OpenID Connect Core 1.0 section 9): JWTs that a client
//! signs with its own key in order to authenticate.

use std::sync::Arc;

use super::jwt::remote_jwks::PublishedKeys;
use super::jwt::{Compact, Keys, Verifier, verified_patiently};
use crate::refusal::TokenFault;
use crate::state::replay::OnceId;
use crate::state::session::digest_of;

/// Checks the assertions of one client.
#[derive(Debug)]
pub struct Assertions {
    verifier: Verifier,
    longest: u64,
    skew: u64,
}

/// An assertion that is right. Whether it was used before is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion {
    /// Digest of its client and its `jti`, against replay.
    pub id: OnceId,
    /// The earliest time at which it was made, in seconds since 1970: by its `iat`, and by the longest lifetime of an
    /// assertion.
    pub made: u64,
    /// The first second, since 1970, in which nobody takes it any more, whose clock is off by the allowed skew.
    pub ends: u64,
}

impl Assertions {
    /// Those of the client of this id, for one of these audiences alone, which may be good for at most `longest` more
    /// seconds when they come. `skew` is in seconds.
    pub fn new(client: &str, audiences: Vec<String>, keys: Keys, longest: u64, skew: u64) -> Self {
        Self { verifier: Verifier::client(client.to_owned(), audiences, keys, skew), longest, skew }
    }

    /// The keys, where they are fetched.
    pub fn published(&self) -> Option<&Arc<PublishedKeys>> {
        self.verifier.published()
    }

    /// Verifies an assertion; returns the facts for the replay check. Waits up to a second for keys that are being
    /// fetched. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong; [`TokenFault::NoKeys`] where nobody knows.
    pub async fn verify(&self, assertion: &Compact<'_>, now: u64) -> Result<Assertion, TokenFault> {
        verified_patiently(self.published(), || self.check(assertion, now)).await
    }

    fn check(&self, assertion: &Compact<'_>, now: u64) -> Result<Assertion, TokenFault> {
        let client = self.verifier.issuer();
        let claims = self.verifier.verify(assertion, now)?;
        if claims.subject != client {
            return Err(TokenFault::Subject);
        }
        // It shows that the client has the key that signed it; nothing here shows another.
        if claims.binding.is_some() {
            return Err(TokenFault::Binding);
        }
        if claims.expires_at > now.saturating_add(self.longest).saturating_add(self.skew) {
            return Err(TokenFault::Lifetime);
        }
        let id = claims.token_id.filter(|id| !id.is_empty()).ok_or(TokenFault::Claim)?;
        let made = claims.expires_at.saturating_sub(self.longest).max(claims.issued_at.unwrap_or_default());
        Ok(Assertion {
            made,
            id: digest_of(format!("assertion {} {client} {id}", client.len()).as_bytes()),
            ends: claims.expires_at.saturating_add(self.skew).saturating_add(self.skew),
        })
    }
}
