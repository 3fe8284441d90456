//! Secrets that have been verified before, so that a client that is known is not hashed again with each call, nor turned
//! away when many wait for their hash.
//!
//! What is remembered is that this secret fits this stored hash of this client, as a digest under a key that only this
//! process has. That stays true for ever; whether the hash is still good is for the policy in force to say, and only
//! hashes that are good are asked about. Failures are not remembered.

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

use crate::auth::password::PasswordHash;
use crate::secret::random_bytes;

/// How many secrets are remembered; of more, those used longest ago cost a hash again.
const CAPACITY: usize = 16_384;

type Digest = [u8; 32];

/// The secrets that this process has verified.
pub(in crate::gateway) struct Remembered {
    key: hmac::Key,
    known: Cache<Digest, ()>,
}

impl Remembered {
    /// Whether this secret of this client was found to fit this hash.
    pub(super) fn knows(&self, client: &str, hash: &PasswordHash, secret: &[u8]) -> bool {
        self.known.get(&self.digest(client, hash, secret)).is_some()
    }

    /// This secret of this client fits this hash.
    pub(super) fn keep(&self, client: &str, hash: &PasswordHash, secret: &[u8]) {
        self.known.insert(self.digest(client, hash, secret), ());
    }

    /// Lengths stand before the parts, so that no two lists of parts are the same bytes.
    fn digest(&self, client: &str, hash: &PasswordHash, secret: &[u8]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [client.as_bytes(), hash.text().as_bytes(), secret] {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

impl Default for Remembered {
    fn default() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>()), known: Cache::new(CAPACITY) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::auth::password::{dummy, parse};

    #[test]
    fn a_secret_is_known_with_its_own_client_and_hash_only() {
        let remembered = Remembered::default();
        let (hash, other) = (dummy(), dummy());
        remembered.keep("asapp", &hash, b"secret");
        assert!(remembered.knows("asapp", &hash, b"secret"));
        assert!(remembered.knows("asapp", &parse(&hash.text()).unwrap(), b"secret"), "read again");
        assert!(!remembered.knows("asapp", &other, b"secret"));
        assert!(!remembered.knows("asap", &hash, b"psecret"));
        assert!(!remembered.knows("other", &hash, b"secret"));
        for wrong in [&b"secre"[..], b"secret ", b"Secret", b""] {
            assert!(!remembered.knows("asapp", &hash, wrong));
        }
        assert!(!Remembered::default().knows("asapp", &hash, b"secret"), "the key is that of one process");
    }

    #[test]
    fn no_more_secrets_are_remembered_than_there_is_room_for() {
        let (remembered, hash) = (Remembered::default(), dummy());
        for number in 0..CAPACITY + 1_000 {
            remembered.keep("asapp", &hash, &number.to_be_bytes());
        }
        assert!(remembered.known.len() <= CAPACITY);
    }
}
