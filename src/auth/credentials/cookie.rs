//! The signed session cookie: `v1.KEY.ISSUED.ID.MAC`. It says nothing about the customer.

use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::key_validity::{KeyVersion, LastUse};
use crate::refusal::SessionFault;
use crate::secret::{Secret, random_bytes};
use crate::state::session::{SessionDigest, digest_of};

/// Keeps these signatures apart from all others that might be made with the same key.
const CONTEXT: &[u8] = b"wicketgate session cookie v1\0";

/// The keys that sign cookies, newest first: the first whose time has come signs, all that have not ended verify.
pub struct CookieKeys(Vec<CookieKey>);

/// One of them.
pub struct CookieKey {
    /// The key id in its cookies.
    name: String,
    key: hmac::Key,
    from: u64,
    until: u64,
    used: Arc<LastUse>,
}

impl CookieKey {
    /// A key of at least 32 bytes that signs from the second `from` on, and verifies before the second `until`.
    pub fn new(secret: &Secret, from: u64, until: u64) -> Self {
        let name = digest::digest(&digest::SHA256, secret.expose());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self { name: BASE64.encode(&name.as_ref()[..6]), key, from, until, used: Arc::default() }
    }

    /// The key id in its cookies.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its use is noted here.
    pub fn noted(self, used: Arc<LastUse>) -> Self {
        Self { used, ..self }
    }
}

/// A cookie whose signature is right. That is all it says: its key may have ended since, and its session too.
#[derive(Debug, Clone, Copy)]
pub(in crate::auth) struct SignedCookie {
    session: SessionDigest,
    /// The index of the key that signed it.
    key: usize,
}

/// A new session's cookie.
pub struct NewCookie {
    /// The value for the browser.
    pub value: String,
    /// The session digest for the store.
    pub digest: SessionDigest,
}

impl CookieKeys {
    /// Takes keys of at least 32 bytes, without beginning or end.
    pub fn new(secrets: &[Secret]) -> Self {
        Self(secrets.iter().map(|secret| CookieKey::new(secret, 0, u64::MAX)).collect())
    }

    /// Takes keys with their times.
    pub fn dated(keys: Vec<CookieKey>) -> Self {
        Self(keys)
    }

    /// All of them, newest first.
    pub fn versions(&self) -> impl Iterator<Item = KeyVersion> {
        self.0.iter().map(|key| KeyVersion {
            kind: "cookie_key",
            id: String::new(),
            version: key.name.clone(),
            from: key.from,
            until: key.until,
            used: Arc::clone(&key.used),
        })
    }

    /// A cookie for a new session that begins now; `None` without a key.
    pub fn issue(&self, now: u64) -> Option<NewCookie> {
        let live = || self.0.iter().filter(|key| now < key.until || key.until == u64::MAX);
        let CookieKey { name, key, used, .. } = live().find(|key| key.from <= now).or_else(|| live().next_back())?;
        used.note(now);
        let id = random_bytes::<32>();
        let signed = format!("v1.{name}.{now}.{}", BASE64.encode(id));
        let mac = BASE64.encode(sign(key, &signed));
        Some(NewCookie { value: format!("{signed}.{mac}"), digest: digest_of(&id) })
    }

    /// The session that a cookie names. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`SessionFault::Forged`] for whatever these keys did not sign.
    pub fn open(&self, value: &str, now: u64) -> Result<SessionDigest, SessionFault> {
        self.session_of(self.verify(value)?, now, false)
    }

    /// The session of a cookie that was verified by these same keys, now or before. Its use is noted, unless it is only
    /// explained.
    ///
    /// # Errors
    /// [`SessionFault::Forged`] where its key has ended.
    pub(in crate::auth) fn session_of(
        &self,
        cookie: SignedCookie,
        now: u64,
        is_explained: bool,
    ) -> Result<SessionDigest, SessionFault> {
        let key = self.0.get(cookie.key).filter(|key| now < key.until).ok_or(SessionFault::Forged)?;
        if !is_explained {
            key.used.note(now);
        }
        Ok(cookie.session)
    }

