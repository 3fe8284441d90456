//! Refresh tokens (RFC 6749 section 6): one login is a family, of which only the newest token is good. One that comes
//! back after it was used has been copied, and ends the family (RFC 9700 section 4.14.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

use super::session::{SessionDigest, digest_of};
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
