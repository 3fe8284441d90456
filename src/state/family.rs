//! Refresh tokens (RFC 6749 section 6): one login is a family, of which only the newest token is good. One that comes
//! back after it was used has been copied, and ends the family (RFC 9700 section 4.14.2).

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

use super::record;
use super::revocation::{Rule, Subject};
use super::session::{self, LoginId, SessionDigest, digest_of, handle};
use super::{State, Store, Unavailable};
use crate::customer::Identifier;
use crate::secret::random_bytes;

const PREFIX: &str = "wgr_";
const FAMILY: usize = 16;
const SECRET: usize = 32;

/// All refresh tokens of one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The customer.
    pub customer: Identifier,
    /// When the login was, in seconds since 1970.
    pub issued_at: u64,
    /// When its last token ends, in seconds since 1970.
    pub expires_at: u64,
    /// The digest of the token that is good.
    pub current: SessionDigest,
}

/// A refresh token as its holder has it.
pub struct RefreshToken {
    /// Which login it is of.
    pub family: SessionDigest,
    /// The digest of the token.
    pub digest: SessionDigest,
    id: [u8; FAMILY],
    text: Zeroizing<String>,
}

/// What came of handing in a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// It was the good one; another is now. The login is this one.
    Good(Family),
    /// It was used before: the family has ended.
    Reused(Family),
    /// There is no such family, or it has ended.
    Unknown,
}

impl RefreshToken {
    /// The first of a new family.
    pub fn first() -> Self {
        Self::of(random_bytes::<FAMILY>(), &random_bytes::<SECRET>())
    }

    /// The next of the same family.
    pub fn next(&self) -> Self {
        Self::of(self.id, &random_bytes::<SECRET>())
    }

    /// The token in a text; nothing of it has been checked.
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

impl State {
    /// Begins a family of refresh tokens.
    ///
    /// # Errors
    /// [`Unavailable`]: then nobody may be told of it.
    pub async fn begin_family(&self, first: &RefreshToken, family: Family) -> Result<(), Unavailable> {
        let changes = || vec![record::put_family(&first.family, &family)];
        self.keep("begin_family", changes, async |store| store.begin_family(&first.family, &family).await).await?;
        if !matches!(self.store, Store::Redis(..)) {
            self.families.insert(first.family, family);
        }
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
        if let Store::Redis(store, _) = &self.store {
            let begun = Instant::now();
            let rotated = store.rotate(presented, next).await;
            self.note("rotate", begun.elapsed(), rotated.is_ok());
            return match rotated? {
                Rotated::Good(family) if now >= family.expires_at => Ok(Rotated::Unknown),
                Rotated::Reused(family) => {
                    self.end_family(&presented.family, family.expires_at).await?;
                    Ok(Rotated::Reused(family))
                }
                rotated => Ok(rotated),
            };
        }
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
                let changes = || vec![record::put_family(&presented.family, family)];
                let written = self.keep("rotate", changes, async |_| Ok(())).await;
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
        let family = self.live_family(&presented.family, now).await?;
        Ok(family.filter(|family| family.current == presented.digest))
    }

    /// The login of this family, whichever of its tokens is the good one.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn live_family(&self, digest: &SessionDigest, now: u64) -> Result<Option<Family>, Unavailable> {
        let family = match &self.store {
            Store::Redis(store, _) => store.family(digest).await?,
            Store::Memory | Store::Embedded(_) => self.families.get(digest).map(|family| family.clone()),
        };
        Ok(family.filter(|family| now < family.expires_at && !self.is_family_revoked(digest, family)))
    }

    /// Whether a rule has ended this login.
    pub fn is_family_revoked(&self, digest: &SessionDigest, family: &Family) -> bool {
        session::is_revoked(&self.revocations, digest, LoginId::of(digest), &family.customer, family.issued_at)
    }

    /// Ends a family and all tokens of the same login.
    ///
    /// # Errors
    /// [`Unavailable`]: it is over here, and may not be after a restart.
    pub async fn end_family(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        self.families.remove(digest);
        let rule = Rule::forever(Subject::Login(handle(digest).into()), until);
        self.revocations.apply(rule.clone());
        let changes = || vec![record::delete_family(digest), record::put_rule(&rule)];
        self.keep("end_family", changes, async |store| store.end_family(digest, &rule).await).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_one_family_share_it_and_nothing_else() {
        let first = RefreshToken::first();
        let next = first.next();
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