    /// Verifies the signature of a cookie, whatever the time.
    ///
    /// # Errors
    /// [`SessionFault::Forged`] for whatever these keys did not sign.
    pub(in crate::auth) fn verify(&self, value: &str) -> Result<SignedCookie, SessionFault> {
        let (signed, mac) = value.rsplit_once('.').ok_or(SessionFault::Forged)?;
        let mac = BASE64.decode(mac).map_err(|_| SessionFault::Forged)?;
        let mut parts = signed.split('.');
        let (Some("v1"), Some(name), Some(_issued), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SessionFault::Forged);
        };
        let key = self.0.iter().position(|key| key.name == name).ok_or(SessionFault::Forged)?;
        let mut message = CONTEXT.to_vec();
        message.extend_from_slice(signed.as_bytes());
        hmac::verify(&self.0[key].key, &message, &mac).map_err(|_| SessionFault::Forged)?;
        let id = BASE64.decode(id).map_err(|_| SessionFault::Forged)?;
        Ok(SignedCookie { session: digest_of(&id), key })
    }
}

fn sign(key: &hmac::Key, signed: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(CONTEXT);
    context.update(signed.as_bytes());
    context.sign()
}

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|key| &key.name)).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn keys(secrets: &[&str]) -> CookieKeys {
        CookieKeys::new(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>())
    }

    #[test]
    fn a_cookie_opens_with_the_key_that_signed_it_and_after_a_rotation() {
        let old = keys(&["an old key of thirty-two bytes..."]);
        let both = keys(&["a new key of thirty-two bytes....", "an old key of thirty-two bytes..."]);
        let cookie = old.issue(1_000).unwrap();
        assert_eq!(old.open(&cookie.value, 1_000), Ok(cookie.digest));
        assert_eq!(both.open(&cookie.value, 1_000), Ok(cookie.digest));
        assert_eq!(keys(&["another key of thirty-two bytes.."]).open(&cookie.value, 1_000), Err(SessionFault::Forged));
    }

    #[test]
    fn a_key_verifies_before_its_turn_to_sign_and_until_its_end() {
        let secret = |text: &str| Secret::new(text.repeat(32).into_bytes());
        let replica = CookieKeys::dated(vec![CookieKey::new(&secret("n"), 0, u64::MAX)]);
        let keys = CookieKeys::dated(vec![
            CookieKey::new(&secret("n"), 2_000, u64::MAX),
            CookieKey::new(&secret("o"), 0, 5_000),
        ]);
        let (early, late) = (keys.issue(1_999).unwrap(), keys.issue(2_000).unwrap());
        let ahead = replica.issue(1_000).unwrap();
        assert_eq!(keys.open(&ahead.value, 1_000), Ok(ahead.digest));
        assert!(replica.open(&early.value, 2_000).is_err(), "the old key signs until then");
        assert_eq!(replica.open(&late.value, 2_000), Ok(late.digest));
        assert_eq!(keys.open(&early.value, 4_999), Ok(early.digest));
        assert_eq!(keys.open(&early.value, 5_000), Err(SessionFault::Forged));
        let uses: Vec<_> = keys.versions().map(|version| version.used.seconds()).collect();
        assert_eq!(uses, [Some(2_000), Some(4_999)]);
    }

    #[test]
    fn a_cookie_whose_signature_is_remembered_ends_with_its_key_all_the_same() {
        let key = CookieKey::new(&Secret::new("k".repeat(32).into_bytes()), 0, 5_000);
        let keys = CookieKeys::dated(vec![key]);
        let cookie = keys.issue(1_000).unwrap();
        let signed = keys.verify(&cookie.value).unwrap();
        assert_eq!(keys.session_of(signed, 4_999, false), Ok(cookie.digest));
        assert_eq!(keys.session_of(signed, 5_000, false), Err(SessionFault::Forged));
        assert_eq!(keys.versions().next().unwrap().used.seconds(), Some(4_999));
    }

    #[test]
    fn every_flipped_cut_or_moved_byte_is_refused() {
        let keys = keys(&["a key of at least thirty-two bytes"]);
        let value = keys.issue(1_000).unwrap().value;
        for at in 0..value.len() {
            let mut flipped = value.clone().into_bytes();
            flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys.open(&String::from_utf8(flipped).unwrap(), 1_000), Err(SessionFault::Forged), "byte {at}");
            assert_eq!(keys.open(&value[..at], 1_000), Err(SessionFault::Forged), "cut at {at}");
        }
        let other = keys.issue(1_000).unwrap().value;
        let (signed, _) = value.rsplit_once('.').unwrap();
        let (_, mac) = other.rsplit_once('.').unwrap();
        assert_eq!(keys.open(&format!("{signed}.{mac}"), 1_000), Err(SessionFault::Forged));
        assert_eq!(keys.open(&format!("{value}.{mac}"), 1_000), Err(SessionFault::Forged));
    }
}
