//! A cache of verified client secrets, so that a known client is neither hashed again with each call nor turned away
//! when many wait for their hash; and of wrong ones, so that an instance that goes on with an old secret has guessed
//! once.
//!
//! An entry says that this secret fits this stored hash of this client, or that the presented ones fit none of these
//! hashes, as a digest under a key that only this process has. That stays true for ever; the policy in force decides
//! which hashes count, and only those are asked about.

use crate::auth::credentials::password::PasswordHash;
use crate::secret::random_bytes;
use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

/// Most entries of either kind; beyond, the least recently used ones cost a hash again.
const CAPACITY: usize = 16_384;

/// A digest of a client, hashes and secrets.
pub(super) type SecretDigest = [u8; 32];

/// The verified and the wrong secrets of this process.
pub(crate) struct VerifiedSecrets {
    key: hmac::Key,
    known: Cache<SecretDigest, ()>,
    wrong: Cache<SecretDigest, ()>,
}

impl VerifiedSecrets {
    /// True if this secret of this client was verified against this hash.
    pub(super) fn knows(&self, client: &str, hash: &PasswordHash, secret: &[u8]) -> bool {
        self.known.get(&self.digest(client, [hash], [secret])).is_some()
    }

    /// Remembers that this secret of this client fits this hash.
    pub(super) fn keep(&self, client: &str, hash: &PasswordHash, secret: &[u8]) {
        self.known.insert(self.digest(client, [hash], [secret]), ());
    }

    /// True if this was found to fit none of the hashes of a client of this id.
    pub(super) fn is_wrong(&self, wrong: &SecretDigest) -> bool {
        self.wrong.get(wrong).is_some()
    }

    /// Remembers that it fits none of them.
    pub(super) fn keep_wrong(&self, wrong: SecretDigest) {
        self.wrong.insert(wrong, ());
    }

    /// The digest. Lengths stand before the parts and an empty part between the lists, so that no two inputs are the
    /// same bytes.
    pub(super) fn digest<'a>(
        &self,
        client: &str,
        hashes: impl IntoIterator<Item = &'a PasswordHash>,
        secrets: impl IntoIterator<Item = &'a [u8]>,
    ) -> SecretDigest {
        let mut context = hmac::Context::with_key(&self.key);
        let mut add = |part: &[u8]| {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        };
        add(client.as_bytes());
        hashes.into_iter().map(|hash| hash.text().as_bytes()).for_each(&mut add);
        // No hash is empty.
        add(b"");
        secrets.into_iter().for_each(&mut add);
        let mut digest = SecretDigest::default();
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

impl Default for VerifiedSecrets {
    fn default() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>());
        Self { key, known: Cache::new(CAPACITY), wrong: Cache::new(CAPACITY) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::auth::credentials::password::{dummy, parse};

    #[test]
    fn a_secret_is_known_with_its_own_client_and_hash_only() {
        let remembered = VerifiedSecrets::default();
        let (hash, other) = (dummy(), dummy());
        remembered.keep("asapp", &hash, b"secret");
        assert!(remembered.knows("asapp", &hash, b"secret"));
        assert!(remembered.knows("asapp", &parse(hash.text()).unwrap(), b"secret"), "read again");
        assert!(!remembered.knows("asapp", &other, b"secret"));
        assert!(!remembered.knows("asap", &hash, b"psecret"));
        assert!(!remembered.knows("other", &hash, b"secret"));
        for wrong in [&b"secre"[..], b"secret ", b"Secret", b""] {
            assert!(!remembered.knows("asapp", &hash, wrong));
        }
        assert!(!VerifiedSecrets::default().knows("asapp", &hash, b"secret"), "the key is that of one process");
    }

    #[test]
    fn what_is_wrong_is_so_for_one_client_all_its_hashes_and_all_that_was_shown() {
        let remembered = VerifiedSecrets::default();
        let (one, two) = (dummy(), dummy());
        let digest = |client: &str, hashes: &[&PasswordHash], shown: &[&[u8]]| {
            remembered.digest(client, hashes.iter().copied(), shown.iter().copied())
        };
        remembered.keep_wrong(digest("asapp", &[&one], &[b"a%62", b"ab"]));
        assert!(remembered.is_wrong(&digest("asapp", &[&one], &[b"a%62", b"ab"])));
        assert!(!remembered.knows("asapp", &one, b"ab"));
        for other in [
            digest("asap", &[&one], &[b"a%62", b"ab"]),
            digest("asapp", &[&two], &[b"a%62", b"ab"]),
            digest("asapp", &[&one, &two], &[b"a%62", b"ab"]),
            digest("asapp", &[], &[b"a%62", b"ab"]),
            digest("asapp", &[&one], &[b"ab"]),
        ] {
            assert!(!remembered.is_wrong(&other));
        }
    }

    #[test]
    fn no_more_secrets_are_remembered_than_there_is_room_for() {
        let (remembered, hash) = (VerifiedSecrets::default(), dummy());
        for number in 0..CAPACITY + 1_000 {
            remembered.keep("asapp", &hash, &number.to_be_bytes());
            remembered.keep_wrong(remembered.digest("asapp", [], [&number.to_be_bytes()[..]]));
        }
        assert!(remembered.known.len() <= CAPACITY && remembered.wrong.len() <= CAPACITY);
    }
}
