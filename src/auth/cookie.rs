//! The signed session cookie: `v1.KEY.ISSUED.ID.MAC`. It says nothing about the customer.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::refusal::SessionFault;
use crate::secret::{Secret, random_bytes};
use crate::state::session::{SessionDigest, digest_of};

/// Keeps these signatures apart from all others that might be made with the same key.
const CONTEXT: &[u8] = b"wicketgate session cookie v1\0";

/// The keys that sign cookies: the first signs, all verify.
pub struct CookieKeys(Vec<(String, hmac::Key)>);

/// A new session's cookie.
pub struct NewCookie {
    /// What the browser gets.
    pub value: String,
    /// What the store gets.
    pub digest: SessionDigest,
}

impl CookieKeys {
    /// Takes keys of at least 32 bytes.
    pub fn new(secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| {
            let name = digest::digest(&digest::SHA256, secret.expose());
            (BASE64.encode(&name.as_ref()[..6]), hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
        };
        Self(secrets.iter().map(key).collect())
    }

    /// A cookie for a new session that begins now; `None` without a key.
    pub fn issue(&self, now: u64) -> Option<NewCookie> {
        let (name, key) = self.0.first()?;
        let id = random_bytes::<32>();
        let signed = format!("v1.{name}.{now}.{}", BASE64.encode(id));
        let mac = BASE64.encode(sign(key, &signed));
        Some(NewCookie { value: format!("{signed}.{mac}"), digest: digest_of(&id) })
    }

    /// The session that a cookie names.
    ///
    /// # Errors
    /// [`SessionFault::Forged`] for whatever these keys did not sign.
    pub fn open(&self, value: &str) -> Result<SessionDigest, SessionFault> {
        let (signed, mac) = value.rsplit_once('.').ok_or(SessionFault::Forged)?;
        let mac = BASE64.decode(mac).map_err(|_| SessionFault::Forged)?;
        let mut parts = signed.split('.');
        let (Some("v1"), Some(name), Some(_issued), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SessionFault::Forged);
        };
        let (_, key) = self.0.iter().find(|(known, _)| known == name).ok_or(SessionFault::Forged)?;
        let mut message = CONTEXT.to_vec();
        message.extend_from_slice(signed.as_bytes());
        hmac::verify(key, &message, &mac).map_err(|_| SessionFault::Forged)?;
        let id = BASE64.decode(id).map_err(|_| SessionFault::Forged)?;
        Ok(digest_of(&id))
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
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
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
        assert_eq!(old.open(&cookie.value), Ok(cookie.digest));
        assert_eq!(both.open(&cookie.value), Ok(cookie.digest));
        assert_eq!(keys(&["another key of thirty-two bytes.."]).open(&cookie.value), Err(SessionFault::Forged));
    }

    #[test]
    fn every_flipped_cut_or_moved_byte_is_refused() {
        let keys = keys(&["a key of at least thirty-two bytes"]);
        let value = keys.issue(1_000).unwrap().value;
        for at in 0..value.len() {
            let mut flipped = value.clone().into_bytes();
            flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(keys.open(&String::from_utf8(flipped).unwrap()), Err(SessionFault::Forged), "byte {at}");
            assert_eq!(keys.open(&value[..at]), Err(SessionFault::Forged), "cut at {at}");
        }
        let other = keys.issue(1_000).unwrap().value;
        let (signed, _) = value.rsplit_once('.').unwrap();
        let (_, mac) = other.rsplit_once('.').unwrap();
        assert_eq!(keys.open(&format!("{signed}.{mac}")), Err(SessionFault::Forged));
        assert_eq!(keys.open(&format!("{value}.{mac}")), Err(SessionFault::Forged));
    }
}
