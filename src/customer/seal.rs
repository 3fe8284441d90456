//! Values that this gateway seals for itself and gets back by way of a caller, such as authorization codes: any replica
//! with the identifier key can make and read them (AES-SIV, RFC 5297), and nobody else.

use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

use super::Version;
use crate::secret::random_bytes;

/// The purpose follows: each has a key of its own.
const SEALED_DOMAIN: &str = "wicketgate sealed value, ";
/// Bytes of the nonce, by which equal values are sealed differently.
const NONCE: usize = 16;

impl Version {
    /// A value for `purpose` that only opens together with `bound`, as base64url; `None` if it is too long.
    pub(super) fn seal(&self, purpose: &str, bound: &[u8], value: &[u8]) -> Option<String> {
        let nonce = random_bytes::<NONCE>();
        let sealed = self.sealer(purpose).encrypt([bound, &nonce[..]], value).ok()?;
        Some(BASE64.encode([&nonce[..], &sealed[..]].concat()))
    }

    /// The reverse of [`Self::seal`].
    pub(super) fn unseal(&self, purpose: &str, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        self.sealer(purpose).decrypt([bound, &nonce[..]], sealed).ok().map(Zeroizing::new)
    }

    fn sealer(&self, purpose: &str) -> Aes256Siv {
        Aes256Siv::new(&(*self.key.subkey(format!("{SEALED_DOMAIN}{purpose}").as_bytes())).into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::{Deriver, IdentifierKey, Mode};
    use super::*;
    use crate::secret::Secret;

    fn key(number: u8) -> IdentifierKey {
        let text = IdentifierKey::generate().replacen("v1", &format!("v{number}"), 1);
        IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_for_its_purpose_and_its_holder_and_not_when_a_bit_of_it_is_changed() {
        let deriver = Deriver::new(key(1), Mode::OneWay);
        let sealed = deriver.seal("code", b"cookie", b"value").unwrap();
        assert_eq!(deriver.unseal("code", b"cookie", &sealed).as_deref().map(Vec::as_slice), Some(&b"value"[..]));
        assert_ne!(deriver.seal("code", b"cookie", b"value").unwrap(), sealed);
        assert!(deriver.unseal("form", b"cookie", &sealed).is_none());
        assert!(deriver.unseal("code", b"another", &sealed).is_none());
        assert!(Deriver::new(key(1), Mode::OneWay).unseal("code", b"cookie", &sealed).is_none());
        let bytes = BASE64.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(deriver.unseal("code", b"cookie", &BASE64.encode(&changed)).is_none(), "byte {at}");
        }
        for short in ["", "A", &sealed[..20]] {
            assert!(deriver.unseal("code", b"cookie", short).is_none());
        }
    }

    #[test]
    fn what_was_sealed_before_a_rotation_of_the_key_opens_after_it() {
        let text = IdentifierKey::generate();
        let old = || IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap();
        let sealed = Deriver::new(old(), Mode::Traceable).seal("code", b"", b"value").unwrap();
        let after = Deriver::new(key(2), Mode::Traceable).after(old(), u64::MAX);
        assert!(after.unseal("code", b"", &sealed).is_some());
    }
}
